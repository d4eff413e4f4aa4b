"""Reads what a revision does by running it where nothing is executed: no database is needed.

https://alembic.sqlalchemy.org/en/latest/ops.html
"""

import ast
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from types import SimpleNamespace
from typing import Any, Literal, Self

from alembic import op
from alembic.operations import BatchOperations, Operations
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateIndexOp,
    CreateTableOp,
    DropIndexOp,
    DropTableOp,
    ExecuteSQLOp,
    MigrateOperation,
    RenameTableOp,
)
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Column, Dialect, Enum, create_mock_engine, schema
from sqlalchemy.exc import SQLAlchemyError

from .. import databases
from ..rules.statements import ChangeEnumOp

Direction = Literal["upgrade", "downgrade"]


@dataclass(frozen=True)
class Place:
    """Where and how a revision calls an operation.

    :param lines: of the revision file, the innermost first: a function of it may call another.
    :param in_transaction: whether it is outside of ``autocommit_block()``.
    :param in_batch: whether it is inside of ``batch_alter_table()``.
    """

    lines: tuple[int, ...]
    in_transaction: bool
    in_batch: bool


@dataclass
class Recording:
    """What a function of a revision does.

    :param operations: in their order. Those of ``batch_alter_table()`` are recorded as plain
        ones, with table and schema; what goes through a connection as the DDL that it is.
    :param places: that of each operation.
    :param unread: where reading stopped and why, or None when it came to the end.
    :param path: of the revision file.
    """

    operations: list[MigrateOperation] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    unread: str | None = None
    rows: bool = True
    path: str = ""
    in_transaction: bool = field(default=True, repr=False)

    def add(self, operation: MigrateOperation, in_batch: bool = False) -> None:
        """Note an operation that the revision is just calling."""
        frames = traceback.walk_stack(None)
        lines = [line for frame, line in frames if frame.f_code.co_filename == self.path]
        self.operations.append(operation)
        self.places.append(Place(tuple(lines), self.in_transaction, in_batch))


class NeedsDatabase(BaseException):
    """The revision wants an answer of the database. No ``except Exception`` in it may go on."""


def record(
    script: Script,
    dialect: Dialect | str,
    direction: Direction = "upgrade",
    database: str | None = None,
    rows: bool = True,
) -> Recording:
    """Run a function of a revision and return its operations, without executing any.

    :param script: the revision.
    :param dialect: of the database that the revision is read for, or its name.
    :param direction: which function.
    :param database: where several databases share a history, the one that the function is given.
    :param rows: False to read what the revision does where no query has a row: it is then not
        stopped by a question, but what it does for rows is not known.
    """
    recording = Recording(rows=rows, path=script.path)
    function = getattr(script.module, direction, None)
    if function is None:
        recording.unread = f"there is no {direction}()"
        return recording
    with recorded(recording, dialect):
        try:
            function() if database is None else function(database)
        except NeedsDatabase as reason:
            recording.unread = f"line {line_in(script, reason)}: {reason}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a revision may raise
            text = " ".join(str(error).split())
            recording.unread = f"line {line_in(script, error)}: {type(error).__name__}: {text}"
    return recording


def line_in(script: Script, error: BaseException) -> int:
    """Return the number of the last line of the revision that led to an error, or 0."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == script.path]
    return (lines[-1] if lines else None) or 0


@contextmanager
def recorded(recording: Recording, dialect: Dialect | str) -> Iterator[None]:
    """Let ``alembic.op`` record operations instead of executing them, without a word."""
    outer = migration_at_work()
    opts = {"as_sql": True, "output_buffer": StringIO()}
    if outer is not None:  # Its naming convention counts.
        opts["target_metadata"] = outer.opts.get("target_metadata")
    with silence():
        migration = MigrationContext.configure(
            dialect_name=dialect if isinstance(dialect, str) else None,
            dialect=None if isinstance(dialect, str) else dialect,
            environment_context=outer.environment_context if outer else None,
            opts=opts,
        )
        load_operations(migration.dialect)
        try:
            with Operations.context(migration) as operations:
                replace_execution(operations, recording)
                yield
        finally:
            if outer is not None:
                # Alembic is at work: let its own run, which ends this context, find it again.
                Operations.context(outer).__enter__()


def migration_at_work() -> MigrationContext | None:
    """Return what ``alembic.op`` works on now: it is used while env.py runs."""
    # NameError before the first run in a process, AttributeError after it.
    with suppress(NameError, AttributeError):
        return op.get_context()
    return None


@contextmanager
def silence() -> Iterator[None]:
    """Keep what a revision prints and logs from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(before)


def load_operations(dialect: Dialect) -> None:
    """Load the operations that a revision may use beside those of Alembic."""
    if databases.of(dialect.name).native_enums and find_spec("alembic_postgresql_enum"):
        import_module("alembic_postgresql_enum")


def replace_execution(operations: Operations, recording: Recording) -> None:
    """Let one ``op`` record: only this instance, no class is changed."""
    bind = Bind(operations.migration_context.dialect, recording)

    def invoke(operation: MigrateOperation, in_batch: bool = False) -> Any:
        recording.add(operation, in_batch)
        if isinstance(operation, CreateTableOp):  # As op.bulk_insert() may need the table.
            return operation.to_table(operations.migration_context)
        return None

    @contextmanager
    def batch_alter_table(
        table_name: str, schema: str | None = None, *arguments: Any, **options: Any
    ) -> Iterator[BatchOperations]:
        table: Any = SimpleNamespace(table_name=table_name, schema=schema)
        batch = BatchOperations(operations.migration_context, impl=table)
        replace(batch, in_batch=True)
        yield batch

    def run_async(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        raise NeedsDatabase("op.run_async() needs a database")

    @contextmanager
    def autocommit_block() -> Iterator[None]:
        recording.in_transaction = False
        try:
            yield
        finally:
            recording.in_transaction = True

    def sync_enum_values(
        enum_schema: str,
        enum_name: str,
        new_values: Iterable[str],
        affected_columns: object = (),
        enum_values_to_rename: Iterable[tuple[str, str]] = (),
        **options: Any,
    ) -> None:
        renamed = [old for old, _ in enum_values_to_rename]
        recording.add(ChangeEnumOp(enum_name, gone=renamed, values=new_values))

    def replace(operations: Any, in_batch: bool = False) -> None:
        operations.invoke = partial(invoke, in_batch=in_batch)
        operations.get_bind = lambda: bind
        operations.run_async = run_async

    replace(operations)
    if hasattr(operations, "sync_enum_values"):  # Of alembic-postgresql-enum.
        operations.sync_enum_values = sync_enum_values
    operations.batch_alter_table = batch_alter_table  # type: ignore[method-assign]
    operations.migration_context.connection = bind  # type: ignore[assignment]
    operations.migration_context.autocommit_block = autocommit_block  # type: ignore[method-assign]


class Bind:
    """A connection that records what it is to execute, and has no answer to anything.

    :param dialect: of the database that there is not.
    """

    def __init__(self, dialect: Dialect, recording: Recording) -> None:
        self.dialect = dialect
        self.recording = recording
        self.engine = self
        self.ddl = create_mock_engine(f"{dialect.name}+{dialect.driver}://", self.execute)

    def execute(self, statement: Any, *arguments: Any, **options: Any) -> "NoResult | EmptyResult":
        """Record a statement; the operation that Alembic has for it, if it has one."""
        operation: MigrateOperation
        if isinstance(statement, schema.CreateTable):
            operation = CreateTableOp.from_table(statement.element)
        elif isinstance(statement, schema.DropTable):
            operation = DropTableOp.from_table(statement.element)
        elif isinstance(statement, schema.CreateIndex):
            operation = CreateIndexOp.from_index(statement.element)
        elif isinstance(statement, schema.DropIndex):
            operation = DropIndexOp.from_index(statement.element)
        else:
            operation = ExecuteSQLOp(statement)
        self.recording.add(operation)
        return NoResult() if self.recording.rows else EmptyResult()

    exec_driver_sql = execute

    def _run_ddl_visitor(self, *arguments: Any, **options: Any) -> None:
        # What MetaData.create_all(bind) and Enum.create(bind) call.
        self.ddl._run_ddl_visitor(*arguments, **options)

    def connect(self) -> Self:
        return self

    def execution_options(self, **options: Any) -> Self:
        return self

    def in_transaction(self) -> bool:
        return False

    def begin(self) -> Any:
        return nullcontext(self)

    begin_nested = begin

    def commit(self) -> None:
        """Do nothing, as there is nothing to commit."""

    rollback = close = commit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing, as nothing is open."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self.recording.rows and name in ("scalar", "scalars"):
            return lambda *arguments, **options: getattr(
                self.execute(*arguments, **options), name
            )()
        raise NeedsDatabase(f"connection.{name} needs a database")


class NoResult:
    """The result of a statement that was not executed."""

    def refuse(self, *arguments: Any) -> Any:
        raise NeedsDatabase("the result of a statement needs a database")

    __iter__ = __len__ = __bool__ = __getitem__ = refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.refuse()


class EmptyResult:
    """The result of a statement, as if it had found no row."""

    rowcount = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def all(self) -> list[Any]:
        """Return no row."""
        return []

    fetchall = fetchmany = partitions = all

    def first(self) -> None:
        """Return no row."""

    fetchone = scalar = scalar_one_or_none = one_or_none = first

    def itself(self, *arguments: Any) -> Self:
        """Return this result: it has no row in any form."""
        return self

    mappings = scalars = columns = tuples = unique = yield_per = itself


# What a whole history creates


@dataclass
class Objects:
    """What the revisions of a history have created, under any name that it has had.

    :param tables: (schema, name); no schema is the default one.
    :param columns: (schema, table, name).
    :param enums: (schema, name) of enum types.
    :param unread: sentences about the revisions that were not read to their end.
    """

    tables: set[tuple[str | None, str]] = field(default_factory=set)
    columns: set[tuple[str | None, str, str]] = field(default_factory=set)
    enums: set[tuple[str | None, str]] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)

    def add(self, operation: MigrateOperation, dialect: Dialect) -> None:
        """Note what an operation creates or renames."""
        place = getattr(operation, "schema", None)
        in_schema = None if place == dialect.default_schema_name else place
        if isinstance(operation, CreateTableOp):
            self.tables.add((in_schema, operation.table_name))
            for item in operation.columns:
                if isinstance(item, Column):
                    self.add_column(in_schema, operation.table_name, item.name, item.type)
        elif isinstance(operation, AddColumnOp):
            column = operation.column
            self.add_column(in_schema, operation.table_name, column.name, column.type)
        elif isinstance(operation, AlterColumnOp):
            name = operation.modify_name or operation.column_name
            self.add_column(in_schema, operation.table_name, name, operation.modify_type)
        elif isinstance(operation, ChangeEnumOp):
            self.enums.add((in_schema, operation.name))
        elif isinstance(operation, RenameTableOp):
            self.rename_table(in_schema, operation.table_name, operation.new_table_name)
        elif isinstance(operation, ExecuteSQLOp):
            self.add_sql(as_text(operation.sqltext, dialect), dialect)

    def add_column(self, place: str | None, table: str, name: str, type_: Any) -> None:
        """Note a column, and the enum type that is created with it."""
        self.columns.add((place, table, str(name)))
        type_ = getattr(type_, "item_type", type_)  # Of an ARRAY.
        if isinstance(type_, Enum) and type_.native_enum and type_.name:
            self.enums.add((type_.schema, type_.name))

    def rename_table(self, place: str | None, old: str, new: str) -> None:
        """Note the new name of a table, with its columns."""
        self.tables.add((place, new))
        columns = [name for *table, name in self.columns if table == [place, old]]
        self.columns.update((place, new, name) for name in columns)

    def add_sql(self, sql: str, dialect: Dialect) -> None:
        """Note tables and types that SQL creates or renames."""
        for found in CREATE.finditer(sql):
            for place, name in identifiers(found["name"], dialect):
                if found["kind"].upper() == "TABLE":
                    self.tables.add((place, name))
                else:
                    self.enums.add((place, name))
        for found in RENAME.finditer(sql):
            for place, old in identifiers(found["name"], dialect):
                for _, new in identifiers(found["new"], dialect):
                    if found["kind"].upper() == "TABLE":
                        self.rename_table(place, old, new)
                    else:
                        self.enums.add((place, new))


IDENTIFIER = r'(?:"[^"]+"|`[^`]+`|[\w$]+)'
NAME = rf"{IDENTIFIER}(?:\.{IDENTIFIER})?"
CREATE = re.compile(
    rf"\bCREATE\s+(?:\w+\s+){{0,2}}?(?P<kind>TABLE|TYPE)\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{NAME})",
    re.IGNORECASE,
)
RENAME = re.compile(
    rf"\bALTER\s+(?P<kind>TABLE|TYPE)\s+(?:IF\s+EXISTS\s+)?(?P<name>{NAME})"
    rf"\s+RENAME\s+TO\s+(?P<new>{NAME})",
    re.IGNORECASE,
)


def identifiers(name: str, dialect: Dialect) -> Iterator[tuple[str | None, str]]:
    """Return schema and name that SQL may mean: without quotes, servers differ in the case."""
    parts = re.findall(IDENTIFIER, name)
    place = parts[0].strip('"`') if len(parts) > 1 else None
    in_schema = None if place == dialect.default_schema_name else place
    yield in_schema, parts[-1].strip('"`')
    if parts[-1][0] not in '"`':
        yield in_schema, parts[-1].lower()


def as_text(statement: Any, dialect: Dialect) -> str:
    """Return a statement as SQL; nothing for one that cannot be written without its values."""
    if isinstance(statement, str):
        return statement
    try:
        return str(statement.compile(dialect=dialect))
    except SQLAlchemyError:  # A statement that only its own database understands.
        return ""


def known_objects(
    script_directory: ScriptDirectory,
    dialect: Dialect | str,
    database: str | Iterable[str] | None = None,
) -> Objects:
    """Return what all revisions of a history create, read in the order of the history.

    What is dropped again, or renamed, stays known.

    :param script_directory: the history.
    :param dialect: as for ``record()``.
    :param database: where several share the history, the one that is meant, or their names.
    """
    names = [database] if database is None or isinstance(database, str) else list(database)
    dialect = dialect if isinstance(dialect, Dialect) else dialect_of(dialect)
    objects = Objects()
    for script in reversed(list(script_directory.walk_revisions())):
        for name in names:
            recording = record(script, dialect, database=name)
            for operation in recording.operations:
                objects.add(operation, dialect)
            if recording.unread is not None:
                objects.unread.append(f"{script.path}, {recording.unread}")
                # What it does besides, where there is no row; and what it names.
                for operation in record(script, dialect, database=name, rows=False).operations:
                    objects.add(operation, dialect)
                for operation in written_in(script):
                    objects.add(operation, dialect)
    return objects


def dialect_of(name: str) -> Dialect:
    """Return the dialect of a name; no driver is needed for that."""
    return create_mock_engine(f"{name}://", None).dialect


def written_in(script: Script) -> Iterator[MigrateOperation]:
    """Return tables and enums that a revision names, without running it: for what is unread."""
    with open(script.path, "rb") as file:
        tree = ast.parse(file.read())
    constants = {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }

    def text(node: ast.expr | None) -> str | None:
        if isinstance(node, ast.Name):
            node = constants.get(node.id)
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        return str(node.value) if is_text else None  # type: ignore[union-attr]

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        named = {keyword.arg: text(keyword.value) for keyword in node.keywords}
        values = [value for argument in node.args if (value := text(argument))]
        if called == "create_table" and values:
            yield CreateTableOp(values[0], [], schema=named.get("schema"))
        elif called == "rename_table" and len(values) > 1:
            yield RenameTableOp(values[0], values[1], schema=named.get("schema"))
        elif called.upper() == "ENUM" and (name := named.get("name")):
            yield AddColumnOp("", Column("", Enum(name=name)))
