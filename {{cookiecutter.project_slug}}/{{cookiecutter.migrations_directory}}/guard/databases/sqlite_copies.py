"""Keeps what Alembic's batch mode forgets when it copies a table on SQLite.

https://alembic.sqlalchemy.org/en/latest/batch.html#batch-mode-with-sqlite
"""

import re
from dataclasses import replace
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.schema import CreateTable

from .sqlite_definitions import Clause, clauses, columns_of, copied_columns, renamed

# Where a connection remembers what to create again, and the new names of copied columns.
FORGOTTEN = "alembic guard: triggers and indexes"
COPIED = "alembic guard: copied columns"
ORDERED = "alembic guard: indexes with an order"


def look_before_a_table_is_copied(
    connection: Connection, cursor: Any, statement: str, *_: Any
) -> None:
    """Keep what Alembic's batch mode forgets when it puts a copy in the place of a table.

    Triggers and indexes on expressions are made again by restore(). What cannot be is said
    before it happens.
    https://alembic.sqlalchemy.org/en/latest/batch.html#batch-mode-with-sqlite

    :raises CommandError: when a part of the definition, or a row, would be lost.
    """
    if re.match(r'\s*INSERT INTO "?_alembic_tmp_', statement):
        connection.info[COPIED] = copied_columns(statement)
    dropped = re.fullmatch(r'\s*DROP TABLE "?([^"]+?)"?\s*', statement)
    if dropped is None:
        return
    table = dropped[1]
    if not definition(cursor, table) or not definition(cursor, f"_alembic_tmp_{table}"):
        return
    for lost in lost_clauses(connection, cursor, table, connection.info.pop(COPIED, {})):
        raise CommandError(f"Table {table} would lose {remedy(lost, table)}")
    cursor.execute("PRAGMA foreign_keys")
    if cursor.fetchone()[0] and refers(cursor, table):
        raise CommandError(
            f"Copying table {table} with foreign keys on would delete the rows that refer to it: "
            "pass a connection that is not in a transaction."
        )
    connection.info[FORGOTTEN] = triggers_and_expression_indexes(cursor, table)
    connection.info[ORDERED] = {plain(sql): sql for sql in ordered_indexes(cursor, table)}
    # A view of the table is an error until the copy has its name.
    cursor.execute("PRAGMA legacy_alter_table = ON")


COPY = re.compile(
    r"\s*INSERT INTO \"?(?P<new>_alembic_tmp_[^\"\s]+)\"? \((?P<columns>[^)]*)\)\s*"
    r"SELECT (?P<values>.*?)\s+FROM (?P<rest>.*)",
    re.DOTALL,
)


def correct_copy(
    connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """Copy no column that SQLite computes by itself, and keep DESC and COLLATE of an index.

    Alembic would copy the column, which SQLite refuses, and reflects no order of an index.

    https://docs.sqlalchemy.org/en/21/core/events.html#sqlalchemy.events.ConnectionEvents.before_cursor_execute
    """
    if re.match(r"\s*CREATE\s+(UNIQUE\s+)?INDEX", statement):
        return connection.info.get(ORDERED, {}).pop(plain(statement), statement), parameters
    copy = COPY.fullmatch(statement)
    if copy is None:
        return statement, parameters
    cursor.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden IN (2, 3)", (copy["new"],))
    computed = {name for (name,) in cursor.fetchall()}
    columns, values = parts_of(copy["columns"]), parts_of(copy["values"])
    if not computed or len(columns) != len(values):
        return statement, parameters
    kept = [
        pair for pair in zip(columns, values, strict=True) if pair[0].strip('"') not in computed
    ]
    names = ", ".join(name for name, _ in kept)
    selected = ", ".join(value for _, value in kept)
    return (
        f'INSERT INTO "{copy["new"]}" ({names}) SELECT {selected} FROM {copy["rest"]}',
        parameters,
    )


def parts_of(sql: str) -> list[str]:
    """Return the parts between the commas that are in no parentheses and no quotes."""
    parts, depth = [""], 0
    for token in re.findall(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|.", sql, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def definition(cursor: Any, table: str) -> str:
    """Return the CREATE TABLE of a table, or an empty string when there is no such table."""
    cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    row = cursor.fetchone()
    return row[0] if row else ""


def lost_clauses(
    connection: Connection, cursor: Any, table: str, names: dict[str, str]
) -> list[Clause]:
    """Return what the copy of a table does not have, and nobody has asked to drop.

    What SQLAlchemy reflects, Alembic drops only on demand; everything else it overlooks.

    :param names: the new name of each column that is kept.
    """
    temporary = definition(cursor, f"_alembic_tmp_{table}")
    new = resolved(clauses(temporary), cursor)
    before = definition(cursor, table)
    columns = columns_of(before)
    old = kept(resolved(clauses(before), cursor), table, columns, names)
    missing = [clause for clause in old if not clause.is_in(new)]
    if not missing:
        return []
    reflected = Table(table, MetaData(), autoload_with=connection)
    seen = kept(clauses(str(CreateTable(reflected).compile(connection))), table, columns, names)
    return [clause for clause in missing if is_lost(clause, seen, old, new)]


def kept(found: list[Clause], table: str, columns: set[str], names: dict[str, str]) -> list[Clause]:
    """Return the clauses whose columns are kept, with their new names."""
    return [new for clause in found if (new := renamed(clause, table, columns, names)) is not None]


def resolved(found: list[Clause], cursor: Any) -> list[Clause]:
    """Complete ``REFERENCES parent``, which means the primary key of the parent."""
    result = []
    for clause in found:
        if clause.kind == "FOREIGN KEY" and len(clause.words) > 0:
            target, *words = clause.words
            if not words or words[0].startswith(("on ", "match ", "deferrable ")):
                query = "SELECT lower(name) FROM pragma_table_info(?) WHERE pk ORDER BY pk"
                cursor.execute(query, (target,))
                key = [name for (name,) in cursor.fetchall()]
                clause = replace(clause, words=(target, *key, *words))
        result.append(clause)
    return result


def is_lost(clause: Clause, seen: list[Clause], old: list[Clause], new: list[Clause]) -> bool:
    """Return whether a clause that the copy does not have was overlooked, and not dropped.

    :param seen: what SQLAlchemy reflects.
    """
    if clause.kind == "CHECK" and clause.name is None:
        # Alembic overlooks those without a name. That of an enum comes again with its type.
        of_type = clause.words[:2]
        return of_type[1:] != ("in",) or not any(
            other.kind == "CHECK" and other.words[:2] == of_type and not other.is_in(old)
            for other in new
        )
    if clause.columns == () and clause.kind != "CHECK":
        return True  # An option of the table, which Alembic does not copy.
    if clause.is_in(seen):
        return False
    if clause.kind == "COLLATE":  # Another one was asked for.
        return not any(each.kind == "COLLATE" and each.columns == clause.columns for each in new)
    if clause.kind == "NOT NULL":
        return any(other.kind == "NOT NULL" and other.columns == clause.columns for other in new)
    return True


def remedy(lost: Clause, table: str) -> str:
    """Return what a copy would lose, and the code that keeps it."""
    written = lost.written
    column = ", ".join(written.get(each, each) for each in lost.columns)
    named = f', name="{written[lost.name]}"' if lost.name else ""
    if lost.kind == "AUTOINCREMENT":
        return 'AUTOINCREMENT: write batch_alter_table(..., table_kwargs={"sqlite_autoincrement": True}).'
    if lost.kind in ("STRICT", "WITHOUT ROWID"):
        option = '"sqlite_strict": True' if lost.kind == "STRICT" else '"sqlite_with_rowid": False'
        return f"{lost.kind}: write batch_alter_table(..., table_kwargs={{{option}}})."
    if lost.kind == "COLLATE":
        return (
            f"the COLLATE of {column}: give the column its collation, "
            f'as in batch_op.alter_column("{column}", type_=sa.Text(collation="NOCASE")).'
        )
    if lost.kind == "CHECK" and not lost.name:
        return (
            "a CHECK that has no name: "
            'write batch_alter_table(..., table_args=[sa.CheckConstraint("...", name="...")]).'
        )
    if lost.kind == "FOREIGN KEY" and len(lost.columns) == 1:
        target, referred, *options = (written.get(word, word) for word in lost.words)
        what = " ".join(options).upper() or f"the name {written[str(lost.name)]}"
        arguments = "".join(argument(option) for option in options)
        return (
            f"{what} of {column}. Write:\nbatch_alter_table(..., reflect_args=[sa.Column("
            f'"{column}", ..., sa.ForeignKey("{target}.{referred}"{arguments}{named}))])'
        )
    words = " ".join(lost.words).upper() if lost.kind != "CHECK" else ""
    name = written[lost.name] if lost.name else ""
    what = " ".join(filter(None, [lost.kind, name, words]))
    return (
        f"{what}{f' of {column}' if column else ''}. Describe the whole table:\n"
        f'batch_alter_table("{table}", copy_from=sa.Table("{table}", sa.MetaData(), sa.Column(...), ...))'
    )


def argument(option: str) -> str:
    """Return an option of a foreign key, as an argument of ``sa.ForeignKey()``."""
    for start, name in (
        ("on delete ", "ondelete"),
        ("on update ", "onupdate"),
        ("match ", "match"),
    ):
        if option.startswith(start):
            return f', {name}="{option.removeprefix(start).upper()}"'
    return ', deferrable=True, initially="DEFERRED"'


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


def ordered_indexes(cursor: Any, table: str) -> list[str]:
    """Return the SQL of indexes with DESC or COLLATE, which are reflected without."""
    cursor.execute(
        "SELECT sql FROM sqlite_master AS m WHERE tbl_name = ? AND type = 'index' AND sql IS NOT "
        "NULL AND EXISTS (SELECT 1 FROM pragma_index_xinfo(m.name) "
        "WHERE key AND (\"desc\" OR coll <> 'BINARY'))",
        (table,),
    )
    return [sql for (sql,) in cursor.fetchall()]


def restore(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
    """Make the triggers and indexes again as soon as the copy has the name of the table."""
    if re.match(r'\s*ALTER TABLE "?_alembic_tmp_', statement):
        cursor.execute("PRAGMA legacy_alter_table = OFF")
        for _, name, sql in connection.info.pop(FORGOTTEN, []):
            cursor.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql)


def plain(sql: str) -> str:
    """Return CREATE INDEX without the order and the collation of its columns."""
    sql = re.sub(r"\b(ASC|DESC|COLLATE\s+\S+?(?=[\s,)]))", "", sql, flags=re.IGNORECASE)
    return re.sub(r"[\s\"`]+", "", sql).lower()
