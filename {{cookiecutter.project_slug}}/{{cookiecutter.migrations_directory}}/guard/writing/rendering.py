"""How operations of our own, and types of the application, are written into a revision.

https://alembic.sqlalchemy.org/en/latest/api/autogenerate.html#creating-a-render-function
"""

import logging
import re
from typing import Any, Literal

from alembic.autogenerate import render_op_text, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from sqlalchemy import TypeDecorator

from ..rules import Remark

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


@renderers.dispatch_for(Remark)
def render_remark(context: AutogenContext, remark: Remark) -> list[str]:
    """Return a remark as comments, and say it on the terminal, too."""
    lines = [
        line if isinstance(line, str) else re.sub(r",\n\s+", ", ", render_op_text(context, line))
        for line in remark.lines
    ]
    log.warning("%s", " ".join(lines))
    return [f"# {line}" for line in lines]


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write a type of the application as the type that the database stores.

    A revision that imports the application breaks when the application changes.
    https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
    """
    from_sqlalchemy = type(item).__module__.startswith("sqlalchemy.")
    if kind == "type" and isinstance(item, TypeDecorator) and not from_sqlalchemy:
        # Alembic writes a type only as part of an operation.
        text = render_op_text(context, AlterColumnOp("t", "c", modify_type=item.impl_instance))
        return text[text.index("type_=") + len("type_=") : -1]
    return False
