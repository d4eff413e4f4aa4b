"""Which tables and enum types belong to the migrations, and which to others.

In a database that only migrations have changed, everything is compared (``-x unmanaged=compare``).
Elsewhere, what neither a model nor a revision knows is ignored, and a line says so.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alembic import context as alembic_context
from alembic import op
from alembic.config import Config
from sqlalchemy import DefaultClause, ForeignKeyConstraint, MetaData, Table, text
from sqlalchemy.types import NullType, UserDefinedType

from .. import databases
from ..running.record import name_beside
from ..settings import Settings, read
from .defaults import with_colons

if TYPE_CHECKING:
    from ..history.recording import Objects

log = logging.getLogger("alembic.autogenerate.compare")

# Where the options of the running command keep what was found out once.
SETTINGS, KNOWN = "guard.settings", "guard.known_objects"


def metadata() -> list[MetaData]:
    """Return the metadata of the database that is compared."""
    target = op.get_context().opts["target_metadata"]
    return [target] if isinstance(target, MetaData) else list(target)


def settings() -> Settings:
    """Return the settings, which are read once for each command."""
    opts = op.get_context().opts
    if SETTINGS not in opts:
        opts[SETTINGS] = read(alembic_context.config)
    found: Settings = opts[SETTINGS]
    return found


def database_names(config: Config) -> list[str]:
    """Return the names of the databases that share the history, in their order; none of one."""
    return list(config.attributes.get("guard.databases") or ())


def known() -> "Objects":
    """Return what the revisions create in the database that is compared."""
    opts = op.get_context().opts
    names = database_names(alembic_context.config)
    # As the tokens of script.py.mako are named: main_upgrades.
    here = str(opts.get("upgrade_token", "")).removesuffix("_upgrades")
    database = here if here in names else None
    cached: dict[str | None, Objects] = opts.setdefault(KNOWN, {})
    if database not in cached:
        # Only where a table without a model is found.
        from ..history.recording import known_objects

        cached[database] = known_objects(
            alembic_context.script, op.get_context().dialect, database or names or None
        )
    return cached[database]


def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    """Return whether a schema or a table of the database is looked at.

    Schemas that no model is in belong to others.
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#omitting-schema-names-from-the-autogenerate-process
    """
    if kind == "schema":
        schemas = {table.schema for each in metadata() for table in each.tables.values()}
        return name in schemas | {None}
    if kind == "table" and name is not None:
        migration = op.get_context()
        if (name, parents.get("schema_name")) == (
            name_beside(migration.version_table),
            migration.version_table_schema,
        ):
            return False
        return not settings().is_external(name, parents.get("schema_name"))
    return True


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Return whether a table, column or constraint takes part in the comparison.

    A column of a table that has a model is always compared.
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#omitting-based-on-object
    """
    if kind == "table" and settings().is_external(item.name, item.schema):
        return False
    if kind == "table" and (in_database := item if reflected else compare_to) is not None:
        name_unknown_types(in_database)
    if kind == "table" and not reflected:
        return not is_view(item)
    if kind == "table" and compare_to is None:
        return is_ours((item.schema, item.name))
    if kind == "check_constraint" and not reflected and compare_to is None:
        return not comes_with_its_type(item) and not is_unnamed(item, reflected)
    if kind in ("unique_constraint", "foreign_key_constraint") and compare_to is None:
        return not is_unnamed(item, reflected)
    return True


def is_unnamed(constraint: Any, reflected: bool) -> bool:
    """Return whether a constraint is in the database and in a model, with a name only there.

    SQLite has such constraints: in a table that was not made by a revision.
    """
    migration = op.get_context()
    known, connection = databases.of(migration.dialect.name), migration.connection
    assert connection is not None
    if not reflected:
        return known.is_there_without_name(connection, constraint)
    if constraint.name is not None or not isinstance(constraint, ForeignKeyConstraint):
        return False
    models = [each.tables.get(constraint.table.key) for each in metadata()]
    return any(
        model is not None and known.has_other_name(connection, constraint.column_keys, model)
        for model in models
    )


class StoredType(UserDefinedType[Any]):
    """A type of the database that SQLAlchemy does not know, by its name."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name_in_sql = name

    def get_col_spec(self, **_: Any) -> str:
        """Return the type as SQL."""
        return self.name_in_sql


def name_unknown_types(table: Table) -> None:
    """Ask the server for the types that SQLAlchemy has not recognised, so that they are compared.

    :param table: as it was reflected.
    """
    migration = op.get_context()
    database = databases.of(migration.dialect.name)
    unknown = [each for each in table.columns if isinstance(each.type, NullType)]
    if migration.connection is None:
        return
    whole = database.declared_defaults(migration.connection, table.schema, table.name)
    for place, default in whole.items():
        column = table.columns.get(place)
        if column is not None and isinstance(column.server_default, DefaultClause | None):
            column.server_default = DefaultClause(text(with_colons(default)), _reflected=True)
    if not (unknown or database.guesses_types):
        return
    declared = database.declared_types(migration.connection, table.schema, table.name)
    for column in table.columns if database.guesses_types else unknown:
        if name := declared.get(column.name):
            column.type = StoredType(name)


def is_view(table: Any) -> bool:
    """A model of a view, marked with ``info={"is_view": True}``, is not a table to create."""
    return bool(table.info.get("is_view"))


def comes_with_its_type(constraint: Any) -> bool:
    """The CHECK of a Boolean or an Enum is made with its column, where the database needs it."""
    return bool(constraint._type_bound)


def is_ours(table: tuple[str | None, str]) -> bool:
    """Return whether a table without a model is dropped, and not ignored."""
    if settings().unmanaged or table in known().tables:
        return True
    name = ".".join(part for part in table if part)
    log.info(
        "Ignoring table %r: not created by any revision. "
        "List it in external_tables of [guard], or drop it.",
        name,
    )
    return False


def is_enum_of_ours(schema: str | None, name: str) -> bool:
    """Return whether an enum type without a model is dropped, and not ignored.

    :param schema: None is the default one.
    """
    if settings().unmanaged or (schema, name) in known().enums:
        return True
    full = f"{schema}.{name}" if schema else name
    log.info("Ignoring enum type %r: not created by any revision, nor used by a model.", full)
    return False
