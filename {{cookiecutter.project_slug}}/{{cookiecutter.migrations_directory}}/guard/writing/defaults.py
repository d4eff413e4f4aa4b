"""Compares server defaults by what they mean, as each database writes them in its own way."""

import logging
import re
from decimal import Decimal
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.util import PriorityDispatchResult
from sqlalchemy import (
    Column,
    Computed,
    Connection,
    DefaultClause,
    Dialect,
    Identity,
    Integer,
    MetaData,
    Numeric,
    Table,
    inspect,
    literal_column,
    text,
)
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

from .. import databases

log = logging.getLogger("alembic.autogenerate.compare")


def compare_default(
    context: AutogenContext,
    operation: AlterColumnOp,
    schema: str | None,
    table_name: str,
    column_name: str,
    database_column: Column[Any],
    model_column: Column[Any],
) -> PriorityDispatchResult:
    """Compare the server default of a column with that of its model.

    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#fine-grained-autogenerate-generation-with-plugins
    """
    dialect = context.migration_context.dialect
    in_database, in_model = database_column.server_default, model_column.server_default
    if isinstance(in_model, Identity) and not dialect.supports_identity_columns:
        return PriorityDispatchResult.STOP  # Rows are numbered without IDENTITY there.
    if model_column.table.autoincrement_column is model_column or not all(
        default is None or isinstance(default, DefaultClause) for default in (in_database, in_model)
    ):
        return PriorityDispatchResult.CONTINUE
    is_number = isinstance(model_column.type, Integer | Numeric)
    if meaning(in_database, dialect, is_number) == meaning(in_model, dialect, is_number):
        return PriorityDispatchResult.STOP
    if in_database is not None and in_model is not None and context.connection is not None:
        # The server rewrites what it is given; what it was given is not known any more.
        columns = [
            (column.type, column.server_default) for column in (database_column, model_column)
        ]
        found = [as_stored(context.connection, *column) for column in columns]
        if None not in found and len({meaning(each, dialect, is_number) for each in found}) == 1:
            return PriorityDispatchResult.STOP
    operation.modify_server_default = in_model
    name = f"{schema}.{table_name}.{column_name}" if schema else f"{table_name}.{column_name}"
    log.info("Detected server default on column '%s'", name)
    return PriorityDispatchResult.STOP


PROBE = "guard_probe"


def as_stored(connection: Connection, type_: TypeEngine[Any], default: Any) -> Any:
    """Return a default as the server stores it: in a temporary table, never evaluated.

    :return: None when the server does not take it.
    """
    column = stored_column(connection, type_, default)
    found = None if column is None else column["default"]
    return None if found is None else DefaultClause(text(with_colons(found)))


def stored_column(
    connection: Connection, type_: TypeEngine[Any], default: Any
) -> ReflectedColumn | None:
    """Return what the server makes of a column, as it is reflected.

    :return: None when the server does not take it.
    """
    dialect = connection.dialect
    probe = Table(PROBE, MetaData(), Column("value", type_), prefixes=["TEMPORARY"])
    probe.columns.value.server_default = default
    # Without those, SQLAlchemy would create an enum type for the table.
    create = CreateTable(probe)
    drop = text(f"DROP {databases.of(dialect.name).temporary} TABLE {PROBE}")
    try:
        with connection.begin_nested() as savepoint:
            connection.execute(create)
            (column,) = inspect(connection).get_columns(PROBE)
            whole = databases.of(dialect.name).declared_defaults(connection, None, PROBE)
            column["default"] = whole.get("value", column["default"])
            connection.execute(drop)
            savepoint.rollback()
    except SQLAlchemyError:
        return None  # It cannot be a default there, or the account may not create tables.
    return column


# Where SQLAlchemy takes a colon in a text for a parameter.
PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))")


def with_colons(sql: str) -> str:
    """Return SQL for ``sa.text()``, with its colons escaped that are no parameters.

    https://docs.sqlalchemy.org/en/21/core/sqlelement.html#sqlalchemy.sql.expression.text
    """
    return PARAMETER.sub(r"\\:", sql)


def without_escapes(clause: TextClause) -> str:
    """Return the SQL that a text stands for."""
    return clause.text.replace("\\:", ":")


def written(default: Any, dialect: Dialect) -> str:
    """Return a server default as SQL."""
    if isinstance(default.arg, str):
        return "'" + default.arg.replace("'", "''") + "'"
    return sql_of(default.arg, dialect)


def sql_of(expression: Any, dialect: Dialect) -> str:
    """Return an expression as SQL, as the database gets it: drivers want each % twice."""
    if isinstance(expression, TextClause) and not has_values(expression):
        return without_escapes(expression)
    options = {"literal_binds": True, "include_table": False}
    sql = str(expression.compile(dialect=dialect, compile_kwargs=options))
    return sql.replace("%%", "%") if doubles_percent(dialect) else sql


def doubles_percent(dialect: Dialect) -> bool:
    """Return whether a compiled statement has each % twice, as the driver wants it."""
    return str(literal_column("'%'").compile(dialect=dialect)) == "'%%'"


def has_values(clause: TextClause) -> bool:
    """Return whether a text has parameters, and their values: ``text(":x").bindparams(x=1)``."""
    return any(bind.value is not None or bind.callable for bind in clause._bindparams.values())


def render_default(default: Any, context: AutogenContext) -> str | None:
    """Return the code of a default, or None where Alembic writes the same.

    Alembic writes each % of it twice, and a colon so that it becomes a parameter.
    """
    dialect = context.migration_context.dialect
    expression = getattr(default, "arg", None)
    prefix = context.opts["sqlalchemy_module_prefix"] or ""
    if isinstance(default, Computed) and dialect is not None:
        if not re.search("[%:]", sql := sql_of(default.sqltext, dialect)):
            return None
        return f"{prefix}Computed({with_colons(sql)!r}, persisted={default.persisted})"
    if not isinstance(default, DefaultClause) or isinstance(expression, str) or dialect is None:
        return None
    if not re.search("[%:]", sql := sql_of(expression, dialect)):
        return None
    if databases.of(dialect.name).default_needs_parentheses(sql):
        sql = f"({sql})"
    return f"{prefix}text({with_colons(sql)!r})"


def meaning(default: Any, dialect: Dialect, is_number: bool) -> str | Decimal | None:
    """Return a server default in a form that is the same for most ways to write it."""
    if default is None:
        return None
    sql = without_cast(written(default, dialect))
    if literal := re.fullmatch(r"'((?:[^'\\]|''|\\.)*)'", sql, re.DOTALL):
        if isinstance(default.arg, str):
            sql = literal[1].replace("''", "'")
        else:
            sql = databases.of(dialect.name).unescaped(literal[1])
    else:
        sql = re.sub(r"\b(now|current_timestamp)(\(\))?(?!\w)", "current_timestamp", sql.lower())
        sql = {"true": "1", "false": "0"}.get(sql, sql)
    if is_number and re.fullmatch(r"-?\d+(\.\d+)?", sql):
        return Decimal(sql)
    return sql


def without_cast(sql: str) -> str:
    """Return a default without the parentheses and the cast that databases put around it."""
    before = None
    while sql != before:
        before = sql
        sql = re.sub(r"(?<=['\w)])::[\w\s\[\]\"(),.]+$", "", sql.strip())
        if re.fullmatch(r"\((?:[^()]|\([^()]*\))*\)", sql):
            sql = sql[1:-1]
    return sql
