{% set layout = cookiecutter._layout_facts[cookiecutter.databases] %}
{% set copies_tables = cookiecutter._database_facts[cookiecutter.database].copies_tables %}
"""Databases for tests to fill and to empty. The configured database is never one of them."""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from {{ cookiecutter.package_name }}.settings import database_url

from {{ cookiecutter.__migrations_package }}.connection import synchronous

PREFIX = "{{ cookiecutter.package_name }}_scratch_"

# PostgreSQL wants to be connected to some database while another is made.
MAINTENANCE_DATABASE = {"postgresql": "postgres"}
LIST_DATABASES = {"postgresql": "SELECT datname FROM pg_database"}
# As long as a session holds the lock of that name, its owner needs the database.
LOCK = {"postgresql": "SELECT pg_try_advisory_lock(hashtext(:name))"}


@contextmanager
def scratch_database(folder: Path{{ layout.next_parameter }}, template: URL | None = None) -> Iterator[URL]:
    """Make a database beside the configured one, and drop it afterwards.

    :param folder: where the file is made, for SQLite.
    :param template: a scratch database to copy, to which nobody is connected. Without one,
        or on MySQL{{ " where there is more than tables" if copies_tables else ", which cannot copy" }}, the new database is empty.
    """
    configured = database_url({{ layout.argument }})
    backend = configured.get_backend_name()
    scratch = f"{PREFIX}{uuid4().hex[:12]}"
    if backend == "sqlite":
        if template is not None:
            shutil.copyfile(str(template.database), folder / f"{scratch}.db")
        yield configured.set(database=str(folder / f"{scratch}.db"))
        return
    with server_of(configured) as server:
        drop_leftovers(server)
        owned(server, scratch)
        if backend == "postgresql":
            source = template.database if template is not None else "template1"
            server.execute(text(f"CREATE DATABASE {scratch} TEMPLATE {source}"))
            server.execute(text(f"ALTER DATABASE {scratch} SET synchronous_commit = off"))
        else:
            server.execute(text(f"CREATE DATABASE {scratch}"))
{% if copies_tables %}
            if template is not None:
                copy_tables(server, str(template.database), scratch)
{% endif %}
        try:
            yield configured.set(database=scratch)
        finally:
            server.execute(text(f"DROP DATABASE {scratch}"))


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


{% if copies_tables %}
# Which columns of which tables to copy: all but generated ones. And what is not copied at all.
COLUMNS = """
SELECT table_name, GROUP_CONCAT('`', column_name, '`' ORDER BY ordinal_position)
FROM information_schema.columns WHERE table_schema = :source AND extra NOT LIKE '% GENERATED'
GROUP BY table_name
"""
MORE_THAN_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = :source AND table_type <> 'BASE TABLE'
UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = :source
UNION ALL SELECT routine_name FROM information_schema.routines WHERE routine_schema = :source
UNION ALL SELECT event_name FROM information_schema.events WHERE event_schema = :source
"""


def copy_tables(server: Connection, source: str, target: str) -> None:
    """Copy a database table by table, as the server cannot, unless there is more in it."""
    if server.execute(text(MORE_THAN_TABLES), {"source": source}).first():
        return
    server.exec_driver_sql(f"USE {target}")
    # Tables come in any order, and a row with the id 0 keeps it.
    server.exec_driver_sql("SET foreign_key_checks = 0, group_concat_max_len = 1000000")
    server.exec_driver_sql("SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
    for table, columns in server.execute(text(COLUMNS), {"source": source}).all():
        definition = server.exec_driver_sql(f"SHOW CREATE TABLE {source}.`{table}`").one()[1]
        server.exec_driver_sql(definition.replace("%", "%%"))
        server.exec_driver_sql(
            f"INSERT INTO `{table}` ({columns}) SELECT {columns} FROM {source}.`{table}`"
        )


{% endif %}
@event.listens_for(Engine, "connect")
def do_not_wait_for_the_disk(connection: Any, _: object) -> None:
    """A scratch database need not survive a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def text_of(url: URL) -> str:
    """Return a URL as a text, with its password and a synchronous driver."""
    return synchronous(url).render_as_string(hide_password=False)
