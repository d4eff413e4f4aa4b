"""What autogenerate compares, and what it leaves alone.

One rule, one function: who disagrees with a rule deletes it, and its name where it is used.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html
"""

import logging
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import alembic_postgresql_enum
from alembic import context as alembic_context
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.script import ScriptDirectory
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, DefaultClause, Dialect, Identity, Integer, MetaData, Numeric
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

log = logging.getLogger("alembic.autogenerate.compare")
rules = Plugin("migrations.comparison")


def refuse_a_second_base(metadata: MetaData) -> None:
    """The tables of another DeclarativeBase would be overlooked without a word.

    :raises CommandError: when a module beside that of the first one has one.
    """
    bases = DeclarativeBase.__subclasses__()
    known = [base for base in bases if base.metadata is metadata]
    packages = {base.__module__.rpartition(".")[0] for base in known}
    for base in bases:
        if base not in known and any(
            f"{base.__module__}.".startswith(f"{package}.") for package in packages
        ):
            raise CommandError(
                f"{base.__name__} in {base.__module__} is a second DeclarativeBase, whose tables "
                "no migration would make: derive its models from Base instead."
            )


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Return whether a table, column or constraint takes part in the comparison."""
    if kind == "table" and not reflected:
        return not is_view(item)
    if kind == "table" and compare_to is None:
        return is_our_own("table", item.name)
    if kind == "column" and reflected and compare_to is None:
        return is_our_own("column", item.table.name, item.name)
    if kind == "check_constraint" and not reflected and compare_to is None:
        return not comes_with_its_type(item)
    return True


def is_view(table: Any) -> bool:
    """A model of a view, marked with ``info={"is_view": True}``, is not a table to create."""
    return bool(table.info.get("is_view"))


def comes_with_its_type(constraint: Any) -> bool:
    """The CHECK of a Boolean or an Enum is made with its column, where the database needs it."""
    return bool(constraint._type_bound)


def is_our_own(kind: str, *names: str) -> bool:
    """What no revision has made belongs to somebody else, and is not dropped."""
    if (kind, *names) in made_by_revisions(alembic_context.script):
        return True
    log.info("Left alone %s %r, which no revision has made", kind, ".".join(names))
    return False


@lru_cache(maxsize=1)
def made_by_revisions(script: ScriptDirectory) -> set[tuple[str, ...]]:
    """Return ``("table", name)``, ``("column", table, name)`` and ``("enum", name)`` for all
    that stands in the revision files, which are read once for each command.
    """
    made: set[tuple[str, ...]] = set()
    table = ""
    for folder in script.version_locations or [str(Path(script.dir, "versions"))]:
        for path in sorted(Path(folder).rglob("*.py")):
            for found in MAKING.finditer(path.read_text(encoding="utf-8")):
                if found["operation"]:
                    table = found["table"]
                if found["operation"] == "create_table":
                    made.add(("table", table))
                elif found["operation"] == "rename_table":
                    columns = [item[2] for item in made if item[:2] == ("column", table)]
                    made.add(("table", found["new_table"]))
                    made.update(("column", found["new_table"], column) for column in columns)
                elif found["column"]:
                    made.add(("column", table, found["column"]))
                elif found["name"]:
                    made.add(("enum", found["name"]))
    return made


MAKING = re.compile(
    r"""
    \bop\.(?P<operation>create_table|add_column|alter_column|batch_alter_table|rename_table)
        \(\s*["'](?P<table>[^"']+)["'] (?:,\s*["'](?P<new_table>[^"']+)["'])?
    | (?:\bColumn\(\s*|\bnew_column_name=)["'](?P<column>[^"']+)["']
    | \bname=["'](?P<name>[^"']+)["']
    """,
    re.VERBOSE,
)


def is_enum_of_ours(name: str) -> bool:
    """An enum type that no model and no revision names belongs to somebody else."""
    tables = alembic_context.get_context().opts["target_metadata"].tables.values()
    types = [column.type for table in tables for column in table.columns]
    types = [getattr(each, "item_type", each) for each in types]  # Of an ARRAY, too.
    return any(getattr(each, "name", None) == name for each in types) or is_our_own("enum", name)


# It creates, alters and drops enum types, which Alembic itself overlooks.
# https://github.com/Pogchamp-company/alembic-postgresql-enum
alembic_postgresql_enum.set_configuration(
    alembic_postgresql_enum.Config(add_type_ignore=True, include_name=is_enum_of_ours)
)


def compare_type(
    context: MigrationContext,
    database_column: Column[Any],
    model_column: Column[Any],
    database_type: TypeEngine[Any],
    model_type: TypeEngine[Any],
) -> bool | None:
    """Take a type for unchanged when MySQL calls it by another name: FLOAT(53) is DOUBLE."""
    name = model_type.compile(dialect=context.dialect)
    precision = re.fullmatch(r"FLOAT\((\d+)\)", name)
    if context.dialect.name in ("mysql", "mariadb") and precision and int(precision[1]) > 24:
        return "DOUBLE" not in database_type.compile(dialect=context.dialect)
    return None


def compare_default(
    context: AutogenContext,
    operation: AlterColumnOp,
    schema: str | None,
    table_name: str,
    column_name: str,
    database_column: Column[Any],
    model_column: Column[Any],
) -> PriorityDispatchResult:
    """Compare server defaults by what they mean, as each database writes them in its own way."""
    dialect = context.migration_context.dialect
    in_database, in_model = database_column.server_default, model_column.server_default
    if isinstance(in_model, Identity) and not dialect.supports_identity_columns:
        return PriorityDispatchResult.STOP  # SQLite and MySQL number rows without IDENTITY.
    if model_column.table.autoincrement_column is model_column or not all(
        default is None or isinstance(default, DefaultClause) for default in (in_database, in_model)
    ):
        return PriorityDispatchResult.CONTINUE
    is_number = isinstance(model_column.type, Integer | Numeric)
    ways = [meaning(default, dialect, is_number) for default in (in_database, in_model)]
    if ways[0] == ways[1]:
        return PriorityDispatchResult.STOP
    if in_database is not None and in_model is not None and dialect.name == "postgresql":
        # The server knows more ways to write the same. It cannot compare values of type JSON.
        try:
            with context.connection.begin_nested():  # type: ignore[union-attr]
                query = f"SELECT ({written(in_database, dialect)}) = ({written(in_model, dialect)})"
                if context.connection.exec_driver_sql(query).scalar():  # type: ignore[union-attr]
                    return PriorityDispatchResult.STOP
        except DBAPIError:
            pass
    operation.modify_server_default = in_model
    log.info("Detected server default on column '%s.%s'", table_name, column_name)
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
        text = literal[1].replace("''", "'")
        if dialect.name in ("mysql", "mariadb") and not isinstance(default.arg, str):
            text = re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
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


rules.add_autogenerate_comparator(
    compare_default, "column", "server_default", priority=DispatchPriority.FIRST
)
