"""Compares server defaults by what they mean, as each database writes them in its own way."""

import logging
import re
from decimal import Decimal
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.util import PriorityDispatchResult
from sqlalchemy import Column, DefaultClause, Dialect, Identity, Integer, Numeric
from sqlalchemy.sql.elements import TextClause

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
        # The server knows more ways to write the same.
        sql = [written(default, dialect) for default in (in_database, in_model)]
        if databases.of(dialect.name).equal_defaults(context.connection, *sql):
            return PriorityDispatchResult.STOP
    operation.modify_server_default = in_model
    name = f"{schema}.{table_name}.{column_name}" if schema else f"{table_name}.{column_name}"
    log.info("Detected server default on column '%s'", name)
    return PriorityDispatchResult.STOP


def written(default: Any, dialect: Dialect) -> str:
    """Return a server default as SQL."""
    if isinstance(default.arg, str):
        return "'" + default.arg.replace("'", "''") + "'"
    if isinstance(default.arg, TextClause):
        return default.arg.text
    return str(default.arg.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def meaning(default: Any, dialect: Dialect, is_number: bool) -> str | Decimal | None:
    """Return a server default in a form that is the same for most ways to write it."""
    if default is None:
        return None
    text = without_cast(written(default, dialect))
    if literal := re.fullmatch(r"'((?:[^'\\]|''|\\.)*)'", text, re.DOTALL):
        if isinstance(default.arg, str):
            text = literal[1].replace("''", "'")
        else:
            text = databases.of(dialect.name).unescaped(literal[1])
    else:
        text = re.sub(r"\b(now|current_timestamp)(\(\))?(?!\w)", "current_timestamp", text.lower())
        text = {"true": "1", "false": "0"}.get(text, text)
    if is_number and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return Decimal(text)
    return text


def without_cast(text: str) -> str:
    """Return a default without the parentheses and the cast that databases put around it."""
    before = None
    while text != before:
        before = text
        text = re.sub(r"(?<=['\w)])::[\w\s\[\]\"(),.]+$", "", text.strip())
        if re.fullmatch(r"\((?:[^()]|\([^()]*\))*\)", text):
            text = text[1:-1]
    return text
