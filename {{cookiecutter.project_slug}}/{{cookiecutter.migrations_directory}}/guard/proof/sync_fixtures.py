"""Fixtures: databases at the head revision, and sessions whose tests leave no trace."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.orm import Session

from .application import Application
from .commands import migrated_databases

pytest_plugins = [f"{__package__}.fixtures"]


@pytest.fixture(scope="session")
def engines(
    application: Application, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Engine]]:
    """Engines for databases at the head revision, for all tests of the run."""
    with (
        migrated_databases(application, tmp_path_factory.mktemp("databases")) as urls,
        engines_for(application, urls) as engines,
    ):
        yield engines


@pytest.fixture(scope="session")
def engine(application: Application, engines: dict[str, Engine]) -> Engine:
    """An engine for a database at the head revision, for all tests of the run."""
    return application.only(engines, "engines")


@pytest.fixture
def session(application: Application, engines: dict[str, Engine]) -> Iterator[Session]:
    """A session for one test; all that it writes, even with commit(), is rolled back.

    https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites
    """
    with ExitStack() as stack:
        bind: Connection | None = None
        binds: dict[Any, Engine | Connection] = {}
        for name, engine in engines.items():
            bind = stack.enter_context(engine.connect())
            stack.callback(bind.begin().rollback)
            if name:
                binds[application.bases[name]] = bind
        yield stack.enter_context(
            Session(
                None if binds else bind,
                binds=binds or None,
                join_transaction_mode="create_savepoint",
            )
        )


@pytest.fixture
def own_engines(
    application: Application, templates: dict[str, URL], tmp_path: Path
) -> Iterator[dict[str, Engine]]:
    """Engines for databases of its own, for a test whose commits others have to see."""
    with (
        migrated_databases(application, tmp_path, templates) as urls,
        engines_for(application, urls) as engines,
    ):
        yield engines


@pytest.fixture
def own_engine(application: Application, own_engines: dict[str, Engine]) -> Engine:
    """An engine for a database of its own, for a test whose commits others have to see."""
    return application.only(own_engines, "own_engines")


@contextmanager
def engines_for(application: Application, urls: dict[str, URL]) -> Iterator[dict[str, Engine]]:
    """Make the application's engine for each database, and dispose of it."""
    engines: dict[str, Engine] = {name: application.make_engine(url) for name, url in urls.items()}
    yield engines
    for engine in engines.values():
        engine.dispose()
