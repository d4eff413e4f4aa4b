"""Migration environments of several databases around the guard: no project is generated."""

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import NewDatabase, indent, with_driver
from environments import INI, MIGRATIONS
from processes import Run, run_at_once
from sqlalchemy import URL

NAMES = ("main", "analytics")

# The environment variables of the databases, as in a generated project.
HEAD = """
import os
from functools import partial

from alembic import context
from sqlalchemy import MetaData, make_url

import guard

config = context.config
NAMES = ("main", "analytics")


def database_url(name, given=None, fallback=None):
    return make_url(given or os.environ.get(f"{name.upper()}_DATABASE_URL") or fallback)
"""
ENV = {
    "shared_history": """
def run(each, **options):
    for name, database in each:
        metadata = MetaData()
        place = {"url": database, "literal_binds": True} if context.is_offline_mode() else {"connection": database}
        context.configure(
            **place, target_metadata=metadata,
            upgrade_token=f"{name}_upgrades", downgrade_token=f"{name}_downgrades",
            **guard.options(database, metadata),
        )


with guard.explained():
    with guard.Together(database_url, NAMES) as databases:
        run(databases.offline() if context.is_offline_mode() else databases.connect())
        databases.run_migrations()
""",
    "several": """
name = config.config_ini_section
database_url = partial(database_url, name)
metadata = MetaData()

with guard.explained():
    if context.is_offline_mode():
        url = guard.choose_url(database_url)
        context.configure(url=url, target_metadata=metadata,
                          **guard.options(url, metadata))
        with guard.serialized(), context.begin_transaction():
            context.run_migrations()
    else:
        with guard.connect(database_url) as connection:
            context.configure(connection=connection, target_metadata=metadata,
                              **guard.options(connection, metadata))
            with guard.serialized(), context.begin_transaction():
                context.run_migrations()
""",
}
DISPATCH = """
def upgrade(database):
    globals().get(f"upgrade_{database}", lambda: None)()


def downgrade(database):
    globals().get(f"downgrade_{database}", lambda: None)()
"""


@dataclass(frozen=True)
class SeveralEnvironment:
    """An environment for two databases, main and analytics, in one of the two layouts."""

    path: Path
    layout: str
    urls: dict[str, URL]

    @property
    def ini(self) -> Path:
        return self.path / "alembic.ini"

    def add_revision(self, identifier: str, history: str = "versions", **functions: str) -> Path:
        """Write a revision on top of the others.

        :param functions: their bodies: ``upgrade_main``, or in the layout several ``upgrade``.
        """
        versions = self.path / "migrations" / history
        parents = sorted(versions.glob("*.py"))
        parent = repr(parents[-1].stem.partition("_")[2]) if parents else None
        path = versions / f"{len(parents):03d}_{identifier}.py"
        if self.layout == "several":
            functions = {"upgrade": "pass", "downgrade": "pass"} | functions
        path.write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision = {identifier!r}\ndown_revision = {parent}\n"
            + (DISPATCH if self.layout == "shared_history" else "")
            + "".join(f"\n\ndef {name}():\n{indent(body)}\n" for name, body in functions.items())
        )
        return path

    def environment(self, **variables: str) -> dict[str, str]:
        urls = {
            f"{name.upper()}_DATABASE_URL": url.render_as_string(hide_password=False)
            for name, url in self.urls.items()
        }
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **urls, **variables}

    def alembic(self, *arguments: str, **variables: str) -> Run:
        """Run a command as a person does."""
        (run,) = run_at_once(
            ("alembic", *arguments), folder=self.path, environment=self.environment(**variables)
        )
        return run

    def program(self, code: str, *arguments: str, **variables: str) -> Run:
        """Run a program that calls Alembic: ``config`` is its configuration, ``urls`` are others."""
        file = self.path / "a_program.py"
        section = ", ini_section='main'" if self.layout == "several" else ""
        file.write_text(
            "import sys\nfrom alembic import command\nfrom alembic.config import Config\n"
            "from sqlalchemy import create_engine\n"
            f"config = Config({str(self.ini)!r}{section})\nurls = sys.argv[1:]\n"
            + textwrap.dedent(code)
        )
        (run,) = run_at_once(
            ("a_program", *arguments), folder=self.path, environment=self.environment(**variables)
        )
        return run


NewSeveral = Callable[..., SeveralEnvironment]


@pytest.fixture
def new_several(tmp_path: Path, new_database: NewDatabase) -> NewSeveral:
    """A function that makes an environment for two empty databases."""

    def make(
        layout: str, kind: str = "sqlite", settings: str = "", urls: dict[str, URL] | None = None
    ) -> SeveralEnvironment:
        folder = tmp_path / f"several-{len(list(tmp_path.glob('several-*')))}"
        (folder / "migrations").mkdir(parents=True)
        ini = INI.format(guard=MIGRATIONS, settings=settings)
        histories = ["versions"]
        if layout == "several":
            histories = list(NAMES)
            sections = "".join(
                f"[{name}]\nversion_locations = %(here)s/migrations/{name}\n\n" for name in NAMES
            )
            ini = ini.replace("[alembic]", "[DEFAULT]")
            alembic = "[alembic]\nscript_location = guard.without_name:\n\n"
            ini = ini.replace("[guard]", sections + alembic + "[guard]")
        for history in histories:
            (folder / "migrations" / history).mkdir()
        (folder / "alembic.ini").write_text(ini)
        (folder / "migrations" / "env.py").write_text(HEAD + ENV[layout])
        made = urls or {name: with_driver(new_database(kind)) for name in NAMES}
        return SeveralEnvironment(folder, layout, made)

    return make
