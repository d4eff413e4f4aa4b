"""The rules that ``lint`` has beyond those of a new revision: they look at a whole branch.

While a revision is applied, and for a while after it, the code before it is still running.
What that code would fail on is a *contraction*: first deploy code that does without.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from alembic.operations.ops import (
    AddColumnOp,
    AddConstraintOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateIndexOp,
    CreatePrimaryKeyOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    MigrateOperation,
    RenameTableOp,
)
from sqlalchemy import JSON, DateTime, Dialect, Enum, Float, Integer, Numeric, String
from sqlalchemy import types as sqltypes

from .. import databases
from .checks import RULES, Remark, blocks, execute, table_and_column
from .operations import Key, compiled, full_name, needs_conversion, quoted, same_kind, table_of
from .statements import (
    ChangeEnumOp,
    ChangeRowsOp,
    DropOtherOp,
    DropWithDependentsOp,
    LockTableOp,
    RenameOtherOp,
    RewriteTableOp,
    Step,
    TransactionOp,
    ValidateConstraintOp,
)

# Takes a step, those before it in the branch, and the dialect.
Check = Callable[[Step, Sequence[Step], Dialect], Remark | None]


# What earlier steps have done


def created_tables(before: Sequence[Step]) -> set[Key | None]:
    """Return the tables that earlier steps have created: nobody uses them yet."""
    created: set[Key | None] = set()
    for step in before:
        operation = step.operation
        if isinstance(operation, CreateTableOp):
            created.add((operation.schema, operation.table_name))
        elif isinstance(operation, RenameTableOp) and table_of(operation) in created:
            created.add((operation.schema, operation.new_table_name))
    return created


def added_columns(before: Sequence[Step]) -> dict[tuple[Key, str], AddColumnOp]:
    """Return the columns that earlier steps have added: nobody uses them yet."""
    added = {}
    for step in before:
        if isinstance(step.operation, AddColumnOp):
            added[table_and_column(step.operation)] = step.operation
    return added


def is_filled(table: Key, column: str, before: Sequence[Step]) -> bool:
    """Return whether an earlier step gives existing rows a value."""
    added = added_columns(before).get((table, column))
    if added is not None and added.column.server_default is not None:
        return True
    return any(
        isinstance(step.operation, ChangeRowsOp)
        and step.operation.kind == "UPDATE"
        and table_of(step.operation) == table
        and column in step.operation.columns
        for step in before
    )


def is_checked(table: Key, column: str, before: Sequence[Step], dialect: Dialect) -> bool:
    """Return whether a CHECK that excludes NULL was validated by an earlier step."""
    name = re.escape(quoted((None, column), dialect).strip('"`'))
    condition = re.compile(rf'\(?["`]?{name}["`]?\s+IS\s+NOT\s+NULL\)?$', re.IGNORECASE)
    option = databases.of(dialect.name).not_valid_option
    valid, later = False, set()
    for step in before:
        operation = step.operation
        if table_of(operation) != table:
            continue
        if isinstance(operation, CreateCheckConstraintOp):
            if condition.search(str(operation.condition).strip()):
                if operation.kw.get(option):
                    later.add(operation.constraint_name)
                else:
                    valid = True
        elif isinstance(operation, ValidateConstraintOp) and operation.name in later:
            valid = True
        elif isinstance(operation, DropConstraintOp):
            later.discard(operation.constraint_name)
    return valid


def has_default(operation: AlterColumnOp, before: Sequence[Step]) -> bool:
    """Return whether code that leaves out a column still gets a value for it."""
    if operation.modify_server_default is not False:
        return operation.modify_server_default is not None
    if operation.existing_server_default is not False:
        return operation.existing_server_default is not None
    table, column = table_and_column(operation)
    for step in reversed(before):
        earlier = step.operation
        if isinstance(earlier, AlterColumnOp) and table_and_column(earlier) == (table, column):
            if earlier.modify_server_default is not False:
                return earlier.modify_server_default is not None
        elif isinstance(earlier, AddColumnOp) and table_and_column(earlier) == (table, column):
            return earlier.column.server_default is not None
    return False


# Contractions


def renames_in_use(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Code that is running asks for the old name."""
    operation = step.operation
    if isinstance(operation, RenameTableOp):
        table = full_name((operation.schema, operation.table_name))
        new = quoted((operation.schema, operation.new_table_name), dialect)
        old = quoted((operation.schema, operation.table_name), dialect)
        return Remark(
            f"Renames {table}: code that is still running fails. Rename it and leave a view, until",
            "nothing uses the old name:",
            execute(f"CREATE VIEW {old} AS SELECT * FROM {new}"),
        )
    if isinstance(operation, AlterColumnOp) and operation.modify_name is not None:
        table_key, column = table_and_column(operation)
        if (table_key, column) in added_columns(before):
            return None
        return Remark(
            f"Renames {full_name(table_key)}.{column}: code that is still running fails. Instead, "
            "add",
            f"{operation.modify_name}, write both, copy the values, and drop {column} in a later "
            "deployment.",
        )
    if isinstance(operation, RenameOtherOp) and operation.kind != "SEQUENCE":
        return Remark(
            f"Renames {operation.kind.lower()} {operation.name}: code that is still running fails. "
            "Create the",
            "new one, move its users, and drop the old one in a later deployment.",
        )
    return None


def narrows_type(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """A type that holds less loses values, or refuses those of code that is running."""
    operation = step.operation
    if not isinstance(operation, AlterColumnOp) or operation.modify_type is None:
        return None
    table, column = table_and_column(operation)
    if (table, column) in added_columns(before):
        return None
    old, new = operation.existing_type, operation.modify_type
    if old is None:
        return None
    lost = what_is_lost(old, new, dialect)
    if not lost:
        return None
    return Remark(
        f"{full_name(table)}.{column} becomes {compiled(new, dialect)}: {lost}.",
        f"Instead, add a new column, write both, convert in batches, and drop {column} in a later "
        "deployment.",
    )


INTEGERS = (sqltypes.SmallInteger, sqltypes.Integer, sqltypes.BigInteger)


def size_of(type_: Any) -> int:
    """Return how large an integer type is, as its place among the integer types."""
    kinds = [place for place, kind in enumerate(INTEGERS) if isinstance(type_, kind)]
    # SmallInteger and BigInteger derive from Integer.
    return 0 if 0 in kinds else 2 if 2 in kinds else 1


def what_is_lost(old: Any, new: Any, dialect: Dialect) -> str:
    """Return what a new type does to values that the old one holds, in words, or nothing."""
    database = databases.of(dialect.name)
    if isinstance(old, Enum) or isinstance(new, Enum):
        return ""
    if isinstance(old, String) and isinstance(new, String):
        shorter = new.length is not None and (old.length is None or old.length > new.length)
        return "longer texts fail" if shorter and database.enforces_lengths else ""
    if isinstance(old, Integer) and isinstance(new, Integer):
        smaller = size_of(new) < size_of(old)
        return "larger numbers fail" if smaller and database.enforces_lengths else ""
    if isinstance(old, Numeric | Float) and isinstance(new, Integer):
        return "fractions are lost"
    if isinstance(old, Float) or isinstance(new, Float):
        exact = isinstance(old, Numeric) and not isinstance(old, Float)
        return "digits are lost, as a float is not exact" if exact else ""
    if isinstance(old, Numeric) and isinstance(new, Numeric):
        if not database.enforces_lengths:
            return ""
        if (new.scale or 0) < (old.scale or 0) and new.precision is not None:
            return "decimal places are lost"
        before, after = ((t.precision or 99) - (t.scale or 0) for t in (old, new))
        return "larger numbers fail" if after < before and new.precision is not None else ""
    if isinstance(old, DateTime) and isinstance(new, DateTime):
        if bool(old.timezone) != bool(new.timezone) and database.stores_time_zones:
            return "times are converted by the time zone of the session"
        return ""
    if isinstance(old, DateTime) and isinstance(new, sqltypes.Date):
        return "the time of day is lost"
    if needs_conversion(old, new) and not database.conversion_can_fail and not same_kind(old, new):
        return f"what is not a valid {compiled(new, dialect)} becomes 0 without an error"
    return ""


def requires_value(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Code that is running may still write NULL, or leave the column out."""
    operation = step.operation
    if not isinstance(operation, AlterColumnOp) or operation.modify_nullable is not False:
        return None
    table, column = table_and_column(operation)
    if has_default(operation, before):
        return None
    return Remark(
        f"Code that is still running may write NULL into {full_name(table)}.{column}, and fails "
        "then.",
        "Deploy code that always writes it first, or give it a server_default.",
    )


def drops_default(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Code that is running may leave the column to its default."""
    operation = step.operation
    if not isinstance(operation, AlterColumnOp) or operation.modify_server_default is not None:
        return None
    if operation.existing_nullable is True and operation.modify_nullable is not False:
        return None
    table, column = table_and_column(operation)
    if (table, column) in added_columns(before):
        return None  # It was for the rows that were there.
    return Remark(
        f"Drops the default of {full_name(table)}.{column}: code that leaves it out fails. Deploy "
        "code that",
        "always writes it first.",
    )


def removes_enum_value(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Rows and running code may still use a value."""
    operation = step.operation
    gone: Sequence[str] = ()
    name = ""
    if isinstance(operation, ChangeEnumOp):
        gone, name = operation.gone, operation.name
    elif isinstance(operation, AlterColumnOp):
        old, new = operation.existing_type, operation.modify_type
        if isinstance(old, Enum) and isinstance(new, Enum):
            gone = [value for value in old.enums if value not in new.enums]
        table, column = table_and_column(operation)
        name = f"{full_name(table)}.{column}"
    if not gone:
        return None
    return Remark(
        f"{name} loses {', '.join(map(repr, gone))}: rows and code that still use it fail. Add the "
        "new value,",
        "deploy code without the old one, update the rows, and remove it in a later deployment.",
    )


def drops_object(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """What is dropped may be in use, and may hold data."""
    operation = step.operation
    if not isinstance(operation, DropOtherOp):
        return None
    if operation.kind in ("SCHEMA", "DATABASE"):
        return Remark(f"Drops {operation.kind.lower()} {operation.name} with all that is in it.")
    if operation.kind in ("VIEW", "MATERIALIZED VIEW"):
        return Remark(
            f"Drops {operation.kind.lower()} {operation.name}: code that is still running fails. "
            "Deploy code that",
            "does not use it first; to change a view, use CREATE OR REPLACE VIEW.",
        )
    return None


# What fails


def unique_on_rows(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Rows may have the same value already."""
    operation = step.operation
    if isinstance(operation, CreateUniqueConstraintOp):
        columns = [str(each) for each in operation.columns]
    elif isinstance(operation, CreateIndexOp) and operation.unique:
        columns = [str(getattr(each, "name", each)) for each in operation.columns]
    else:
        return None
    table = table_of(operation)
    if table is None:
        return None
    added = added_columns(before)
    new = [added[table, column] for column in columns if (table, column) in added]
    if any(each.column.nullable and each.column.server_default is None for each in new):
        return None  # They are all NULL, and NULL is not equal to NULL.
    cleaned = any(
        isinstance(each.operation, ChangeRowsOp)
        and each.operation.kind in ("DELETE", "UPDATE")
        and table_of(each.operation) == table
        for each in before
    )
    if cleaned:
        return None
    names = ", ".join(columns)
    return Remark(
        f"Fails if two rows of {full_name(table)} have the same {names}. Look first, and fix them:",
        f"SELECT {names}, count(*) FROM {quoted(table, dialect)} GROUP BY {names} "
        "HAVING count(*) > 1",
    )


def concurrently_in_transaction(
    step: Step, before: Sequence[Step], dialect: Dialect
) -> Remark | None:
    """CONCURRENTLY needs a transaction of its own."""
    operation = step.operation
    option = databases.of(dialect.name).concurrent_index_option
    if not option or not step.in_transaction:
        return None
    concurrent = isinstance(operation, CreateIndexOp | DropIndexOp) and operation.kw.get(option)
    if not concurrent and not re.search(r"\bCONCURRENTLY\b", step.sql, re.IGNORECASE):
        return None
    return Remark(
        "CONCURRENTLY fails inside a transaction. Put it into:",
        "with op.get_context().autocommit_block():",
    )


def new_enum_value_in_transaction(
    step: Step, before: Sequence[Step], dialect: Dialect
) -> Remark | None:
    """PostgreSQL lets nobody use a new value before it is committed."""
    if not databases.of(dialect.name).native_enums or not step.in_transaction:
        return None
    text = step.sql or text_of(step.operation)
    for earlier in before:
        operation = earlier.operation
        if earlier.revision != step.revision or not isinstance(operation, ChangeEnumOp):
            continue
        if not earlier.in_transaction or operation is step.operation:
            continue
        for value in operation.added:
            if re.search(rf"(['\"]){re.escape(value)}\1", text):
                return Remark(
                    f"Fails: the new value {value!r} of {operation.name} cannot be used before it "
                    "is committed.",
                    "Add the value in a revision of its own, or in: "
                    "with op.get_context().autocommit_block():",
                )
    return None


def text_of(operation: MigrateOperation) -> str:
    """Return the default that an operation sets, as text."""
    default: Any = None
    if isinstance(operation, AddColumnOp):
        default = getattr(operation.column.server_default, "arg", None)
    elif isinstance(operation, AlterColumnOp):
        default = operation.modify_server_default
        default = getattr(default, "arg", default)
    return "" if default is None or default is False else f"'{default}' {default}"


def needs_batch(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """SQLite changes a table by copying it, which Alembic does in a batch only."""
    operation = step.operation
    if not databases.of(dialect.name).alters_by_copying or step.in_batch or step.sql:
        return None
    table = table_of(operation)
    is_change = isinstance(operation, AlterColumnOp) and (
        operation.modify_name is None or operation.modify_type is not None
    )
    is_key = isinstance(operation, AddConstraintOp | DropConstraintOp)
    new = isinstance(operation, AddColumnOp) and is_not_constant(operation)
    if table is None or not (is_change or is_key or new):
        return None
    schema, name = table
    in_schema = f', schema="{schema}"' if schema else ""
    return Remark(
        f"Fails: SQLite cannot do this to {full_name(table)} without copying it. Write it as "
        "batch_op. … in:",
        f'with op.batch_alter_table("{name}"{in_schema}) as batch_op:',
    )


def is_not_constant(operation: AddColumnOp) -> bool:
    """Return whether SQLite refuses to add a column to a table with rows."""
    column = operation.column
    if column.computed is not None:
        return column.computed.persisted is True
    arg = getattr(column.server_default, "arg", "")
    return not isinstance(arg, str) and not re.match(
        r"\(?['\d+-]|(?:null|true|false)\b", str(arg), re.IGNORECASE
    )


def ends_transaction(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """COMMIT in a revision takes away that a failure reverts it."""
    if not isinstance(step.operation, TransactionOp):
        return None
    return Remark(
        f"{step.operation.words} ends the transaction of the revision: what fails afterwards is "
        "not rolled back.",
        "Put what must be outside of it into: with op.get_context().autocommit_block():",
    )


# What changes many rows


def changes_every_row(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """UPDATE or DELETE without WHERE is often one that was forgotten."""
    operation = step.operation
    if not isinstance(operation, ChangeRowsOp) or operation.chosen:
        return None
    if operation.kind not in ("UPDATE", "DELETE"):
        return None
    table: Key = (operation.schema, operation.table_name)
    added = added_columns(before)
    if operation.columns and all((table, column) in added for column in operation.columns):
        return None  # It fills a new column: nothing was in it.
    verb = "Changes" if operation.kind == "UPDATE" else "Deletes"
    return Remark(
        f"{verb} every row of {full_name(table)}, which downgrade() cannot bring back. Add a WHERE "
        "that names",
        "the rows that need it.",
    )


def truncates(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """TRUNCATE deletes all rows."""
    operation = step.operation
    if not isinstance(operation, ChangeRowsOp) or operation.kind != "TRUNCATE":
        return None
    table: Key = (operation.schema, operation.table_name)
    return Remark(
        f"Deletes all rows of {full_name(table)}, and blocks reads and writes of it meanwhile.",
        "If some are to go, use DELETE with a WHERE.",
    )


def drops_dependents(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """CASCADE drops what nobody has named."""
    if not isinstance(step.operation, DropWithDependentsOp):
        return None
    return Remark(
        f"CASCADE of {step.operation.what} also drops or empties what refers to it, without naming "
        "it.",
        "Leave CASCADE out, and drop what is in the way by name.",
    )


def backfill_with_ddl(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Rows are changed while the table is locked by DDL."""
    operation = step.operation
    database = databases.of(dialect.name)
    if database.single_process or not isinstance(operation, ChangeRowsOp):
        return None
    if operation.kind == "TRUNCATE" or not operation.reads:
        return None
    table: Key = (operation.schema, operation.table_name)
    locked = [
        earlier
        for earlier in before
        if earlier.revision == step.revision
        and table_of(earlier.operation) == table
        and not isinstance(earlier.operation, ChangeRowsOp | ValidateConstraintOp | CreateIndexOp)
        and (earlier.in_transaction or not database.ddl_holds_locks)
    ]
    if not locked or (database.ddl_holds_locks and not step.in_transaction):
        return None
    if database.ddl_holds_locks:
        start = f"The DDL before keeps {full_name(table)} locked until all rows are changed."
    else:
        start = "If this fails, the DDL before it stays, and the revision cannot be repeated."
    return Remark(start, "Change the rows in a revision of its own, in batches if there are many.")


# What blocks


def constraint_with_column(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """A column and its constraint in one step: the lock of one lasts as long as the other."""
    operation = step.operation
    if not isinstance(operation, AddColumnOp):
        return None
    database, column = databases.of(dialect.name), operation.column
    table, name = table_and_column(operation)
    if column.foreign_keys and database.adding_a_foreign_key_blocks:
        blocked, what = database.adding_a_foreign_key_blocks, "foreign key"
    elif (column.unique or column.index) and database.adding_a_unique_constraint_blocks:
        blocked, what = database.adding_a_unique_constraint_blocks, "index"
    else:
        return None
    start = f"The {what} of {name} {blocks(blocked, table)} while all rows are read."
    if not database.not_valid_option:
        return Remark(start, "Add the column alone, and the constraint in a revision of its own.")
    if what == "index":
        return Remark(
            start,
            "Add the column alone, and in a revision of its own, in an autocommit_block():",
            f'op.create_index("ix", "{table[1]}", ["{name}"], unique={bool(column.unique)}, '
            f"{database.concurrent_index_option}=True)",
        )
    return Remark(
        start,
        f"Add the column alone, then the foreign key with {database.not_valid_option}=True, and in "
        "a revision",
        "of its own: " + execute(f"ALTER TABLE {quoted(table, dialect)} VALIDATE CONSTRAINT ..."),
    )


def exclusion_locks_table(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """An exclusion constraint builds an index, and there is no way around it."""
    if type(step.operation).__name__ != "CreateExcludeConstraintOp":
        return None
    table = table_of(step.operation)
    if table is None:
        return None
    return Remark(
        f"Building its index {blocks('reads and writes', table)}, and it cannot be NOT VALID.",
        "If the table is large, create a new table with the constraint, and copy the rows.",
    )


def primary_key_rebuilds_table(
    step: Step, before: Sequence[Step], dialect: Dialect
) -> Remark | None:
    """A primary key is an index, and on MySQL the table itself."""
    operation = step.operation
    is_key = isinstance(operation, CreatePrimaryKeyOp) or (
        isinstance(operation, DropConstraintOp) and operation.constraint_type == "primary"
    )
    table = table_of(operation)
    blocked = databases.of(dialect.name).rewriting_blocks
    if not is_key or table is None or not blocked:
        return None
    drops = isinstance(operation, DropConstraintOp)
    database = databases.of(dialect.name)
    if drops and database.concurrent_index_option:
        return None  # PostgreSQL drops only the index.
    if database.concurrent_index_option:
        return Remark(
            f"Building its index {blocks(blocked, table)}. Create a unique index with",
            f"{database.concurrent_index_option}=True first, then:",
            execute(f"ALTER TABLE {quoted(table, dialect)} ADD PRIMARY KEY USING INDEX ..."),
        )
    tool = database.online_schema_change
    return Remark(
        f"Copies the table and {blocks(blocked, table)}."
        + (f" If it is large, use {tool}." if tool else "")
    )


def rewrites_table(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """Statements that write a table or an index anew."""
    operation = step.operation
    if not isinstance(operation, RewriteTableOp):
        return None
    table = table_of(operation)
    what = blocks(operation.blocks, table) if table else f"blocks {operation.blocks}"
    database = databases.of(dialect.name)
    instead = operation.instead or (
        database.online_schema_change or "a maintenance window, or pg_repack"
    )
    if operation.words.startswith("LOCK"):
        return Remark(f"{operation.words} {what}. Leave it out, or write LOCK=NONE.")
    return Remark(f"{operation.words} copies everything and {what}.", f"Instead, use {instead}.")


def locks_table(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """LOCK TABLE blocks until the revision ends."""
    if not isinstance(step.operation, LockTableOp):
        return None
    table: Key = (step.operation.schema, step.operation.table_name)
    return Remark(
        f"LOCK TABLE blocks other sessions on {full_name(table)} until the revision ends. Leave it "
        "out:",
        "migrations run one at a time anyway.",
    )


def json_is_not_comparable(step: Step, before: Sequence[Step], dialect: Dialect) -> Remark | None:
    """SELECT DISTINCT and GROUP BY fail on a table with a column of json."""
    operation = step.operation
    better = databases.of(dialect.name).comparable_json
    if not better or not isinstance(operation, AddColumnOp):
        return None
    type_ = operation.column.type
    if not isinstance(type_, JSON) or compiled(type_, dialect).upper() != "JSON":
        return None
    table, name = table_and_column(operation)
    return Remark(
        f"json cannot be compared: SELECT DISTINCT on {full_name(table)} fails with {name}. "
        "Instead:",
        f'sa.Column("{name}", {better})',
    )


# By the name that accepts a finding, or switches the rule off
CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        renames_in_use,
        narrows_type,
        requires_value,
        drops_default,
        removes_enum_value,
        drops_object,
        unique_on_rows,
        concurrently_in_transaction,
        new_enum_value_in_transaction,
        needs_batch,
        ends_transaction,
        changes_every_row,
        truncates,
        drops_dependents,
        backfill_with_ddl,
        constraint_with_column,
        exclusion_locks_table,
        primary_key_rebuilds_table,
        rewrites_table,
        locks_table,
        json_is_not_comparable,
    )
}

# What breaks the code that is still running.
CONTRACTIONS = frozenset(
    {
        "drops_data",
        "not_null_without_default",
        "not_null_on_rows",
        "renames_in_use",
        "narrows_type",
        "requires_value",
        "drops_default",
        "removes_enum_value",
        "drops_object",
    }
)


# What fails even on a table that was just created.
ALWAYS = frozenset(
    {
        "concurrently_in_transaction",
        "new_enum_value_in_transaction",
        "needs_batch",
        "ends_transaction",
        "drops_object",
    }
)

# A finding that another one says more precisely.
COVERED_BY = {"requires_value": "not_null_on_rows"}


def findings(
    steps: Sequence[Step],
    dialect: Dialect,
    disabled: Iterable[str] = (),
    past: Callable[[Key], Sequence[Step]] = lambda table: (),
) -> Iterator[tuple[Step, str, Remark]]:
    """Return what the rules find in the steps of a branch: the step, the rule, the words.

    :param disabled: names of rules that are switched off.
    :param past: returns the steps on a table that the branch did not add; asked only when needed.
    """
    off = set(disabled)
    contracted: list[tuple[Step, Key]] = []
    for place, step in enumerate(steps):
        before = steps[:place]
        found: dict[str, Remark] = {}
        beside = [each.operation for each in steps if each.revision == step.revision]
        in_use = table_of(step.operation) not in created_tables(before)
        for name, rule in RULES.items():
            remark = rule(step.operation, beside, dialect) if in_use else None
            if remark and not is_answered(name, step, before, dialect, past):
                found[name] = remark
        for name, check in CHECKS.items():
            asked = (in_use or name in ALWAYS) and COVERED_BY.get(name) not in found
            if asked and (remark := check(step, before, dialect)):
                found[name] = remark
        for name, remark in found.items():
            table = table_of(step.operation)
            if name in CONTRACTIONS and table is not None:
                contracted.append((step, table))
            if name not in off:
                yield step, name, remark
    if "expands_and_contracts" not in off:
        yield from contracted_at_once(steps, contracted)


def is_answered(
    rule: str,
    step: Step,
    before: Sequence[Step],
    dialect: Dialect,
    past: Callable[[Key], Sequence[Step]],
) -> bool:
    """Return whether earlier steps have done what a rule asks for."""
    operation = step.operation
    if rule == "drops_data" and isinstance(operation, DropColumnOp):
        return table_and_column(operation) in added_columns(before)
    if not isinstance(operation, AlterColumnOp):
        return False
    if rule == "conversion_may_fail":
        old, new = operation.existing_type, operation.modify_type
        return isinstance(old, Enum) and isinstance(new, Enum) and set(old.enums) <= set(new.enums)
    table, column = table_and_column(operation)
    if rule == "not_null_on_rows" and is_filled(table, column, before):
        return True
    if rule in ("not_null_on_rows", "not_null_scans_table"):
        return databases.of(dialect.name).not_valid_option != "" and is_checked(
            table, column, [*past(table), *before], dialect
        )
    return False


def contracted_at_once(
    steps: Sequence[Step], contracted: Iterable[tuple[Step, Key]]
) -> Iterator[tuple[Step, str, Remark]]:
    """Return the contractions of tables to which the same branch adds something."""
    expanded = {
        table_of(step.operation)
        for place, step in enumerate(steps)
        if isinstance(step.operation, AddColumnOp)
        and table_of(step.operation) not in created_tables(steps[:place])
    }
    for step, table in contracted:
        # A column that is added so that running code fails is one thing, not two.
        if table in expanded and not isinstance(step.operation, AddColumnOp):
            yield (
                step,
                "expands_and_contracts",
                Remark(
                    f"This branch adds to {full_name(table)} and takes from it at once: no code "
                    "runs before and after.",
                    "Deploy what it adds with the code that uses it, and this in a later branch.",
                ),
            )


# The names of all rules, also of those that look at the files and not at the operations.
RULE_NAMES = (*RULES, *CHECKS, "expands_and_contracts", "changes_applied_revision")
