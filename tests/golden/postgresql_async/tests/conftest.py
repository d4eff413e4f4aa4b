"""Fixtures: databases at the head revision, and sessions whose tests leave no trace."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from my_shop.database import make_engine

from tests.commands import alembic_config, migrated_database
from tests.scratch import scratch_database


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """Alembic's configuration with an empty database, for a test of a revision."""
    with scratch_database(tmp_path) as url:
        yield alembic_config(url)


@pytest.fixture(scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    """An engine for a database at the head revision, for all tests of the run."""
    with migrated_database(tmp_path_factory.mktemp("database")) as url:
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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A database at the head revision to which nobody connects, to be copied."""
    with migrated_database(tmp_path_factory.mktemp("template")) as url:
        yield url


@pytest.fixture
async def own_engine(template: URL, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An engine for a database of its own, for a test whose commits others have to see."""
    with migrated_database(tmp_path, template) as url:
        engine = make_engine(url)
        yield engine
        await engine.dispose()
