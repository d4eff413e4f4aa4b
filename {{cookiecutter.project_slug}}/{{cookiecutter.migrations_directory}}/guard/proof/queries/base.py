"""The questions that the tests ask, and how a scratch database is made on a server."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from ... import databases
from ...running.connection import synchronous

# How long a statement on the server waits for a lock, in seconds.
LOCK_TIMEOUT = 60.0


class Queries(ABC):
    """A kind of database. Each module here derives from this class, or from ``ServerQueries``."""

    # Whether a copy of a scratch database has everything that is in it.
    copies_everything = False

    @abstractmethod
    def schema(self, connection: Connection) -> Iterator[str]:
        """Return a line for each table, column, constraint, index, type, view, trigger and so on."""

    def normalized(self, line: str) -> str:
        """Return a line without what does not count: quotes around names, and how it is broken."""
        return " ".join(line.replace('"', "").replace("`", "").split())

    @abstractmethod
    def scratch_database(
        self, url: URL, folder: Path, prefix: str, name: str, template: URL | None
    ) -> AbstractContextManager[URL]:
        """Create a database, and drop it afterwards.

        :param url: a database beside which it is created.
        :param folder: where it is created, if it is a file.
        :param prefix: with what the names of all scratch databases of this project begin.
        :param name: its name.
        :param template: a scratch database to copy, to which nobody is connected.
        """


class ServerQueries(Queries):
    """A kind of database that has a server."""

    # A server may want its clients to be connected to some database while another is created.
    maintenance_database = ""
    list_databases = ""
    # As long as a session holds the lock of that name, its owner needs the database.
    take_lock = ""

    @abstractmethod
    def create(self, server: Connection, name: str, template: str | None) -> None:
        """Create a database on a server, as a copy of another one where that is possible."""

    @abstractmethod
    def lacks_privilege(self, error: DBAPIError) -> bool:
        """Return whether an error says that this account may not create databases."""

    @abstractmethod
    def grant(self, server: Connection, prefix: str) -> str:
        """Return the statement that lets this account create scratch databases."""

    @contextmanager
    def scratch_database(
        self, url: URL, folder: Path, prefix: str, name: str, template: URL | None
    ) -> Iterator[URL]:
        with self.server_of(url) as server:
            self.drop_leftovers(server, prefix)
            self.is_taken(server, name)
            try:
                self.create(server, name, None if template is None else template.database)
            except DBAPIError as error:
                if not self.lacks_privilege(error):
                    raise
                pytest.fail(
                    f"{url.username} may not create databases at {url.host}:{url.port}, as the "
                    f"tests do.\nRun as an administrator: {self.grant(server, prefix)}",
                    pytrace=False,
                )
            try:
                yield url.set(database=name)
            finally:
                server.execute(text(f"DROP DATABASE {name}"))

    @contextmanager
    def server_of(self, url: URL) -> Iterator[Connection]:
        """Connect to a database's server, outside of transactions; without a server, skip the test.

        Where CI is set, as it is on GitHub, a missing server fails the test instead.
        """
        url = synchronous(url).set(database=self.maintenance_database)
        known = databases.of(url.get_backend_name())
        engine = known.create_engine(url, LOCK_TIMEOUT)
        try:
            server = engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        except OperationalError as error:
            problem = f"No scratch database at {url.host}:{url.port}: {error.orig}"
            if os.environ.get("CI"):
                pytest.fail(problem, pytrace=False)
            pytest.skip(problem)
        with server:
            yield server
        engine.dispose()

    def is_taken(self, server: Connection, name: str) -> bool:
        """Take the lock of a scratch database, unless a run that is alive holds it."""
        return bool(server.scalar(text(self.take_lock), {"name": name}))

    def drop_leftovers(self, server: Connection, prefix: str) -> None:
        """Drop the scratch databases of runs that were killed."""
        for name in server.scalars(text(self.list_databases)).all():
            if re.fullmatch(prefix + "[0-9a-f]{12}", name) and self.is_taken(server, name):
                with suppress(DBAPIError):  # Another account's, or somebody looks at it.
                    server.execute(text(f"DROP DATABASE IF EXISTS {name}"))
