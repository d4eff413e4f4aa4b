"""The rules: each looks at one operation, and knows the words and the code that help.

What blocks others is a fact of the kind of database: see ``databases/``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropColumnOp,
    DropTableOp,
    MigrateOperation,
)
from alembic.util import CommandError
from sqlalchemy import Column, Date, DateTime, Dialect, Time
from sqlalchemy.types import NullType

from .. import databases
from .operations import (
    NO_CAST,
    PARTITIONED,
    Key,
    compiled,
    full_name,
    needs_conversion,
    quoted,
    same_kind,
    table_of,
)


class Remark(MigrateOperation):
    """A comment on the operation that follows it in a revision.

    :param lines: text, or an operation that is to be shown as code.
    """

    def __init__(self, *lines: str | MigrateOperation) -> None:
        self.lines = lines

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows a program."""
        return ("remark", *(line for line in self.lines if isinstance(line, str)))


# Takes the operation, the operations beside it, and the dialect.
Rule = Callable[[MigrateOperation, Sequence[MigrateOperation], Dialect], Remark | None]


def remarks_on(
    operations: Sequence[MigrateOperation], dialect: Dialect, rules: Iterable[Rule]
) -> Iterator[tuple[MigrateOperation, list[Remark]]]:
    """Return each operation with the remarks on it.

    :param operations: those of one function of a revision, or those on one table.
    :param rules: from ``rules_without()``.
    """
    rules = tuple(rules)
    created = {table_of(each) for each in operations if isinstance(each, CreateTableOp)}
    for operation in operations:
        is_whole_table = isinstance(operation, CreateTableOp | DropTableOp)
        if table_of(operation) in created and not is_whole_table:
            yield operation, []  # There are no rows yet, and nobody waits.
        else:
            found = (rule(operation, operations, dialect) for rule in rules)
            yield operation, [remark for remark in found if remark is not None]


def rules_without(disabled: Iterable[str]) -> list[Rule]:
    """Return the rules but those that are switched off.

    :raises CommandError: when there is no rule of that name.
    """
    from .deployment import RULE_NAMES

    for name in disabled:
        if name not in RULE_NAMES:
            raise CommandError(
                f"Unknown rule {name!r} in remarks of [guard]. Known are: {', '.join(RULE_NAMES)}"
            )
    return [rule for name, rule in RULES.items() if name not in set(disabled)]


# Words that rules share


def blocks(what: str, table: Key) -> str:
    """Return ``blocks writes to customers`` or ``blocks reads and writes of customers``."""
    return f"blocks {what} {'to' if what == 'writes' else 'of'} {full_name(table)}"


def execute(sql: str) -> str:
    """Return the line of a revision that runs SQL."""
    quote = "'" if '"' in sql else '"'
    return f"op.execute({quote}{sql}{quote})"


def table_and_column(operation: AddColumnOp | AlterColumnOp | DropColumnOp) -> tuple[Key, str]:
    """Return the table and the column that an operation is about."""
    name = operation.column.name if isinstance(operation, AddColumnOp) else operation.column_name
    return (operation.schema, operation.table_name), str(name)


# What may be lost


def renames_column(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A column is dropped while one of the same type is added: it may be a rename."""
    if not isinstance(operation, AddColumnOp):
        return None
    table, new = table_and_column(operation)
    for other in others:
        if not isinstance(other, DropColumnOp) or table_of(other) != table:
            continue
        old = other.to_column()
        if isinstance(old.type, NullType):  # Written by hand, which need not name the type.
            old.type = other.kw.get("existing_type") or operation.column.type
        if same_kind(old.type, operation.column.type):
            return Remark(
                f"If {full_name(table)}.{old.name} is renamed to {new}, replace "
                "add_column/drop_column",
                "with the line below; in downgrade(), the reverse:",
                line_that_renames(old, new, table, dialect),
            )
    return None


def line_that_renames(
    old: Column[Any], new: str, table: Key, dialect: Dialect
) -> str | MigrateOperation:
    """Return the code that gives a column another name."""
    schema, name = table
    if databases.of(dialect.name).alter_repeats_the_definition:
        return AlterColumnOp(
            name,
            str(old.name),
            schema=schema,
            modify_name=new,
            existing_type=old.type,
            existing_nullable=old.nullable,
            existing_server_default=old.server_default,
            existing_comment=old.comment,
        )
    in_schema = f', schema="{schema}"' if schema else ""
    return f'op.alter_column("{name}", "{old.name}", new_column_name="{new}"{in_schema})'


def renames_table(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A table is dropped while one with the same columns is created: it may be a rename."""
    if not isinstance(operation, CreateTableOp):
        return None
    columns = {item.name for item in operation.columns if isinstance(item, Column)}
    for other in others:
        if not isinstance(other, DropTableOp) or other.schema != operation.schema:
            continue
        if {column.name for column in other.to_table().columns} == columns:
            schema = f', schema="{other.schema}"' if other.schema else ""
            old, new = (full_name((each.schema, each.table_name)) for each in (other, operation))
            return Remark(
                f"If {old} is renamed to {new}, replace create_table/drop_table",
                "with the line below; in downgrade(), the reverse. Then upgrade, and autogenerate "
                "again",
                "for the names of its indexes and constraints:",
                f'op.rename_table("{other.table_name}", "{operation.table_name}"{schema})',
            )
    return None


def drops_data(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Dropping a table or a column deletes data that downgrade() cannot bring back."""
    if isinstance(operation, DropTableOp):
        return Remark(f"Drops {full_name((operation.schema, operation.table_name))} and its rows.")
    if isinstance(operation, DropColumnOp):
        table, column = table_and_column(operation)
        return Remark(f"Drops {full_name(table)}.{column} and its data.")
    return None


# What may fail on rows


def not_null_without_default(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """NOT NULL without a default passes on an empty table and fails on rows."""
    if not isinstance(operation, AddColumnOp):
        return None
    table, name = table_and_column(operation)
    column = operation.column
    if column.nullable or column.server_default is not None or column.computed is not None:
        return None
    start = f"Fails if {full_name(table)} already has rows, because {name} would be NULL."
    if databases.of(dialect.name).fills_not_null_columns:
        start = f"If {full_name(table)} already has rows, their {name} becomes '' or 0."
    sql = f"UPDATE {quoted(table, dialect)} SET {quoted((None, name), dialect)} = ..."
    return Remark(
        f"{start} Instead, add it with nullable=True,",
        f"then fill it, and then alter it to nullable=False: {execute(sql)}",
    )


def not_null_on_rows(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """NOT NULL on an existing column fails on rows without a value."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_nullable is not False:
        return None
    table, name = table_and_column(operation)
    column = quoted((None, name), dialect)
    sql = f"UPDATE {quoted(table, dialect)} SET {column} = ... WHERE {column} IS NULL"
    return Remark(
        f"Fails if {full_name(table)}.{name} is NULL in a row. Fill it first:", execute(sql)
    )


def conversion_may_fail(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Not every text is a number or a time."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_type is None:
        return None
    if not databases.of(dialect.name).conversion_can_fail:
        return None
    if operation.info.get(NO_CAST):
        return way_with_a_new_column(operation, dialect)
    if not needs_conversion(operation.existing_type, operation.modify_type):
        return None
    table, column = table_and_column(operation)
    target = compiled(operation.modify_type, dialect)
    return Remark(
        f"Fails if {full_name(table)}.{column} is not a valid {target} in a row. "
        "Fix the data first."
    )


def way_with_a_new_column(operation: AlterColumnOp, dialect: Dialect) -> Remark:
    """Return what to write where the server has no cast from one type to the other."""
    table, column = table_and_column(operation)
    schema = f", schema={table[0]!r}" if table[0] else ""
    old, new = (
        compiled(each, dialect) for each in (operation.existing_type, operation.modify_type)
    )
    sql = f"UPDATE {quoted(table, dialect)} SET {quoted((None, f'new_{column}'), dialect)} = ..."
    return Remark(
        f"Fails: {dialect.name} has no cast from {old} to {new}. Instead, in both functions:",
        AddColumnOp(table[1], Column(f"new_{column}", operation.modify_type), schema=table[0]),
        execute(sql),
        f'op.drop_column("{table[1]}", "{column}"{schema})',
        f'op.alter_column("{table[1]}", "new_{column}", new_column_name="{column}"{schema})',
    )


def assumes_utc(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Times with and without a zone are converted as if those without were UTC."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_type is None:
        return None
    if not databases.of(dialect.name).using_option or operation.existing_type is None:
        return None
    zoned = [bool(getattr(each, "timezone", False)) for each in (operation.existing_type, operation.modify_type)]  # fmt: skip
    if zoned[0] == zoned[1] or not isinstance(operation.modify_type, DateTime | Date | Time):
        return None
    table, column = table_and_column(operation)
    return Remark(
        f"Takes the times of {full_name(table)}.{column} that have no zone as UTC. If they are of "
        "another",
        "one, change 'UTC' here and in downgrade().",
    )


# What may block others for long


def type_rewrites_table(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A new type rewrites each row."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_type is None:
        return None
    database = databases.of(dialect.name)
    old, new = operation.existing_type, operation.modify_type
    if not database.rewriting_blocks or (old is not None and database.keeps_storage(old, new)):
        return None
    table, column = table_and_column(operation)
    return Remark(
        f"Rewrites the table and {blocks(database.rewriting_blocks, table)}. If it is large, add",
        f"a new column, let the application write both, copy {column} in batches, and drop it when",
        "nothing uses it any more.",
    )


def not_null_scans_table(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """All rows are searched for NULL, unless a CHECK has excluded it before."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_nullable is not False:
        return None
    database = databases.of(dialect.name)
    if not database.setting_not_null_blocks:
        return None
    table, name = table_and_column(operation)
    start = f"Checking all rows {blocks(database.setting_not_null_blocks, table)}."
    if not database.not_valid_option:
        return Remark(start)
    alter = f"ALTER TABLE {quoted(table, dialect)}"
    column = quoted((None, name), dialect)
    return Remark(
        f"{start} If it is large, do this in",
        "revisions of their own before, and drop the constraint afterwards:",
        execute(f"{alter} ADD CONSTRAINT filled CHECK ({column} IS NOT NULL) NOT VALID"),
        execute(f"{alter} VALIDATE CONSTRAINT filled"),
    )


def new_column_rewrites_table(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A value that differs from row to row is written into each row at once."""
    if not isinstance(operation, AddColumnOp):
        return None
    database = databases.of(dialect.name)
    column = operation.column
    if not database.rewriting_blocks:
        return None
    numbered = column.identity is not None or column.autoincrement is True
    if not (differs_from_row_to_row(column) or numbered):
        return None
    table, _ = table_and_column(operation)
    return Remark(
        f"Rewrites the table and {blocks(database.rewriting_blocks, table)}. If it is large, add",
        "the column without that, and fill it in batches.",
    )


def differs_from_row_to_row(column: Column[Any]) -> bool:
    """Return whether a new column is stored, and other than the time of the migration."""
    if column.computed is not None:
        return column.computed.persisted is not False
    default = getattr(column.server_default, "arg", "")
    text = "" if isinstance(default, str) else str(default).lower()
    return "(" in text and not re.match(r"\(*(now|current_timestamp)\b", text)


def index_locks_writers(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Building an index blocks writes until it is done."""
    if not isinstance(operation, CreateIndexOp):
        return None
    database = databases.of(dialect.name)
    if not database.building_an_index_blocks or operation.kw.get(database.concurrent_index_option):
        return None
    table = (operation.schema, operation.table_name)
    start = f"Building this index {blocks(database.building_an_index_blocks, table)}."
    if not database.concurrent_index_option or operation.info.get(PARTITIONED):
        return Remark(start)
    return Remark(
        f"{start} If it is large, add",
        f"{database.concurrent_index_option}=True "
        "and put it into: with op.get_context().autocommit_block():",
    )


def unique_locks_table(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A unique constraint builds an index."""
    if not isinstance(operation, CreateUniqueConstraintOp):
        return None
    database = databases.of(dialect.name)
    if not database.adding_a_unique_constraint_blocks:
        return None
    table = (operation.schema, operation.table_name)
    start = f"Building its index {blocks(database.adding_a_unique_constraint_blocks, table)}."
    if not database.concurrent_index_option or operation.info.get(PARTITIONED):
        return Remark(start)
    return Remark(
        f"{start} If it is large, create",
        f"a unique index with {database.concurrent_index_option}=True first, and add the "
        "constraint USING INDEX.",
    )


def constraint_locks_table(
    operation: MigrateOperation, others: Sequence[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """All rows are checked against a new foreign key or CHECK."""
    if not isinstance(operation, CreateForeignKeyOp | CreateCheckConstraintOp):
        return None
    database = databases.of(dialect.name)
    is_key = isinstance(operation, CreateForeignKeyOp)
    blocked = database.adding_a_foreign_key_blocks if is_key else database.adding_a_check_blocks
    table = table_of(operation)
    if not blocked or table is None or operation.kw.get(database.not_valid_option):
        return None
    start = f"Checking all rows {blocks(blocked, table)}."
    if database.not_valid_option and not (is_key and operation.info.get(PARTITIONED)):
        name = quoted((None, str(operation.constraint_name)), dialect)
        return Remark(
            f"{start} If it is large, add",
            f"{database.not_valid_option}=True, and in a revision of its own:",
            execute(f"ALTER TABLE {quoted(table, dialect)} VALIDATE CONSTRAINT {name}"),
        )
    if is_key and database.unchecked_foreign_key:
        before, after = (execute(statement) for statement in database.unchecked_foreign_key)
        return Remark(
            f"{start} If it is large, put",
            f"{before} before it and",
            f"{after} after it. Existing rows are then not checked.",
        )
    if database.online_schema_change:
        return Remark(f"{start} If it is large,", f"use {database.online_schema_change}.")
    return Remark(start)


# By the name that switches it off: remarks = -index_locks_writers
RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        renames_column,
        renames_table,
        drops_data,
        not_null_without_default,
        not_null_on_rows,
        conversion_may_fail,
        assumes_utc,
        type_rewrites_table,
        not_null_scans_table,
        new_column_rewrites_table,
        index_locks_writers,
        unique_locks_table,
        constraint_locks_table,
    )
}
