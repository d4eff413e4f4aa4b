"""What ``context.configure()`` gets for autogenerate. Importing this module registers it.

``alembic upgrade`` and ``current`` do not import it.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html
"""

import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from alembic import context as alembic_context
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.operations.ops import AlterColumnOp, MigrationScript, UpgradeOps
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Dialect, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

from .. import databases
from ..messages import command_line
from ..revisions import histories
from ..rules.types import ddl
from ..settings import read
from . import rendering
from .defaults import compare_default, stored_column
from .ownership import database_names, include_name, include_object
from .review import Revision, add_remarks, note_partitions, put_in_order, rewrite

__all__ = [
    "PLUGIN",
    "compare_type",
    "include_name",
    "include_object",
    "prepare",
    "process_revision_directives",
    "render_item",
]

# The package of the guard, whatever it is called here.
PLUGIN = f"{(__package__ or '').rpartition('.')[0]}.comparison"

# Where the options of the running command keep the dialects that a revision is for, besides that
# of the connection.
DIALECTS = "guard.dialects"
# And what the server makes of the types of models.
STORED_TYPES = "guard.stored_types"


def compare_nullable(
    context: AutogenContext,
    operation: AlterColumnOp,
    schema: str | None,
    table_name: str,
    column_name: str,
    database_column: Column[Any],
    model_column: Column[Any],
) -> PriorityDispatchResult:
    """Take no notice of NOT NULL on a primary key, which has no NULL either way.

    On SQLite it says NOT NULL only where somebody wrote it.
    """
    if not (model_column.primary_key and database_column.primary_key):
        return PriorityDispatchResult.CONTINUE
    operation.existing_nullable = database_column.nullable
    return PriorityDispatchResult.STOP


def has_enum_types(dialect: Dialect) -> bool:
    """Return whether enum types are compared: https://pypi.org/project/alembic-postgresql-enum."""
    known = databases.of(dialect.name)
    return known.native_enums and find_spec("alembic_postgresql_enum") is not None


def compare_enums(
    context: AutogenContext, operations: UpgradeOps, schemas: object
) -> PriorityDispatchResult:
    """Compare enum types, where there are any."""
    if has_enum_types(context.migration_context.dialect):
        result: PriorityDispatchResult = import_module(f"{__package__}.enums").compare(
            context, operations
        )
        return result
    return PriorityDispatchResult.CONTINUE


with suppress(ValueError):  # It is registered already, by an earlier import of this module.
    plugin = Plugin(PLUGIN)
    for comparator, aspect in ((compare_default, "server_default"), (compare_nullable, "nullable")):
        plugin.add_autogenerate_comparator(
            comparator, "column", aspect, priority=DispatchPriority.FIRST
        )
    plugin.add_autogenerate_comparator(compare_enums, "schema", priority=DispatchPriority.LAST)


def prepare(dialect: Dialect) -> None:
    """Load what only some databases need; call it before Alembic begins to compare.

    :param dialect: that of the connection.
    """
    if has_enum_types(dialect):
        # It has the operations for enum types, which Alembic itself overlooks.
        import_module(f"{__package__}.enums").prepare()


def compare_type(
    context: MigrationContext,
    database_column: Column[Any],
    model_column: Column[Any],
    database_type: TypeEngine[Any],
    model_type: TypeEngine[Any],
) -> bool | None:
    """Return whether a column has another type than its model, or None to let Alembic compare.

    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#comparing-types
    """
    database = databases.of(context.dialect.name)
    same = database.is_same_type(database_type, model_type, context.dialect)
    if same is None and context.connection is not None:
        # What the server makes of a type, like MEDIUMTEXT of TEXT(70000), only it knows.
        known: dict[str, str | None] = context.opts.setdefault(STORED_TYPES, {})
        name = ddl(model_type, context.dialect) or ""
        found = ddl(database_type, context.dialect)
        if found is not None and ("[]" in found) != ("[]" in name):
            return True  # Alembic overlooks it.
        if name != found and name not in known:
            stored = stored_column(context.connection, model_type, None)
            known[name] = None if stored is None else ddl(stored["type"], context.dialect)
        if name != found and found is not None and known[name] == found:
            same = True
    return None if same is None else not same


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Return the code of a type or a default, or False to let Alembic write it.

    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves

    :raises CommandError: when a type cannot be written.
    """
    # Alembic renders when env.py has ended already.
    dialects = context.migration_context.opts.get(DIALECTS, ())
    return rendering.render_item(kind, item, context, dialects)


def process_revision_directives(
    context: MigrationContext, revision: Revision, directives: list[MigrationScript]
) -> None:
    """Review a revision before it is written, or say what ``alembic check`` has found.

    https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#customizing-revision-generation

    :raises CommandError: when ``alembic check`` finds a difference, and for a second
        DeclarativeBase.
    """
    config = alembic_context.config
    chosen = read(config).dialects
    context.opts[DIALECTS] = chosen or databases.of(context.dialect.name).portable_to
    target = context.opts["target_metadata"]
    refuse_a_second_base([target] if isinstance(target, MetaData) else list(target), config)
    # Where databases share a history, one after the other adds its own part.
    script, databases_in_all = directives[0], max(1, len(database_names(config)))
    parts = script.upgrade_ops_list
    is_last = len(parts) >= databases_in_all
    nothing = is_last and all(part.is_empty() for part in parts)
    command = command_of(config)
    if command == "check":
        if is_last and not nothing:
            # Alembic has said each difference in a line already.
            raise CommandError(
                "The models and the database differ, as listed above. Write a revision: "
                f'{command_line(config)} revision --autogenerate -m "what changed"'
            )
    elif command == "revision" and nothing and config.cmd_opts.autogenerate:  # type: ignore[union-attr]
        directives.clear()
        plural = "s" if databases_in_all > 1 else ""
        config.print_stdout(f"No changes: the models and the database{plural} agree.")
    else:
        put_in_order(parts[-1])
        parts[-1].reverse_into(script.downgrade_ops_list[-1])
        if has_enum_types(context.dialect):
            enums = import_module(f"{__package__}.enums")
            for operations in (parts[-1], script.downgrade_ops_list[-1]):
                enums.put_first(operations, context.dialect)
        rewrite(context, revision, directives)
        note_partitions(parts[-1], context)
        add_remarks(parts[-1], context.dialect, read(config).disabled_remarks)


def command_of(config: Config) -> str:
    """Return the name of Alembic's command that a person runs; nothing in a program."""
    function = next(iter(getattr(config.cmd_opts, "cmd", ())), None)
    return getattr(function, "__name__", "")


def refuse_a_second_base(target: list[MetaData], config: Config) -> None:
    """The tables of another DeclarativeBase would be ignored without a word.

    :param target: what is compared with the database.
    :raises CommandError: when a module beside that of the known base has another one.
    """
    if config.config_file_name is None and config.config_ini_section != "alembic":
        return  # Which databases have a history beside this one, only the ini says.
    bases = DeclarativeBase.__subclasses__()
    known = [base for base in bases if any(base.metadata is each for each in target)]
    for first in known:
        package = first.__module__.rpartition(".")[0]
        # Each of several databases has a base of its own, in a folder beside this one.
        names = [*database_names(config), *histories(config)]
        others = {f"{package}.{name}" for name in names}
        # Without an ini, only the database at work is known: the others are packages beside it.
        unknown = config.config_file_name is None and not database_names(config)
        for base in bases:
            beside = f"{base.__module__}.".startswith(f"{package}.")
            if base in known or not beside:
                continue
            of_another = base.__module__ in others or (
                unknown and first.__module__ in others and is_package(base.__module__)
            )
            if of_another and base.__name__ == first.__name__:
                continue
            raise CommandError(
                f"{base.__name__} in {base.__module__} is a second DeclarativeBase: its tables "
                f"would be ignored. Derive its models from {first.__name__} of "
                f"{first.__module__}."
            )


def is_package(module: str) -> bool:
    return hasattr(sys.modules.get(module), "__path__")
