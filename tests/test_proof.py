"""Promises about the proof that ships with every project: tests, scratch databases, sharpness."""

from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from conftest import (
    Bake,
    NewDatabase,
    Project,
)
from sqlalchemy import URL
from test_hooks import PROMISES

REVISION = "migrations/versions/2026_11_23_0900-4f1c2a7be930_create_example_tables.py"
STAIRWAY = PROMISES[-1]
AFTER_UPGRADE = set(PROMISES[-3:])
SERVERS = ["postgresql", "mysql"]
ALL = ["sqlite", *SERVERS]


def broken_promises(
    project: Project, *options: str, url: URL | None = None
) -> tuple[set[str], str]:
    """Run a project's own proof; return the promises that are not kept, and what it said."""
    report = project.path / "report.xml"
    run = project.run(
        "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}",
        "tests/test_migrations.py", *options, url=url,
    )  # fmt: skip
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert cases, run.stdout + run.stderr
    names = {
        case.get("name", "").removeprefix("test_").replace("_", " ")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    return names, run.stdout + run.stderr


def add(project: Project, upgrade: str, downgrade: str, identifier: str = "bbbb") -> None:
    """Add a revision on top, as ``alembic revision`` would."""
    project.add_revision(identifier, upgrade, downgrade)
    (project.versions / "head.txt").write_text(f"{identifier}\n")


# Each promise can be broken


def model_of_another_base(project: Project) -> None:
    (project.path / "src/my_shop/models/other.py").write_text(
        "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n\n\n"
        "class OtherBase(DeclarativeBase):\n    pass\n\n\n"
        'class Other(OtherBase):\n    __tablename__ = "others"\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )


def elsewhere(project: Project) -> None:
    for path in (project.path / "migrations").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = project.path / "elsewhere" / path.relative_to(project.path / "migrations")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    project.replace("alembic.ini", "script_location = migrations:", "script_location = elsewhere:")


def second_head(project: Project) -> None:
    text = project.add_revision("aaaa", "pass").read_text()
    path = project.add_revision("cccc", "pass")
    path.write_text(text.replace('"aaaa"', '"cccc"'))
    (project.versions / "head.txt").write_text("aaaa\n")


def gap(project: Project) -> None:
    path = project.add_revision("aaaa", "pass")
    path.write_text(path.read_text().replace('"4f1c2a7be930"', '"gone"'))


def long_id(project: Project) -> None:
    project.add_revision("a" * 33, "pass")
    (project.versions / "head.txt").write_text("a" * 33)


def id_not_in_the_name(project: Project) -> None:
    path = project.add_revision("aaaa", "pass")
    path.rename(path.with_name("2027_01_01_0000_hand_written.py"))
    (project.versions / "head.txt").write_text("aaaa")


MUTATIONS: dict[str, tuple[Callable[[Project], object], set[str]]] = {
    "ini_that_names_another_folder": (elsewhere, {PROMISES[0]}),
    "model_of_another_base": (model_of_another_base, {PROMISES[1]}),
    "second_head": (second_head, {PROMISES[2]}),
    "parent_without_file": (
        gap,
        {PROMISES[2], PROMISES[3], PROMISES[4], PROMISES[5], PROMISES[7], *AFTER_UPGRADE},
    ),
    "head_file_not_kept": (lambda p: p.add_revision("aaaa", "pass"), {PROMISES[3]}),
    "head_file_deleted": (lambda p: (p.versions / "head.txt").unlink(), {PROMISES[3]}),
    "id_of_33_characters": (long_id, {PROMISES[4]}),
    "id_not_in_the_file_name": (id_not_in_the_name, {PROMISES[4]}),
    "model_imported_by_a_revision": (
        lambda p: add(p, "from my_shop.models.example import Customer", "pass"),
        {PROMISES[5]},
    ),
    "application_imported_by_name": (
        lambda p: add(p, "import importlib\nimportlib.import_module('my_shop.models')", "pass"),
        {PROMISES[5]},
    ),
    "script_template_that_escapes_nothing": (
        lambda p: p.replace(
            "migrations/script.py.mako",
            """${message.replace("\\\\", "\\\\\\\\").replace('"', '\\\\"')}""",
            "${message}",
        ),
        {PROMISES[6]},
    ),
    "upgrade_that_reads_the_database": (
        lambda p: add(p, "op.get_bind().scalar(sa.select(1)) + 1", "pass"),
        {PROMISES[7]},
    ),
    "model_column_without_revision": (
        lambda p: p.replace(
            "src/my_shop/models/example.py", "    price:", "    weight: Mapped[int]\n    price:"
        ),
        {PROMISES[8]},
    ),
    "constraint_without_name": (
        lambda p: add(
            p, "op.execute('CREATE TABLE x (id INTEGER PRIMARY KEY)')", "op.drop_table('x')"
        ),
        {PROMISES[9]},
    ),
    "downgrade_that_forgets_a_table": (
        lambda p: p.replace(REVISION, '    op.drop_table("customers")\n', ""),
        {STAIRWAY},
    ),
    "upgrade_that_fails": (lambda p: add(p, "op.execute('nonsense')", "pass"), AFTER_UPGRADE),
    "downgrade_that_fails": (
        lambda p: add(p, "pass", "op.execute('nonsense')"),
        {STAIRWAY},
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutation_breaks_exactly_the_promise_that_it_is_about(mutation: str, bake: Bake) -> None:
    mutate, expected = MUTATIONS[mutation]
    project = bake()
    mutate(project)
    broken, output = broken_promises(project)
    assert broken == expected, output


def test_every_promise_has_a_mutation_of_its_own() -> None:
    assert {next(iter(broken)) for _, broken in MUTATIONS.values() if len(broken) == 1} == set(
        PROMISES
    )


# The stairway is sharp

ADD = 'op.add_column("customers", sa.Column("age", sa.Integer()))'
VIEW = "CREATE VIEW adults AS SELECT id FROM customers"
TRIGGERS = {
    "sqlite": "CREATE TRIGGER t AFTER DELETE ON products BEGIN SELECT 1; END",
    "postgresql": "CREATE TRIGGER t AFTER DELETE ON products EXECUTE FUNCTION "
    "suppress_redundant_updates_trigger()",
    "mysql": "CREATE TRIGGER t AFTER DELETE ON products FOR EACH ROW SET @x = 1",
}


def batch(table: str, *operations: str) -> str:
    lines = "\n".join(f"    batch_op.{operation}" for operation in operations)
    return f'with op.batch_alter_table("{table}") as batch_op:\n{lines}'


# What goes up, what does not bring it back down, and what the message names.
FAULTS: dict[str, tuple[list[str], str, str, str]] = {
    "forgets_a_column": (ALL, ADD, "pass", "customers.age"),
    "forgets_an_index": (
        ALL, 'op.create_index("ix_new", "products", ["price"])', "pass", "ix_new",
    ),
    "forgets_a_table": (
        ALL,
        'op.create_table("x", sa.Column("id", sa.Integer()))',
        "pass",
        "x.id",
    ),
    "forgets_a_unique_constraint": (
        ALL,
        batch("products", 'create_unique_constraint("uq_new", ["price"])'),
        "pass",
        "uq_new",
    ),
    "forgets_a_check": (
        ALL, batch("products", 'create_check_constraint("new", "price < 9")'), "pass", "new",
    ),
    "forgets_a_foreign_key": (
        ALL,
        batch("products", 'create_foreign_key("fk_new", "orders", ["id"], ["id"])'),
        "pass",
        "fk_new",
    ),
    "forgets_a_default": (
        ALL,
        batch("products", 'alter_column("price", existing_type=sa.Numeric(10, 2), existing_nullable=False, server_default="7")'),
        "pass",
        "products.price",
    ),
    "forgets_what_may_be_null": (
        ALL,
        batch("products", 'alter_column("price", existing_type=sa.Numeric(10, 2), nullable=True)'),
        "pass",
        "products.price",
    ),
    "forgets_a_view": (ALL, f'op.execute("{VIEW}")', "pass", "adults"),
    "restores_another_type": (
        ALL,
        batch("products", 'drop_column("price")'),
        batch("products", 'add_column(sa.Column("price", sa.Integer(), nullable=False, server_default="1"))'),
        "products.price",
    ),
    "restores_another_length": (
        ALL,
        'op.create_table("x", sa.Column("a", sa.String(20)))\n' + batch("x", 'alter_column("a", existing_type=sa.String(20), type_=sa.String(30))')
        + '\nop.drop_table("x")\nop.create_table("y", sa.Column("a", sa.String(30)))',
        'op.drop_table("y")\nop.create_table("z", sa.Column("a", sa.String(20)))',
        "z.a",
    ),
    "drops_another_index": (
        ALL,
        'op.create_index("ix_new", "products", ["price"])',
        'op.drop_index("ix_products_name", "products")',
        "ix_products_name",
    ),
    "restores_an_index_on_another_column": (
        ALL,
        'op.drop_index("ix_products_name", "products")',
        'op.create_index("ix_products_name", "products", ["price"])',
        "ix_products_name",
    ),
    "restores_a_unique_index_as_a_plain_one": (
        ALL,
        'op.create_index("ix_new", "products", ["price"], unique=True)\n'
        'op.drop_index("ix_new", "products")',
        'op.create_index("ix_new", "products", ["price"])',
        "ix_new",
    ),
    "restores_a_foreign_key_without_cascade": (
        SERVERS,
        'op.drop_constraint("fk_order_products_order_id", "order_products", type_="foreignkey")',
        'op.create_foreign_key("fk_order_products_order_id", "order_products", "orders", ["order_id"], ["id"])',
        "fk_order_products_order_id",
    ),
    "renames_a_column_and_not_back": (
        ALL,
        batch("customers", 'alter_column("name", existing_type=sa.String(255), existing_nullable=False, new_column_name="title")'),
        "pass",
        "customers.title",
    ),
    "forgets_a_comment": (
        SERVERS, 'op.create_table_comment("products", "what is sold")', "pass", "what is sold",
    ),
    "forgets_an_enum_type": (
        ["postgresql"],
        'sa.Enum("a", "b", name="letter").create(op.get_bind())',
        "pass",
        "letter",
    ),
    "forgets_a_value_of_an_enum_type": (
        ["postgresql"], "op.execute(\"ALTER TYPE orderstatus ADD VALUE 'lost'\")", "pass", "lost",
    ),
    "forgets_a_sequence": (["postgresql"], 'op.execute("CREATE SEQUENCE s")', "pass", "s"),
    "forgets_a_function": (
        ["postgresql"],
        'op.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS \'SELECT 1\'")',
        "pass",
        "one()",
    ),
    "forgets_a_schema": (["postgresql"], 'op.execute("CREATE SCHEMA other")', "pass", "other"),
    "forgets_a_domain": (
        ["postgresql"], 'op.execute("CREATE DOMAIN d AS text")', "pass", "domain d",
    ),
    "forgets_row_level_security": (
        ["postgresql"],
        'op.execute("ALTER TABLE products ENABLE ROW LEVEL SECURITY")',
        "pass",
        "products",
    ),
    "restores_a_partial_index_with_another_condition": (
        ["sqlite", "postgresql"],
        'op.execute("CREATE INDEX ix_new ON products (price) WHERE price > 1")\nop.execute("DROP INDEX ix_new")',
        'op.execute("CREATE INDEX ix_new ON products (price) WHERE price > 2")',
        "price > ",
    ),
    "upgrade_that_works_only_once": (
        ["sqlite"],
        "if op.get_bind().exec_driver_sql('PRAGMA user_version').scalar():\n"
        "    raise RuntimeError('again')\nop.execute('PRAGMA user_version = 1')",
        "pass",
        "again",
    ),
    **{
        f"forgets_a_trigger_on_{kind}": ([kind], f'op.execute("{sql}")', "pass", "t")
        for kind, sql in TRIGGERS.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_a_downgrade_that_does_not_restore_is_found(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    """All faults of a kind of database in one project, one after the other."""
    project, url = bake(database=kind), new_database(kind)
    missed = []
    for fault, (kinds, upgrade, downgrade, named) in FAULTS.items():
        if kind not in kinds:
            continue
        add(project, upgrade, downgrade)
        broken, output = broken_promises(project, "-k", "up_down", url=url)
        (path,) = project.versions.glob("*bbbb*")
        path.unlink()
        if broken != {STAIRWAY} or named not in output or "E " not in output:
            missed.append((fault, output[-3000:]))
    assert not missed, "\n".join(f"{fault}:\n{output}" for fault, output in missed)
