"""Databases for tests to fill and to empty. The configured database is never one of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from my_shop.settings import ROOT, database_url

from migrations.connection import synchronous

# PostgreSQL wants to be connected to some database while another is made.
MAINTENANCE_DATABASE = {"postgresql": "postgres"}


@contextmanager
def scratch_database(folder: Path) -> Iterator[URL]:
    """Make an empty database beside the configured one, and drop it afterwards.

    :param folder: where the file is made, for SQLite.
    """
    configured = database_url()
    name = f"test_{uuid4().hex[:12]}"
    if configured.get_backend_name() == "sqlite":
        yield configured.set(database=str(folder / f"{name}.db"))
        return
    server = synchronous(configured).set(
        database=MAINTENANCE_DATABASE.get(configured.get_backend_name(), "")
    )
    run_on_server(server, f"CREATE DATABASE {name}")
    try:
        yield configured.set(database=name)
    finally:
        run_on_server(server, f"DROP DATABASE {name}")


def run_on_server(server: URL, statement: str) -> None:
    """Run a statement outside of a transaction; without a server, skip the test.

    Where CI is set, as it is on GitHub, a missing server fails the test instead.
    """
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"No scratch database at {server.host}:{server.port}: {error.orig}")
    finally:
        engine.dispose()


def scratch_engine(url: URL) -> Engine:
    """Return a synchronous engine, also for the URL of an async driver."""
    return create_engine(synchronous(url))


def alembic_config(url: URL) -> Config:
    """Return the project's Alembic configuration, pointed at a database."""
    config = Config(ROOT / "alembic.ini")
    text_of_url = url.render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", text_of_url.replace("%", "%%"))
    return config
