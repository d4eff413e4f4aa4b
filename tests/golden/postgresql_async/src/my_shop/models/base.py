"""What all models share: names of constraints and types of columns."""

import enum
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Constraint,
    DateTime,
    Dialect,
    Enum,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase


def given_constraint_name(constraint: Constraint, table: Table) -> str:
    """Return the name that a CHECK constraint was given.

    :raises ValueError: when it has none, so that no migration could drop it again.
    """
    if isinstance(constraint.name, str):
        return constraint.name
    condition = constraint.sqltext if isinstance(constraint, CheckConstraint) else ""
    raise ValueError(
        f"A CHECK constraint of table {table.name!r} has no name: "
        f'write CheckConstraint("{condition}", name="what_it_requires").'
    )


class UTCDateTime(TypeDecorator[datetime]):
    """A point in time that is always aware, and in UTC, on every database.

    https://docs.sqlalchemy.org/en/21/core/custom_types.html#store-timezone-aware-timestamps-as-timezone-naive-utc

    :raises ValueError: when a value without time zone is to be stored.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone: use datetime.now(UTC).")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


# Databases name unnamed constraints each in its own way, and a migration can only
# drop what has a name. https://alembic.sqlalchemy.org/en/latest/naming.html
NAMING_CONVENTION: dict[str, Any] = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(given_constraint_name)s",
    "given_constraint_name": given_constraint_name,
}

COLUMN_TYPES = {
    int: BigInteger(),
    str: Text(),
    datetime: UTCDateTime(),
    # The values of an enum are stored, not the names that Python code uses for them.
    enum.Enum: Enum(enum.Enum, values_callable=lambda members: [m.value for m in members]),
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar = COLUMN_TYPES
