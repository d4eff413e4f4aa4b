"""SQLite: a migration is all or nothing, loses no row, and does not block readers for long."""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import (
    URL,
    Connection,
    Constraint,
    Engine,
    Table,
    create_engine,
    event,
    pool,
    text,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateTable

from .base import Database, Problem, Take, only_asked
from .sqlite_copies import (
    correct_copy,
    definition,
    look_before_a_table_is_copied,
    resolved,
    restore,
)
from .sqlite_definitions import Clause, clauses

# The primary codes: https://www.sqlite.org/rescode.html
PROBLEMS = {
    sqlite3.SQLITE_BUSY: Problem.FILE_LOCKED,
    sqlite3.SQLITE_LOCKED: Problem.FILE_LOCKED,
    sqlite3.SQLITE_CANTOPEN: Problem.CANNOT_OPEN,
    sqlite3.SQLITE_READONLY: Problem.READ_ONLY,
    sqlite3.SQLITE_FULL: Problem.NO_SPACE,
    sqlite3.SQLITE_IOERR: Problem.NO_SPACE,
}

# Set on the connection that migrates, so that it begins with the right to write.
WRITES = "alembic guard: writes"


class SQLite(Database):
    synchronous_driver = "sqlite+pysqlite"
    # Alembic assumes that SQLite cannot; the engine below makes it able.
    transactional_ddl = True
    # SQLite cannot alter a column: Alembic copies the table instead.
    # https://alembic.sqlalchemy.org/en/latest/batch.html
    render_as_batch = True

    def create_engine(self, url: URL, lock_timeout: float, connect_timeout: float = 10) -> Engine:
        arguments = {"timeout": lock_timeout}
        engine = create_engine(url, poolclass=pool.NullPool, connect_args=arguments)
        event.listen(engine, "connect", prepare_connection)
        event.listen(engine, "begin", begin)
        event.listen(engine, "before_cursor_execute", look_before_a_table_is_copied)
        event.listen(engine, "before_cursor_execute", correct_copy, retval=True)
        event.listen(engine, "after_cursor_execute", restore)
        return engine

    @contextmanager
    def passed(self, connection: Connection) -> Iterator[None]:
        in_transaction = connection.in_transaction()
        were_on = set_foreign_keys(connection.connection, False)
        event.listen(connection, "before_cursor_execute", look_before_a_table_is_copied)
        event.listen(connection, "before_cursor_execute", correct_copy, retval=True)
        event.listen(connection, "after_cursor_execute", restore)
        try:
            yield
        finally:
            event.remove(connection, "before_cursor_execute", look_before_a_table_is_copied)
            event.remove(connection, "before_cursor_execute", correct_copy)
            event.remove(connection, "after_cursor_execute", restore)
            if connection.in_transaction() and not in_transaction:
                connection.rollback()  # It only read; inside, the pragma has no effect.
            set_foreign_keys(connection.connection, were_on)

    @contextmanager
    def lock_holder(
        self, connection: Connection, passed: bool
    ) -> Iterator[tuple[Take, Connection]]:
        """Lock an empty file beside the database; it stays, and stays empty.

        SQLite's own locks end with each transaction, and would keep the application out.
        """
        engine = connection.engine
        if passed or engine.url.database in (None, "", ":memory:"):
            yield lambda: True, connection
            return
        connection.info[WRITES] = True
        path = f"{engine.url.database}-migrating"
        holder = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            with engine.connect() as witness:
                yield lambda: take_lock(holder), witness
        finally:
            holder.close()

    def is_same_database(self, one: Connection, other: Connection) -> bool:
        files = []
        with only_asked(one, other):
            for connection in (one, other):
                row = connection.exec_driver_sql("PRAGMA database_list").first()
                files.append(str(row[2]) if row else "")
        return all(map(os.path.exists, files)) and os.path.samefile(*files)

    def copy(self, url: URL, path: Path) -> URL | None:
        if url.database in (None, "", ":memory:"):
            return None
        source, target = sqlite3.connect(str(url.database)), sqlite3.connect(path)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        return url.set(database=str(path), query={})

    @contextmanager
    def traced(self, emit: Callable[[str], object]) -> Iterator[None]:
        def trace(connection: Any, _: ConnectionPoolEntry) -> None:
            connection.set_trace_callback(lambda each: self.writes(each) and emit(each))

        event.listen(Engine, "connect", trace)
        try:
            yield
        finally:
            event.remove(Engine, "connect", trace)

    def after_revision(self, connection: Connection) -> None:
        violation = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if violation is not None:
            table, row, parent, _ = violation
            raise CommandError(
                f"Row {row} of table {table} refers to a row that table {parent} does not have. "
                "The revision is rolled back: delete or fix such rows in it first."
            )

    def problem(self, error: DBAPIError) -> Problem | None:
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is None:
            return None
        if code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
            return Problem.DUPLICATES
        if code & 0xFF == sqlite3.SQLITE_ERROR and "already exists" in str(error.orig):
            return Problem.ALREADY_EXISTS  # SQLite has no code for it, and speaks English only.
        return PROBLEMS.get(code & 0xFF)

    def advice(self, cause: str) -> str | None:
        if re.match(r'near "(ALTER|DROP|CONSTRAINT)": syntax error', cause):
            return (
                f"{cause}. SQLite cannot alter columns and constraints: write the operation inside "
                'with op.batch_alter_table("TABLE") as batch_op: batch_op.…'
            )
        return None

    # A table is copied in any case, by one process on one file: there is nobody to warn.
    rewriting_blocks = ""
    building_an_index_blocks = ""
    adding_a_unique_constraint_blocks = ""
    adding_a_foreign_key_blocks = ""
    adding_a_check_blocks = ""
    setting_not_null_blocks = ""
    conversion_can_fail = False
    sql_grammar = "sqlite"
    enforces_lengths = False
    stores_time_zones = False
    alters_by_copying = True
    single_process = True

    def is_there_without_name(self, connection: Connection, constraint: Constraint) -> bool:
        table = constraint.table
        wanted = [each for each in clauses_of_model(table, connection)
                  if each.name == str(constraint.name).lower()]  # fmt: skip
        unnamed = unnamed_clauses(table.name, connection)
        return bool(wanted) and all(replace(each, name=None) in unnamed for each in wanted)

    def has_other_name(self, connection: Connection, columns: Sequence[str], model: Table) -> bool:
        names = tuple(column.lower() for column in columns)
        here = [each for each in unnamed_clauses(model.name, connection)
                if each.kind == "FOREIGN KEY" and each.columns == names]  # fmt: skip
        wanted = clauses_of_model(model, connection)
        return bool(here) and all(each.is_in(wanted) for each in here)

    # What begins on SQLite often goes on elsewhere.
    portable_to = ("postgresql", "mysql")
    guesses_types = True

    def declared_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> dict[str, str]:
        rows = connection.execute(
            text("SELECT name, type FROM pragma_table_xinfo(:table, :schema)"),
            {"table": table, "schema": schema or "main"},
        )
        known = connection.dialect.ischema_names  # type: ignore[attr-defined]
        return {name: type_ for name, type_ in rows if type_.split("(")[0].upper() not in known}

    def default_needs_parentheses(self, sql: str) -> bool:
        is_literal = re.fullmatch(r"'(?:[^']|'')*'|[-+]?[\d.]+|\w+|\(.*\)", sql, re.DOTALL)
        return is_literal is None


def clauses_of_model(table: Table, connection: Connection) -> list[Clause]:
    return clauses(str(CreateTable(table).compile(connection)))


def unnamed_clauses(table: str, connection: Connection) -> list[Clause]:
    """Return what a table in the database has without a name, as its CREATE TABLE says."""
    cursor = connection.connection.cursor()
    try:
        found = resolved(clauses(definition(cursor, table)), cursor)
    finally:
        cursor.close()
    return [clause for clause in found if clause.name is None]


def prepare_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Leave BEGIN to SQLAlchemy, as sqlite3 sends it only before an INSERT; see begin().

    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#transactions-with-sqlite-and-the-sqlite3-driver
    """
    connection.isolation_level = None
    set_foreign_keys(connection, False)


def set_foreign_keys(connection: Any, on: bool) -> bool:
    """Switch foreign keys on or off, and return how they were. Off while tables are copied:

    dropping the old copy of a table would delete the rows that refer to it.
    https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys")
    were_on = bool(cursor.fetchone()[0])
    cursor.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}")
    cursor.close()
    return were_on


def begin(connection: Connection) -> None:
    """Take the right to write at once, not in the middle of a migration."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get(WRITES) else "BEGIN")


def take_lock(holder: sqlite3.Connection) -> bool:
    try:
        holder.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


DATABASE = SQLite
