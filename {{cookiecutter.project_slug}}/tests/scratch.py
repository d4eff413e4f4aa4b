"""Databases for tests to fill and to empty. The configured database is never one of them."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from {{ cookiecutter.package_name }}.settings import ROOT, database_url

from {{ cookiecutter.migrations_directory }}.connection import synchronous

PREFIX = "{{ cookiecutter.package_name }}_scratch_"

# PostgreSQL wants to be connected to some database while another is made.
MAINTENANCE_DATABASE = {"postgresql": "postgres"}
LIST_DATABASES = {"postgresql": "SELECT datname FROM pg_database"}
# As long as a session holds the lock of that name, its owner needs the database.
LOCK = {"postgresql": "SELECT pg_try_advisory_lock(hashtext(:name))"}


@contextmanager
def scratch_database(folder: Path, template: URL | None = None) -> Iterator[URL]:
    """Make a database beside the configured one, and drop it afterwards.

    :param folder: where the file is made, for SQLite.
    :param template: a scratch database to copy, to which nobody is connected. Without one,
        or on MySQL, which cannot copy, the new database is empty.
    """
    configured = database_url()
    backend = configured.get_backend_name()
    name = f"{PREFIX}{uuid4().hex[:12]}"
    if backend == "sqlite":
        if template is not None:
            shutil.copyfile(str(template.database), folder / f"{name}.db")
        yield configured.set(database=str(folder / f"{name}.db"))
        return
    with server_of(configured) as server:
        drop_leftovers(server)
        owned(server, name)
        if backend == "postgresql":
            source = template.database if template is not None else "template1"
            server.execute(text(f"CREATE DATABASE {name} TEMPLATE {source}"))
            server.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
        else:
            server.execute(text(f"CREATE DATABASE {name}"))
        try:
            yield configured.set(database=name)
        finally:
            server.execute(text(f"DROP DATABASE {name}"))


@contextmanager
def migrated_database(folder: Path, template: URL | None = None) -> Iterator[URL]:
    """Make a scratch database at the head revision: a copy of another one, where that works."""
    with scratch_database(folder, template) as url:
        if template is None or url.get_backend_name() not in ("sqlite", "postgresql"):
            command.upgrade(alembic_config(url), "heads")
        yield url


@contextmanager
def server_of(url: URL) -> Iterator[Connection]:
    """Connect to a database's server, outside of transactions; without a server, skip the test.

    Where CI is set, as it is on GitHub, a missing server fails the test instead.
    """
    database = MAINTENANCE_DATABASE.get(url.get_backend_name(), "")
    engine = create_engine(synchronous(url).set(database=database), isolation_level="AUTOCOMMIT")
    try:
        server = engine.connect()
    except OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"No scratch database at {url.host}:{url.port}: {error.orig}")
    with server:
        yield server
    engine.dispose()


def owned(server: Connection, name: str) -> bool:
    """Take the lock of a scratch database, unless a run that is alive holds it."""
    query = LOCK.get(server.dialect.name, "SELECT GET_LOCK(:name, 0)")
    return bool(server.scalar(text(query), {"name": name}))


def drop_leftovers(server: Connection) -> None:
    """Drop the scratch databases of runs that were killed."""
    for name in server.scalars(text(LIST_DATABASES.get(server.dialect.name, "SHOW DATABASES"))):
        if re.fullmatch(PREFIX + "[0-9a-f]{12}", name) and owned(server, name):
            with suppress(DBAPIError):  # Another account's, or somebody looks at it.
                server.execute(text(f"DROP DATABASE IF EXISTS {name}"))


@event.listens_for(Engine, "connect")
def do_not_wait_for_the_disk(connection: Any, _: object) -> None:
    """A scratch database need not survive a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def alembic_config(url: URL) -> Config:
    """Return the project's Alembic configuration, pointed at a scratch database.

    :raises ValueError: when it is the configured database.
    """
    places = {(each.host, each.port, each.database) for each in (url, database_url())}
    if len(places) == 1:
        raise ValueError("This is the configured database, which tests may not touch.")
    config = Config(ROOT / "alembic.ini")
    text_of_url = synchronous(url).render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", text_of_url.replace("%", "%%"))
    return config


def url_of(config: Config) -> URL:
    """Return the database at which a configuration points, with a synchronous driver."""
    return make_url(config.get_main_option("sqlalchemy.url") or "")


def alembic(config: Config, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Alembic's command line, in a process that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url_of(config).render_as_string(hide_password=False)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def migrate(
    config: Config,
    history: ScriptDirectory,
    steps: Callable[[MigrationContext], Iterator[MigrationStep]],
) -> None:
    """Run migrations as a command does, in an order of one's own.

    :param steps: yields each step to run. Before it yields the next one, it may look at the
        database with ``context.connection``.
    """

    def begin(heads: Any, context: MigrationContext) -> Any:
        return steps(context)

    with EnvironmentContext(config, history, fn=begin):
        history.run_env()
