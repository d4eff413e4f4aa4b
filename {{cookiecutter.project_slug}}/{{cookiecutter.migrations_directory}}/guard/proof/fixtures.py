"""Fixtures that are the same for sync and async projects, whose modules name this one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import URL

from .application import Application
from .commands import alembic_configs, migrated_databases
from .scratch import scratch_databases


@pytest.fixture
def configs(application: Application, tmp_path: Path) -> Iterator[dict[str, Config]]:
    """Alembic's configuration for each database, which is empty, for a test of a revision."""
    with scratch_databases(application, tmp_path) as urls:
        yield alembic_configs(application, urls)


@pytest.fixture
def config(configs: dict[str, Config]) -> Config:
    """Alembic's configuration with an empty database, for a test of a revision."""
    if list(configs) != [""]:
        pytest.fail(f"Each database has a history: use configs[{min(configs)!r}].", pytrace=False)
    return configs[""]


@pytest.fixture(scope="session")
def templates(
    application: Application, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, URL]]:
    """Databases at the head revision to which nobody connects, to be copied."""
    with migrated_databases(application, tmp_path_factory.mktemp("templates")) as urls:
        yield urls
