"""How the databases of one history change together: all or none, as far as they can.

PostgreSQL can, if its setting max_prepared_transactions is not 0. Otherwise PostgreSQL and
SQLite commit at the very end, one right after the other. MySQL commits each statement.
https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from alembic import context
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from .. import databases, revisions
from ..messages import command_line
from . import naming, retries
from .command import current
from .connection import connection_to, name_of, url_from, use
from .serialization import Heads, connection_of, one_at_a_time, only_reads, prepare_record

# In config.attributes: whether offline mode is for all databases, as nothing is written.
EVERY_DATABASE = "guard.every_database"

log = logging.getLogger("alembic.runtime.migration")


# A step from where a database stands: +1, -2, label@+1; but not ID-1, which is the same in all.
RELATIVE = re.compile(r"(.+@)?(?P<sign>[+-])\d+")


class NamedUrlSource(Protocol):
    """The function of the application that says where each of its databases is."""

    def __call__(self, name: str, given: str | None = None, fallback: str | None = None) -> URL:
        """Return the URL of a database; see ``UrlSource`` for the parameters."""


class Together:
    """Several databases that go through one history; use it in env.py, in a ``with`` statement.

    :param database_url: the function of the application that says where each database is.
    :param names: the names of the databases.
    """

    def __init__(self, database_url: NamedUrlSource, names: Iterable[str]) -> None:
        self.command = current()
        self.database_url = database_url
        self.names = list(names)
        self.migrations: dict[str, MigrationContext] = {}
        self.urls: dict[str, URL] = {}
        self.passed: set[str] = set()
        self.stack = ExitStack()
        naming.check_all_of_several(self.command, self.names, context.is_offline_mode())
        self.command.config.attributes["guard.databases"] = self.names

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.command.config.attributes.pop("guard.databases", None)
        self.stack.__exit__(kind, error, trace)

    def url(self, name: str) -> URL:
        """Return the URL of a database, as ``choose_url`` does."""
        self.command.name = name
        configured = self.command.config.get_section(name, {}).get("sqlalchemy.url")
        self.urls[name] = url_from(
            self.command, partial(self.database_url, name), f"{name}_url", configured
        )
        return self.urls[name]

    def offline(self) -> Iterator[tuple[str, URL]]:
        """Return name and URL of the database that ``--sql`` is for: configure Alembic for it.

        A script that was run in one database must not have the tables of the others in it. What
        writes no script, as ``lint`` looking for the dialects, gets all.

        :raises CommandError: when ``-x database`` names none of them.
        """
        config = self.command.config
        every = config.attributes.get(EVERY_DATABASE)
        for name in self.names if every else [naming.chosen_for_sql(config, self.names)]:
            yield name, self.url(name)
            self.keep(name)

    def connect(self) -> Iterator[tuple[str, Connection]]:
        """Return name and connection of each database: configure Alembic for it.

        A program passes its own in ``config.attributes["connections"]``, by name.

        :raises CommandError: when two names lead to one database.
        """
        passed: Mapping[str, object] = self.command.config.attributes.get("connections", {})
        connections: dict[str, Connection] = {}
        # Always in the same order, so that two processes cannot wait for each other.
        for name in sorted(self.names):
            self.command.name = name
            if name in passed:
                place = f'config.attributes["connections"]["{name}"]'
                connection = self.stack.enter_context(use(self.command, passed[name], place))
                self.passed.add(name)
            else:
                url = self.url(name)
                connection = self.stack.enter_context(connection_to(self.command, url))
            connections[name] = connection
            self.urls[name] = connection.engine.url
            refuse_the_same_database(connections)
            yield name, connection
            self.keep(name)

    def keep(self, name: str) -> None:
        """Keep what ``context.configure()`` was told; the call for the next database overwrites it."""
        migration = context.get_context()
        migration.opts = dict(migration.opts)
        self.migrations[name] = migration

    def run_migrations(self) -> None:
        """Run the migrations on all databases, and commit them at the end.

        :raises CommandError: for a function of a database that does not exist, and for a relative
            step while the databases stand at different revisions.
        """
        revisions.refuse_functions_of_no_database(self.command.script, self.names)
        if context.is_offline_mode():
            for name, migration in self.migrations.items():
                self.at_work(name)
                with Operations.context(migration):
                    migration.impl.static_output(f"-- Database {name}")
                    database = databases.of(migration.dialect.name)
                    lock_timeout = self.command.settings.lock_timeout
                    for statement in database.script_settings(lock_timeout):
                        migration.execute(statement)
                    prepare_record(self.command, migration)
                    with migration.begin_transaction():
                        migration.run_migrations(database=name)
            return
        applied: dict[str, list[Heads]] = {}
        for name, migration in self.migrations.items():
            self.at_work(name)
            passed = name in self.passed
            applied[name] = self.stack.enter_context(one_at_a_time(self.command, migration, passed))
            if len(applied) == 1:  # Others begin with the same database, and have to wait.
                self.refuse_different_steps()
        if self.passed or any(map(only_reads, self.migrations.values())):
            self.attempt(applied)
        else:
            migrations = list(self.migrations.values())
            retries.run(self.command, migrations, partial(self.attempt, applied))
        self.stack.close()

    def attempt(self, applied: Mapping[str, list[Heads]]) -> None:
        """Run the migrations on all databases, each in a transaction until all are done.

        :param applied: by name, where a database was after each of its revisions.
        """
        with ExitStack() as transactions:
            for name, migration in self.migrations.items():
                self.at_work(name)
                transactions.enter_context(self.transaction(name))
                with Operations.context(migration):
                    migration.run_migrations(database=name)
            self.commit([name for name, heads in applied.items() if heads])

    def refuse_different_steps(self) -> None:
        """Refuse ``downgrade -1`` where it would revert another revision in each database.

        :raises CommandError: with the revision of each, and the command that names one.
        """
        destination = next(iter(self.migrations.values())).opts.get("destination_rev")
        step = RELATIVE.fullmatch(str(destination))
        heads = {name: heads_of(migration) for name, migration in self.migrations.items()}
        if step is None or len(set(heads.values())) == 1:
            return
        ids = [script.revision for script in self.command.script.walk_revisions()]
        # The index of the newest revision of each database, of which base has none.
        places = {min((ids.index(each) for each in known if each in ids), default=len(ids))
                  for known in heads.values()}  # fmt: skip
        up = step["sign"] == "+"
        target = [*ids, "base"][min(places) if up else max(places)]
        at = ", ".join(
            f"{name} at {' and '.join(known) or 'base'}" for name, known in heads.items()
        )
        raise CommandError(
            f"{destination} would mean another revision in each database: {at}. "
            f"Name it: {command_line(self.command.config)} "
            f"{'upgrade' if up else 'downgrade'} {target}"
        )

    def at_work(self, name: str) -> None:
        """Note which database messages are about."""
        self.command.name, self.command.url = name, self.urls[name]

    @contextmanager
    def transaction(self, name: str) -> Iterator[None]:
        """Begin a transaction that ends when all databases are done."""
        log.info("Database %s", name)
        migration, last = self.migrations[name], list(self.migrations.values())[-1]
        if not only_reads(migration) and self.can_prepare(name):
            finish_what_was_left_prepared(connection_of(migration), connection_of(last))
        with migration.begin_transaction():
            yield

    def can_prepare(self, name: str) -> bool:
        """Return whether this is our own transaction, on a server that can prepare it."""
        if name in self.passed:
            return False
        connection = connection_of(self.migrations[name])
        return databases.of(connection.dialect.name).two_phase_commit(connection)

    def commit(self, changed: list[str]) -> None:
        """Commit all databases in two steps; the second one has nothing left that could fail.

        Where that is not possible, they are committed when their transactions end.

        :param changed: the databases that a revision was applied to.
        """
        if len(changed) < 2:
            return
        names = " and ".join(changed)
        if not all(self.can_prepare(name) for name in self.migrations):
            if not all(self.migrations[name].impl.transactional_ddl for name in changed):
                return  # Each statement has committed, and what a revision did stays.
            log.info("Committing %s one after the other, as there is no two-phase commit", names)
            return
        log.info("Committing %s in two phases", names)
        prepared: list[Connection] = []
        try:
            for migration in self.migrations.values():
                connection = connection_of(migration)
                connection.execute(text(f"PREPARE TRANSACTION {identifier(connection)}"))
                prepared.append(connection)
        except DBAPIError:
            for connection in prepared:
                finish(connection, "ROLLBACK")
            raise
        for connection in prepared:
            finish(connection, "COMMIT")


def heads_of(migration: MigrationContext) -> tuple[str, ...]:
    """Return where a database is, and leave its connection as it was."""
    connection = connection_of(migration)
    in_transaction = connection.in_transaction()
    heads = tuple(sorted(migration.get_current_heads()))
    if not in_transaction:
        connection.rollback()
    return heads


def refuse_the_same_database(connections: Mapping[str, Connection]) -> None:
    """One database under two names would wait for itself.

    :param connections: by name; the last one is compared with the others.
    :raises CommandError: when two connections lead to one database.
    """
    *others, (name, connection) = connections.items()
    known = databases.of(connection.dialect.name)
    for other, another in others:
        same_kind = connection.dialect.name == another.dialect.name
        if connection is another or same_kind and known.is_same_database(another, connection):
            raise CommandError(
                f"{other} and {name} are the same database, {name_of(connection.engine.url)}. "
                "Give each its own."
            )


def identifier(connection: Connection) -> str:
    """Return a name for the prepared transaction, of which a database has only one, as SQL."""
    database = str(connection.engine.url.database).replace("'", "''")
    return f"'alembic {database}'"


def finish(connection: Connection, command: str) -> None:
    """Run ``COMMIT PREPARED`` or ``ROLLBACK PREPARED``, which no transaction may contain."""
    engine = connection.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as other:
        other.execute(text(f"{command} PREPARED {identifier(connection)}"))


def is_left_prepared(connection: Connection) -> bool:
    query = text(f"SELECT count(*) FROM pg_prepared_xacts WHERE gid = {identifier(connection)}")
    found = connection.execute(query).scalar_one()
    connection.rollback()
    return bool(found)


def finish_what_was_left_prepared(connection: Connection, last: Connection) -> None:
    """Finish what a process has left that was killed in the middle of ``commit()``.

    The last database is prepared last and committed last. So if its transaction is there,
    all were prepared, and have to be committed; if not, none was committed.
    """
    if is_left_prepared(connection):
        command = "COMMIT" if is_left_prepared(last) else "ROLLBACK"
        log.info("%s of what a killed migration had left prepared", command.title())
        finish(connection, command)
