"""How operations of our own, and types of the application, are written into a revision.

https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#creating-a-render-function
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from alembic.autogenerate import render_op_text, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp, MigrateOperation
from sqlalchemy.dialects import postgresql

from .. import databases
from ..rules import Remark
from .defaults import render_default, with_colons
from .types import render_type

log = logging.getLogger("alembic.autogenerate.compare")


class ConvertColumnOp(AlterColumnOp):
    """An ``op.alter_column()`` that says how old values are converted.

    Alembic itself does not write options of a dialect, like ``postgresql_using``.
    """

    @classmethod
    def from_change(cls, change: AlterColumnOp, option: str, expression: str) -> "ConvertColumnOp":
        """Return an operation that also converts.

        :param option: the keyword argument of ``op.alter_column()``.
        :param expression: SQL.
        """
        return cls(**arguments_of(change), **{**change.kw, option: expression})

    def reverse(self) -> AlterColumnOp:
        """Return the reverse, which has to convert in another way."""
        return AlterColumnOp(**arguments_of(self)).reverse()


def arguments_of(change: AlterColumnOp) -> dict[str, Any]:
    """Return the named arguments that make the same operation again."""
    names = (
        "table_name", "column_name", "schema",
        "existing_type", "existing_server_default", "existing_nullable", "existing_comment",
        "modify_type", "modify_server_default", "modify_nullable", "modify_comment", "modify_name",
    )  # fmt: skip
    return {name: getattr(change, name) for name in names}


@renderers.dispatch_for(ConvertColumnOp)
def render_conversion(context: AutogenContext, change: ConvertColumnOp) -> str:
    """Return the code of the operation, with the expression that converts."""
    text = render_op_text(context, AlterColumnOp(**arguments_of(change))).removesuffix(")")
    options = "".join(f", {name}={value!r}" for name, value in change.kw.items())
    return f"{text}{options})"


@dataclass(frozen=True)
class EnumColumn:
    """A column of an enum type: where it is, and which default it has before and after."""

    schema: str
    table: str
    name: str
    is_array: bool
    default: str | None
    had_default: bool


class ChangeEnumOp(MigrateOperation):
    """A change of the values of an enum type of PostgreSQL.

    :param schema: of the type.
    :param columns: those of that type when the change is applied, and when it is reverted.
    :param indexes: those that need the type, as CREATE INDEX by their names.
    :param used: whether the same revision uses a new value, for example as a default.
    """

    def __init__(
        self,
        schema: str,
        name: str,
        values: tuple[Sequence[str], Sequence[str]],
        columns: tuple[Sequence[EnumColumn], Sequence[EnumColumn]],
        indexes: Mapping[str, str],
        default_schema: str,
        used: bool = False,
    ) -> None:
        self.schema, self.name, self.indexes = schema, name, indexes
        self.old_values, self.new_values = values
        self.columns, self.columns_reverted = columns
        self.default_schema, self.used = default_schema, used

    def reverse(self) -> "ChangeEnumOp":
        """Return the way back."""
        return ChangeEnumOp(
            self.schema,
            self.name,
            (self.new_values, self.old_values),
            (self.columns_reverted, self.columns),
            self.indexes,
            self.default_schema,
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows a program."""
        return ("change_enum", self.schema, self.name, self.old_values, self.new_values)

    @property
    def added(self) -> list[str]:
        """The values that are new."""
        return [value for value in self.new_values if value not in self.old_values]

    @property
    def only_adds(self) -> bool:
        """Whether the old values stay, in their order."""
        kept = [value for value in self.new_values if value in self.old_values]
        return kept == list(self.old_values)

    def additions(self) -> Iterator[str]:
        """Return the SQL that adds each value in its place."""
        quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
        name = quote(self.name)
        if self.schema != self.default_schema:
            name = f"{quote(self.schema)}.{name}"
        before = list(self.old_values)
        for place, value in enumerate(self.new_values):
            if value in self.old_values:
                continue
            beside = ""
            if place:
                beside = f" AFTER {literal(self.new_values[place - 1])}"
            elif before:
                beside = f" BEFORE {literal(before[0])}"
            yield f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {literal(value)}{beside}"


def literal(value: str) -> str:
    """Return a text as SQL."""
    return "'" + value.replace("'", "''") + "'"


@renderers.dispatch_for(ChangeEnumOp)
def render_change_of_enum(context: AutogenContext, change: ChangeEnumOp) -> list[str]:
    """Return the code that changes the values of an enum type."""
    if change.only_adds:
        lines = [f"op.execute({with_colons(sql)!r})" for sql in change.additions()]
        if not change.used:
            return lines
        return [
            "# A new value can be used when it is committed.",
            "with op.get_context().autocommit_block():",
            *lines,
            "",  # Alembic's printer indents by itself, and ends the block at an empty line.
        ]
    module = import_module("alembic_postgresql_enum")
    operations = import_module("alembic_postgresql_enum.operations")
    indexes = import_module("alembic_postgresql_enum.sql_commands.indexes")
    references = [
        module.TableReference(
            table_schema=column.schema,
            table_name=column.table,
            column_name=column.name,
            column_type=module.ColumnType.ARRAY if column.is_array else module.ColumnType.COMMON,
            existing_server_default=column.default,
        )
        for column in change.columns
    ]
    synchronize = operations.SyncEnumValuesOp(
        change.schema,
        change.name,
        [inside_literal(value) for value in change.old_values],
        [inside_literal(value) for value in change.new_values],
        references,
        [indexes.TableIndex(*index) for index in sorted(change.indexes.items())],
    )
    remark = []
    renamed = [pair for pair in zip(change.old_values, change.new_values) if pair[0] != pair[1]]
    gone = [value for value in change.old_values if value not in change.new_values]
    if len(change.old_values) == len(change.new_values) and {old for old, _ in renamed} == set(
        gone
    ):
        remark = [
            f"# If a value of {change.name} is renamed, say so:",
            f"# enum_values_to_rename={renamed!r}",
        ]
    elif gone:
        values = ", ".join(gone)
        remark = [f"# Fails if a row still has a value {values} of {change.name}. Update it first."]
    for line in remark:
        log.warning("%s", line.removeprefix("# "))
    # It knows no column that loses its default.
    lost = [column for column in change.columns if column.had_default and not column.default]
    without_defaults = [
        render_op_text(
            context,
            AlterColumnOp(
                column.table,
                column.name,
                schema=None if column.schema == change.default_schema else column.schema,
                modify_server_default=None,
            ),
        )
        for column in lost
    ]
    text = renderers.dispatch(synchronize)(context, synchronize)
    return [*remark, *without_defaults, *str(text).splitlines()]


def inside_literal(value: str) -> str:
    """Return a value for alembic-postgresql-enum, which puts it between quotes as it is."""
    return with_colons(value.replace("'", "''"))


@renderers.dispatch_for(Remark)
def render_remark(context: AutogenContext, remark: Remark) -> list[str]:
    """Return a remark as comments, and say it on the terminal, too."""
    lines = [
        line if isinstance(line, str) else re.sub(r",\n\s+", ", ", render_op_text(context, line))
        for line in remark.lines
    ]
    log.warning("%s", " ".join(lines))
    return [f"# {line}" for line in lines]


def render_item(
    kind: str, item: Any, context: AutogenContext, dialects: Iterable[str] = ()
) -> str | Literal[False]:
    """Write a type as what the database stores, and a default as it is.

    A revision that imports the application breaks when the application changes.
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves

    :param dialects: names of dialects that the revision is for, besides that of the connection.
    :raises CommandError: when a type cannot be written.
    """
    if kind == "type":
        native = databases.of(context.migration_context.dialect.name).native_enums
        own_enums = native and find_spec("alembic_postgresql_enum") is not None
        return render_type(item, context, dialects, own_enums) or False
    if kind == "server_default":
        return render_default(item, context) or False
    return False
