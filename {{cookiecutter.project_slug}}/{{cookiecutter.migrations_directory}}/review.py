"""What autogenerate compares, and how it writes down what it finds.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html
"""

from collections.abc import Iterable
from typing import Any, Literal

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.operations.ops import AlterColumnOp, MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, DefaultClause, Identity, TypeDecorator

rules = Plugin("{{ cookiecutter.migrations_directory }}.review")


def options() -> dict[str, Any]:
    """Return what ``context.configure()`` needs for autogenerate."""
    return {
        "autogenerate_plugins": [
            "alembic.autogenerate.*",
            "alembic.ext.checkconstraint_byname",
            rules.name,
        ],
        "compare_server_default": True,
        "process_revision_directives": write_no_empty_revision,
        "render_item": write_stored_type,
    }


def write_no_empty_revision(
    context: MigrationContext,
    revision: str | Iterable[str | None] | Iterable[str],
    directives: list[MigrationScript],
) -> None:
    """When ``revision --autogenerate`` finds no difference, write no file."""
    config = context.config
    if config is None or not getattr(config.cmd_opts, "autogenerate", False):
        return
    upgrade_ops = directives[0].upgrade_ops
    if upgrade_ops is not None and upgrade_ops.is_empty():
        directives.clear()
        config.print_stdout("No changes: the models and the database agree.")


def write_stored_type(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write a type of the application as the type that the database stores.

    A revision that imports the application breaks when the application moves on.
    """
    if kind == "type" and isinstance(item, TypeDecorator):
        return _repr_type(item.impl_instance, context)
    return False


def expect_identity_where_there_is_one(
    context: AutogenContext,
    operation: AlterColumnOp,
    schema: str | None,
    table_name: str,
    column_name: str,
    database_column: Column[Any],
    model_column: Column[Any],
) -> PriorityDispatchResult:
    """Do not look for IDENTITY on SQLite and MySQL, which number rows without it."""
    supported = context.migration_context.dialect.supports_identity_columns
    if isinstance(model_column.server_default, Identity) and not supported:
        return PriorityDispatchResult.STOP
    return PriorityDispatchResult.CONTINUE


def know_now_by_its_other_name(
    context: AutogenContext,
    operation: AlterColumnOp,
    schema: str | None,
    table_name: str,
    column_name: str,
    database_column: Column[Any],
    model_column: Column[Any],
) -> PriorityDispatchResult:
    """Take ``now()``, which MariaDB reports as ``current_timestamp()``, for unchanged."""
    dialect = context.migration_context.dialect
    defaults = [
        str(column.server_default.arg.compile(dialect=dialect)).lower()
        for column in (database_column, model_column)
        if isinstance(column.server_default, DefaultClause)
        and not isinstance(column.server_default.arg, str)
    ]
    if defaults == ["current_timestamp()", "now()"]:
        return PriorityDispatchResult.STOP
    return PriorityDispatchResult.CONTINUE


for rule in (expect_identity_where_there_is_one, know_now_by_its_other_name):
    rules.add_autogenerate_comparator(
        rule, "column", "server_default", priority=DispatchPriority.FIRST
    )
