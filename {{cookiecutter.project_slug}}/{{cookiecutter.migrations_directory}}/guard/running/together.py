"""How the databases of one history change together: all or none, as far as they can.

PostgreSQL can, if its setting max_prepared_transactions is not 0. Otherwise PostgreSQL and
SQLite commit at the very end, one right after the other. MySQL commits each statement.
https://www.postgresql.org/docs/current/sql-prepare-transaction.html
"""

import logging
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

from .. import databases, settings
from .command import current
from .connection import connection_to, name_of, url_from, use
from .serialization import Heads, connection_of, one_at_a_time, only_reads

log = logging.getLogger("alembic.runtime.migration")


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
        self.refuse_what_names_one_database()
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

    def refuse_what_names_one_database(self) -> None:
        """Refuse the ways to name a database that other layouts have: it would be ignored here.

        :raises CommandError: with the right form.
        """
        config = self.command.config
        given = settings.arguments(config)
        forms = ", ".join(f"-x {name}_url=…" for name in self.names)
        if "url" in given:
            raise CommandError(f"-x url names no database of {len(self.names)}. Write: {forms}")
        if "database" in given and not context.is_offline_mode():
            raise CommandError(
                "-x database is for --sql only: a shared history changes all databases together."
            )
        arguments = [f"{name}_url" for name in self.names]
        settings.refuse_unknown_arguments(config, [*arguments, "database"])
        if not self.command.on_command_line and config.get_main_option("sqlalchemy.url"):
            first = self.names[0]
            raise CommandError(
                "sqlalchemy.url names no database of several. Set it in the section of each: "
                f'config.set_section_option("{first}", "sqlalchemy.url", …)'
            )
        if "connection" in config.attributes:
            raise CommandError(
                'config.attributes["connection"] names no database of several. Pass one for each: '
                'config.attributes["connections"] = {"' + self.names[0] + '": …}'
            )
        unknown = set(config.attributes.get("connections", ())) - set(self.names)
        if unknown:
            raise CommandError(
                f'There is no database {min(unknown)!r} of config.attributes["connections"]. '
                f"There are {', '.join(self.names)}."
            )

    def url(self, name: str) -> URL:
        """Return the URL of a database, as ``choose_url`` does."""
        self.command.name = name
        configured = self.command.config.get_section(name, {}).get("sqlalchemy.url")
        self.urls[name] = url_from(
            self.command, partial(self.database_url, name), f"{name}_url", configured
        )
        return self.urls[name]

    def offline(self) -> Iterator[tuple[str, URL]]:
        """Return name and URL of each database that ``--sql`` is for: configure Alembic for it.

        :raises CommandError: when ``-x database`` names none of them.
        """
        chosen = settings.arguments(self.command.config).get("database")
        if chosen is not None and chosen not in self.names:
            raise CommandError(
                f"There is no database {chosen!r}. -x database is one of {', '.join(self.names)}."
            )
        for name in self.names if chosen is None else [chosen]:
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
                self.stack.enter_context(use(self.command, passed[name], place))
                connection = passed[name]
                assert isinstance(connection, Connection)
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
        """Keep what ``context.configure()`` was told for a database; the next call overwrites it."""
        migration = context.get_context()
        migration.opts = dict(migration.opts)
        self.migrations[name] = migration

    def run_migrations(self) -> None:
        """Run the migrations on all databases, and commit them at the end."""
        if context.is_offline_mode():
            for name, migration in self.migrations.items():
                self.at_work(name)
                with Operations.context(migration):
                    migration.impl.static_output(f"-- Database {name}")
                    database = databases.of(migration.dialect.name)
                    lock_timeout = self.command.settings.lock_timeout
                    for statement in database.script_settings(lock_timeout):
                        migration.execute(statement)
                    with migration.begin_transaction():
                        migration.run_migrations(database=name)
            return
        applied: dict[str, list[Heads]] = {}
        for name, migration in self.migrations.items():
            self.at_work(name)
            passed = name in self.passed
            applied[name] = self.stack.enter_context(one_at_a_time(self.command, migration, passed))
            self.stack.enter_context(self.transaction(name))
            with Operations.context(migration):
                migration.run_migrations(database=name)
        self.commit([name for name, heads in applied.items() if heads])
        self.stack.close()

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


def refuse_the_same_database(connections: Mapping[str, Connection]) -> None:
    """One database under two names would wait for itself.

    :raises CommandError: when two connections lead to one database.
    """
    places: dict[object, str] = {}
    for name, connection in connections.items():
        url = connection.engine.url
        place = (url.host, url.port, url.database) if url.database else connection
        if place in places:
            raise CommandError(
                f"{places[place]} and {name} are the same database, {name_of(url)}. "
                "Give each its own."
            )
        places[place] = name


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
