"""Promises about autogenerate: what it finds, what it leaves alone, and what it says."""

import ast
import re
import time
from collections.abc import Callable

import pytest
from conftest import (
    Bake,
    NewDatabase,
    Project,
    query,
    skip_without_servers,
    tables_of,
    wait_until,
    with_driver,
)
from sqlalchemy import URL

KINDS = ["sqlite", "postgresql", "mysql"]
EXAMPLE = "src/my_shop/models/example.py"


@pytest.fixture(params=KINDS)
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    skip_without_servers(request.param)
    return bake(database=request.param)


@pytest.fixture
def url(new_database: NewDatabase, project: Project) -> URL:
    """A database at the first revision, with rows."""
    url = with_driver(new_database(str(project.answers["database"])))
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "INSERT INTO customers (name, email) VALUES ('Ada', 'ada@example.com')")
    query(url, "INSERT INTO products (name, price) VALUES ('tea', 3)")
    query(url, "INSERT INTO orders (customer_id) SELECT id FROM customers")
    return url


@pytest.fixture
def revise(project: Project, url: URL) -> Callable[[], tuple[str, str]]:
    """A function that writes a revision for what has changed; it returns its text, and what
    was said on the terminal."""

    def run() -> tuple[str, str]:
        before = set(project.versions.iterdir())
        result = project.run("alembic", "revision", "--autogenerate", "-m", "change", url=url)
        assert result.returncode == 0, result.stderr
        (path,) = {path for path in project.versions.glob("*.py")} - before
        project.succeed("ruff", "check", str(path))
        project.succeed("ruff", "format", "--check", str(path))
        return path.read_text(), result.stderr

    return run


def go_up_down_and_up(project: Project, url: URL) -> None:
    """Upgrade, check, downgrade, upgrade and check, in one process because that is faster."""
    program = (
        "from alembic.config import main\n"
        "for command in ('upgrade head', 'check', 'downgrade -1', 'upgrade head', 'check'):\n"
        "    main(command.split())\n"
    )
    (project.path / "up_down_up.py").write_text(program)
    project.succeed("up_down_up", url=url)


EVERY_TYPE = """
import datetime, decimal, enum, uuid
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from my_shop.models.base import Base

class Mood(enum.Enum):
    HAPPY = "happy"

class Everything(Base):
    __tablename__ = "everything"
    id: Mapped[int] = mapped_column(primary_key=True)
    a1 = mapped_column(sa.BigInteger)
    a2 = mapped_column(sa.Boolean, server_default=sa.false())
    a3 = mapped_column(sa.Boolean, server_default=sa.text("false"))
    a4 = mapped_column(sa.Boolean, server_default=sa.true())
    a5 = mapped_column(sa.Date, server_default=sa.text("'2020-01-01'"))
    a6 = mapped_column(sa.DateTime, server_default=sa.func.now())
    a7 = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.current_timestamp())
    a8 = mapped_column(sa.Double)
    a9 = mapped_column(sa.Enum("x", "y", name="letters"), server_default="x")
    b1 = mapped_column(sa.Enum("a", "b", name="other", native_enum=False), server_default="a")
    b2 = mapped_column(sa.Float)
    b3 = mapped_column(sa.Float(53))
    b4 = mapped_column(sa.Integer, server_default="0")
    b5 = mapped_column(sa.Integer, server_default=sa.text("0"))
    b6 = mapped_column(sa.Interval)
    b7 = mapped_column(sa.JSON, server_default=sa.text("'{}'"))
    b8 = mapped_column(sa.JSON, server_default="{}")
    b9 = mapped_column(sa.LargeBinary)
    c1 = mapped_column(sa.Numeric(10, 2), server_default="0")
    c2 = mapped_column(sa.Numeric(10, 2), server_default=sa.text("1.50"))
    c3 = mapped_column(sa.Numeric)
    c4 = mapped_column(sa.SmallInteger)
    c5 = mapped_column(sa.String(50), server_default="")
    c6 = mapped_column(sa.String(50), server_default="it's")
    c7 = mapped_column(sa.String(50), server_default=sa.text("''"))
    c8 = mapped_column(sa.Text, comment="it's a comment")
    c9 = mapped_column(sa.Time)
    d1 = mapped_column(sa.Unicode(20))
    d2 = mapped_column(sa.UnicodeText)
    d3 = mapped_column(sa.Uuid)
    d4 = mapped_column(sa.PickleType)
    d5 = mapped_column(sa.Integer, sa.Computed("b4 + 1", persisted=True))
    d6: Mapped[Mood]
    d7: Mapped[datetime.datetime] = mapped_column(server_default=sa.func.now())
    d8: Mapped[datetime.timedelta]
    d9: Mapped[uuid.UUID]
    __table_args__ = (
        sa.Index("ix_two", "b4", "c4"),
        sa.CheckConstraint("b4 >= 0 AND c4 < 10", name="sane"),
        sa.UniqueConstraint("a5", "c9"),
        {"comment": "a table's comment"},
    )
"""


def test_nothing_is_invented_for_any_type_or_default(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    (project.path / "src/my_shop/models/everything.py").write_text(EVERY_TYPE)
    text, _ = revise()
    assert "my_shop" not in text
    go_up_down_and_up(project, url)


POSTGRESQL_DEFAULTS = [
    ("Boolean", '"true"'),
    ("DateTime", "text(\"timezone('utc', now())\")"),
    ("DateTime", "text(\"(now() AT TIME ZONE 'utc')\")"),
    ("DateTime", "text(\"now() + interval '1 day'\")"),
    ("Date", '"2020-1-1"'),
    ("Interval", '"24 hours"'),
    ("String", 'func.lower("ABC")'),
    ("String", '"nan"'),
]
MYSQL_DEFAULTS = [
    ("DateTime", 'text("CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP")'),
    ("String(20)", '"it\'s \\\\ x"'),
    ("Boolean", 'text("true")'),
]


@pytest.mark.parametrize(
    ("project", "defaults"),
    [("postgresql", POSTGRESQL_DEFAULTS), ("mysql", MYSQL_DEFAULTS)],
    indirect=["project"],
)
def test_a_default_that_the_server_writes_in_its_own_way_is_not_a_change(
    project: Project,
    url: URL,
    revise: Callable[[], tuple[str, str]],
    defaults: list[tuple[str, str]],
) -> None:
    columns = "".join(
        f"    c{number} = mapped_column({kind}, server_default={default})\n"
        for number, (kind, default) in enumerate(defaults)
    )
    (project.path / "src/my_shop/models/more.py").write_text(
        "from sqlalchemy import Boolean, Date, DateTime, Interval, String, func, text\n"
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.base import Base\n\n\n"
        "class More(Base):\n"
        '    __tablename__ = "more"\n\n'
        f"    id: Mapped[int] = mapped_column(primary_key=True)\n{columns}"
    )
    revise()
    go_up_down_and_up(project, url)


def test_zeros_before_a_text_are_a_change(project: Project, url: URL) -> None:
    project.replace(
        EXAMPLE, "name: Mapped[str]\n", 'name: Mapped[str] = mapped_column(server_default="01")\n'
    )
    project.succeed("alembic", "revision", "--autogenerate", "-m", "one", url=url)
    project.succeed("alembic", "upgrade", "head", url=url)
    project.succeed("alembic", "check", url=url)
    project.replace(EXAMPLE, 'server_default="01"', 'server_default="1"')
    assert "customers.name" in project.run("alembic", "check", url=url).stderr


def test_external_tables_are_ignored(project: Project, url: URL) -> None:
    query(url, "CREATE TABLE spatial_ref_sys (id INTEGER)")
    query(url, "CREATE TABLE email (id INTEGER)")  # The name of a column of ours.
    run = project.run("alembic", "check", url=url)
    assert run.returncode == 0
    assert "Ignoring table 'spatial_ref_sys': not created by any revision." in run.stderr
    assert "Ignoring table 'email'" in run.stderr


def test_a_column_without_a_model_is_found_in_a_table_that_has_one(
    project: Project, url: URL
) -> None:
    query(url, "ALTER TABLE products ADD COLUMN email INTEGER")
    run = project.run("alembic", "check", url=url)
    assert run.returncode == 1
    assert "Detected removed column 'products.email'" in run.stderr


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_external_enum_types_are_ignored(project: Project, url: URL) -> None:
    query(url, "CREATE TYPE weather AS ENUM ('sun', 'rain')")
    project.succeed("alembic", "check", url=url)


@pytest.mark.parametrize("project", ["postgresql", "mysql"], indirect=True)
def test_a_new_value_of_an_enum_is_found(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(
        EXAMPLE, '    SHIPPED = "shipped"', '    SHIPPED = "shipped"\n    LOST = "lost"'
    )
    check = project.run("alembic", "check", url=url)
    assert check.returncode == 1
    assert "orders" in check.stderr or "orderstatus" in check.stderr
    text, _ = revise()
    assert "lost" in text
    project.succeed("mypy", "--strict", "migrations")
    go_up_down_and_up(project, url)
    query(url, "UPDATE orders SET status = 'lost'")


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_a_revision_that_makes_enums_leaves_none_behind(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    (project.path / "src/my_shop/models/everything.py").write_text(EVERY_TYPE)
    revise()
    project.succeed("alembic", "upgrade", "head", url=url)
    project.succeed("alembic", "downgrade", "-1", url=url)
    names = query(url, "SELECT typname FROM pg_type WHERE typtype = 'e'")
    assert names == [("orderstatus",)]


def test_a_view_is_not_made_as_a_table(project: Project, url: URL) -> None:
    project.replace(
        EXAMPLE,
        "class Product(Base):",
        'class Report(Base):\n    __tablename__ = "reports"\n'
        '    __table_args__ = {"info": {"is_view": True}}\n\n    id: Mapped[PrimaryKey]\n\n\n'
        "class Product(Base):",
    )
    project.succeed("alembic", "check", url=url)


def test_dropping_our_own_table_says_what_is_lost(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    before = project.read(EXAMPLE)
    start, end = before.index("order_products = Table("), before.index("class Customer")
    text = before[:start] + before[end:]
    line = "    products: Mapped[list[Product]] = relationship(secondary=order_products)\n"
    (project.path / EXAMPLE).write_text(text.replace(line, ""))
    revision, said = revise()
    assert "# Drops order_products and its rows." in revision
    assert "Drops order_products and its rows." in said
    go_up_down_and_up(project, url)


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_only_the_schemas_of_the_models_are_looked_at(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    query(url, "CREATE SCHEMA ours")
    query(url, "CREATE SCHEMA theirs")
    query(url, "CREATE TABLE theirs.secrets (id INTEGER)")
    project.replace(
        EXAMPLE,
        "class Product(Base):",
        'class Extra(Base):\n    __tablename__ = "extras"\n    __table_args__ = {"schema": "ours"}\n\n'
        "    id: Mapped[PrimaryKey]\n    name: Mapped[str] = mapped_column(index=True)\n\n\n"
        "class Product(Base):",
    )
    text, _ = revise()
    assert 'schema="ours"' in text
    assert "secrets" not in text
    assert "#" not in text
    go_up_down_and_up(project, url)


@pytest.mark.parametrize("project", ["postgresql", "mysql"], indirect=True)
def test_the_check_of_a_type_is_not_made_twice(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(
        EXAMPLE,
        "    price:",
        "    sold: Mapped[bool | None] = mapped_column("
        'Boolean(create_constraint=True, name="sold_is_boolean"))\n    price:',
    )
    project.replace(EXAMPLE, "import CheckConstraint", "import Boolean, CheckConstraint")
    revise()
    go_up_down_and_up(project, url)


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_types_of_the_application_are_written_as_what_they_store(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    (project.path / "src/my_shop/models/more.py").write_text(
        "import sqlalchemy as sa\n"
        "from sqlalchemy.dialects.postgresql import ARRAY\n"
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.base import Base, UTCDateTime\n\n\n"
        "class More(Base):\n"
        '    __tablename__ = "more"\n\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        "    times = mapped_column(ARRAY(UTCDateTime()))\n"
        '    either = mapped_column(sa.String().with_variant(UTCDateTime(), "postgresql"))\n'
    )
    text, _ = revise()
    assert "postgresql.ARRAY(sa.DateTime(timezone=True))" in text
    assert 'sa.String().with_variant(sa.DateTime(timezone=True), "postgresql")' in text
    assert "my_shop" not in text
    go_up_down_and_up(project, url)


def test_check_names_a_missing_check_constraint(project: Project, url: URL) -> None:
    project.replace(EXAMPLE, 'name="price_is_not_negative"', 'name="price_is_fair"')
    said = project.run("alembic", "check", url=url).stderr
    assert "Detected added check constraint 'ck_products_price_is_fair' on table 'products'" in said
    assert "ck_products_price_is_not_negative" in said


def test_check_says_each_difference_in_one_line(project: Project, url: URL) -> None:
    project.replace(EXAMPLE, "    price:", "    note: Mapped[str | None]\n    price:")
    run = project.run("alembic", "check", url=url)
    assert run.returncode == 1
    assert run.stdout == ""
    found, failed = run.stderr.splitlines()
    assert found == "Detected added column 'products.note'"
    assert failed.startswith("FAILED: The models and the database differ, as listed above.")
    assert "customers" in tables_of(url)


class Renaming(ast.NodeTransformer):
    """Does what the remark says: puts the ready line in the place of adding and dropping."""

    def __init__(self, line: str, adding: str, dropping: str) -> None:
        self.line, self.adding, self.dropping = line, adding, dropping

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        operation = getattr(getattr(node.value, "func", None), "attr", "")
        if operation == self.adding:
            return ast.parse(self.line).body[0]
        return None if operation == self.dropping else node


def rename(project: Project, old: str, new: str, what: str) -> None:
    """Put the ready line into upgrade(), and the reverse into downgrade()."""
    (path,) = project.versions.glob("*_change.py")
    text = path.read_text()
    mark = {"column": "new_column_name", "table": "rename_table"}[what]
    (line,) = [line.strip(" #") for line in text.splitlines() if mark in line]
    other = {old: new, new: old}
    names = rf"(['\"])({old}|{new})\1"
    reverse = re.sub(names, lambda found: f"{found[1]}{other[found[2]]}{found[1]}", line)
    tree = ast.parse(text)
    verbs = {"column": ("add_column", "drop_column"), "table": ("create_table", "drop_table")}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            is_upgrade = function.name == "upgrade"
            Renaming(line if is_upgrade else reverse, *verbs[what]).visit(function)
    path.write_text(ast.unparse(tree))


def test_the_ready_line_for_a_renamed_column_keeps_its_rows(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    column = 'mapped_column(index=True, server_default="none")'
    project.replace(EXAMPLE, "    name: Mapped[str] = mapped_column(index=True)",
                    f"    name: Mapped[str] = {column}")  # fmt: skip
    project.succeed("alembic", "revision", "--autogenerate", "-m", "default", url=url)
    project.succeed("alembic", "upgrade", "head", url=url)
    project.replace(
        EXAMPLE, f"    name: Mapped[str] = {column}", f"    title: Mapped[str] = {column}"
    )
    _, said = revise()
    assert "If products.name is renamed to title, replace add_column/drop_column" in said
    rename(project, "name", "title", "column")
    go_up_down_and_up(project, url)
    assert query(url, "SELECT title FROM products") == [("tea",)]


def test_the_ready_line_for_a_renamed_table_keeps_its_rows(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(EXAMPLE, '__tablename__ = "products"', '__tablename__ = "goods"')
    project.replace(EXAMPLE, 'ForeignKey("products.id")', 'ForeignKey("goods.id")')
    _, said = revise()
    assert "If products is renamed to goods, replace create_table/drop_table" in said
    rename(project, "products", "goods", "table")
    project.succeed("alembic", "upgrade", "head", url=url)
    project.succeed("alembic", "revision", "--autogenerate", "-m", "names", url=url)
    go_up_down_and_up(project, url)
    assert query(url, "SELECT name FROM goods") == [("tea",)]


def test_a_remark_is_in_the_file_and_on_the_terminal(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(EXAMPLE, "    price:", "    stock: Mapped[int]\n    price:")
    text, said = revise()
    for words in ("products already has rows", 'op.execute("UPDATE products SET stock = ...")'):
        assert words in text
        assert words in said


def test_the_primary_key_of_a_mixin_is_the_first_column(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    (project.path / "src/my_shop/models/more.py").write_text(
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.base import Base\n\n\n"
        "class Key:\n    id: Mapped[int] = mapped_column(primary_key=True)\n\n\n"
        "class Note:\n    note: Mapped[str]\n\n\n"
        'class More(Note, Key, Base):\n    __tablename__ = "more"\n\n    name: Mapped[str]\n'
    )
    text, _ = revise()
    places = [text.index(f'sa.Column("{name}"') for name in ("id", "name", "note")]
    assert places == sorted(places)


def test_a_second_base_is_refused(project: Project, url: URL) -> None:
    (project.path / "src/my_shop/models/more.py").write_text(
        "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n\n\n"
        "class Other(DeclarativeBase):\n    pass\n\n\n"
        'class More(Other):\n    __tablename__ = "more"\n\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )
    for command in (["check"], ["revision", "--autogenerate", "-m", "more"]):
        run = project.run("alembic", *command, url=url)
        assert run.returncode == 1
        assert "FAILED: Other in my_shop.models.more is a second DeclarativeBase" in run.stderr
        assert "Traceback" not in run.stderr


def test_the_same_change_gives_the_same_file(
    project: Project,
    url: URL,
    revise: Callable[[], tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (project.path / EXAMPLE).unlink()
    (project.path / "src/my_shop/models/everything.py").write_text(EVERY_TYPE)
    bodies = set()
    for seed in "123":
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        text, _ = revise()
        bodies.add(text[text.index("def upgrade") :])
        for path in project.versions.glob("*_change.py"):
            path.unlink()
    assert len(bodies) == 1


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_no_file_is_written_when_nothing_has_changed(project: Project, url: URL) -> None:
    before = project.files
    said = project.succeed("alembic", "revision", "--autogenerate", "-m", "nothing", url=url)
    assert "No changes: the models and the database agree." in said
    assert project.files == before


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_a_revision_id_that_is_too_long_is_refused(project: Project, url: URL) -> None:
    before = project.files
    run = project.run("alembic", "revision", "-m", "long", "--rev-id", "a" * 33, url=url)
    assert run.returncode != 0
    assert "A revision id has at most 32 characters: choose a shorter one." in run.stderr
    assert project.files == before


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_files_sort_in_the_order_of_history(project: Project, url: URL) -> None:
    for number in range(2):
        second = int(time.time())
        wait_until(lambda second=second: int(time.time()) > second, "the next second")
        identifier = f"{9 - number}abc"  # It sorts the other way round.
        project.succeed("alembic", "revision", "-m", f"n{number}", "--rev-id", identifier, url=url)
    names = [path.stem.rsplit("_")[-1] for path in sorted(project.versions.glob("*.py"))]
    assert names == ["tables", "n0", "n1"]


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_two_heads_are_named_before_anything_else(project: Project, url: URL) -> None:
    for identifier in ("aaa1", "bbb2"):
        path = project.add_revision(identifier, "pass")
        path.write_text(path.read_text().replace('= "aaa1"\nbranch', '= "4f1c2a7be930"\nbranch'))
    for command in (["check"], ["revision", "--autogenerate", "-m", "more"]):
        run = project.run("alembic", *command, url=url)
        assert run.returncode == 1
        assert "There are several heads: 2027_01_01_0000-aaa1_step.py and " in run.stderr
        assert "alembic merge heads" in run.stderr
