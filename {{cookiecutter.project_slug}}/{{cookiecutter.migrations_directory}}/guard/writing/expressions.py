"""Writes conditions as they are: Alembic writes each % twice, and lets a colon be a parameter."""

import re
from typing import Any

from alembic.operations.ops import (
    CreateCheckConstraintOp,
    CreateIndexOp,
    CreateTableOp,
    MigrateOperation,
)
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, ColumnElement, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ClauseElement

from .defaults import sql_of, with_colons


class Exactly(ColumnElement[Any]):
    """SQL that is compiled as it is, with nothing doubled or replaced."""

    inherit_cache = False

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def self_group(self, against: Any = None) -> "Exactly":
        """Return itself: it has its parentheses."""
        return self


@compiles(Exactly)
def compile_exactly(element: Exactly, compiler: Any, **_: Any) -> str:
    """Return the SQL: https://docs.sqlalchemy.org/en/21/core/compiler.html"""
    return element.sql


def exactly(expression: Any, dialect: Dialect, text: bool = True) -> Any:
    """Return an expression that Alembic writes as it is.

    :param text: whether it is written as ``sa.text()``, where a colon may be a parameter.
    """
    if not isinstance(expression, ClauseElement):
        return expression
    sql = sql_of(expression, dialect)
    if not re.search("[%:]", sql):
        return expression
    return Exactly(with_colons(sql) if text else sql)


def write_exactly(context: MigrationContext, operation: MigrateOperation) -> None:
    """Let the conditions of an operation be written as they are.

    What belongs to the models is replaced, and not changed.
    """
    dialect = context.dialect
    if isinstance(operation, CreateTableOp):
        operation.columns = [
            check(item, dialect) if type(item) is CheckConstraint else item
            for item in operation.columns
        ]
    elif isinstance(operation, CreateCheckConstraintOp):
        operation.condition = exactly(operation.condition, dialect)
    elif isinstance(operation, CreateIndexOp):
        operation.kw = {name: exactly(value, dialect) for name, value in operation.kw.items()}


def check(constraint: CheckConstraint, dialect: Dialect) -> CheckConstraint:
    """Return a CHECK whose condition is written as it is; that of a type stays."""
    if constraint._type_bound:
        return constraint
    condition = exactly(constraint.sqltext, dialect)
    if condition is constraint.sqltext:
        return constraint
    return CheckConstraint(
        condition,
        name=constraint.name,
        deferrable=constraint.deferrable,
        initially=constraint.initially,
        info=constraint.info,
        **constraint.dialect_kwargs,
    )
