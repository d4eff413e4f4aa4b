"""What SQLite needs so that a migration is all or nothing, and loses no row."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, pool
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry


def migration_engine(url: URL, wait: float) -> Engine:
    """Return an engine whose transactions hold CREATE and ALTER too.

    :param wait: how long to wait for a locked file, in seconds.
    """
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"timeout": wait})
    event.listen(engine, "connect", prepare_connection)
    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", look_before_a_table_is_copied)
    event.listen(engine, "after_cursor_execute", restore)
    return engine


def prepare_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Leave BEGIN to SQLAlchemy, as sqlite3 sends it only before an INSERT; see begin().

    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#transactions-with-sqlite-and-the-sqlite3-driver
    """
    connection.isolation_level = None
    check_foreign_keys_at_once(connection, False)


def check_foreign_keys_at_once(connection: Any, on: bool) -> bool:
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
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("writes") else "BEGIN")


@contextmanager
def careful(connection: Connection) -> Iterator[None]:
    """Migrate as carefully as possible on a connection that a program passes."""
    in_transaction = connection.in_transaction()
    were_on = check_foreign_keys_at_once(connection.connection, False)
    event.listen(connection, "before_cursor_execute", look_before_a_table_is_copied)
    event.listen(connection, "after_cursor_execute", restore)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", look_before_a_table_is_copied)
        event.remove(connection, "after_cursor_execute", restore)
        if connection.in_transaction() and not in_transaction:
            connection.rollback()  # It has only been looked; inside, foreign keys stay off.
        check_foreign_keys_at_once(connection.connection, were_on)


def take_lock(holder: sqlite3.Connection) -> bool:
    """Take the lock of an empty file beside the database, if nobody else has it.

    SQLite's own locks end with each transaction, and would keep the application out.
    """
    try:
        holder.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True


@contextmanager
def lock_holder(connection: Connection) -> Iterator[sqlite3.Connection]:
    """Open the file whose lock migrations take in turn; it stays, and stays empty."""
    connection.info["writes"] = True
    path = f"{connection.engine.url.database}-migrating"
    holder = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        yield holder
    finally:
        holder.close()


def look_before_a_table_is_copied(
    connection: Connection, cursor: Any, statement: str, *_: Any
) -> None:
    """Keep what Alembic's batch mode forgets when it puts a copy in the place of a table.

    Triggers and indexes on expressions are made again by restore(). What cannot be is said
    before it happens.
    https://alembic.sqlalchemy.org/en/latest/batch.html#batch-mode-with-sqlite

    :raises CommandError: when AUTOINCREMENT, COLLATE, an unnamed CHECK or a row would be lost.
    """
    dropped = re.fullmatch(r'\s*DROP TABLE "?([^"]+?)"?\s*', statement)
    if dropped is None:
        return
    table = dropped[1]
    old, new = definition(cursor, table), definition(cursor, f"_alembic_tmp_{table}")
    if not old or not new:
        return
    if "AUTOINCREMENT" in old.upper() and "AUTOINCREMENT" not in new.upper():
        raise CommandError(
            f"Table {table} would lose AUTOINCREMENT: "
            'write batch_alter_table(..., table_kwargs={"sqlite_autoincrement": True}).'
        )
    cursor.execute("SELECT name FROM pragma_table_info(?)", (f"_alembic_tmp_{table}",))
    kept = {name for (name,) in cursor.fetchall()}
    lost = (collated_columns(old) - collated_columns(new)) & kept
    for column in sorted(lost):
        raise CommandError(
            f"Table {table} would lose the COLLATE of {column}: give the column its collation, "
            f'as in batch_op.alter_column("{column}", type_=sa.Text(collation="NOCASE")).'
        )
    if unnamed_checks(old) > unnamed_checks(new):
        raise CommandError(
            f"Table {table} would lose a CHECK that has no name: "
            'write batch_alter_table(..., table_args=[sa.CheckConstraint("...", name="...")]).'
        )
    cursor.execute("PRAGMA foreign_keys")
    if cursor.fetchone()[0] and refers(cursor, table):
        raise CommandError(
            f"Copying table {table} with foreign keys on would delete the rows that refer to it: "
            "pass a connection that is not in a transaction."
        )
    connection.info["forgotten"] = triggers_and_expression_indexes(cursor, table)
    # A view of the table is an error until the copy has its name.
    cursor.execute("PRAGMA legacy_alter_table = ON")


def definition(cursor: Any, table: str) -> str:
    """Return the CREATE TABLE of a table, or an empty string when there is no such table."""
    cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    row = cursor.fetchone()
    return row[0] if row else ""


def collated_columns(definition: str) -> set[str]:
    return set(re.findall(r'[(,]\s*"?(\w+)"?\s[^,]*?\bCOLLATE\b', definition, re.IGNORECASE))


def unnamed_checks(definition: str) -> int:
    named = re.findall(r'\bCONSTRAINT\s+(?:"[^"]+"|\S+)\s+CHECK\b', definition, re.IGNORECASE)
    return len(re.findall(r"\bCHECK\s*\(", definition, re.IGNORECASE)) - len(named)


def refers(cursor: Any, table: str) -> bool:
    """Return whether another table has a foreign key to this one."""
    cursor.execute(
        "SELECT 1 FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS f "
        "WHERE t.type = 'table' AND t.name <> ? AND f.\"table\" = ?",
        (table, table),
    )
    return cursor.fetchone() is not None


def triggers_and_expression_indexes(cursor: Any, table: str) -> list[tuple[str, str, str]]:
    """Return type, name and SQL of what depends on a table and is not reflected."""
    cursor.execute(
        "SELECT type, name, sql FROM sqlite_master AS m WHERE tbl_name = ? AND (type = 'trigger' "
        "OR type = 'index' AND EXISTS (SELECT 1 FROM pragma_index_xinfo(m.name) WHERE cid = -2))",
        (table,),
    )
    return list(cursor.fetchall())


def restore(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
    """Make the triggers and indexes again as soon as the copy has the name of the table."""
    if re.match(r'\s*ALTER TABLE "?_alembic_tmp_', statement):
        cursor.execute("PRAGMA legacy_alter_table = OFF")
        for _, name, sql in connection.info.pop("forgotten", []):
            cursor.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql)


def check_foreign_keys(connection: Connection) -> None:
    """Check that each foreign key has its row, before the revision is committed.

    :raises CommandError: when one has not.
    """
    violation = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if violation is not None:
        table, row, parent, _ = violation
        raise CommandError(
            f"Row {row} of table {table} refers to a row that table {parent} does not have. "
            "The revision is rolled back: delete or mend such rows in it."
        )
