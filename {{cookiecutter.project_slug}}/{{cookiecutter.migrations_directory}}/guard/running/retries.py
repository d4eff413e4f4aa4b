"""A locked table delays a migration, it does not fail it.

An attempt waits ``lock_timeout`` seconds for a table, as the queries of all others queue up behind
it. Then the revision is rolled back, they go on, and it is tried again, for ``retry_for`` seconds.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .. import databases
from ..databases import Database, Problem
from . import steps
from .command import Command
from .connection import name_of

log = logging.getLogger("alembic.runtime.migration")

# What passes when others end: the revision is rolled back and tried again.
TEMPORARY = {
    Problem.TABLE_LOCKED: "A table stayed locked by another session",
    Problem.CONFLICT: "The revision was in conflict with another session (a deadlock, for example)",
    Problem.FILE_LOCKED: "{database} stayed locked by another program",
}

# Pauses between two attempts, in seconds: the first, and the longest one.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0


class GaveUp(CommandError):
    """Other sessions were in the way for too long. What was begun is rolled back."""


class Watch:
    """Sees what a connection commits, and who it waits for.

    :param migration: the one whose connection it is.
    """

    def __init__(self, migration: MigrationContext, lock_timeout: float) -> None:
        assert migration.connection is not None
        self.connection: Connection = migration.connection
        self.database: Database = databases.of(self.connection.dialect.name)
        self.one_transaction = steps.one_transaction(migration)
        self.interval = min(0.5, max(0.05, lock_timeout / 4))
        self.wrote = self.committing = self.committed = False
        self.session: int | None = None
        self.waits_since: float | None = None
        self.statement_commits = False
        self.blockers: tuple[str, ...] = ()
        self.ended = Event()

    LISTENED = ("begin", "before_cursor_execute", "after_cursor_execute", "commit", "rollback")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch one attempt."""
        self.wrote = self.committing = self.committed = False
        self.blockers, self.waits_since = (), None
        self.ended.clear()
        # A thread, as this one waits itself; it begins only when a statement takes long.
        observer = Thread(target=self.observe, name=f"{__package__}.watch", daemon=True)
        for name in self.LISTENED:
            event.listen(self.connection, name, getattr(self, name))
        if self.database.knows_blockers:
            observer.start()
        try:
            yield
        finally:
            self.ended.set()
            if observer.is_alive():
                observer.join(timeout=2)
            for name in self.LISTENED:
                event.remove(self.connection, name, getattr(self, name))

    def between_steps(self) -> None:
        """Forget what earlier revisions have committed, unless all are in one transaction."""
        if not self.one_transaction:
            self.wrote = self.committing = self.committed = False

    def begin(self, connection: Connection) -> None:
        self.confirm()
        self.session = self.database.session_id(connection)

    def before_cursor_execute(
        self, connection: Connection, cursor: Any, statement: str, *_: Any
    ) -> None:
        self.confirm()
        if self.wrote and self.database.commits(statement):
            self.committed = True
        self.statement_commits = self.database.commits(statement)
        self.waits_since = time.monotonic()

    def after_cursor_execute(
        self, connection: Connection, cursor: Any, statement: str, *_: Any
    ) -> None:
        self.waits_since, self.blockers = None, ()
        if self.database.writes(statement):
            self.wrote = True
            self.committed = self.committed or self.database.commits(statement)

    def commit(self, connection: Connection) -> None:
        self.committing = self.wrote

    def rollback(self, connection: Connection) -> None:
        # A COMMIT that failed has committed nothing.
        self.committing = self.wrote = False

    def part_may_stand(self) -> bool:
        """Return whether something is committed, or a statement that commits itself may go on."""
        return self.committed or (self.waits_since is not None and self.statement_commits)

    def confirm(self) -> None:
        """Take a COMMIT for done: something follows it."""
        if self.committing:
            self.committed, self.committing, self.wrote = True, False, False

    def observe(self) -> None:
        """Ask on another connection who holds what this one waits for, while it waits."""
        other: Connection | None = None
        with suppress(SQLAlchemyError):
            while not self.ended.wait(self.interval):
                since, session = self.waits_since, self.session
                if since is None or session is None or time.monotonic() - since < self.interval:
                    continue
                if other is None:
                    other = self.connection.engine.connect().execution_options(
                        isolation_level="AUTOCOMMIT"
                    )
                if found := self.database.blockers(session, other):
                    self.blockers = tuple(found)
        if other is not None:
            with suppress(SQLAlchemyError):
                other.close()


class Attempts:
    """The attempts of a command.

    :param migrations: one for each database that it migrates.
    """

    def __init__(self, command: Command, migrations: list[MigrationContext]) -> None:
        self.command = command
        limit = command.settings.lock_timeout
        self.watches = [Watch(migration, limit) for migration in migrations]
        self.steps = [found for each in migrations if (found := steps.of(each)) is not None]
        for watch, found in zip(self.watches, self.steps, strict=False):
            found.between_steps = watch.between_steps
            found.part_may_stand = watch.part_may_stand
        self.migrations = migrations
        self.began = time.monotonic()
        self.number = 0

    @property
    def patience(self) -> float:
        return self.command.settings.retry_for

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all connections during an attempt."""
        with ExitStack() as stack:
            for watch in self.watches:
                stack.enter_context(watch.watching())
            yield

    def go_on(self, failure: DBAPIError, attempt: Callable[[], object]) -> None:
        """Try again until it works, or trying again does not help.

        :param failure: what ended the attempt before.
        """
        while True:
            for watch in self.watches:
                if watch.connection.in_transaction():
                    watch.connection.rollback()
            self.wait_after(failure)
            for migration in self.migrations:
                # Where SQLAlchemy notes which enum types it has created: they are rolled back.
                migration.impl.memo.clear()
            try:
                with self.watching():
                    attempt()
                return
            except DBAPIError as error:
                failure = error

    def revision(self) -> str | None:
        """Return the id of the revision that is at work."""
        return next((found.revision for found in self.steps if found.revision), None)

    def wait_after(self, error: DBAPIError) -> None:
        """Wait before the next attempt, if there may be one.

        :raises DBAPIError: the error itself, if trying again does not help.
        :raises CommandError: when the time is over, or when a part of the revision is committed.
        """
        watch = next(
            (each for each in self.watches if each.database.problem(error) in TEMPORARY), None
        )
        if watch is None or error.connection_invalidated:
            raise error
        problem = watch.database.problem(error)
        assert problem is not None
        happened = TEMPORARY[problem].format(database=name_of(watch.connection.engine.url))
        blockers = "; ".join(name for each in self.watches for name in each.blockers)
        who = f": {blockers}" if blockers else ""
        if not blockers and problem is Problem.TABLE_LOCKED:
            who = ": one that this account may not see"
        revision = self.revision()
        name = f"revision {revision}" if revision else "the revision"
        if any(each.committed for each in self.watches):
            raise CommandError(
                f"{happened}{who}. A part of {name} is committed already, "
                "so it is not run again by itself. Complete or revert it by hand, or make "
                "it safe to repeat; then run the command again."
            ) from error
        from random import uniform  # Few migrations need it.

        pause = min(FIRST_PAUSE * 1.6**self.number, LONGEST_PAUSE) * uniform(0.7, 1.3)
        left = self.began + self.patience - time.monotonic()
        if left <= pause:
            raise GaveUp(
                f"{happened}, so {name} was rolled back{who}. Let it end, or try "
                f"for longer than {self.patience:g} s with -x retry_for=SECONDS."
            ) from error
        self.number += 1
        log.info(
            "%s, so %s was rolled back%s. Trying again in %.1f s (up to %d s)",
            happened, name, who, pause, left,
        )  # fmt: skip
        time.sleep(pause)


@contextmanager
def tried_again(
    command: Command, migration: MigrationContext, again: Callable[[], object]
) -> Iterator[None]:
    """Run the migrations inside, and again as long as other sessions are in their way.

    :param again: runs them again, on the same connection.
    """
    attempts = Attempts(command, [migration])
    try:
        with attempts.watching():
            yield
        return
    except DBAPIError as error:
        failure = error
    attempts.go_on(failure, again)


def run(
    command: Command, migrations: list[MigrationContext], attempt: Callable[[], object]
) -> None:
    """Run an attempt, and again as long as other sessions are in its way."""
    attempts = Attempts(command, migrations)
    try:
        with attempts.watching():
            attempt()
        return
    except DBAPIError as error:
        failure = error
    attempts.go_on(failure, attempt)
