"""A connection that is safe to migrate on: to which database, and with which limits."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from alembic import context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, pool
from sqlalchemy.exc import OperationalError

from my_shop import settings

from . import sqlite

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

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
    configured = config.get_main_option("sqlalchemy.url") or None
    called_by_program = config.cmd_opts is None
    url = settings.DEVELOPMENT_URL
    for source, given in (
        ("-x url", x_argument("url")),
        ("sqlalchemy.url", configured if called_by_program else None),
        ("DATABASE_URL", settings.environment_url()),
        ("sqlalchemy.url", configured),
    ):
        if given is not None:
            url = settings.parse_url(given, source)
            break
    return synchronous(url)


def synchronous(url: URL) -> URL:
    """Return the URL of the same database with a driver that needs no event loop."""
    if not url.get_dialect().is_async:
        return url
    return url.set(drivername=SYNCHRONOUS_DRIVERS[url.get_backend_name()])


def name_of(url: URL) -> str:
    """Return a name for a database that may be shown: without user, password and options."""
    if url.host is None:
        return str(url.database or "a database in memory")
    backend = url.get_backend_name()
    port = url.port or DEFAULT_PORTS.get(backend)
    return f"{backend} database {url.database!r} at {url.host}:{port}"


def x_argument(name: str) -> str | None:
    """Return the value of ``alembic -x name=value``, if it was given."""
    return context.get_x_argument(as_dictionary=True).get(name)


def seconds(name: str, default: float) -> float:
    """Return ``alembic -x name=SECONDS``.

    :raises ValueError: when it is not a positive number.
    """
    given = x_argument(name)
    if given is None:
        return default
    if not re.fullmatch(r"\d+(\.\d+)?", given):
        raise ValueError(f"-x {name} is a number of seconds, like -x {name}={default:g}")
    return float(given)


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


@contextmanager
def connect(config: Config) -> Iterator[Connection]:
    """Connect to the database to migrate, or use the connection that a program passes.

    ``alembic -x wait=SECONDS`` waits for a server that is still starting.
    https://alembic.sqlalchemy.org/en/latest/cookbook.html#sharing-a-connection-across-one-or-more-programmatic-migration-commands
    """
    passed = config.attributes.get("connection")
    if passed is not None:
        if not isinstance(passed, Connection):
            raise CommandError(
                'config.attributes["connection"] has to be a Connection; '
                "pass that of an AsyncConnection with connection.run_sync()."
            )
        with sqlite.careful(passed) if passed.dialect.name == "sqlite" else nullcontext():
            yield passed
        return
    engine = migration_engine(database_url(config))
    deadline = time.monotonic() + seconds("wait", 0)
    while True:
        try:
            connection = engine.connect()
            break
        except OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)
    with connection:
        yield connection


def migration_engine(url: URL) -> Engine:
    """Return an engine whose transactions hold all of a migration and wait for locks briefly."""
    wait = seconds("lock_timeout", 5)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return sqlite.migration_engine(url, wait)
    if backend == "postgresql":
        # Prepared statements do not survive a connection pooler.
        unprepared = {"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}
        engine = create_engine(url, poolclass=pool.NullPool, connect_args=unprepared)
        # One way to the server, not two.
        limits = "; ".join(f"SET LOCAL {setting}" for setting in postgresql_settings(wait))

        @event.listens_for(engine, "begin")
        def limit_waiting(connection: Connection) -> None:
            # SET LOCAL, because a pooler may give each transaction another session.
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                connection.exec_driver_sql(limits)

        return engine
    if url.get_driver_name() == "pymysql":
        limit = max(1, round(wait))
        limits = f"lock_wait_timeout = {limit}, innodb_lock_wait_timeout = {limit}"
        arguments = {
            "init_command": f"SET {limits}, time_zone = '+00:00'",
            # PyMySQL encodes in Latin-1 what the server expects in UTF-8.
            "password": (url.password or "").encode().decode("latin-1"),
        }
        return create_engine(url, poolclass=pool.NullPool, connect_args=arguments)
    return create_engine(url, poolclass=pool.NullPool)


def postgresql_settings(wait: float) -> list[str]:
    """Return the settings under which a migration runs on PostgreSQL.

    A migration that waits for a lock makes all others wait behind it, so it gives up soon.
    But while it works, no limit that was meant for the application's queries may end it.
    https://www.postgresql.org/docs/current/runtime-config-client.html
    """
    return [f"lock_timeout = {max(1, round(wait * 1000))}", "statement_timeout = 0"]


def script_settings(url: URL) -> list[str]:
    """Return the statements with which the output of ``alembic upgrade head --sql`` begins."""
    if url.get_backend_name() != "postgresql":
        return []
    return [f"SET {setting}" for setting in postgresql_settings(seconds("lock_timeout", 5))]
