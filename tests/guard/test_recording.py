"""Promises about reading a revision: all that it does is known, and nothing of it happens."""

import logging
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import op
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from guard.history.recording import Recording, known_objects, record

KINDS = ["sqlite", "postgresql", "mysql"]
HEADER = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {parent!r}
branch_labels = depends_on = None
"""

Write = Callable[..., ScriptDirectory]
Read = Callable[..., Recording]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a history: one source for each revision, its upgrade() last."""

    def run(*bodies: str) -> ScriptDirectory:
        folder = tmp_path / "versions"
        folder.mkdir()
        parent = None
        for number, body in enumerate(bodies):
            source = textwrap.dedent(body)
            if "def " not in source:
                source = "def upgrade():\n" + textwrap.indent(source, "    ")
            header = HEADER.format(revision=f"r{number}", parent=parent)
            (folder / f"r{number}_.py").write_text(f"{header}\n{source}\n")
            parent = f"r{number}"
        return ScriptDirectory(str(tmp_path))

    return run


@pytest.fixture
def read(write: Write) -> Read:
    """A function that reads upgrade() of one revision, for a dialect."""

    def run(body: str, dialect: str = "postgresql", **options: str) -> Recording:
        return record(script_of(write(body)), dialect, **options)  # type: ignore[arg-type]

    return run


def script_of(directory: ScriptDirectory) -> Script:
    script = directory.get_revision("head")
    assert script is not None
    return script


def kinds_of(recording: Recording) -> list[str]:
    return [type(operation).__name__ for operation in recording.operations]


@pytest.mark.parametrize("dialect", KINDS)
def test_operations_are_recorded_in_their_order(read: Read, dialect: str) -> None:
    recording = read(
        """
        table = op.create_table("towns", sa.Column("id", sa.Integer), schema="far")
        op.bulk_insert(table, [{"id": 1}])
        op.create_index(op.f("ix"), "towns", ["id"], schema="far")
        op.execute(sa.update(sa.table("towns", sa.column("id"))).values(id=op.inline_literal(2)))
        op.rename_table("towns", "cities", schema="far")
        """,
        dialect,
    )
    assert recording.unread is None
    insert = recording.operations[1]
    assert isinstance(insert, ops.BulkInsertOp)
    assert insert.table.fullname == "far.towns"
    assert kinds_of(recording) == [
        "CreateTableOp", "BulkInsertOp", "CreateIndexOp", "ExecuteSQLOp", "RenameTableOp",
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", KINDS)
def test_operations_of_a_batch_are_plain_ones_on_its_table(read: Read, dialect: str) -> None:
    recording = read(
        """
        with op.batch_alter_table("towns", schema="far", recreate="always") as batch_op:
            batch_op.add_column(sa.Column("x", sa.Integer))
            batch_op.alter_column("x", nullable=False)
            batch_op.create_foreign_key("fk", "shops", ["x"], ["id"])
            batch_op.drop_constraint("old", type_="unique")
            batch_op.create_index(batch_op.f("ix"), ["x"])
            batch_op.drop_column("y")
            batch_op.execute("SELECT 1")
            assert batch_op.get_bind().dialect.name
        """,
        dialect,
    )
    assert recording.unread is None
    add, alter, key, drop, index, drop_column, _ = recording.operations
    for operation in (add, alter, drop, index, drop_column):
        assert (operation.schema, operation.table_name) == ("far", "towns")  # type: ignore[attr-defined]
    assert isinstance(key, ops.CreateForeignKeyOp)
    assert (key.source_table, key.kw["source_schema"]) == ("towns", "far")


def test_what_goes_through_the_connection_is_recorded(read: Read) -> None:
    recording = read(
        """
        bind = op.get_bind()
        sa.Enum("a", "b", name="letters").create(bind, checkfirst=True)
        metadata = sa.MetaData()
        sa.Table("towns", metadata, sa.Column("id", sa.Integer, index=True))
        metadata.create_all(bind)
        with bind.begin_nested():
            bind.execute(sa.text("UPDATE towns SET id = 1"))
        with bind.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("DELETE FROM towns")
        op.get_context().bind.execute(sa.text("SELECT 1"))
        metadata.drop_all(bind)
        """
    )
    assert recording.unread is None
    assert kinds_of(recording) == [
        "ExecuteSQLOp", "CreateTableOp", "CreateIndexOp", *["ExecuteSQLOp"] * 3, "DropTableOp",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        'rows = op.get_bind().execute(sa.text("SELECT 1")).all()',
        'for row in op.get_bind().execute(sa.text("SELECT 1")): pass',
        'if op.get_bind().scalar(sa.text("SELECT 1")): pass',
        'if op.get_bind().execute(sa.text("SELECT 1")): pass',
        "sa.inspect(op.get_bind()).get_table_names()",
        "op.run_async(None)",
        "raise SystemExit(1)",
        "1 / 0",
    ],
)
def test_a_revision_that_needs_an_answer_is_read_as_far_as_that(read: Read, line: str) -> None:
    recording = read(
        f"""
def upgrade():
    op.drop_table("one")
    try:
        {line}
    except ImportError:
        pass
    op.drop_table("two")
        """
    )
    tables = [each.table_name for each in recording.operations if hasattr(each, "table_name")]
    assert tables == ["one"]
    assert recording.unread is not None
    assert recording.unread.startswith("line 13: ")


def test_no_except_in_a_revision_hides_that_it_needs_an_answer(read: Read) -> None:
    recording = read(
        """
        try:
            rows = op.get_bind().execute(sa.text("SELECT 1")).all()
        except Exception:
            op.drop_table("two")
        """
    )
    assert kinds_of(recording) == ["ExecuteSQLOp"]
    assert recording.unread is not None
    assert "needs a database" in recording.unread


@pytest.mark.parametrize("dialect", KINDS)
def test_a_block_outside_of_the_transaction_is_read(read: Read, dialect: str) -> None:
    recording = read(
        """
        with op.get_context().autocommit_block():
            op.create_index("ix", "towns", ["id"], postgresql_concurrently=True)
        op.drop_table("shops")
        """,
        dialect,
    )
    assert recording.unread is None
    assert kinds_of(recording) == ["CreateIndexOp", "DropTableOp"]


def test_values_of_an_enum_that_are_synchronized_are_read(read: Read) -> None:
    recording = read(
        """
        from alembic_postgresql_enum import TableReference

        op.sync_enum_values(
            enum_schema="public",
            enum_name="letters",
            new_values=["a"],
            affected_columns=[TableReference(
                table_schema="public", table_name="towns", column_name="x",
                existing_server_default="'a'::letters",
            )],
            enum_values_to_rename=[],
        )
        """
    )
    assert recording.unread is None
    assert recording.operations


def test_a_shared_history_is_read_for_one_database(read: Read) -> None:
    recording = read(
        """
def upgrade(database):
    globals()[f"upgrade_{database}"]()

def upgrade_main():
    op.drop_table("one")

def upgrade_analytics():
    op.drop_table("two")
        """,
        database="analytics",
    )
    (operation,) = recording.operations
    assert isinstance(operation, ops.DropTableOp)
    assert operation.table_name == "two"


def test_the_other_direction_is_read(read: Read) -> None:
    body = 'def downgrade():\n    op.drop_table("one")\n'
    assert kinds_of(read(body, direction="downgrade")) == ["DropTableOp"]


def test_a_function_that_is_missing_is_said(read: Read) -> None:
    assert read("def downgrade():\n    pass\n").unread == "there is no upgrade()"


def test_nothing_is_printed_or_logged(
    read: Read, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    recording = read(
        """
        import logging
        print("noise")
        logging.getLogger("alembic").warning("noise")
        op.create_table("towns", sa.Column("id", sa.Integer))
        with op.get_context().autocommit_block():
            pass
        """
    )
    assert recording.unread is None
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""
    logging.getLogger("alembic").warning("heard")
    assert "heard" in caplog.text


@pytest.mark.parametrize("line", ["pass", "1 / 0", "op.get_bind().scalar('')"])
def test_alembic_goes_on_where_it_was_when_it_is_read_in_the_middle_of_a_run(
    write: Write, line: str
) -> None:
    script = script_of(write(line))
    migration = MigrationContext.configure(dialect_name="sqlite", opts={"as_sql": True})
    with Operations.context(migration):
        record(script, "sqlite")
        assert op.get_context() is migration
        op.f("name")
    with pytest.raises((NameError, AttributeError)):
        op.get_context()


@pytest.mark.parametrize("line", ["pass", "1 / 0", "op.get_bind().scalar('')"])
def test_no_trace_is_left_outside_of_a_run(read: Read, line: str) -> None:
    read(line)
    with pytest.raises((NameError, AttributeError)):
        op.get_context()


# What a whole history creates

HISTORY = [
    """
    for table in ("accounts", "bills"):
        op.create_table(table, sa.Column("id", sa.Integer), schema="far")
        op.add_column(table, sa.Column("deleted_at", sa.DateTime), schema="far")
    op.create_table("moods", sa.Column("m", sa.Enum("a", name="mood")), schema="public")
    """,
    """
    op.rename_table("bills", "invoices", schema="far")
    with op.batch_alter_table("invoices", schema="far") as batch_op:
        batch_op.alter_column("id", new_column_name="number")
    """,
    """
    op.execute('CREATE TABLE IF NOT EXISTS "Raw" (id INTEGER)')
    op.execute("CREATE UNLOGGED TABLE public.fast (id INTEGER)")
    op.execute("ALTER TABLE fast RENAME TO faster")
    op.execute("CREATE TYPE weather AS ENUM ('sun')")
    sa.Enum("a", name="made").create(op.get_bind())
    op.add_column("moods", sa.Column("l", sa.ARRAY(sa.Enum("b", name="listed"))))
    op.drop_table("moods")
    """,
]


def test_a_history_knows_all_that_it_created_under_any_name(write: Write) -> None:
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()
    dialect.default_schema_name = "public"
    objects = known_objects(write(*HISTORY), dialect)
    assert objects.unread == []
    assert objects.tables == {
        ("far", "accounts"), ("far", "bills"), ("far", "invoices"), (None, "moods"),
        (None, "Raw"), (None, "fast"), (None, "faster"),
    }  # fmt: skip
    assert ("far", "bills", "deleted_at") in objects.columns
    assert ("far", "invoices", "deleted_at") in objects.columns
    assert ("far", "invoices", "number") in objects.columns
    assert {name for _, name in objects.enums} == {"mood", "weather", "made", "listed"}


def test_a_revision_that_asks_the_database_still_says_which_tables_it_creates(write: Write) -> None:
    objects = known_objects(
        write(
            """
TABLE = "coupons"

def upgrade():
    if not sa.inspect(op.get_bind()).has_table(TABLE):
        op.create_table(TABLE, sa.Column("x", sa.Enum("a", name="mood")), schema="far")
        op.rename_table("vouchers", "tickets")
            """
        ),
        "postgresql",
    )
    assert objects.tables == {("far", "coupons"), (None, "tickets")}
    assert objects.enums == {(None, "mood")}
    assert len(objects.unread) == 1


def test_a_shared_history_is_known_for_each_database(write: Write) -> None:
    directory = write(
        """
def upgrade(database):
    op.create_table(f"of_{database}", sa.Column("id", sa.Integer))
        """
    )
    assert known_objects(directory, "sqlite", "main").tables == {(None, "of_main")}
    both = known_objects(directory, "sqlite", ["main", "analytics"])
    assert both.tables == {(None, "of_main"), (None, "of_analytics")}
