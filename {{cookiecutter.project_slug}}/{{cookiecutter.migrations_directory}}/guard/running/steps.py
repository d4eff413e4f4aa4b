"""The steps of a command: resolved to revisions once, counted, timed, and written down.

Alembic's ``fn`` says which steps a command has, from where the database is. A relative target
like ``-3`` leads somewhere else when it is asked again in the middle, so it is asked once.
https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.environment.EnvironmentContext.params.fn
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.util import CommandError
from sqlalchemy import URL, Connection

from . import ahead
from .record import Record

log = logging.getLogger("alembic.runtime.migration")

Function = Callable[[Any, MigrationContext], Iterable[MigrationStep]]


class Question:
    """A function for ``EnvironmentContext(fn=…)`` that asks the database something.

    It is called wherever the database is, also at a revision that has no file.

    :param ask: gets the heads of the database and the context, and applies nothing.
    """

    def __init__(self, ask: Callable[[set[str], MigrationContext], None]) -> None:
        self.ask = ask

    def __call__(self, heads: Any, migration: MigrationContext) -> list[MigrationStep]:
        self.ask(set(heads), migration)
        return []


class Steps:
    """What ``context.run_migrations()`` goes through, also when it is called again.

    :param original: the ``fn`` of the command.
    """

    def __init__(self, original: Function) -> None:
        self.original = original
        self.record: Record | None = None
        # Called before each step, and when it is committed.
        self.between_steps: Callable[[], None] = lambda: None
        # Whether a part of the step at work is committed, or may be.
        self.part_may_stand: Callable[[], bool] = lambda: False
        self.one_transaction = False
        self.planned: list[MigrationStep] | None = None
        self.done = 0
        self.began = 0.0
        self.at_work: MigrationStep | None = None
        # Where the database was at first, after the steps that are committed, and after the last.
        self.first: set[str] = set()
        self.committed: set[str] = set()
        self.latest: set[str] = set()

    def __call__(self, heads: Any, migration: MigrationContext) -> Iterator[MigrationStep]:
        """Yield the steps that are still to be done.

        :raises CommandError: when the database is at a revision that this code does not have,
            and when it has moved since the first attempt.
        """
        now = set(heads)
        self.at_work = None
        self.one_transaction = one_transaction(migration)
        if self.planned is None:
            answered = not isinstance(self.original, Question) and ahead.answers(
                self.original, now, migration
            )
            if answered:
                return
            found = self.original(heads, migration)
            self.first = self.committed = self.latest = now
            if not isinstance(found, list):
                yield from self.one_by_one(now, found, migration)
                return
            self.planned = found
        elif self.one_transaction:
            self.done, self.committed = 0, self.first
        if now != self.committed:
            raise CommandError(
                f"The database moved to {sorted(now)} between two attempts, by another migration. "
                "See where it is with: alembic current"
            )
        yield from self.one_by_one(now, self.planned[self.done :], migration)

    @property
    def revision(self) -> str | None:
        """The id of the revision that is at work."""
        revision = getattr(self.at_work, "revision", None)
        return None if revision is None else str(revision.revision)

    @property
    def reached(self) -> set[str]:
        """Where the database is, if what is at work is rolled back."""
        return self.first if self.one_transaction else self.committed

    def one_by_one(
        self, heads: set[str], steps: Iterable[MigrationStep], migration: MigrationContext
    ) -> Iterator[MigrationStep]:
        """Yield steps; what follows a ``yield`` runs when Alembic has committed the step."""
        if self.record is not None and (steps or not isinstance(steps, list)):
            self.record.begin(heads)
        for step in steps:
            self.between_steps()
            self.at_work, self.began = step, time.monotonic()
            yield step
            self.between_steps()
            self.done += 1
            self.at_work, self.committed = None, self.latest
        if self.record is not None and not steps:
            self.record.fill(heads)

    def applied(self, step: Any, heads: set[str], **_: Any) -> None:
        """Note a step in its transaction: Alembic's ``on_version_apply``.

        https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.environment.EnvironmentContext.configure.params.on_version_apply
        """
        seconds = time.monotonic() - self.began
        self.latest = set(heads)
        if self.record is not None:
            self.record.applied(step, self.latest, None if step.is_stamp else seconds)
        if not step.is_stamp:
            log.info("Revision %s took %.2f s", step.up_revision_id, seconds)


def one_transaction(migration: MigrationContext) -> bool:
    """Return whether all steps are in one transaction, and all are rolled back with one."""
    one = not migration.opts.get("transaction_per_migration")
    return one and bool(migration.impl.transactional_ddl)


def wrapped(database: Connection | URL) -> Steps:
    """Return the ``fn`` of the running command with what the guard adds to it.

    Alembic gives it to the context that ``configure()`` makes, and nowhere else.
    """
    if isinstance(database, URL):
        context.configure(url=database)
    else:
        context.configure(connection=database)
    function = context.get_context().opts["fn"]
    return Steps(function.original if isinstance(function, Steps) else function)


def of(migration: MigrationContext) -> Steps | None:
    """Return the steps of a migration, or None where ``env.py`` does without ``options()``."""
    found = migration.opts.get("fn")
    return found if isinstance(found, Steps) else None
