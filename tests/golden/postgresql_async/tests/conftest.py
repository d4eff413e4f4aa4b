"""Fixtures: an empty database, and a session whose test leaves no trace."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from my_shop.database import make_engine

from tests.scratch import alembic_config, scratch_database


@pytest.fixture
def empty_database(tmp_path: Path) -> Iterator[URL]:
    """A database without tables, for one test."""
    with scratch_database(tmp_path) as url:
        yield url


@pytest.fixture(scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    """An engine for a database at the head revision, for all tests of the run."""
    with scratch_database(tmp_path_factory.mktemp("database")) as url:
        command.upgrade(alembic_config(url), "head")
        engine = make_engine(url)
        yield engine
        await engine.dispose()


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session for one test; all that it writes, even with commit(), is rolled back.

    https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites
    """
    async with engine.connect() as connection, connection.begin() as transaction:
        async with AsyncSession(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            yield session
        await transaction.rollback()
