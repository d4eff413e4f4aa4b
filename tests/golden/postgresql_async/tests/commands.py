"""Alembic's commands, on a scratch database."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import URL, make_url

from my_shop.settings import ROOT, database_url

from tests.scratch import scratch_database, text_of


@contextmanager
def migrated_database(folder: Path, template: URL | None = None) -> Iterator[URL]:
    """Make a scratch database at the head revision: a copy of another one, where that works."""
    with scratch_database(folder, template) as url:
        if template is None or url.get_backend_name() not in ("sqlite", "postgresql"):
            command.upgrade(alembic_config(url), "heads")
        yield url


def alembic_config(url: URL) -> Config:
    """Return the project's Alembic configuration, pointed at a scratch database.

    :raises ValueError: when it is the configured database.
    """
    places = {(each.host, each.port, each.database) for each in (url, database_url())}
    if len(places) == 1:
        raise ValueError("This is the configured database, which tests may not touch.")
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", text_of(url).replace("%", "%%"))
    return config


def url_of(config: Config) -> URL:
    """Return the database at which a configuration points, with a synchronous driver."""
    return make_url(config.get_main_option("sqlalchemy.url") or "")


def alembic(config: Config, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Alembic's command line, in a process that has imported nothing yet.

    Without the current directory on its path (-P), as the command ``alembic`` runs.
    """
    url = text_of(url_of(config))
    return subprocess.run(
        [sys.executable, "-P", "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
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
