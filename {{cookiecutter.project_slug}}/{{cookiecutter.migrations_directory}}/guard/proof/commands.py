"""Alembic's commands, on scratch databases."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import URL, make_url

from ..running.connection import synchronous
from . import queries
from .application import Application, Layout
from .scratch import scratch_databases

# Scripts that are run by their path, in a process that has imported nothing yet.
RUN_ALEMBIC = Path(__file__).with_name("run_alembic.py")
PRINT_TABLES = Path(__file__).with_name("print_tables.py")

# In config.attributes, the application whose databases a configuration is for.
ATTRIBUTE = "guard.application"


@contextmanager
def migrated_databases(
    application: Application, folder: Path, templates: Mapping[str, URL] | None = None
) -> Iterator[dict[str, URL]]:
    """Create scratch databases at the head revision: copies of others, where that works."""
    with scratch_databases(application, folder, templates) as urls:
        kinds = {url.get_backend_name() for url in urls.values()}
        if templates is None or not all(queries.of(kind).copies_everything for kind in kinds):
            for config in alembic_configs(application, urls).values():
                command.upgrade(config, "heads")
        yield urls


def alembic_configs(application: Application, urls: Mapping[str, URL]) -> dict[str, Config]:
    """Return a configuration for each history, by the name of its database.

    Where there is one history, its name is empty.
    """
    several = application.layout is Layout.SEVERAL
    return {
        history: alembic_config(application, urls, history)
        for history in (application.databases if several else [""])
    }


def alembic_config(application: Application, urls: Mapping[str, URL], history: str = "") -> Config:
    """Return the project's Alembic configuration, pointed at scratch databases.

    :param urls: the scratch databases, by the name of the project's database.
    :param history: the name of the database, where each has a history.
    :raises ValueError: when one is a configured database.
    """
    config = application.config(history)
    config.attributes[ATTRIBUTE] = (application, history)
    for name in application.databases_of(history):
        url = urls[name]
        places = {(each.host, each.port, each.database) for each in (url, application.url(name))}
        if len(places) == 1:
            raise ValueError("This is the configured database, which tests may not touch.")
        text = text_of(url).replace("%", "%%")
        config.set_section_option(section_of(config, name), "sqlalchemy.url", text)
    return config


def section_of(config: Config, database: str) -> str:
    """Return the section of a configuration in which the URL of a database stands."""
    application, _ = config.attributes[ATTRIBUTE]
    shared = application.layout is Layout.SHARED_HISTORY
    return database if shared else config.config_ini_section


def urls_of(config: Config) -> dict[str, URL]:
    """Return the scratch databases at which a configuration points, by their names.

    Their driver is a synchronous one. Where there is one database, its name is empty.
    """
    application, history = config.attributes[ATTRIBUTE]
    return {
        name: make_url(config.get_section_option(section_of(config, name), "sqlalchemy.url") or "")
        for name in application.databases_of(history)
    }


def url_of(config: Config) -> URL:
    """Return the scratch database at which a configuration points, with a synchronous driver.

    :raises ValueError: when it points at several; see ``urls_of``.
    """
    urls = urls_of(config)
    if len(urls) != 1:
        raise ValueError(f"There are several databases: write urls_of(config)[{min(urls)!r}].")
    return next(iter(urls.values()))


def alembic(config: Config, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Alembic's command line, in a process that has imported nothing yet.

    A scratch database has only what migrations have made, so everything in it is compared.
    """
    application, history = config.attributes[ATTRIBUTE]
    command_line = ["-c", str(application.ini), "-x", "unmanaged=compare"]
    if history:
        command_line += ["--name", history]
    for name, url in urls_of(config).items():
        variable = f"{name}_url" if name else "url"
        command_line += ["-x", f"{variable}={text_of(url)}"]
    return run_script(application, RUN_ALEMBIC, json.dumps([*command_line, *arguments]))


def tables_of_env(application: Application, history: str) -> set[tuple[str | None, str]]:
    """Return schema and name of each table that env.py's ``target_metadata`` has.

    Asked of a process of its own: what the tests have imported, the command line does not see.

    :raises AssertionError: when env.py cannot be run, or says ``target_metadata = None``.
    """
    section = application.config(history).config_ini_section
    run = run_script(application, PRINT_TABLES, json.dumps([str(application.ini), section]))
    if run.returncode != 0:
        lines = run.stderr.strip().splitlines() or ["no message"]
        raise AssertionError(f"env.py failed: {lines[-1]}\n{run.stderr}")
    return {(schema, name) for schema, name in json.loads(run.stdout.splitlines()[-1])}


def run_script(
    application: Application, script: Path, given: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder, without a folder of its own on the path (-P).

    :param given: what it reads from stdin, where no other user of the machine sees a password.
    """
    return subprocess.run(
        [sys.executable, "-P", str(script)],
        cwd=application.ini.parent,
        input=given,
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


def text_of(url: URL) -> str:
    """Return a URL as text, with its password and a synchronous driver."""
    return synchronous(url).render_as_string(hide_password=False)
