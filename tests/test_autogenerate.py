"""Promises about autogenerate: what it finds, what it leaves alone, and what it says."""

from collections.abc import Callable

import pytest
from conftest import Bake, NewDatabase, Project, query, tables_of, with_driver
from sqlalchemy import URL

KINDS = ["sqlite", "postgresql", "mysql"]
EXAMPLE = "src/my_shop/models/example.py"


@pytest.fixture(params=KINDS)
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
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


# A change of the models, and what the revision has to contain.
CHANGES: dict[str, tuple[str, str, str]] = {
    "new_table": (
        "class Product(Base):",
        ('class Extra(Base):\n    __tablename__ = "extras"\n\n    id: Mapped[PrimaryKey]\n\n\n'
        "class Product(Base):"),
        'op.create_table(\n        "extras"',
    ),
    "new_column": ("    price:", "    note: Mapped[str | None]\n    price:", '"note"'),
    "new_column_with_default": (
        "    price:",
        '    stock: Mapped[int] = mapped_column(server_default="0")\n    price:',
        '"stock"',
    ),
    "changed_type": ("Numeric(10, 2)", "Numeric(12, 3)", "precision=12, scale=3"),
    "changed_nullability": (
        "    email: Mapped[str]",
        "    email: Mapped[str | None]",
        "nullable=True",
    ),
    "new_default": (
        "mapped_column(Numeric(10, 2))",
        'mapped_column(Numeric(10, 2), server_default="1")',
        'server_default="1"',
    ),
    "changed_default": (
        "server_default=OrderStatus.PENDING.value",
        "server_default=OrderStatus.PAID.value",
        'server_default="paid"',
    ),
    "removed_default": (
        "mapped_column(server_default=OrderStatus.PENDING.value)",
        "mapped_column()",
        "server_default=None",
    ),
    "new_index": ("    email: Mapped[str] = mapped_column(unique=True)",
                  "    email: Mapped[str] = mapped_column(unique=True, index=True)",
                  "ix_customers_email"),
    "removed_index": (
        "name: Mapped[str] = mapped_column(index=True)",
        "name: Mapped[str]",
        "ix_products_name",
    ),
    "new_unique": (
        "mapped_column(Numeric(10, 2))",
        "mapped_column(Numeric(10, 2), unique=True)",
        "uq_products_price",
    ),
    "removed_unique": (
        "email: Mapped[str] = mapped_column(unique=True)",
        "email: Mapped[str]",
        "uq_customers_email",
    ),
    "new_foreign_key": (
        "    price:",
        ('    owner_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"), index=True)\n'
        "    price:"),
        "fk_products_owner_id",
    ),
    "new_check": (
        'name="price_is_not_negative"),',
        'name="price_is_not_negative"),\n        CheckConstraint("price < 100", name="cheap"),\n',
        "ck_products_cheap",
    ),
    "removed_check": (
        '    __table_args__ = (CheckConstraint("price >= 0", name="price_is_not_negative"),)\n',
        "",
        "ck_products_price_is_not_negative",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_and_goes_up_down_and_up_with_rows(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]], change: str
) -> None:
    old, new, expected = CHANGES[change]
    project.replace(EXAMPLE, old, new)
    text, _ = revise()
    assert expected in text
    go_up_down_and_up(project, url)
    assert query(url, "SELECT count(*) FROM products") == [(1,)]


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


def test_tables_of_somebody_else_are_left_alone(project: Project, url: URL) -> None:
    query(url, "CREATE TABLE spatial_ref_sys (id INTEGER)")
    query(url, "CREATE TABLE email (id INTEGER)")  # The name of a column of ours.
    query(url, "ALTER TABLE products ADD COLUMN their_note INTEGER")
    run = project.run("alembic", "check", url=url)
    assert run.returncode == 0
    assert "Left alone table 'spatial_ref_sys'" in run.stderr


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_enum_types_of_somebody_else_are_left_alone(project: Project, url: URL) -> None:
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
    assert '"lost"' in text
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
    assert "# This deletes table order_products with all its rows." in revision
    assert "This deletes table order_products with all its rows." in said
    go_up_down_and_up(project, url)


def test_a_renamed_column_can_keep_its_rows(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(
        EXAMPLE,
        "    name: Mapped[str] = mapped_column(index=True)",
        "    title: Mapped[str] = mapped_column(index=True)",
    )
    text, said = revise()
    assert "If products.name is only renamed to title, keep its data" in said
    (line,) = [line.strip(" #") for line in text.splitlines() if "new_column_name" in line]
    (path,) = project.versions.glob("*_change.py")
    sqlite = url.get_backend_name() == "sqlite"
    statement = (
        f"with op.batch_alter_table('products') as batch_op:\n        {line}" if sqlite else line
    )
    if url.get_backend_name() == "mysql":  # MySQL wants to be told the type again.
        statement = statement[:-1] + ", existing_type=sa.String(255), existing_nullable=False)"
    head = text[: text.index("def upgrade")]
    path.write_text(f"{head}def upgrade() -> None:\n    {statement}\n")
    project.succeed("alembic", "upgrade", "head", url=url)
    assert query(url, "SELECT title FROM products") == [("tea",)]


def test_a_renamed_table_is_recognised(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(EXAMPLE, '    "order_products",', '    "ordered_products",')
    text, said = revise()
    assert 'op.rename_table("order_products", "ordered_products")' in text
    assert "If order_products is only renamed to ordered_products, keep its rows" in said


def test_a_required_column_without_default_says_how(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(EXAMPLE, "    price:", "    stock: Mapped[int]\n    price:")
    text, said = revise()
    assert "# This fails where products has rows, which have no stock" in text
    assert 'op.execute("UPDATE products SET stock = ...")' in said


def test_a_column_that_becomes_required_says_how(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(EXAMPLE, "    email: Mapped[str]", "    email: Mapped[str | None]")
    revise()
    project.succeed("alembic", "upgrade", "head", url=url)
    project.replace(EXAMPLE, "    email: Mapped[str | None]", "    email: Mapped[str]")
    for path in project.versions.glob("*_change.py"):
        path.rename(path.with_name(path.name.replace("change", "before")))
    text, _ = revise()
    assert 'op.execute("UPDATE customers SET email = ... WHERE email IS NULL")' in text


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_postgresql_is_told_how_to_cast_and_how_to_index_without_locking(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(
        EXAMPLE, "    email: Mapped[str] = mapped_column(unique=True)", "    email: Mapped[int]"
    )
    project.replace(
        EXAMPLE, "mapped_column(Numeric(10, 2))", "mapped_column(Numeric(10, 2), index=True)"
    )
    text, _ = revise()
    assert 'postgresql_using="email::BIGINT"' in text
    assert "While this is built, nobody can write to products" in text
    assert "postgresql_concurrently=True" in text


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        (
            'name="price_is_not_negative"),',
            'name="price_is_not_negative"),\n        CheckConstraint("price < 100", name="cheap"),\n',
            "VALIDATE CONSTRAINT ck_products_cheap",
        ),
        ("Numeric(10, 2))", "Numeric(10, 2), unique=True)", "nobody can write to products"),
    ],
)
def test_a_constraint_that_locks_writers_out_says_how_else(
    project: Project,
    url: URL,
    revise: Callable[[], tuple[str, str]],
    old: str,
    new: str,
    advice: str,
) -> None:
    project.replace(EXAMPLE, old, new)
    text, said = revise()
    assert advice in text
    assert advice in said
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


@pytest.mark.parametrize("project", ["postgresql", "mysql"], indirect=True)
def test_comments_are_compared(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(
        EXAMPLE,
        "mapped_column(Numeric(10, 2))",
        'mapped_column(Numeric(10, 2), comment="it\'s net")',
    )
    text, _ = revise()
    assert "it's net" in text
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


def test_a_harmless_revision_carries_no_comment(
    project: Project, url: URL, revise: Callable[[], tuple[str, str]]
) -> None:
    project.replace(EXAMPLE, "    price:", "    note: Mapped[str | None]\n    price:")
    text, _ = revise()
    assert "#" not in text


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
    assert failed.startswith("FAILED: The models and the database differ as said above.")
    assert "customers" in tables_of(url)
