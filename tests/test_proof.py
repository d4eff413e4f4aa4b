"""Promises about the proof that ships with every project: tests, scratch databases, sharpness."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import (
    UNWANTED,
    Bake,
    NewDatabase,
    Project,
    query,
    run_on_server,
    tables_of,
    wait_until,
    with_driver,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError
from test_hooks import PROMISES

REVISION = "migrations/versions/2026_11_23_0900-4f1c2a7be930_create_example_tables.py"
STAIRWAY = PROMISES[-1]
AFTER_UPGRADE = set(PROMISES[-3:])
SERVERS = ["postgresql", "mysql"]
ALL = ["sqlite", *SERVERS]
# In the default run as far as they differ; the others with -m slow.
SAMPLE = ["sqlite", "postgresql", pytest.param("mysql", marks=pytest.mark.slow)]
DRIVERS = [
    pytest.param(
        kind,
        driver,
        marks=[pytest.mark.slow] if driver == "async" and kind != "postgresql" else [],
    )
    for kind in ALL
    for driver in ("sync", "async")
]


def broken_promises(project: Project, *options: str, url: URL | None = None) -> dict[str, str]:
    """Run a project's own proof; return the promises that are not kept, and what is said of each."""
    report = project.path / "report.xml"
    run = project.run(
        "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}",
        "tests/test_migrations.py", *options, url=url,
    )  # fmt: skip
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert cases, run.stdout + run.stderr
    return {
        case.get("name", "").removeprefix("test_").replace("_", " "): problem.get("message", "")
        for case in cases
        for problem in [*case.iter("failure"), *case.iter("error")]
    }


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


def model_that_nobody_imports(project: Project) -> None:
    (project.path / "src/my_shop/models/no-name.py").write_text(
        "from my_shop.models.base import Base\n\n\n"
        'class Other(Base):\n    __tablename__ = "others"\n'
    )


def elsewhere(project: Project) -> None:
    for path in (project.path / "migrations").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = project.path / "elsewhere" / path.relative_to(project.path / "migrations")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    project.replace("alembic.ini", "%(here)s/migrations", "%(here)s/elsewhere")


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


def module_of_an_older_layout(project: Project) -> None:
    (project.path / "migrations/comparison.py").write_text("made_by_revisions = 1\n")


def scratch_module_of_an_older_layout(project: Project) -> None:
    (project.path / "tests/scratch.py").write_text("def scratch_database(folder):\n    ...\n")


MUTATIONS: dict[str, tuple[Callable[[Project], object], set[str]]] = {
    "ini_that_names_another_folder": (elsewhere, {PROMISES[0]}),
    "module_of_an_older_layout": (module_of_an_older_layout, {PROMISES[1]}),
    "scratch_module_of_an_older_layout": (scratch_module_of_an_older_layout, {PROMISES[1]}),
    "model_that_nobody_imports": (model_that_nobody_imports, {PROMISES[2]}),
    # Autogenerate refuses it as well, and with it alembic check.
    "model_of_another_base": (model_of_another_base, {PROMISES[2], PROMISES[9]}),
    # The tests find the folder because they stand beside it, the command line does not.
    "ini_without_the_folder_of_the_migrations": (
        lambda p: p.replace("alembic.ini", "    %(here)s\n", ""),
        {PROMISES[2], PROMISES[9], STAIRWAY},
    ),
    "second_head": (second_head, {PROMISES[3]}),
    "parent_without_file": (
        gap,
        {PROMISES[3], PROMISES[4], PROMISES[5], PROMISES[6], PROMISES[8], *AFTER_UPGRADE},
    ),
    "head_file_not_kept": (lambda p: p.add_revision("aaaa", "pass"), {PROMISES[4]}),
    "head_file_deleted": (lambda p: (p.versions / "head.txt").unlink(), {PROMISES[4]}),
    "id_of_33_characters": (long_id, {PROMISES[5]}),
    "id_not_in_the_file_name": (id_not_in_the_name, {PROMISES[5]}),
    "model_imported_by_a_revision": (
        lambda p: add(p, "from my_shop.models.example import Customer", "pass"),
        {PROMISES[6]},
    ),
    "application_imported_by_name": (
        lambda p: add(p, "import importlib\nimportlib.import_module('my_shop.models')", "pass"),
        {PROMISES[6]},
    ),
    "script_template_that_escapes_nothing": (
        lambda p: p.replace(
            "migrations/script.py.mako",
            """${message.replace("\\\\", "\\\\\\\\").replace('"', '\\\\"')}""",
            "${message}",
        ),
        {PROMISES[7]},
    ),
    "script_template_without_upgrade": (
        lambda p: p.replace("migrations/script.py.mako", "def upgrade()", "def up()"),
        {PROMISES[7]},
    ),
    "script_template_without_downgrade": (
        lambda p: p.replace("migrations/script.py.mako", "def downgrade()", "def down()"),
        {PROMISES[7]},
    ),
    "upgrade_that_reads_the_database": (
        lambda p: add(p, "op.get_bind().scalar(sa.select(1)) + 1", "pass"),
        {PROMISES[8]},
    ),
    "model_column_without_revision": (
        lambda p: p.replace(
            "src/my_shop/models/example.py", "    price:", "    weight: Mapped[int]\n    price:"
        ),
        {PROMISES[9]},
    ),
    "table_that_no_model_has": (
        lambda p: add(
            p,
            """op.create_table("others", sa.Column("id", sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint("id", name="pk_others"))""",
            'op.drop_table("others")',
        ),
        {PROMISES[9]},
    ),
    "constraint_without_name": (
        lambda p: add(
            p, "op.execute('CREATE TABLE x (id INTEGER PRIMARY KEY)')\nop.drop_table('x')", "pass"
        ),
        {PROMISES[10]},
    ),
    "revision_in_a_folder_where_nobody_looks": (
        lambda p: (
            (p.versions / "2027").mkdir(),
            (p.versions / "2027" / "x.py").write_text("revision = 'x'\n"),
        ),
        {PROMISES[3]},
    ),
    "primary_key_of_another_column": (
        lambda p: (
            p.replace(
                "src/my_shop/models/example.py",
                "    price:",
                "    price_list: Mapped[int] = mapped_column(primary_key=True)\n    price:",
            )
            or add(
                p,
                batch(
                    "products",
                    'add_column(sa.Column("price_list", sa.Integer(), nullable=False, server_default=sa.text("1")))',
                ),
                batch("products", 'drop_column("price_list")'),
            )
        ),
        {PROMISES[9]},
    ),
    "constraint_without_name_after_a_comment": (
        lambda p: add(
            p,
            "op.execute('-- why\\nCREATE TABLE x (last_check INTEGER, id INTEGER PRIMARY KEY)')"
            "\nop.drop_table('x')",
            "pass",
        ),
        {PROMISES[10]},
    ),
    "rows_that_are_in_the_way_of_the_next_upgrade": (
        lambda p: add(
            p,
            "op.execute(\"INSERT INTO customers (name, email) VALUES ('Ada', 'ada@example.com')\")",
            "pass",
        ),
        {STAIRWAY},
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


# Variants of a mutation that the default run has already.
VARIANTS = {
    "head_file_deleted",
    "id_not_in_the_file_name",
    "application_imported_by_name",
    "downgrade_that_fails",
    "constraint_without_name_after_a_comment",
}


@pytest.mark.parametrize(
    "mutation",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in VARIANTS else [])
        for name in MUTATIONS
    ],
)
def test_a_mutation_breaks_exactly_the_promise_that_it_is_about(mutation: str, bake: Bake) -> None:
    mutate, expected = MUTATIONS[mutation]
    project = bake()
    mutate(project)
    broken = broken_promises(project)
    assert set(broken) == expected, broken


# PostgreSQL has Identity() for it, which alembic check compares.
def test_a_key_that_the_database_does_not_number_is_found(
    bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database="mysql"), new_database("mysql")
    change = 'op.execute("ALTER TABLE products MODIFY id BIGINT NOT NULL{}")'
    add(project, change.format(""), change.format(" AUTO_INCREMENT"))
    broken = broken_promises(project, url=url)
    assert set(broken) == {PROMISES[9]}, broken
    assert "The database gives products.id no numbers" in broken[PROMISES[9]]


def test_every_promise_has_a_mutation_of_its_own() -> None:
    assert {next(iter(broken)) for _, broken in MUTATIONS.values() if len(broken) == 1} == set(
        PROMISES
    )


def model_that_only_a_test_imports(project: Project) -> None:
    project.replace("src/my_shop/models/__init__.py", "sorted(FOLDER.rglob", "sorted(FOLDER.glob")
    folder = project.path / "src/my_shop/models/more"
    folder.mkdir()
    (folder / "other.py").write_text(
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.base import Base\n\n\n"
        'class Other(Base):\n    __tablename__ = "others"\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )
    (project.path / "tests/test_other.py").write_text("from my_shop.models.more import other\n")


def operation_that_only_a_test_registers(project: Project) -> None:
    add(project, "op.create_nothing()", "pass")
    (project.path / "tests/test_other.py").write_text(
        "from alembic.operations import MigrateOperation, Operations\n\n\n"
        '@Operations.register_operation("create_nothing")\n'
        "class CreateNothing(MigrateOperation):\n"
        "    @classmethod\n    def create_nothing(cls, operations):\n        pass\n"
    )


@pytest.mark.parametrize(
    ("mutate", "promise"),
    [
        (model_that_only_a_test_imports, PROMISES[2]),
        (operation_that_only_a_test_registers, STAIRWAY),
    ],
)
def test_what_other_tests_have_imported_hides_nothing(
    mutate: Callable[[Project], object], promise: str, bake: Bake
) -> None:
    project = bake()
    mutate(project)
    assert set(broken_promises(project, "tests/test_other.py")) == {promise}


def test_models_whose_metadata_is_elsewhere_are_read_once(bake: Bake) -> None:
    # As in SQLModel.metadata, which stays when the models are imported anew.
    project = bake()
    base = project.path / "src/my_shop/models/base.py"
    (project.path / "src/my_shop/declarative.py").write_bytes(base.read_bytes())
    base.write_text("from my_shop.declarative import *  # noqa: F403\n")
    assert broken_promises(project) == {}


def test_a_model_of_another_schema_that_nobody_imports_is_found(bake: Bake) -> None:
    project = bake()
    (project.path / "src/my_shop/models/no-name.py").write_text(
        "from my_shop.models.base import Base\n\n\n"
        'class Customer(Base):\n    __tablename__ = "customers"\n'
        '    __table_args__ = ({"schema": "audit"},)\n'
    )
    broken = broken_promises(project)
    assert set(broken) == {PROMISES[2]}
    assert "['audit.customers']" in broken[PROMISES[2]]


@pytest.mark.parametrize("databases", ["one", "several", "shared_history"])
def test_a_failure_begins_with_what_is_wrong(databases: str, bake: Bake) -> None:
    project = bake(databases=databases)
    (project.versions / "head.txt").write_text("nonsense\n")
    (message,) = broken_promises(project, "-k", "head_file").values()
    assert re.match(r"AssertionError: \S+head.txt says nonsense, but the head is \w+\n", message)


def test_the_promises_run_in_their_order_in_whatever_order_they_are_taken(bake: Bake) -> None:
    project = bake()
    output = project.succeed("pytest", "-q", "--collect-only", "tests/test_migrations.py")
    names = re.findall(r"::test_(\w+)", output)
    assert [name.replace("_", " ") for name in names] == PROMISES


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
        ALL, batch("products", 'create_check_constraint("new", "price < 9")'), "pass", "price < ",
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
        batch("customers", 'drop_column("name")'),
        batch("customers", 'add_column(sa.Column("name", sa.Integer(), nullable=False, server_default="1"))'),
        "customers.name",
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
        """op.create_index("ix_new", "products", ["price"], unique=True)
op.drop_index("ix_new", "products")""",
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
    "forgets_a_sequence": (["postgresql"], 'op.execute("CREATE SEQUENCE s")', "pass", "sequence s"),
    "forgets_a_function": (
        ["postgresql"],
        'op.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS \'SELECT 1\'")',
        "pass",
        "one()",
    ),
    "forgets_a_schema": (["postgresql"], 'op.execute("CREATE SCHEMA other")', "pass", "schema other"),
    "forgets_a_domain": (
        ["postgresql"], 'op.execute("CREATE DOMAIN d AS text")', "pass", "domain d",
    ),
    "forgets_that_a_trigger_is_off": (
        ["postgresql"],
        f'op.execute("{TRIGGERS["postgresql"]}")\nop.execute("ALTER TABLE products DISABLE TRIGGER t")\nop.execute("DROP TRIGGER t ON products")\nop.execute("{TRIGGERS["postgresql"]}")',
        'op.execute("ALTER TABLE products DISABLE TRIGGER t")',
        "trigger t",
    ),
    "forgets_a_rule": (
        ["postgresql"],
        'op.execute("CREATE RULE r AS ON DELETE TO products DO INSTEAD NOTHING")',
        "pass",
        "rule r",
    ),
    "forgets_statistics": (
        ["postgresql"],
        'op.execute("CREATE STATISTICS st ON name, price FROM products")',
        "pass",
        "statistics public.st",
    ),
    "restores_another_type_of_a_sequence": (
        ["postgresql"],
        'op.execute("CREATE SEQUENCE s")\nop.execute("DROP SEQUENCE s")',
        'op.execute("CREATE SEQUENCE s AS integer CACHE 9 MAXVALUE 9")',
        "sequence s integer",
    ),
    "forgets_an_event": (
        ["mysql"],
        'op.execute("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1")',
        "pass",
        "event e",
    ),
    "restores_a_routine_with_another_parameter": (
        ["mysql"],
        'op.execute("CREATE PROCEDURE one(IN n INT) SELECT n")\nop.execute("DROP PROCEDURE one")',
        'op.execute("CREATE PROCEDURE one(IN n BIGINT) SELECT n")',
        "bigint",
    ),
    "restores_an_index_without_its_comment": (
        ["mysql"],
        'op.execute("ALTER TABLE products ADD INDEX ix_new (price) COMMENT \'of value\'")',
        "pass",
        "of value",
    ),
    "restores_a_unique_constraint_that_replaces": (
        ["sqlite"],
        'op.execute("CREATE TABLE u (a INTEGER CONSTRAINT uq_u UNIQUE ON CONFLICT REPLACE)")',
        "pass",
        "ON CONFLICT REPLACE",
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
        """if op.get_bind().exec_driver_sql("PRAGMA user_version").scalar():
    raise RuntimeError("again")
op.execute("PRAGMA user_version = 1")""",
        "pass",
        "again",
    ),
    **{
        f"forgets_a_trigger_on_{kind}": ([kind], f'op.execute("{sql}")', "pass", "trigger t")
        for kind, sql in TRIGGERS.items()
    },
}  # fmt: skip


# Runs the stairway once for each faulty revision, in one process, which saves most of the time.
ONE_BY_ONE = """
import json, pathlib, sys
import pytest

head = pathlib.Path("migrations/versions/head.txt")
for name, revision in json.loads(sys.argv[1]).items():
    path = head.with_name(f"2027_01_01_0000-{name}_step.py")
    path.write_text(revision)
    head.write_text(name)
    pytest.main(["-q", "-k", "up_down", f"--junit-xml={name}.xml", "tests/test_migrations.py"])
    path.unlink()
"""


@pytest.mark.parametrize("kind", SAMPLE)
def test_a_downgrade_that_does_not_restore_is_found_and_named(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind), new_database(kind)
    revisions = {}
    for number, (kinds, upgrade, downgrade, _) in enumerate(FAULTS.values()):
        if kind in kinds:
            path = project.add_revision(f"fault{number}", upgrade, downgrade)
            revisions[f"fault{number}"] = path.read_text()
            path.unlink()
    run = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(revisions)],
        cwd=project.path,
        env=project.environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    missed = {}
    for number, (fault, (_, _, _, named)) in enumerate(FAULTS.items()):
        if f"fault{number}" not in revisions:
            continue
        (case,) = ElementTree.parse(project.path / f"fault{number}.xml").iter("testcase")
        failure = case.find("failure")
        message = "passed, or did not run" if failure is None else failure.get("message", "")
        if not re.search(
            rf"downgrade\(\) of .*fault{number}.*{re.escape(named)}|RuntimeError: {named}",
            message,
            re.IGNORECASE,
        ):
            missed[fault] = message
    assert not missed, run.stdout[-3000:] + run.stderr[-3000:]


# The same in a way that every database has to take back.
VALID = {
    "adds": (ALL, ADD, batch("customers", 'drop_column("age")')),
    "lists": (
        ["postgresql"],
        """op.create_table(
    "listed",
    sa.Column("kind", sa.String(20)),
    sa.CheckConstraint("kind IN ('a', 'it''s')", name="ck_listed_kind"),
)
op.create_index("ix_listed", "listed", ["kind"], postgresql_where=sa.text("kind IN ('a', 'b')"))""",
        'op.drop_table("listed")',
    ),
    "drops": (
        ALL,
        batch("orders", 'drop_column("updated_at")'),
        batch("orders", 'add_column(sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False))'),
    ),
    "alters": (
        ALL,
        batch("products", 'alter_column("price", existing_type=sa.Numeric(10, 2), type_=sa.Numeric(12, 2), existing_nullable=False)'),
        batch("products", 'alter_column("price", existing_type=sa.Numeric(12, 2), type_=sa.Numeric(10, 2), existing_nullable=False)'),
    ),
    "constrains": (
        ALL,
        batch("products", 'create_unique_constraint("uq_new", ["price"])', 'create_check_constraint("new", "price < 9")'),
        batch("products", 'drop_constraint("new", type_="check")', 'drop_constraint("uq_new", type_="unique")'),
    ),
    "gives_a_default": (
        ALL,
        batch("products", 'alter_column("price", existing_type=sa.Numeric(10, 2), existing_nullable=False, server_default="7")'),
        batch("products", 'alter_column("price", existing_type=sa.Numeric(10, 2), existing_nullable=False, server_default=None)'),
    ),
    "changes_data": (
        ALL,
        "op.execute(\"INSERT INTO customers (name, email) VALUES ('Ada', 'ada@example.com')\")",
        "op.execute(\"DELETE FROM customers WHERE email = 'ada@example.com'\")",
    ),
    "renames": (
        ALL,
        batch("customers", 'alter_column("name", existing_type=sa.String(255), existing_nullable=False, new_column_name="title")'),
        batch("customers", 'alter_column("title", existing_type=sa.String(255), existing_nullable=False, new_column_name="name")'),
    ),
    "builds_while_others_write": (
        ["postgresql"],
        """with op.get_context().autocommit_block():
    op.create_index("ix_new", "products", ["price"], postgresql_concurrently=True)""",
        'op.drop_index("ix_new", "products")',
    ),
    "looks_on": (ALL, f'op.execute("{VIEW}")', 'op.execute("DROP VIEW adults")'),
    "collates": (
        ["sqlite"],
        batch("customers", 'add_column(sa.Column("nick", sa.String(9, collation="NOCASE")))'),
        batch("customers", 'drop_column("nick")'),
    ),
    "collates_first": (
        ["sqlite"],
        'op.execute("CREATE TABLE m (id INTEGER, nick TEXT COLLATE NOCASE, age INTEGER)")',
        'op.drop_table("m")',
    ),
    "collates_last": (
        ["sqlite"],
        'op.execute("ALTER TABLE m DROP COLUMN nick")',
        'op.execute("ALTER TABLE m ADD COLUMN nick TEXT COLLATE NOCASE")',
    ),
    "makes_room_in_a_list": (
        ["postgresql"],
        """op.alter_column("listed", "kind", existing_type=sa.String(20), type_=sa.String(30))""",
        """op.alter_column("listed", "kind", existing_type=sa.String(30), type_=sa.String(20))""",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_a_downgrade_that_restores_is_not_complained_about(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind), new_database(kind)
    for name, (kinds, upgrade, downgrade) in VALID.items():
        if kind in kinds:
            add(project, upgrade, downgrade, name)
    assert broken_promises(project, "-k", "up_down", url=url) == {}


RIGHT_MODELS = """
from sqlalchemy.orm import Mapped, mapped_column

from my_shop.models.base import Base


class Plan(Base):
    __abstract__ = True
    __tablename__ = "of_a_plan"


class Shop(Base):
    __tablename__ = "my_shop"
    __table_args__ = {"schema": SCHEMA}
    id: Mapped[int] = mapped_column(primary_key=True)
    last_check: Mapped[int]
    is_unique: Mapped[int]
"""


@pytest.mark.parametrize("kind", ALL)
def test_what_is_right_is_not_complained_about(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind), new_database(kind)
    schema = "'billing'" if kind == "postgresql" else "None"
    number = "Integer" if kind == "sqlite" else "BigInteger"
    models = project.path / "src/my_shop/models/right.py"
    models.write_text("\ufeff" + RIGHT_MODELS.replace("SCHEMA", schema), encoding="utf-8")
    if kind == "postgresql":
        add(
            project, 'op.execute("CREATE SCHEMA billing")', 'op.execute("DROP SCHEMA billing")', "a"
        )
    add(
        project,
        f"""op.create_table("my_shop", sa.Column("id", sa.{number}(), nullable=False),
    sa.Column("last_check", sa.{number}(), nullable=False),
    sa.Column("is_unique", sa.{number}(), nullable=False),
    sa.PrimaryKeyConstraint("id", name="pk_my_shop"), schema={schema})""",
        f'op.drop_table("my_shop", schema={schema})',
        "b",
    )
    reads = """from alembic import context
if not context.is_offline_mode():
    op.get_bind().execute(sa.text("SELECT name FROM customers")).all()"""
    add(project, reads, "pass", "c")
    (revision,) = project.versions.glob("*-b_step.py")
    revision.write_text("\ufeff" + revision.read_text(), encoding="utf-8")
    assert broken_promises(project, url=url) == {}


def test_a_revision_may_say_that_there_is_no_way_back(bake: Bake) -> None:
    project = bake()
    add(project, "pass", 'raise NotImplementedError("the old prices are gone")', "final")
    assert broken_promises(project) == {}
    add(project, ADD, "pass", "fault")
    assert "fault" in broken_promises(project, "-k", "up_down")[STAIRWAY]


# Scratch databases


@pytest.mark.parametrize("kind", SAMPLE)
def test_tests_cannot_touch_the_configured_database(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind), with_driver(new_database(kind))
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "INSERT INTO customers (name, email) VALUES ('Ada', 'ada@example.com')")
    before = Path(str(url.database)).read_bytes() if kind == "sqlite" else None
    project.succeed("pytest", "-q", url=url)
    assert before is None or Path(str(url.database)).read_bytes() == before
    assert query(url, "SELECT name FROM customers") == [("Ada",)]
    code = (
        "from pathlib import Path\n"
        "from my_shop import models, database, settings\n"
        "from migrations import guard\n"
        "from migrations.guard.proof.commands import alembic_config\n"
        "ini, url = Path('alembic.ini').resolve(), settings.database_url\n"
        "application = guard.Application(ini, models, url, database.make_engine)\n"
        "alembic_config(application, {'': url()})"
    )
    (project.path / "point_at_it.py").write_text(f"import sys\nsys.path.append('src')\n{code}\n")
    run = project.run("point_at_it", url=url)
    assert run.returncode == 1
    assert "the configured database, which tests may not touch" in run.stderr


HOLDING = """
import pathlib
import time

from migrations.guard.proof.scratch import scratch_database


def test_holds_a_database_until_it_is_killed(application, tmp_path):
    with scratch_database(application, tmp_path) as url:
        pathlib.Path("held.txt").write_text(url.database)
        while True:
            time.sleep(1)
"""


@pytest.mark.parametrize("kind", SERVERS)
def test_databases_of_killed_runs_are_dropped_and_no_others(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    # A name of its own: other tests on this server clean up after my_shop.
    project, url = bake(database=kind, package_name="killed"), with_driver(new_database(kind))
    (project.path / "tests" / "test_holding.py").write_text(HOLDING)
    held = project.path / "held.txt"

    def hold() -> tuple[subprocess.Popen[str], URL]:
        held.unlink(missing_ok=True)
        run = project.start("pytest", "-q", "tests/test_holding.py", url=url)
        wait_until(lambda: held.exists() and held.read_text(), "the scratch database is made")
        return run, url.set(database=held.read_text())

    alive, of_the_living = hold()
    killed, leftover = hold()
    of_another = url.set(database="killed_scratch_of_mine")
    run_on_server(kind, f"CREATE DATABASE {of_another.database}")
    try:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert tables_of(leftover) == set()
        project.succeed("pytest", "-q", "tests/test_example.py", url=url)
        with pytest.raises(DBAPIError):
            tables_of(leftover)
        assert tables_of(of_the_living) == set()
        assert tables_of(of_another) == set()
    finally:
        alive.kill()
        alive.communicate()
        run_on_server(kind, f"DROP DATABASE {of_another.database}")
    project.succeed("pytest", "-q", "tests/test_example.py", url=url)
    with pytest.raises(DBAPIError):
        tables_of(of_the_living)


@pytest.mark.parametrize("kind", SAMPLE)
def test_several_workers_test_at_once_and_leave_nothing(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind, package_name="workers"), with_driver(new_database(kind))
    project.succeed("pytest", "-q", "-n", "3", url=url)
    if kind in SERVERS:
        databases = {row[0] for row in query(url, LIST[kind])}
        assert not [name for name in databases if name.startswith("workers_scratch_")]


@pytest.mark.parametrize("databases", ["one", "several", "shared_history"])
def test_tests_run_on_another_server_where_a_variable_says_so(
    databases: str, bake: Bake, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bake(database="postgresql", databases=databases)
    url = new_database("postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("TEST_DATABASE_URL", url)
    monkeypatch.setattr("conftest.UNWANTED", UNWANTED - {"TEST_DATABASE_URL"})
    nowhere = make_url("postgresql://postgres@127.0.0.1:1/nowhere")
    urls = {name: nowhere for name in project.names} or nowhere
    output = project.succeed("pytest", "-q", "-rs", url=urls)
    assert "skipped" not in output


@pytest.mark.parametrize("way", [["tests/test_migrations.py"], [".", "-n", "2"], ["{project}"]])
def test_the_tests_run_however_they_are_called(way: list[str], bake: Bake, tmp_path: Path) -> None:
    project = bake()
    folder = tmp_path if "{project}" in way else project.path
    run = subprocess.run(
        [Path(sys.executable).with_name("pytest"), "-q", "-p", "no:cacheprovider",
         *(each.format(project=project.path) for each in way)],
        cwd=folder, env=project.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Warning: Module already imported" not in run.stdout


LIST = {"postgresql": "SELECT datname FROM pg_database", "mysql": "SHOW DATABASES"}

COMMITTING = {
    "sync": """
import pytest
from sqlalchemy import text


@pytest.mark.parametrize("number", [1, 2])
def test_commits_are_seen_by_others_and_gone_in_the_next_test(own_engine, number):
    with own_engine.begin() as connection:
        connection.execute(text("INSERT INTO customers (name, email) VALUES ('A', 'a@b.c')"))
    with own_engine.connect() as other:
        assert other.scalar(text("SELECT count(*) FROM customers")) == 1
""",
    "async": """
import pytest
from sqlalchemy import text


@pytest.mark.parametrize("number", [1, 2])
async def test_commits_are_seen_by_others_and_gone_in_the_next_test(own_engine, number):
    async with own_engine.begin() as connection:
        await connection.execute(text("INSERT INTO customers (name, email) VALUES ('A', 'a@b.c')"))
    async with own_engine.connect() as other:
        assert await other.scalar(text("SELECT count(*) FROM customers")) == 1
""",
}


@pytest.mark.parametrize(("kind", "driver"), DRIVERS)
def test_a_test_may_have_a_database_of_its_own(
    kind: str, driver: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind, driver=driver), new_database(kind)
    (project.path / "tests" / "test_committing.py").write_text(COMMITTING[driver])
    options = ["-p", "pytest_asyncio"] if driver == "async" else []
    output = project.succeed("pytest", "-q", *options, "tests/test_committing.py", url=url)
    assert "2 passed" in output


COPYING = """
import pytest

from migrations.guard.proof.schema import schema


@pytest.mark.parametrize("number", [1, 2])
def test_the_copy_has_all(engine, own_engine, number):
    with engine.connect() as one, own_engine.connect() as other:
        name, another = engine.url.database, own_engine.url.database
        assert {line.replace(name, another) for line in schema(one)} == schema(other)
        query = "SELECT * FROM odd"
        assert one.exec_driver_sql(query).all() == other.exec_driver_sql(query).all() != []
"""
ODD_TABLE = """
with open("runs.txt", "a") as runs:
    runs.write("run ")
op.create_table(
    "odd",
    sa.Column("id", sa.BigInteger(), nullable=False),
    sa.Column("customer_id", sa.BigInteger(), sa.ForeignKey("customers.id", name="fk_odd_customer")),
    sa.Column("number", sa.Integer()),
    sa.Column("twice", sa.Integer(), sa.Computed("number * 2", persisted=True)),
    sa.Column("share", sa.String(20), server_default="100 %s", comment="in %, 'quoted'"),
    sa.PrimaryKeyConstraint("id", name="pk_odd"),
)
odd = sa.table("odd", sa.column("id"), sa.column("number"))
op.bulk_insert(odd, [{"id": 7, "number": 1}, {"id": 8, "number": 2}])
op.execute(odd.update().where(odd.c.id == 7).values(id=0))
"""
ODD_VIEW = 'op.execute("CREATE VIEW odd_view AS SELECT id FROM odd")'


@pytest.mark.parametrize("kind", ALL)
def test_a_database_of_its_own_is_a_copy_for_which_no_migration_runs(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind), new_database(kind)
    project.add_revision("0dd", ODD_TABLE)
    (project.path / "tests" / "test_copying.py").write_text(COPYING)
    assert "2 passed" in project.succeed("pytest", "-q", "tests/test_copying.py", url=url)
    assert project.read("runs.txt") == "run run ", "once for engine, once for what is copied"


@pytest.mark.parametrize("kind", ALL)
def test_a_database_of_its_own_has_what_is_not_a_table_too(
    kind: str, bake: Bake, new_database: NewDatabase
) -> None:
    project, url = bake(database=kind), new_database(kind)
    project.add_revision("0dd", ODD_TABLE)
    project.add_revision("1dd", ODD_VIEW)
    (project.path / "tests" / "test_copying.py").write_text(COPYING)
    assert "2 passed" in project.succeed("pytest", "-q", "tests/test_copying.py", url=url)
