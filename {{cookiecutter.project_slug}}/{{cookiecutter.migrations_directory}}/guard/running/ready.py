"""Whether the database is at this code's head or beyond: what a container waits for.

It only reads: the account needs SELECT on ``alembic_version`` and ``alembic_history``.
"""

import logging
import time
from collections.abc import Callable

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from .. import databases
from ..messages import command_line
from .ahead import Parents, is_at_or_beyond, known, without_file
from .connection import name_of
from .record import Record
from .steps import Question

# Between two looks at the database, in seconds.
PAUSE = 0.5


def ready(configs: list[Config], wait: float, say: Callable[[str], object]) -> bool:
    """Return whether all databases are ready for this code; wait for them.

    :param configs: one for each history.
    :param wait: how long to wait, in seconds.
    :param say: gets a line for each that is not, and for each invalid index.
    """
    deadline = time.monotonic() + wait
    while True:
        remarks: list[str] = []
        found = [line for config in configs for line in not_ready(config, remarks)]
        left = deadline - time.monotonic()
        if not found or left <= 0:
            break
        time.sleep(min(PAUSE, left))
    for line in [*found, *remarks]:
        say(line)
    return not found


def not_ready(config: Config, remarks: list[str]) -> list[str]:
    """Return a line for each database of a history that is not ready.

    :param remarks: gets what is wrong in it besides, which does not keep the code from running.
    """
    lines: list[str] = []
    script = ScriptDirectory.from_config(config)

    def ask(heads: set[str], migration: MigrationContext) -> None:
        assert migration.connection is not None
        database = name_of(migration.connection.engine.url)
        record = Record(migration).parents()
        if not is_at_or_beyond(heads, script, record):
            lines.append(f"{database} {why(database, heads, script, record, config)}")
        remarks.extend(invalid_indexes(migration))

    try:
        look(config, script, ask)
    except CommandError as error:
        lines.append(str(error))
    except SystemExit as end:  # What env.py says on the command line.
        lines.append(str(end.code).removeprefix("FAILED: "))
    return lines


def why(
    database: str,
    heads: set[str],
    script: ScriptDirectory,
    record: Parents,
    config: Config,
) -> str:
    """Return why a database is not ready."""
    files = known(script)
    if unknown := heads - files.keys():
        return without_file(database, min(unknown), script, files, record).removeprefix(
            f"{database} "
        )
    here, own = ", ".join(sorted(heads)) or "base", ", ".join(sorted(script.get_heads()))
    return f"is at {here}, but this code needs {own}. Run: {command_line(config)} upgrade head"


def look(
    config: Config, script: ScriptDirectory, ask: Callable[[set[str], MigrationContext], None]
) -> None:
    """Run env.py, and ask each database of a history without applying anything.

    :param ask: gets where the database is, and the context with its connection.
    """
    before = logging.root.manager.disable
    logging.disable(logging.INFO)  # Lines like "Database main" are of migrations.
    try:
        with EnvironmentContext(config, script, fn=Question(ask), dont_mutate=True):
            script.run_env()
    finally:
        logging.disable(before)


def invalid_indexes(migration: MigrationContext) -> list[str]:
    """Return a line for each index that was not built to its end."""
    assert migration.connection is not None
    found = databases.of(migration.dialect.name).invalid_indexes(migration.connection)
    return [
        f"Index {name} is invalid: building it failed, so nobody uses it. Build it again, or drop "
        "it: DROP INDEX CONCURRENTLY"
        for name in found
    ]
