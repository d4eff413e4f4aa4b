"""Migration environments around the guard, which is imported where it lies: no project is generated."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic.config import Config
from conftest import TEMPLATE, NewDatabase, indent
from processes import Run, run_at_once
from sqlalchemy import URL

MIGRATIONS = TEMPLATE / "{{cookiecutter.project_slug}}" / "{{cookiecutter.migrations_directory}}"

# Cookiecutter would copy bytecode into projects.
sys.dont_write_bytecode = True
sys.path.insert(0, str(MIGRATIONS))

INI = """
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = {guard}
path_separator = newline

[guard]
{settings}

[loggers]
keys = root, migration
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = console
[logger_migration]
level = INFO
handlers =
qualname = alembic.runtime.migration
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"""
ENV = """
from logging.config import fileConfig

from alembic import context
from sqlalchemy import make_url, MetaData

import guard

config = context.config

with guard.explained():
    target_metadata = MetaData()

    def database_url(given=None, fallback=None):
        return make_url(given or {url!r})


def run_migrations_offline():
    url = guard.choose_url(database_url)
    context.configure(
        url=url, target_metadata=target_metadata, literal_binds=True,
        **guard.options(url, target_metadata),
    )
    with guard.serialized(), context.begin_transaction():
        context.run_migrations()


def run_migrations_online():
    with guard.connect(database_url) as connection:
        context.configure(
            connection=connection, target_metadata=target_metadata,
            **guard.options(connection, target_metadata),
        )
        if config.cmd_opts is not None:
            fileConfig(config.config_file_name, disable_existing_loggers=False)
        with guard.serialized(), context.begin_transaction():
            context.run_migrations()


with guard.explained():
    if context.is_offline_mode():
        run_migrations_offline()
    else:
        run_migrations_online()
"""


@dataclass(frozen=True)
class Environment:
    """A migration environment around the guard: an ini, an env.py, and revisions."""

    path: Path
    url: URL

    @property
    def ini(self) -> Path:
        return self.path / "alembic.ini"

    @property
    def config(self) -> Config:
        """The configuration that a program would use."""
        return Config(self.ini)

    def add_revision(self, identifier: str, upgrade: str, downgrade: str = "pass") -> Path:
        """Write a revision on top of the others."""
        versions = self.path / "migrations" / "versions"
        number = len(list(versions.glob("*.py")))
        path = versions / f"{number:03d}_{identifier}.py"
        parents = sorted(versions.glob("*.py"))
        parent = repr(parents[-1].stem.partition("_")[2]) if parents else None
        path.write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision = {identifier!r}\ndown_revision = {parent}\n\n\n"
            f"def upgrade():\n{indent(upgrade)}\n\n\ndef downgrade():\n{indent(downgrade)}\n"
        )
        return path

    def alembic(self, *arguments: str, **variables: str) -> Run:
        """Run a command as a person does."""
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
        (run,) = run_at_once(("alembic", *arguments), folder=self.path, environment=environment)
        return run


NewEnvironment = Callable[..., Environment]


@pytest.fixture
def new_environment(tmp_path: Path, new_database: NewDatabase) -> NewEnvironment:
    """A function that makes an environment for an empty database of a kind."""

    def make(kind: str = "sqlite", settings: str = "", url: URL | None = None) -> Environment:
        url = url or new_database(kind)
        url = url.set(
            drivername={"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}.get(
                url.get_backend_name(), "sqlite"
            )
        )
        folder = tmp_path / f"environment-{len(list(tmp_path.glob('environment-*')))}"
        (folder / "migrations" / "versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text(INI.format(guard=MIGRATIONS, settings=settings))
        text = url.render_as_string(hide_password=False)
        (folder / "migrations" / "env.py").write_text(ENV.replace("{url!r}", repr(text)))
        return Environment(folder, url)

    return make
