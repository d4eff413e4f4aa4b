"""Which database is migrated, and the connection for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from alembic.util import CommandError
from sqlalchemy import URL, Connection
from sqlalchemy.exc import OperationalError

from .. import databases, settings
from . import naming
from .command import Command, current


class UrlSource(Protocol):
    """The function of the application that says where its database is."""

    def __call__(self, given: str | None = None, fallback: str | None = None) -> URL:
        """Return the URL of the database.

        :param given: counts before what the environment says.
        :param fallback: counts after it, and before the default.
        :raises ValueError: when the one that counts is not a URL.
        """


def choose_url(database_url: UrlSource) -> URL:
    """Return the URL of the database to migrate, with a driver that needs no event loop.

    The first that is given counts: ``alembic -x url=…`` (of several databases, ``-x main_url=…``);
    ``sqlalchemy.url`` on the Config of a program; what ``database_url`` finds in the environment; ``sqlalchemy.url`` in alembic.ini; its
    default.

    :param database_url: the function of the application that says where its database is.
    :raises ValueError: when the one that counts is not a URL.
    """
    command = current()
    argument = naming.check(command)
    configured = command.config.get_main_option("sqlalchemy.url") or None
    return url_from(command, database_url, argument, configured)


def url_from(
    command: Command, database_url: UrlSource, argument: str, configured: str | None
) -> URL:
    """Return the URL of a database, and remember it for messages.

    :param argument: the name that ``-x`` has for it.
    :param configured: ``sqlalchemy.url`` of the configuration.
    """
    given = settings.arguments(command.config).get(argument)
    source = f"-x {argument}"
    if given is None and not command.on_command_line:
        # A program that sets a URL has said which database it means; a file .env must not
        # send its downgrade to another one.
        given, source = configured, "sqlalchemy.url"
    try:
        url = database_url(given=given, fallback=configured)
    except ValueError as error:
        raise ValueError(f"{source}: {error}" if given is not None else str(error)) from None
    command.url = synchronous(url)
    return command.url


def synchronous(url: URL) -> URL:
    """Return the URL of the same database with a driver that needs no event loop."""
    driver = databases.of(url.get_backend_name()).synchronous_driver
    if driver is None or not url.get_dialect().is_async:
        return url
    return url.set(drivername=driver)


def name_of(url: URL) -> str:
    """Return a name for a database that may be shown: without user, password and options."""
    if url.host is None:
        return str(url.database or "a database in memory")
    backend = url.get_backend_name()
    port = url.port or databases.of(backend).default_port
    return f"{backend} database {url.database!r} at {url.host}:{port}"


@contextmanager
def connect(database_url: UrlSource) -> Iterator[Connection]:
    """Connect to the database to migrate, or use the connection that a program passes.

    A program passes it in ``config.attributes["connection"]``, or of several databases in
    ``config.attributes["connections"]["main"]``. The setting ``wait`` waits for a server that is
    still starting.
    https://alembic.sqlalchemy.org/en/latest/cookbook.html#sharing-a-connection-across-one-or-more-programmatic-migration-commands

    :param database_url: the function of the application that says where its database is.
    :raises CommandError: when what a program passes is no Connection, or names no database here.
    """
    command = current()
    naming.check(command)
    passed, place = naming.connection_of_program(command.config)
    if passed is not None:
        with use(command, passed, place) as connection:
            yield connection
    else:
        with connection_to(command, choose_url(database_url)) as connection:
            yield connection


@contextmanager
def use(command: Command, passed: object, place: str) -> Iterator[Connection]:
    """Migrate on a connection that a program passes.

    :param place: where it was passed, for the message.
    """
    if not isinstance(passed, Connection):
        raise CommandError(
            f"{place} has to be a Connection; pass that of an AsyncConnection with "
            "connection.run_sync()."
        )
    command.url = passed.engine.url
    with databases.of(passed.dialect.name).passed(passed):
        yield passed


@contextmanager
def connection_to(command: Command, url: URL) -> Iterator[Connection]:
    """Connect to a database with an engine for migrations."""
    known = command.settings
    deadline = time.monotonic() + known.wait
    command.connecting = True
    engine = databases.of(url.get_backend_name()).create_engine(
        url, known.lock_timeout, known.connect_timeout
    )
    while True:
        try:
            connection = engine.connect()
            break
        except OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)
    command.connecting = False
    with connection:
        yield connection
