"""Compares the enum types of PostgreSQL with those of the models, and plans their changes.

alembic-postgresql-enum has the operations that create, change and drop them. Which types there are,
and in which order they change, is found out here: by schema and name, also inside of decorators and
arrays, and with the defaults that use a value.
https://github.com/Pogchamp-company/alembic-postgresql-enum
"""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateIndexOp,
    CreateTableOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
    OpContainer,
    UpgradeOps,
)
from alembic.util import PriorityDispatchResult
from sqlalchemy import ARRAY, Column, Connection, DefaultClause, Dialect, Enum, MetaData

from .. import databases
from ..rules.types import resolved

# A project for another database does not have it, and mypy must not look for it there.
PACKAGE = "alembic_postgresql_enum"
alembic_postgresql_enum: Any = import_module(PACKAGE)
operations_of_package: Any = import_module(f"{PACKAGE}.operations")
indexes_of_package: Any = import_module(f"{PACKAGE}.sql_commands.indexes")
from .defaults import sql_of, without_cast, written
from .ownership import is_enum_of_ours, settings
from .rendering import ChangeEnumOp, EnumColumn, literal

log = logging.getLogger("alembic.autogenerate.compare")

Name = tuple[str, str]


def prepare() -> None:
    """Let alembic-postgresql-enum compare nothing itself; its operations stay."""
    configuration = alembic_postgresql_enum.Config(
        add_type_ignore=True,
        include_name=lambda _: False,
        drop_unused_enums=False,
        detect_enum_values_changes=False,
    )
    alembic_postgresql_enum.set_configuration(configuration)


def compare(context: AutogenContext, operations: UpgradeOps) -> PriorityDispatchResult:
    """Add what creates, changes and drops enum types.

    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#fine-grained-autogenerate-generation-with-plugins
    """
    connection, dialect = context.connection, context.migration_context.dialect
    if connection is None or not databases.of(dialect.name).native_enums:
        return PriorityDispatchResult.CONTINUE
    default = dialect.default_schema_name or "public"
    target = context.migration_context.opts["target_metadata"]
    every = [target] if isinstance(target, MetaData) else list(target)
    wanted = dict(enums_of_models(every, dialect))
    found = databases.of(dialect.name).enum_types(connection)
    places = {default} | {schema for schema, _ in wanted}
    places |= {table.schema for each in every for table in each.tables.values() if table.schema}
    for schema, name in sorted(wanted.keys() - found.keys(), reverse=True):
        values = wanted[schema, name]
        log.info("Detected added enum type %r with values %s", name, ", ".join(values))
        operations.ops.insert(
            0, operations_of_package.CreateEnumOp(schema=schema, name=name, enum_values=values)
        )
    for schema, name in sorted(found.keys() - wanted.keys()):
        if schema in places and is_enum_of_ours(None if schema == default else schema, name):
            log.info("Detected removed enum type %r", name)
            values = found[schema, name]
            operations.ops.append(
                operations_of_package.DropEnumOp(schema=schema, name=name, enum_values=values)
            )
    for key in sorted(wanted.keys() & found.keys()):
        if list(found[key]) != list(wanted[key]):
            log.info(
                "Detected changed values of enum type %r: %s, now %s",
                key[1],
                ", ".join(found[key]),
                ", ".join(wanted[key]),
            )
            operations.ops.append(change_of(key, found[key], wanted[key], connection, every))
    return PriorityDispatchResult.CONTINUE


def enums_of_models(every: list[MetaData], dialect: Dialect) -> Iterator[tuple[Name, list[str]]]:
    """Return schema, name and values of the enum types that columns of models have."""
    for column in columns_of(every):
        type_, _ = enum_of(column, dialect)
        if type_ is not None:
            yield name_of(type_, dialect), list(type_.enums)


def columns_of(every: list[MetaData]) -> Iterator[Column[Any]]:
    """Return the columns of all models that are tables of ours."""
    for each in every:
        for table in each.tables.values():
            is_view = bool(table.info.get("is_view"))
            if not is_view and not settings().is_external(table.name, table.schema):
                yield from table.columns


def enum_of(column: Column[Any], dialect: Dialect) -> tuple[Enum | None, bool]:
    """Return the enum type of a column, and whether the column is an array of it."""
    type_ = resolved(column.type, dialect)
    is_array = isinstance(type_, ARRAY)
    inner = type_.item_type if isinstance(type_, ARRAY) else type_
    if isinstance(inner, Enum) and inner.native_enum and inner.name:
        return inner, is_array
    return None, False


def name_of(type_: Enum, dialect: Dialect) -> Name:
    """Return schema and name of an enum type."""
    return type_.schema or dialect.default_schema_name or "public", str(type_.name)


def change_of(
    key: Name,
    old: list[str],
    new: list[str],
    connection: Connection,
    every: list[MetaData],
) -> ChangeEnumOp:
    """Return the change of a type's values, with the columns that it has to take along."""
    dialect = connection.dialect
    default_schema = dialect.default_schema_name or "public"
    stored = {
        (schema, table, name): (is_array, default)
        for schema, table, name, is_array, default in databases.of(dialect.name).columns_of_enum(
            connection, *key
        )
    }
    models, of_type = {}, {}
    for column in columns_of(every):
        place = (column.table.schema or default_schema, column.table.name, column.name)
        models[place] = column
        type_, is_array = enum_of(column, dialect)
        if type_ is not None and name_of(type_, dialect) == key:
            of_type[place] = is_array
    up, down = [], []
    tables = {(schema, table) for schema, table, _ in models}
    for place, (is_array, default) in stored.items():
        after = default
        if place in of_type:
            after = default_of(models[place], key, is_array, dialect)
        elif place in models:
            after = None  # It gets another type, and with it another default.
        up.append(EnumColumn(*place, is_array, after, default is not None))
        if place not in of_type and place[:2] not in tables:
            down.append(EnumColumn(*place, is_array, default, default is not None))
    for place, is_array in of_type.items():
        # What the revision adds is dropped again.
        _, default = stored.get(place, (is_array, None))
        had_default = models[place].server_default is not None
        down.append(EnumColumn(*place, is_array, default, had_default))
    indexes = {
        index.name: index.definition
        for index in indexes_of_package.get_dependent_indexes(connection, *key)
    }
    columns = (sorted(up, key=place_of), sorted(down, key=place_of))
    return ChangeEnumOp(*key, (old, new), columns, indexes, default_schema)


def place_of(column: EnumColumn) -> tuple[str, str, str]:
    """Return where a column is, by which columns are sorted."""
    return column.schema, column.table, column.name


def default_of(column: Column[Any], key: Name, is_array: bool, dialect: Dialect) -> str | None:
    """Return the default of a model's column as SQL, with the cast that the operation expects."""
    if not isinstance(column.server_default, DefaultClause):
        return None
    sql = without_cast(written(column.server_default, dialect))
    schema, name = key
    quote = dialect.identifier_preparer.quote
    return f"{sql}::{quote(schema)}.{quote(name)}{'[]' if is_array else ''}"


def put_first(operations: OpContainer, dialect: Dialect) -> None:
    """Change the values of enum types before anything uses them, also when that is reverted.

    What goes with its rows goes before that: a value that only it has is no obstacle.
    """
    changes = [item for item in operations.ops if isinstance(item, ChangeEnumOp)]
    others = [item for item in operations.ops if not isinstance(item, ChangeEnumOp)]
    default = dialect.default_schema_name or "public"
    leaving: list[MigrateOperation] = []
    indexes = {
        f"{item.schema or default}.{item.index_name}"
        for item in flat(operations)
        if isinstance(item, CreateIndexOp | DropIndexOp)
    }
    created = {
        (item.schema or default, item.table_name)
        for item in operations.ops
        if isinstance(item, CreateTableOp)
    }
    for change in changes:
        change.used = any(uses(item, change, dialect) for item in flat(operations))
        if not change.only_adds:
            # What comes later is not there yet.
            kept = {
                column: True
                for column in change.columns
                if (column.schema, column.table) not in created
            }
            for item in list(others):
                leaving += dropped_from(item, others, kept, default)
            change.columns = [column for column, stays in kept.items() if stays]
            tables = {
                f"{item.schema or default}.{item.table_name}"
                for item in leaving
                if isinstance(item, DropTableOp)
            }
            change.indexes = {
                name: sql
                for name, sql in change.indexes.items()
                if name not in indexes and not any(f" ON {table} " in sql for table in tables)
            }
    operations.ops[:] = [*leaving, *changes, *others]


def dropped_from(
    item: MigrateOperation,
    operations: list[MigrateOperation],
    columns: dict[EnumColumn, bool],
    default_schema: str,
) -> list[MigrateOperation]:
    """Take what drops columns of an enum type out of the operations, and return it.

    :param columns: those of the type; what is dropped becomes False.
    """
    if not isinstance(item, DropTableOp | ModifyTableOps):
        return []
    table = (item.schema or default_schema, item.table_name)
    found = {column.name: column for column in columns if place_of(column)[:2] == table}
    if isinstance(item, DropTableOp):
        if found:
            operations.remove(item)
            columns.update(dict.fromkeys(found.values(), False))
        return [item] if found else []
    drops = (DropIndexOp, DropConstraintOp, DropColumnOp)
    names = {part.column_name for part in item.ops if isinstance(part, DropColumnOp)} & set(found)
    removed = [
        part
        for part in item.ops
        if isinstance(part, drops)
        and not (isinstance(part, DropColumnOp) and part.column_name not in names)
    ]
    if not found or not removed:
        return []
    columns.update({found[name]: False for name in names})
    item.ops[:] = [part for part in item.ops if part not in removed]
    if not item.ops:
        operations.remove(item)
    return [ModifyTableOps(item.table_name, removed, schema=item.schema)]


def flat(operations: OpContainer) -> Iterator[MigrateOperation]:
    """Return all operations, also those inside of others."""
    for item in operations.ops:
        if isinstance(item, OpContainer):
            yield from flat(item)
        else:
            yield item


def uses(operation: MigrateOperation, change: ChangeEnumOp, dialect: Dialect) -> bool:
    """Return whether an operation names a new value, which then has to be committed before."""
    words = [rf"(?<!\w){re.escape(inside(value))}(?!\w)" for value in change.added]
    return any(re.search(word, sql) for word in words for sql in sql_in(operation, dialect))


def inside(value: str) -> str:
    """Return a value as it stands between quotes in SQL."""
    return literal(value)[1:-1]


def sql_in(operation: MigrateOperation, dialect: Dialect) -> Iterator[str]:
    """Return the expressions of an operation as SQL: defaults, conditions, checks."""
    found: list[Any] = []
    if isinstance(operation, AlterColumnOp):
        found.append(operation.modify_server_default)
    elif isinstance(operation, AddColumnOp):
        found.append(operation.column.server_default)
    elif isinstance(operation, CreateTableOp):
        for item in operation.columns:
            found.append(item.server_default if isinstance(item, Column) else item)
    elif isinstance(operation, CreateIndexOp):
        found += [*operation.columns, *operation.kw.values()]
    elif isinstance(operation, CreateCheckConstraintOp):
        found.append(operation.condition)
    for each in found:
        if isinstance(each, DefaultClause):
            yield written(each, dialect)
            continue
        each = getattr(each, "sqltext", each)
        with suppress(Exception):  # Not everything here is an expression.
            yield each if isinstance(each, str) else sql_of(each, dialect)
