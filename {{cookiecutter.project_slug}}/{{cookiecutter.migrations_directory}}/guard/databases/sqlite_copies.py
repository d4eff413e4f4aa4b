"""Keeps what Alembic's batch mode forgets when it copies a table on SQLite.

https://alembic.sqlalchemy.org/en/latest/batch.html#batch-mode-with-sqlite
"""

import re
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection

# Where a connection remembers what to create again.
FORGOTTEN = "alembic guard: triggers and indexes"


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
    connection.info[FORGOTTEN] = triggers_and_expression_indexes(cursor, table)
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
        for _, name, sql in connection.info.pop(FORGOTTEN, []):
            cursor.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql)
