"""What autogenerate compares, and how it writes down what it finds.

One rule, one function: who disagrees with a rule deletes it, and its name where it is used.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html
"""

import logging
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from alembic import context as alembic_context
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type, renderers
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropColumnOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
    OpContainer,
    UpgradeOps,
)
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import (
    Column,
    DefaultClause,
    Dialect,
    Identity,
    Integer,
    MetaData,
    Numeric,
    String,
    TypeDecorator,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

log = logging.getLogger("alembic.autogenerate.compare")
rules = Plugin("migrations.review")


def options(metadata: MetaData) -> dict[str, Any]:
    """Return what ``context.configure()`` needs for autogenerate."""
    schemas = {table.schema for table in metadata.tables.values()} | {None}

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        """Schemas that no model is in belong to somebody else."""
        return kind != "schema" or name in schemas

    return {
        "autogenerate_plugins": [
            "alembic.autogenerate.*",
            "alembic.ext.checkconstraint_byname",
            rules.name,
        ],
        "compare_server_default": True,
        "compare_type": compare_type,
        "include_name": include_name,
        "include_object": include_object,
        "include_schemas": len(schemas) > 1,
        "process_revision_directives": process_revision_directives,
        "render_item": write_stored_type,
    }


# What is found


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Return whether a table, column or constraint takes part in the comparison."""
    if kind == "table" and not reflected:
        return not is_view(item)
    if kind in ("table", "column") and reflected and compare_to is None and name is not None:
        return is_our_own(kind, name)
    if kind == "check_constraint" and not reflected and compare_to is None:
        return not comes_with_its_type(item)
    return True


def comes_with_its_type(constraint: Any) -> bool:
    """The CHECK of a Boolean or an Enum is made with its column, where the database needs it."""
    return bool(constraint._type_bound)


def is_view(table: Any) -> bool:
    """A model of a view, marked with ``info={"is_view": True}``, is not a table to create."""
    return bool(table.info.get("is_view"))


def is_our_own(kind: str, name: str) -> bool:
    """What no revision has made belongs to somebody else, and is not dropped."""
    script = alembic_context.script
    folders = script.version_locations or [str(Path(script.dir, "versions"))]
    quoted = rf"[\"']{re.escape(name)}[\"']"
    made = re.compile(MADE_BY[kind].replace("NAME", quoted))
    for folder in folders:
        for path in Path(folder).rglob("*.py"):
            if made.search(path.read_text(encoding="utf-8")):
                return True
    log.info("Left alone %s %r, which no revision has made", kind, name)
    return False


MADE_BY = {
    "table": r"create_table\(\s*NAME|rename_table\([^)]*NAME",
    "column": r"Column\(\s*NAME|new_column_name=NAME",
    "enum": r"\bname=NAME",
}


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


# How it is written down


def process_revision_directives(
    context: MigrationContext,
    revision: str | Iterable[str | None] | Iterable[str],
    directives: list[MigrationScript],
) -> None:
    """Look over a revision before it is written; see the functions below."""
    config = context.config
    upgrade_ops = directives[0].upgrade_ops
    if config is None or config.cmd_opts is None or upgrade_ops is None:
        return
    if not hasattr(config.cmd_opts, "autogenerate"):  # alembic check
        say_what_check_found(upgrade_ops.is_empty())
    elif config.cmd_opts.autogenerate and upgrade_ops.is_empty():
        directives.clear()
        config.print_stdout("No changes: the models and the database agree.")
    else:
        drop_no_index_before_its_table(upgrade_ops)
        drop_no_index_before_its_table(directives[0].downgrade_ops)
        remark_on(upgrade_ops, context.dialect)


def say_what_check_found(nothing: bool) -> None:
    """Alembic has said each difference in a line already; a raw list would not add to it."""
    if not nothing:
        raise CommandError(
            "The models and the database differ as said above. Write a revision with: "
            'alembic revision --autogenerate -m "what changed"'
        )


def write_stored_type(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write a type of the application as the type that the database stores.

    A revision that imports the application breaks when the application moves on.
    """
    from_sqlalchemy = type(item).__module__.startswith("sqlalchemy.")
    if kind == "type" and isinstance(item, TypeDecorator) and not from_sqlalchemy:
        return _repr_type(item.impl_instance, context)
    return False


def drop_no_index_before_its_table(operations: OpContainer | None) -> None:
    """A table takes its indexes along; MySQL refuses to drop one that a foreign key needs."""
    if operations is None:
        return
    dropped = {item.table_name for item in operations.ops if isinstance(item, DropTableOp)}
    for item in list(operations.ops):
        if isinstance(item, ModifyTableOps) and item.table_name in dropped:
            item.ops[:] = [part for part in item.ops if not isinstance(part, DropIndexOp)]
            if item.is_empty():
                operations.ops.remove(item)


# What only a person can decide


class Remark(MigrateOperation):
    """A comment in the revision, also said on the terminal."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines


@renderers.dispatch_for(Remark)
def write_remark(context: AutogenContext, remark: Remark) -> list[str]:
    return [f"# {line}" for line in remark.lines]


def remark_on(upgrade_ops: UpgradeOps, dialect: Dialect) -> None:
    """Put a remark before each operation that can lose data, fail on rows, or lock for long."""
    made_here = {item.table_name for item in upgrade_ops.ops if isinstance(item, CreateTableOp)}
    for container in [upgrade_ops, *upgrade_ops.ops]:
        if not isinstance(container, OpContainer):
            continue
        if isinstance(container, ModifyTableOps) and container.table_name in made_here:
            continue
        reviewed: list[MigrateOperation] = []
        for operation in container.ops:
            for rule in REMARKS:
                if remark := rule(operation, container.ops, dialect):
                    reviewed.append(remark)
                    log.warning("%s", " ".join(remark.lines))
                    break
            reviewed.append(operation)
        container.ops[:] = reviewed


def column_that_may_be_renamed(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A column that goes while one of the same type comes may only have a new name."""
    if not isinstance(operation, AddColumnOp):
        return None
    new = operation.column
    for other in others:
        if isinstance(other, DropColumnOp) and same_type(other.to_column(), new):
            start = "batch_op.alter_column("
            if dialect.name != "sqlite":
                start = f'op.alter_column("{operation.table_name}", '
            return Remark(
                f"If {operation.table_name}.{other.column_name} is only renamed to {new.name}, "
                "keep its data: put this in the",
                "place of adding and dropping, and the reverse into downgrade():",
                f'{start}"{other.column_name}", new_column_name="{new.name}")',
            )
    return None


def same_type(one: Column[Any], other: Column[Any]) -> bool:
    return bool(one.type._type_affinity is other.type._type_affinity)


def table_that_may_be_renamed(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """A table that goes while one with the same columns comes may only have a new name."""
    if not isinstance(operation, CreateTableOp):
        return None
    columns = {item.name for item in operation.columns if isinstance(item, Column)}
    for other in others:
        if not isinstance(other, DropTableOp):
            continue
        if {column.name for column in other.to_table().columns} == columns:
            return Remark(
                f"If {other.table_name} is only renamed to {operation.table_name}, keep its rows: "
                "put this in the place of",
                "creating and dropping, and the reverse into downgrade():",
                f'op.rename_table("{other.table_name}", "{operation.table_name}")',
            )
    return None


def data_that_is_lost(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Dropping a table or a column deletes data that downgrade() cannot bring back."""
    if isinstance(operation, DropTableOp):
        return Remark(f"This deletes table {operation.table_name} with all its rows.")
    if isinstance(operation, DropColumnOp):
        return Remark(
            f"This deletes all that is stored in {operation.table_name}.{operation.column_name}."
        )
    return None


def new_column_that_rows_cannot_fill(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """NOT NULL without a default passes on an empty table and fails on rows."""
    if not isinstance(operation, AddColumnOp):
        return None
    table, column = operation.table_name, operation.column
    if column.nullable or column.server_default is not None or column.computed is not None:
        return None
    return Remark(
        f"This fails where {table} has rows, which have no {column.name}: add the column with "
        "nullable=True,",
        f'fill it with op.execute("UPDATE {table} SET {column.name} = ..."), and only then',
        "alter it to nullable=False.",
    )


def column_that_may_hold_null(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """NOT NULL on an existing column fails on rows without a value; MySQL puts in a zero."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_nullable is not False:
        return None
    table, column = operation.table_name, operation.column_name
    return Remark(
        f"This fails where {table}.{column} is NULL. Fill it before:",
        f'op.execute("UPDATE {table} SET {column} = ... WHERE {column} IS NULL")',
    )


def type_that_needs_a_cast(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """PostgreSQL refuses to turn text into numbers or times unless it is told how."""
    if not isinstance(operation, AlterColumnOp) or operation.modify_type is None:
        return None
    old, new = operation.existing_type, operation.modify_type
    if dialect.name != "postgresql" or old is None or isinstance(new, String):
        return None
    if old._type_affinity is new._type_affinity:
        return None
    target = new.compile(dialect=dialect)
    return Remark(
        "PostgreSQL may refuse this change of type. Say how to convert what is stored:",
        f'postgresql_using="{operation.column_name}::{target}"',
    )


def index_that_locks_writers_out(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Building an index on PostgreSQL keeps everybody from writing until it is done."""
    if not isinstance(operation, CreateIndexOp) or dialect.name != "postgresql":
        return None
    return Remark(
        f"While this is built, nobody can write to {operation.table_name}. If it is large, add",
        "postgresql_concurrently=True and put it into: with op.get_context().autocommit_block():",
    )


def constraint_that_locks_writers_out(
    operation: MigrateOperation, others: list[MigrateOperation], dialect: Dialect
) -> Remark | None:
    """Adding a constraint on PostgreSQL reads all rows while nobody can write."""
    if dialect.name != "postgresql":
        return None
    if isinstance(operation, CreateForeignKeyOp | CreateCheckConstraintOp):
        table = getattr(operation, "source_table", None) or getattr(operation, "table_name", "")
        return Remark(
            f"While this looks at the rows, nobody can write to {table}. If it is large, add",
            "postgresql_not_valid=True, and in a revision of its own",
            f'op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT {operation.constraint_name}")',
        )
    if isinstance(operation, CreateUniqueConstraintOp):
        return Remark(
            f"While this is built, nobody can write to {operation.table_name}. If it is large, make",
            "a unique index with postgresql_concurrently=True first, and add the constraint",
            "USING INDEX.",
        )
    return None


REMARKS = (
    column_that_may_be_renamed,
    table_that_may_be_renamed,
    data_that_is_lost,
    new_column_that_rows_cannot_fill,
    column_that_may_hold_null,
    type_that_needs_a_cast,
    index_that_locks_writers_out,
    constraint_that_locks_writers_out,
)

rules.add_autogenerate_comparator(
    compare_default, "column", "server_default", priority=DispatchPriority.FIRST
)
