"""How a migration reaches its database: which one, through which driver, in which transaction."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, event, pool
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from {{ cookiecutter.package_name }} import settings

# Migrations need no event loop, so they also work inside a running one.
SYNCHRONOUS_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


def database_url(config: Config) -> URL:
    """Return the database to migrate, with a driver that needs no event loop.

    The first that is given counts: ``alembic -x url=…``, ``sqlalchemy.url`` of a Config
    made by a program, ``DATABASE_URL``, ``sqlalchemy.url`` in alembic.ini, the default.

    :raises ValueError: when it is not a URL.
    """
    argument = context.get_x_argument(as_dictionary=True).get("url")
    configured = config.get_main_option("sqlalchemy.url") or None
    called_by_program = config.cmd_opts is None
    url = settings.DEVELOPMENT_URL
    for source, text in (
        ("-x url", argument),
        ("sqlalchemy.url", configured if called_by_program else None),
        ("DATABASE_URL", settings.environment_url()),
        ("sqlalchemy.url", configured),
    ):
        if text is not None:
            url = settings.parse_url(text, source)
            break
    return synchronous(url)


def synchronous(url: URL) -> URL:
    """Return the URL of the same database with a driver that needs no event loop."""
    if not url.get_dialect().is_async:
        return url
    return url.set(drivername=SYNCHRONOUS_DRIVERS[url.get_backend_name()])


def options(url: URL) -> dict[str, Any]:
    """Return what ``context.configure()`` needs to know of the kind of database."""
    is_sqlite = url.get_backend_name() == "sqlite"
    return {
        # A revision that fails takes back what it did, and keeps those before it.
        "transaction_per_migration": True,
        # Alembic takes SQLite for unable to do so; connect() makes it able.
        "transactional_ddl": True if is_sqlite else None,
        # SQLite cannot alter a column: Alembic copies the table instead.
        # https://alembic.sqlalchemy.org/en/latest/batch.html
        "render_as_batch": is_sqlite,
    }


def script_settings(url: URL) -> list[str]:
    """Return the statements that a script for ``alembic upgrade head --sql`` begins with."""
    if url.get_backend_name() != "postgresql":
        return []
    # A migration that waits for a lock makes all others wait behind it, so it gives up soon;
    # but once it works, no timeout meant for the application's queries may end it.
    return ["SET lock_timeout = '5s'", "SET statement_timeout = 0"]


@contextmanager
def connect(config: Config) -> Iterator[Connection]:
    """Connect to the database to migrate, or use the connection that a program passes.

    https://alembic.sqlalchemy.org/en/latest/cookbook.html#sharing-a-connection-across-one-or-more-programmatic-migration-commands
    """
    passed = config.attributes.get("connection")
    if passed is not None:
        yield passed
        return
    engine = create_engine(database_url(config), poolclass=pool.NullPool)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", leave_transactions_to_sqlalchemy)
        event.listen(engine, "begin", begin_immediately)
    with engine.connect() as connection:
        yield connection


def leave_transactions_to_sqlalchemy(connection: DBAPIConnection, _: object) -> None:
    """Keep Python's sqlite3 from committing before each CREATE and ALTER.

    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#transactions-with-sqlite-and-the-sqlite3-driver
    """
    connection.isolation_level = None


def begin_immediately(connection: Connection) -> None:
    """Take SQLite's write lock at once, not in the middle of a migration."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def explained_errors(config: Config) -> Iterator[None]:
    """On the command line, end with one sentence instead of a traceback.

    ``alembic --raiseerr`` still shows the traceback; a program gets the exception itself.
    """
    try:
        yield
    except (CommandError, DBAPIError, ValueError) as error:
        if config.cmd_opts is None or config.cmd_opts.raiseerr:
            raise
        sys.exit(f"FAILED: {error.orig if isinstance(error, DBAPIError) else error}")
