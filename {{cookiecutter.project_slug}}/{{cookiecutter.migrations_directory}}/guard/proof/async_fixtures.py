"""Fixtures: databases at the head revision, and sessions whose tests leave no trace."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from .application import Application
from .commands import migrated_databases

pytest_plugins = [f"{__package__}.fixtures"]


@pytest.fixture(scope="session")
async def engines(
    application: Application, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Engines for databases at the head revision, for all tests of the run."""
    with migrated_databases(application, tmp_path_factory.mktemp("databases")) as urls:
        async with engines_for(application, urls) as engines:
            yield engines


@pytest.fixture(scope="session")
def engine(application: Application, engines: dict[str, AsyncEngine]) -> AsyncEngine:
    """An engine for a database at the head revision, for all tests of the run."""
    return application.only(engines, "engines")


@pytest.fixture
async def session(
    application: Application, engines: dict[str, AsyncEngine]
) -> AsyncIterator[AsyncSession]:
    """A session for one test; all that it writes, even with commit(), is rolled back.

    https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites
    """
    async with AsyncExitStack() as stack:
        bind: AsyncConnection | None = None
        binds: dict[Any, AsyncEngine | AsyncConnection] = {}
        for name, engine in engines.items():
            bind = await stack.enter_async_context(engine.connect())
            transaction = await bind.begin()
            stack.push_async_callback(transaction.rollback)
            if name:
                binds[application.bases[name]] = bind
        yield await stack.enter_async_context(
            AsyncSession(
                None if binds else bind,
                binds=binds or None,
                join_transaction_mode="create_savepoint",
                expire_on_commit=False,
            )
        )


@pytest.fixture
async def own_engines(
    application: Application, templates: dict[str, URL], tmp_path: Path
) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Engines for databases of its own, for a test whose commits others have to see."""
    with migrated_databases(application, tmp_path, templates) as urls:
        async with engines_for(application, urls) as engines:
            yield engines


@pytest.fixture
def own_engine(application: Application, own_engines: dict[str, AsyncEngine]) -> AsyncEngine:
    """An engine for a database of its own, for a test whose commits others have to see."""
    return application.only(own_engines, "own_engines")


@asynccontextmanager
async def engines_for(
    application: Application, urls: dict[str, URL]
) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Make the application's engine for each database, and dispose of it."""
    engines: dict[str, AsyncEngine] = {
        name: application.make_engine(url) for name, url in urls.items()
    }
    yield engines
    for engine in engines.values():
        await engine.dispose()
