"""What only a person can decide: the comments that autogenerate puts into a revision.

One rule, one function: who disagrees with a rule deletes it, and its name in RULES below.
What locks a table is from the manuals:

https://www.postgresql.org/docs/current/sql-altertable.html
https://mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-online-ddl
"""

import logging
import re
from typing import Any

from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import renderers
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
    ModifyTableOps,
    OpContainer,
    UpgradeOps,
)
from sqlalchemy import Column, Dialect, Enum, Float, Numeric, String
from sqlalchemy.types import TypeEngine

log = logging.getLogger("alembic.autogenerate.compare")

MYSQL = ("mysql", "mariadb")


class Remark(MigrateOperation):
    """A comment in the revision, also said on the terminal.

    :param lines: text, or an operation that is to be shown as code.
    """

    def __init__(self, *lines: str | MigrateOperation) -> None:
        self.lines = lines


@renderers.dispatch_for(Remark)
def write_remark(context: AutogenContext, remark: Remark) -> list[str]:
    lines = [
        line if isinstance(line, str) else re.sub(r",\n\s+", ", ", render_op_text(context, line))
        for line in remark.lines
    ]
    log.warning("%s", " ".join(lines))
    return [f"# {line}" for line in lines]


def remark_on(upgrade_ops: UpgradeOps, dialect: Dialect) -> None:
    """Put remarks before each operation that can lose data, fail on rows, or lock for long."""
    made_here = {item.table_name for item in upgrade_ops.ops if isinstance(item, CreateTableOp)}
    for container in [upgrade_ops, *upgrade_ops.ops]:
        if not isinstance(container, OpContainer):
            continue
        if isinstance(container, ModifyTableOps) and container.table_name in made_here:
            continue
        others = list(container.ops)
        container.ops[:] = [
            item
            for operation in others
            for item in (*(rule(operation, others, dialect) for rule in RULES), operation)
            if item is not None
        ]


# What may be lost


def column_that_may_be_renamed(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A column that goes while one of the same type comes may only have a new name."""
    if not isinstance(operation, AddColumnOp):
        return None
    new = operation.column
    for other in others:
        if isinstance(other, DropColumnOp) and same_type(old := other.to_column(), new):
            table, schema = operation.table_name, operation.schema
            ready: str | MigrateOperation = (
                f'op.alter_column("{table}", "{old.name}", new_column_name="{new.name}"'
                + (f', schema="{schema}")' if schema else ")")
            )
            if dialect.name in MYSQL:  # It forgets what is not said again.
                ready = AlterColumnOp(
                    table,
                    str(old.name),
                    schema=schema,
                    modify_name=new.name,
                    existing_type=old.type,
                    existing_nullable=old.nullable,
                    existing_server_default=old.server_default,
                    existing_comment=old.comment,
                )
            return Remark(
                f"If {table}.{old.name} is only renamed to {new.name}, keep its data: "
                "put this in the",
                "place of adding and dropping, and the reverse into downgrade():",
                ready,
            )
    return None


def same_type(one: Column[Any], other: Column[Any]) -> bool:
    return bool(one.type._type_affinity is other.type._type_affinity)


def table_that_may_be_renamed(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A table that goes while one with the same columns comes may only have a new name."""
    if not isinstance(operation, CreateTableOp):
        return None
    columns = {item.name for item in operation.columns if isinstance(item, Column)}
    for other in others:
        if not isinstance(other, DropTableOp) or other.schema != operation.schema:
            continue
        if {column.name for column in other.to_table().columns} == columns:
            schema = f', schema="{other.schema}"' if other.schema else ""
            return Remark(
                f"If {other.table_name} is only renamed to {operation.table_name}, keep its rows: "
                "put this in the place of",
                "creating and dropping, and the reverse into downgrade(). Then upgrade, and "
                "autogenerate",
                "once more for the names of its indexes and constraints.",
                f'op.rename_table("{other.table_name}", "{operation.table_name}"{schema})',
            )
    return None


def data_that_is_lost(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Dropping a table or a column deletes data that downgrade() cannot bring back."""
    if isinstance(operation, DropTableOp):
        return Remark(f"This deletes table {operation.table_name} with all its rows.")
    if isinstance(operation, DropColumnOp):
        return Remark(
            f"This deletes all that is stored in {operation.table_name}.{operation.column_name}."
        )
    return None


# What may fail on rows


def new_column_that_rows_cannot_fill(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """NOT NULL without a default passes on an empty table and fails on rows."""
    if not isinstance(operation, AddColumnOp):
        return None
    table, column = operation.table_name, operation.column
    if column.nullable or column.server_default is not None or column.computed is not None:
        return None
    start = f"This fails where {table} has rows, which have no {column.name}"
    if dialect.name in MYSQL:
        start = f"This puts an empty value or a zero into {column.name} where {table} has rows"
    return Remark(
        f"{start}: add it with nullable=True, fill it with",
        f'op.execute("UPDATE {table} SET {column.name} = ..."),',
        "and only then alter it to nullable=False.",
    )


def column_that_may_hold_null(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """NOT NULL on an existing column fails on rows without a value."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_nullable is not False:
        return None
    table, column = operation.table_name, operation.column_name
    return Remark(
        f"This fails where {table}.{column} is NULL. Fill it before:",
        f'op.execute("UPDATE {table} SET {column} = ... WHERE {column} IS NULL")',
    )


def value_that_cannot_be_converted(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Not every text is a number or a time."""
    if not isinstance(operation, AlterColumnOp) or dialect.name == "sqlite":
        return None
    if not needs_conversion(operation.existing_type, operation.modify_type):
        return None
    table, column = operation.table_name, operation.column_name
    target = written(operation.modify_type, dialect)
    return Remark(f"This fails where {table}.{column} is not a valid {target}. Mend it before.")


def needs_conversion(old: TypeEngine[Any] | None, new: TypeEngine[Any] | None) -> bool:
    """Return whether values of one type are converted to another that may not take them."""
    return is_another_kind(old, new) and (is_native_enum(new) or not isinstance(new, String))


def is_another_kind(old: TypeEngine[Any] | None, new: TypeEngine[Any] | None) -> bool:
    """Return whether a change of type is more than one of length or precision."""
    if old is None or new is None:
        return False
    affinity = old._type_affinity is not new._type_affinity
    return affinity or is_native_enum(old) or is_native_enum(new)


def written(type_: Any, dialect: Dialect) -> str:
    """Return a type as the database writes it."""
    return str(type_.compile(dialect=dialect))


def is_native_enum(type_: Any) -> bool:
    return isinstance(type_, Enum) and type_.native_enum


# What may lock others out for long


def type_that_rewrites_the_table(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A new type writes each row anew; on PostgreSQL even readers wait."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_type is None:
        return None
    stays = stays_as_it_is_stored(operation.existing_type, operation.modify_type, dialect)
    if stays or dialect.name == "sqlite":
        return None
    table, column = operation.table_name, operation.column_name
    verb = "read or write" if dialect.name == "postgresql" else "write to"
    return Remark(
        f"While each row is written anew, nobody can {verb} {table}. If it is large, add a new",
        f"column, let the application fill both, copy {column} in steps, and drop it when nobody",
        "uses it any more.",
    )


def stays_as_it_is_stored(old: Any, new: Any, dialect: Dialect) -> bool:
    """Return whether a change of type only allows longer text or more digits."""
    mysql = dialect.name in MYSQL
    if is_native_enum(old) and is_native_enum(new):
        return mysql and bool(new.enums[: len(old.enums)] == old.enums)
    if is_native_enum(old) or is_native_enum(new):
        return False
    if isinstance(old, String) and isinstance(new, String):
        if mysql:  # Up to 63 characters of 4 bytes, the length is stored in one byte.
            lengths = old.length or 0, new.length or 0
            return 0 < lengths[0] <= lengths[1] and not lengths[0] < 64 <= lengths[1]
        return new.length is None or (old.length or new.length + 1) <= new.length
    if isinstance(old, Numeric) and isinstance(new, Numeric):
        if mysql or isinstance(old, Float) or isinstance(new, Float):
            return False
        return new.precision is None or (
            old.scale == new.scale and (old.precision or new.precision + 1) <= new.precision
        )
    return False


def not_null_that_locks_others_out(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """PostgreSQL looks for NULL in all rows, unless a CHECK has promised that there is none."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_nullable is not False:
        return None
    if dialect.name != "postgresql":
        return None
    table, column = operation.table_name, operation.column_name
    return Remark(
        f"While this looks at the rows, nobody can read or write {table}. If it is large, do in",
        "revisions of their own before, and drop the constraint afterwards:",
        f'op.execute("ALTER TABLE {table} ADD CONSTRAINT filled CHECK ({column} IS NOT NULL) '
        'NOT VALID")',
        f'op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT filled")',
    )


def new_column_that_rewrites_the_table(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A value that each row computes for itself is written into each row at once."""
    if not isinstance(operation, AddColumnOp) or dialect.name == "sqlite":
        return None
    table, column = operation.table_name, operation.column
    if not (is_computed_for_each_row(column) or column.identity is not None):
        return None
    verb = "read or write" if dialect.name == "postgresql" else "write to"
    return Remark(
        f"While each row gets its {column.name}, nobody can {verb} {table}. If it is large, add",
        "the column without that, and fill it in steps.",
    )


def is_computed_for_each_row(column: Column[Any]) -> bool:
    """Return whether a new column is stored, and other than the time of the migration."""
    if column.computed is not None:
        return column.computed.persisted is not False
    default = getattr(column.server_default, "arg", "")
    text = "" if isinstance(default, str) else str(default).lower()
    return "(" in text and not re.match(r"\(*(now|current_timestamp)\b", text)


def index_that_locks_writers_out(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Building an index on PostgreSQL keeps everybody from writing until it is done."""
    if not isinstance(operation, CreateIndexOp) or dialect.name != "postgresql":
        return None
    return Remark(
        f"While this is built, nobody can write to {operation.table_name}. If it is large, add",
        "postgresql_concurrently=True and put it into: with op.get_context().autocommit_block():",
    )


def unique_constraint_that_locks_others_out(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A unique constraint on PostgreSQL builds an index while even readers wait."""
    if not isinstance(operation, CreateUniqueConstraintOp) or dialect.name != "postgresql":
        return None
    return Remark(
        f"While this is built, nobody can read or write {operation.table_name}. If it is large, "
        "make a unique",
        "index with postgresql_concurrently=True first, and add the constraint USING INDEX.",
    )


def constraint_that_locks_others_out(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A foreign key or a CHECK is compared with all rows while others wait."""
    if not isinstance(operation, CreateForeignKeyOp | CreateCheckConstraintOp):
        return None
    is_key = isinstance(operation, CreateForeignKeyOp)
    table = operation.source_table if is_key else operation.table_name  # type: ignore[union-attr]
    verb = "write to" if is_key or dialect.name != "postgresql" else "read or write"
    start = f"While this looks at the rows, nobody can {verb} {table}. If it is large,"
    if dialect.name == "postgresql":
        return Remark(
            f"{start} add",
            "postgresql_not_valid=True, and in a revision of its own",
            f'op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT {operation.constraint_name}")',
        )
    if dialect.name in MYSQL and is_key:
        return Remark(
            f"{start} say before it",
            'op.execute("SET foreign_key_checks = 0") and afterwards '
            'op.execute("SET foreign_key_checks = 1"),',
            "which leaves rows unchecked that are there already.",
        )
    if dialect.name in MYSQL:
        return Remark(f"{start} use", "gh-ost or pt-online-schema-change.")
    return None


RULES = (
    column_that_may_be_renamed,
    table_that_may_be_renamed,
    data_that_is_lost,
    new_column_that_rows_cannot_fill,
    column_that_may_hold_null,
    value_that_cannot_be_converted,
    type_that_rewrites_the_table,
    not_null_that_locks_others_out,
    new_column_that_rewrites_the_table,
    index_that_locks_writers_out,
    unique_constraint_that_locks_others_out,
    constraint_that_locks_others_out,
)
