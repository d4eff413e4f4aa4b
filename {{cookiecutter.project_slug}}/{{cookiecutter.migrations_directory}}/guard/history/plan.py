"""What an upgrade would do where the database is now, without doing it."""

import re
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Dialect

from .. import databases, revisions, settings
from ..rules import remarks_on, rules_without
from ..rules.checks import Rule
from ..running.ahead import is_at_or_beyond, known, without_file
from ..running.command import current
from ..running.connection import name_of
from ..running.ready import invalid_indexes, look
from ..running.record import Record
from .recording import record


@dataclass
class Plan:
    """What would run on a database.

    :param name: of the database, where several share a history.
    :param heads: where it is.
    :param pending: what would run, the oldest first.
    :param lines: what to tell a person.
    """

    name: str | None
    url: URL
    heads: list[str]
    pending: list[Script]
    lines: list[str]


def plan(config: Config, sql: bool) -> None:
    """Print what would run on the databases of a history.

    :param sql: print the SQL of it.
    :raises CommandError: when a database is at a revision that this code knows nothing of.
    """
    script = ScriptDirectory.from_config(config)
    plans = plans_of(config, script)
    for each in plans:
        for line in each.lines:
            print(f"-- {line}" if sql else line)
    if sql and any(each.pending for each in plans):
        print_sql(config, script, plans)


def plans_of(config: Config, script: ScriptDirectory) -> list[Plan]:
    """Ask each database of a history what would run on it."""
    found: list[Plan] = []
    rules = rules_without(settings.read(config).disabled_remarks)

    def ask(heads: set[str], migration: MigrationContext) -> None:
        assert migration.connection is not None
        name, url = current().name, migration.connection.engine.url
        database, here = name_of(url), ", ".join(sorted(heads)) or "base"
        if unknown := heads - known(script).keys():
            written = Record(migration).parents()
            if not is_at_or_beyond(heads, script, written):
                raise CommandError(
                    without_file(database, min(unknown), script, known(script), written)
                )
            own = ", ".join(sorted(script.get_heads()))
            line = f"{database} is at {here}, newer than this code's head {own}; nothing to do"
            found.append(Plan(name, url, sorted(heads), [], [line]))
            return
        upper, lower = tuple(script.get_heads()), tuple(sorted(heads))
        newest_first = script.iterate_revisions(upper, lower, implicit_base=True) if upper else ()
        pending = list(newest_first)[::-1]
        many = f"{len(pending)} revision{'' if len(pending) == 1 else 's'} to apply"
        lines = [f"{database} is at {here}: {many if pending else 'nothing to apply'}"]
        for revision in pending:
            lines += description(revision, migration.dialect, name, rules)
        lines += invalid_indexes(migration)
        found.append(Plan(name, url, sorted(heads), pending, lines))

    look(config, script, ask)
    return found


def description(
    revision: Script, dialect: Dialect, database: str | None, rules: list[Rule]
) -> Iterator[str]:
    """Return the lines about a revision: message, file, warnings, whether it can be reverted."""
    yield f"{revision.revision}  {revision.doc}  ({Path(revision.path).name})"
    if revisions.is_irreversible(Path(revision.path)):
        yield "    cannot be reverted"
    done = record(revision, dialect, database=database)
    for _, remarks in remarks_on(done.operations, dialect, rules):
        for remark in remarks:
            text = " ".join(line for line in remark.lines if isinstance(line, str))
            yield f"    warning: {first_sentence(text)}"
    if done.unread is not None:
        yield f"    not checked to its end: {done.unread}"


def first_sentence(text: str) -> str:
    """Return what a remark says, without the code that it shows."""
    found = re.match(r".*?[.:](?=\s|$)", text)
    return found[0] if found else text


def print_sql(config: Config, script: ScriptDirectory, plans: list[Plan]) -> None:
    """Print the SQL that would run, also where it depends on what is in the database.

    SQLite changes a table by copying it as it finds it: then the SQL is that of a run on a copy of
    the database.
    """
    offline = StringIO()
    config.output_buffer = offline
    try:
        for each in plans:
            if each.pending:
                write_offline(config, script, each)
    except (CommandError, SystemExit):
        copies = ExitStack()
        with copies, tempfile.TemporaryDirectory() as folder:
            urls = {each.name: copy_of(each, Path(folder)) for each in plans}
            if not all(urls.values()):
                raise
            statements: list[str] = []
            database = databases.of(plans[0].url.get_backend_name())
            copies.enter_context(database.traced(statements.append))
            run_on(config, urls)
            print("".join(f"{statement};\n" for statement in statements), end="")
        return
    print(offline.getvalue(), end="")


def write_offline(config: Config, script: ScriptDirectory, planned: Plan) -> None:
    """Write the SQL of what would run on a database."""

    def upgrade(heads: object, migration: MigrationContext) -> list[MigrationStep]:
        return [
            MigrationStep.upgrade_from_script(script.revision_map, each) for each in planned.pending
        ]

    chosen = with_arguments(config, [f"database={planned.name}"] if planned.name else [])
    with EnvironmentContext(
        chosen, script, fn=upgrade, as_sql=True, starting_rev=planned.heads or None
    ):
        script.run_env()


def with_arguments(config: Config, arguments: list[str]) -> Config:
    """Return a configuration with more ``-x name=value``."""
    given = vars(config.cmd_opts) if config.cmd_opts else {}
    options = Namespace(**{**given, "x": [*(given.get("x") or ()), *arguments]})
    section, buffer = config.config_ini_section, config.output_buffer
    return Config(config.config_file_name, section, output_buffer=buffer, cmd_opts=options)


def copy_of(planned: Plan, folder: Path) -> URL | None:
    """Return the URL of a copy of a database, if it can be copied."""
    database = databases.of(planned.url.get_backend_name())
    return database.copy(planned.url, folder / f"{planned.name or 'copy'}.db")


def run_on(config: Config, urls: dict[str | None, URL | None]) -> None:
    """Upgrade copies of databases."""
    arguments = [
        f"{f'{name}_url' if name else 'url'}={url.render_as_string(hide_password=False)}"
        for name, url in urls.items()
        if url is not None
    ]
    command.upgrade(with_arguments(config, arguments), "heads")
