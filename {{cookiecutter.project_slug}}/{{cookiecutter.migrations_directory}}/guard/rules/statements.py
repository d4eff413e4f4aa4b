"""Operations that Alembic has no class for: what a statement of SQL does, for the rules."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from alembic.operations.ops import MigrateOperation

from .operations import Key


class Statement(MigrateOperation):
    """What SQL does, as far as the rules need it; it is never written or executed."""

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (type(self).__name__,)


class ChangeRowsOp(Statement):
    """UPDATE, DELETE, INSERT or TRUNCATE.

    :param columns: those that UPDATE sets.
    :param chosen: whether a condition or a limit chooses the rows.
    :param reads: whether the rows come from a query, and are not written in the statement.
    """

    def __init__(
        self,
        kind: Literal["UPDATE", "DELETE", "INSERT", "TRUNCATE"],
        table: Key,
        columns: Iterable[str] = (),
        chosen: bool = False,
        reads: bool = True,
    ) -> None:
        self.kind = kind
        self.schema, self.table_name = table
        self.columns = frozenset(columns)
        self.chosen = chosen
        self.reads = reads


class RewriteTableOp(Statement):
    """A statement that writes a table or an index anew, like VACUUM FULL or ENGINE=.

    :param words: how the statement begins, for the message.
    :param blocks: what other sessions cannot do meanwhile.
    :param instead: the statement that does not block, or nothing.
    """

    def __init__(self, words: str, table: Key | None, blocks: str, instead: str = "") -> None:
        self.schema: str | None = table[0] if table else None
        self.table_name: str | None = table[1] if table else None
        self.words, self.blocks, self.instead = words, blocks, instead


class LockTableOp(Statement):
    """LOCK TABLE."""

    def __init__(self, table: Key) -> None:
        self.schema, self.table_name = table


class ValidateConstraintOp(Statement):
    """VALIDATE CONSTRAINT, which reads all rows and blocks nobody."""

    def __init__(self, table: Key, name: str) -> None:
        self.schema, self.table_name = table
        self.name = name


class ChangeEnumOp(Statement):
    """The values of an enum type change.

    :param added: new values.
    :param gone: values that are removed or renamed.
    :param values: all values afterwards, where that is what the revision says.
    """

    def __init__(
        self,
        name: str,
        added: Iterable[str] = (),
        gone: Iterable[str] = (),
        values: Iterable[str] | None = None,
    ) -> None:
        self.name, self.added, self.gone = name, tuple(added), tuple(gone)
        self.values = None if values is None else tuple(values)


class DropOtherOp(Statement):
    """DROP SCHEMA, DROP DATABASE, DROP VIEW, DROP TYPE, ….

    :param kind: what is dropped: ``SCHEMA``.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name


class DropWithDependentsOp(Statement):
    """The CASCADE of a DROP or a TRUNCATE."""

    def __init__(self, what: str) -> None:
        self.what = what


class RenameOtherOp(Statement):
    """ALTER SCHEMA … RENAME, ALTER VIEW … RENAME, ….

    :param kind: what is renamed: ``SCHEMA``.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name


class TransactionOp(Statement):
    """COMMIT, ROLLBACK or BEGIN."""

    def __init__(self, words: str) -> None:
        self.words = words


@dataclass(frozen=True)
class Step:
    """An operation where a revision calls it.

    :param in_transaction: whether it is outside of ``autocommit_block()``.
    :param in_batch: whether it is inside of ``batch_alter_table()``.
    :param sql: the SQL that the operation was read from, or nothing.
    """

    operation: MigrateOperation
    revision: str
    in_transaction: bool = True
    in_batch: bool = False
    sql: str = ""
