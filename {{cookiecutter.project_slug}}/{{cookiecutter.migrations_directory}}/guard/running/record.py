"""The record of what was applied: a table beside Alembic's, in the same transactions.

It tells older code, which does not have the files, that a newer database comes after its head.
The rows are those of the database's heads and of all their ancestors.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import (
    Column,
    DateTime,
    Float,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from .. import __version__, databases


def name_beside(version_table: str) -> str:
    """Return the name of the record: ``alembic_history`` beside ``alembic_version``."""
    name = version_table.removesuffix("_version")
    return f"{name}_history"


def table_for(migration: MigrationContext) -> Table:
    """Return the table of the record of a migration; it is created later."""
    name = name_beside(migration.version_table)
    return Table(
        name,
        MetaData(),
        Column("revision", String(255), nullable=False),
        # Separated by spaces; of a revision without parents, empty.
        Column("parents", Text(), nullable=False),
        # In UTC. Empty when something else than the guard has applied the revision.
        Column("applied_at", DateTime()),
        Column("seconds", Float()),
        Column("guard", String(32)),
        PrimaryKeyConstraint("revision", name=f"{name}_pkc"),
        schema=migration.version_table_schema,
    )


def parents_of(script: ScriptDirectory, revision: Script) -> tuple[str, ...]:
    """Return the ids of the revisions that a revision needs: its parents and dependencies."""
    down, needs = revision.down_revision, revision.dependencies
    found = [down] if isinstance(down, str) else list(down or ())
    for dependency in [needs] if isinstance(needs, str) else needs or ():
        found += [each.revision for each in script.get_revisions(dependency) if each]
    return tuple(dict.fromkeys(found))


def ancestors(script: ScriptDirectory, heads: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the parents of revisions and of all that come before them, by their id.

    :raises CommandError: when a revision has no file.
    """
    found: dict[str, tuple[str, ...]] = {}
    left = list(heads)
    while left:
        if (identifier := left.pop()) not in found:
            (revision,) = script.get_revisions(identifier)
            assert revision is not None
            found[identifier] = parents_of(script, revision)
            left += found[identifier]
    return found


class Record:
    """The record of a database.

    :param migration: configured for the database, or for ``--sql``.
    """

    def __init__(self, migration: MigrationContext) -> None:
        assert migration.script is not None
        self.migration = migration
        self.script = migration.script
        self.table = table_for(migration)
        self.database = databases.of(migration.dialect.name)

    @property
    def connection(self) -> Any:
        # Alembic has another one in the middle of an autocommit_block.
        return self.migration.connection

    def exists(self) -> bool:
        """Return whether there is a record in the database."""
        inspector = inspect(self.connection)
        return bool(inspector.has_table(self.table.name, self.table.schema))

    def begin(self, heads: set[str]) -> None:
        """Create the table where it is missing, and add what was applied without it.

        Before the first step: MySQL commits when a table is created, which would save a version
        whose revision is not recorded yet.

        :param heads: where the database is.
        """
        if self.migration.as_sql:
            self.migration.execute(CreateTable(self.table, if_not_exists=True))
            return
        if not self.exists():
            self.connection.execute(CreateTable(self.table))
        self.make_agree(heads)

    def fill(self, heads: set[str]) -> None:
        """Add what was applied without the record, where no step follows that would commit it."""
        if self.migration.as_sql or self.migration.opts.get("dont_mutate"):
            return
        own = not self.connection.in_nested_transaction() and self.commits_itself()
        try:
            changed = self.exists() and self.make_agree(heads)
        except DBAPIError:
            if not own:
                raise
            self.connection.rollback()  # The account may only read, and has nothing to apply.
            return
        if changed and own:
            self.connection.commit()

    def commits_itself(self) -> bool:
        """Return whether no transaction is open that Alembic or a program commits."""
        opts = self.migration.opts
        single = not opts.get("transaction_per_migration") and self.migration.impl.transactional_ddl
        return not single and not opts.get("guard.external_transaction")

    def make_agree(self, heads: set[str], stamped: bool = False) -> bool:
        """Let the rows be those of the heads and their ancestors; return whether they were not.

        :param stamped: whether missing rows are of now, and not of an unknown time.
        """
        wanted = ancestors(self.script, heads)
        found = set(self.connection.scalars(select(self.table.c.revision)))
        for extra in found - wanted.keys():
            self.delete(extra)
        for missing in reversed([each for each in wanted if each not in found]):
            self.insert(missing, wanted[missing], None, stamped)
        return found != wanted.keys()

    def applied(self, step: Any, heads: set[str], seconds: float | None) -> None:
        """Note what a step has applied or reverted, in its transaction.

        :param step: Alembic's MigrationInfo. Its ids are not the parents when stamping, which
            goes over many revisions at once.
        :param heads: where the database is after it.
        """
        if step.is_stamp and not self.migration.as_sql:
            self.make_agree(heads, stamped=True)
            return
        changed = {step.up_revision_id}
        if step.is_stamp:
            ends = (step.up_revision_ids, step.down_revision_ids)
            upper, lower = (set(ancestors(self.script, each)) for each in ends)
            changed = upper - lower
        for identifier in sorted(changed):
            if self.migration.as_sql or not step.is_upgrade:
                self.delete(identifier)
            if step.is_upgrade:
                revision = self.script.get_revision(identifier)
                assert revision is not None
                self.insert(identifier, parents_of(self.script, revision), seconds, True)

    def insert(
        self, revision: str, parents: Iterable[str], seconds: float | None, now: bool
    ) -> None:
        """Add a row.

        :param seconds: how long the revision took, if it is known.
        :param now: whether it is applied now.
        """
        values = {"revision": self.text(revision), "parents": self.text(" ".join(parents))}
        values["guard"] = self.text(__version__)
        if now:
            values["applied_at"] = literal_column(self.database.utc_now)
        if seconds is not None and not self.migration.as_sql:
            values["seconds"] = literal_column(f"{seconds:.3f}")
        self.migration.execute(self.table.insert().values(values))

    def delete(self, revision: str) -> None:
        """Delete a row, if there is one."""
        self.migration.execute(
            self.table.delete().where(self.table.c.revision == self.text(revision))
        )

    @staticmethod
    def text(value: str) -> Any:
        """Return a text as SQL, as ``--sql`` has no parameters."""
        quoted = value.replace("'", "''")
        return literal_column(f"'{quoted}'")

    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """Return the parents of each revision in the record; nothing where there is none.

        The account may be one that only reads rows.
        """
        try:
            if not self.exists():
                return {}
            rows = self.connection.execute(select(self.table.c.revision, self.table.c.parents))
            return {revision: tuple(parents.split()) for revision, parents in rows}
        except DBAPIError:
            self.connection.rollback()
            return {}
