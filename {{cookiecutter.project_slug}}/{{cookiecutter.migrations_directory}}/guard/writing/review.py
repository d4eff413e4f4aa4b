"""Puts the operations of a revision in order, and adds what databases need besides.

https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#customizing-revision-generation
"""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from alembic.autogenerate import Rewriter
from alembic.operations.ops import (
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreateTableOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    MigrateOperation,
    ModifyTableOps,
    OpContainer,
    UpgradeOps,
)
from alembic.runtime.migration import MigrationContext
from sqlalchemy import (
    CheckConstraint,
    Column,
    Dialect,
    ForeignKeyConstraint,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import TypeEngine

from .. import databases
from ..rules import remarks_on, rules_without
from ..rules.operations import (
    NO_CAST,
    PARTITIONED,
    Key,
    compiled,
    full_name,
    is_another_kind,
    is_native_enum,
    needs_conversion,
    table_of,
)
from ..rules.types import resolved
from .expressions import write_exactly
from .rendering import ConvertColumnOp

Revision = str | Iterable[str | None] | Iterable[str]
TableOp = CreateTableOp | ModifyTableOps | DropTableOp

# Called with the directives of a revision; the functions below are its parts.
rewrite = Rewriter()


def put_in_order(operations: OpContainer) -> None:
    """Put new tables first and dropped ones last, each by their foreign keys.

    Alembic drops tables in any order, so that the same change gave another file each time.
    """
    created = [item for item in operations.ops if isinstance(item, CreateTableOp)]
    dropped = [item for item in operations.ops if isinstance(item, DropTableOp)]
    places = {name: (0, place) for place, name in enumerate(parents_first(created))}
    places |= {name: (2, -place) for place, name in enumerate(parents_first(dropped))}

    def turn(item: TableOp) -> tuple[int, int, str]:
        name = name_of(item)
        return *places.get(name, (1, 0)), "" if name in places else name

    # What is not about a table, like creating an enum type, stays where it is.
    slots = [place for place, item in enumerate(operations.ops) if isinstance(item, TableOp)]
    tables = [item for item in operations.ops if isinstance(item, TableOp)]
    for slot, item in zip(slots, sorted(tables, key=turn), strict=True):
        operations.ops[slot] = item
        if isinstance(item, ModifyTableOps):
            foreign_keys_first_and_columns_last(item)
    take_out_circular_keys(operations)


def parents_first(tables: Sequence[CreateTableOp | DropTableOp]) -> list[str]:
    """Return the names of tables so that a foreign key finds the table that it refers to.

    Of tables that refer to each other, one has to be first: see ``take_out_circular_keys``.
    """
    references = {}
    for table in sorted(tables, key=name_of):
        keys = table.to_table().foreign_key_constraints
        parents = {parent_of(key) for key in keys}
        references[name_of(table)] = sorted(parents - {name_of(table)})
    while True:
        try:
            order = TopologicalSorter(references).static_order()
            return [name for name in order if name in references]
        except CycleError as error:
            parent, child = error.args[1][:2]
            references[child].remove(parent)


def parent_of(key: ForeignKeyConstraint) -> str:
    """Return the name of the table that a foreign key refers to."""
    return key.elements[0].target_fullname.rpartition(".")[0]


def take_out_circular_keys(operations: OpContainer) -> None:
    """Create the foreign keys of tables that refer to each other when all are there.

    When they are dropped, these keys go first.
    """
    for kind in (CreateTableOp, DropTableOp):
        tables = [item for item in operations.ops if isinstance(item, kind)]
        names = [name_of(item) for item in tables]
        order = names if kind is CreateTableOp else names[::-1]
        keys: list[MigrateOperation] = []
        for item in tables:
            made = item if isinstance(item, CreateTableOp) else item._reverse
            assert made is not None
            later = set(order[order.index(name_of(item)) + 1 :])
            for key in [each for each in made.columns if isinstance(each, ForeignKeyConstraint)]:
                if parent_of(key) in later:
                    made.columns = [each for each in made.columns if each is not key]
                    change = (
                        CreateForeignKeyOp.from_constraint(key)
                        if kind is CreateTableOp
                        else DropConstraintOp.from_constraint(key)
                    )
                    part = ModifyTableOps(item.table_name, [change], schema=item.schema)
                    keys.append(part)
        if tables:
            place = operations.ops.index(tables[-1]) + 1
            if kind is DropTableOp:
                place = operations.ops.index(tables[0])
            operations.ops[place:place] = keys


def name_of(item: TableOp | AlterColumnOp) -> str:
    """Return schema and name of a table, as in ``MetaData.tables``."""
    return full_name((item.schema, item.table_name))


def foreign_keys_first_and_columns_last(changes: ModifyTableOps) -> None:
    """No index is dropped that a foreign key needs: MySQL refuses that."""

    def turn(item: MigrateOperation) -> tuple[int, str]:
        if isinstance(item, DropConstraintOp) and item.constraint_type == "foreignkey":
            return 0, str(item.constraint_name)
        if isinstance(item, CreateForeignKeyOp):
            return 2, str(item.constraint_name)
        return (3, item.column_name) if isinstance(item, DropColumnOp) else (1, "")

    changes.ops.sort(key=turn)


@rewrite.rewrites(OpContainer)
def drop_no_index_before_its_table(
    context: MigrationContext, revision: Revision, operations: OpContainer
) -> OpContainer:
    """A table takes its indexes along; MySQL refuses to drop one that a foreign key needs."""
    dropped = {table_of(item) for item in operations.ops if isinstance(item, DropTableOp)}
    for item in list(operations.ops):
        if isinstance(item, ModifyTableOps) and table_of(item) in dropped:
            item.ops[:] = [part for part in item.ops if not isinstance(part, DropIndexOp)]
            if item.is_empty():
                operations.ops.remove(item)
    return operations


@rewrite.rewrites(CreateTableOp)
def review_new_table(
    context: MigrationContext, revision: Revision, table: CreateTableOp
) -> CreateTableOp:
    """Put the primary key first, and write the CHECK constraints of columns."""
    # SQLAlchemy puts the columns of a mixin last, and with them often the primary key.
    table.columns = sorted(
        table.columns, key=lambda item: not (isinstance(item, Column) and item.primary_key)
    )
    # Alembic forgets a CHECK inside a column: Column(..., CheckConstraint(...)).
    columns = [item for item in table.columns if isinstance(item, Column)]
    inside = [check for column in columns for check in column.constraints]
    checks = [
        CheckConstraint(check.sqltext, name=check.name)
        for check in inside
        if isinstance(check, CheckConstraint)
    ]
    table.columns = [*table.columns, *checks]
    write_exactly(context, table)
    return table


@rewrite.rewrites(CreateIndexOp)
def review_new_index(
    context: MigrationContext, revision: Revision, index: CreateIndexOp
) -> CreateIndexOp:
    """Write the condition of a partial index as it is."""
    write_exactly(context, index)
    return index


@rewrite.rewrites(CreateCheckConstraintOp)
def review_new_check(
    context: MigrationContext, revision: Revision, check: CreateCheckConstraintOp
) -> CreateCheckConstraintOp:
    """Write the condition of a CHECK as it is."""
    write_exactly(context, check)
    return check


@rewrite.rewrites(ModifyTableOps)
def review_changed_table(
    context: MigrationContext, revision: Revision, changes: ModifyTableOps
) -> ModifyTableOps:
    """Order the changes of a table, and keep an index for each foreign key."""
    if databases.of(context.dialect.name).foreign_keys_need_an_index:
        table = model_of(context, name_of(changes))
        if table is not None:
            keep_an_index_for_each_foreign_key(changes, table)
    foreign_keys_first_and_columns_last(changes)
    return changes


def model_of(context: MigrationContext, name: str) -> Table | None:
    """Return the table of the models that has a name; the default schema may be named or not."""
    target = context.opts["target_metadata"]
    in_default = f"{context.dialect.default_schema_name}.{name}" if "." not in name else name
    for metadata in [target] if isinstance(target, MetaData) else target:
        for key in (name, in_default):
            if key in metadata.tables:
                table: Table = metadata.tables[key]
                return table
    return None


def keep_an_index_for_each_foreign_key(changes: ModifyTableOps, table: Table) -> None:
    """Create a foreign key again whose index is dropped, so that it gets one of its own."""
    kinds = (CreateForeignKeyOp, DropConstraintOp)
    changed = {item.constraint_name for item in changes.ops if isinstance(item, kinds)}
    for item in list(changes.ops):
        if not isinstance(item, DropIndexOp):
            continue
        columns = [column.name for column in item.to_index().columns]
        for key in table.foreign_key_constraints:
            if key.name not in changed and columns[: len(key.column_keys)] == key.column_keys:
                changed.add(key.name)
                changes.ops.append(DropConstraintOp.from_constraint(key))
                changes.ops.append(CreateForeignKeyOp.from_constraint(key))


@rewrite.rewrites(AlterColumnOp)
def convert_values_and_default(
    context: MigrationContext, revision: Revision, change: AlterColumnOp
) -> AlterColumnOp | list[AlterColumnOp]:
    """Say how values are converted: PostgreSQL converts few types by itself, and no default."""
    option = databases.of(context.dialect.name).using_option
    if not option or change.existing_type is None or change.modify_type is None:
        return change
    old = resolved(change.existing_type, context.dialect)
    new = resolved(change.modify_type, context.dialect)
    expression = None
    try:
        expression = using(change, old, new, context)
    except LookupError:
        change.info[NO_CAST] = True
    if expression is None and not is_another_kind(old, new):
        return change
    before: list[AlterColumnOp] = []
    if change.existing_server_default:
        if change.modify_server_default is False:
            table = model_of(context, name_of(change))
            column = None if table is None else table.columns.get(change.column_name)
            change.modify_server_default = change.existing_server_default
            if column is not None and column.type is change.modify_type:  # It is not downgrade().
                change.modify_server_default = column.server_default
        before.append(
            AlterColumnOp(
                change.table_name,
                change.column_name,
                schema=change.schema,
                existing_type=old,
                modify_server_default=None,
            )
        )
    if expression is not None:
        change = ConvertColumnOp.from_change(change, option, expression)
    return [*before, change]


def using(
    change: AlterColumnOp, old: TypeEngine[Any], new: TypeEngine[Any], context: MigrationContext
) -> str | None:
    """Return the expression that converts the values of a column, if one is needed.

    :raises LookupError: when the server has no cast for it.
    """
    dialect = context.dialect
    column = dialect.identifier_preparer.quote(change.column_name)
    if is_native_enum(old) or is_native_enum(new):
        if not needs_conversion(old, new):
            return None
        # No enum is converted to anything but as text.
        through = "" if isinstance(old, String) and not is_native_enum(old) else "::text"
        return f"{column}{through}::{compiled(new, dialect)}"
    before, after = compiled(old, dialect), compiled(new, dialect)
    plain = needs_conversion(old, new)
    known = databases.of(dialect.name)
    server = None if context.as_sql else context.connection
    return known.conversion(server, before, after, column, plain)


def note_partitions(operations: OpContainer, context: MigrationContext) -> None:
    """Note at operations on a partitioned table that it is one, for the remarks."""
    if context.connection is None:
        return
    known = databases.of(context.dialect.name)
    for item in operations.ops:
        if isinstance(item, ModifyTableOps):
            model = model_of(context, name_of(item))
            options = model.dialect_kwargs if model is not None else {}
            if options.get(f"{context.dialect.name}_partition_by") or known.is_partitioned(
                context.connection, item.schema, item.table_name
            ):
                for part in item.ops:
                    part.info[PARTITIONED] = True


def add_remarks(operations: UpgradeOps, dialect: Dialect, disabled: Iterable[str]) -> None:
    """Put remarks before each operation that can lose data, fail on rows, or block for long.

    :param disabled: names of rules that are switched off.
    :raises CommandError: when there is no rule of such a name.
    """
    rules = rules_without(disabled)
    created: set[Key | None] = {
        table_of(item) for item in operations.ops if isinstance(item, CreateTableOp)
    }
    for container in [operations, *operations.ops]:
        if not isinstance(container, OpContainer):
            continue
        if isinstance(container, ModifyTableOps) and table_of(container) in created:
            continue
        container.ops[:] = [
            item
            for operation, remarks in remarks_on(list(container.ops), dialect, rules)
            for item in (*remarks, operation)
        ]
