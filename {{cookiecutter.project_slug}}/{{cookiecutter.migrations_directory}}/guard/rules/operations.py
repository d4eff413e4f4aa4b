"""Questions about an operation that several rules ask, and the rooms above."""

from typing import Any

from alembic.operations.ops import CreateForeignKeyOp, MigrateOperation
from sqlalchemy import Dialect, Enum, String
from sqlalchemy.types import TypeEngine

# A table: (schema, name). Two tables of one name in two schemas are different.
Key = tuple[str | None, str]

# What is noted in MigrateOperation.info: no cast leads to the new type; the table has partitions.
NO_CAST, PARTITIONED = "guard.no_cast", "guard.partitioned"


def table_of(operation: MigrateOperation) -> Key | None:
    """Return the table that an operation changes, or None for one like ``op.execute()``."""
    if isinstance(operation, CreateForeignKeyOp):
        return operation.kw.get("source_schema"), operation.source_table
    name = getattr(operation, "table_name", None)
    return None if name is None else (getattr(operation, "schema", None), name)


def full_name(table: Key) -> str:
    """Return the name of a table with its schema, as a person reads it."""
    schema, name = table
    return f"{schema}.{name}" if schema else name


def quoted(table: Key, dialect: Dialect) -> str:
    """Return the name of a table as SQL."""
    schema, name = table
    quote = dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)


def is_native_enum(type_: Any) -> bool:
    """Return whether a type is an enum that the database knows as such."""
    return isinstance(type_, Enum) and type_.native_enum


def is_another_kind(old: TypeEngine[Any] | None, new: TypeEngine[Any] | None) -> bool:
    """Return whether a change of type is more than one of length or precision."""
    if old is None or new is None:
        return False
    return not same_kind(old, new) or is_native_enum(old) or is_native_enum(new)


def same_kind(one: TypeEngine[Any], other: TypeEngine[Any]) -> bool:
    """Return whether two types hold the same kind of value: text, numbers, times."""
    return one._type_affinity is other._type_affinity


def needs_conversion(old: TypeEngine[Any] | None, new: TypeEngine[Any] | None) -> bool:
    """Return whether values of one type are converted to another that may not take them."""
    return is_another_kind(old, new) and (is_native_enum(new) or not isinstance(new, String))


def compiled(type_: Any, dialect: Dialect) -> str:
    """Return a type as the database writes it."""
    return str(type_.compile(dialect=dialect))
