"""Checks the SQL of new revisions, which another branch does not have, for what blocks others.

On PostgreSQL it is checked by squawk: https://squawkhq.com/docs/rules. To accept a finding, write
op.execute("-- squawk-ignore name-of-the-rule") before the operation, and why.
"""

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from .. import databases, revisions
from ..running.command import current
from ..running.naming import DATABASE
from ..running.together import EVERY_DATABASE


def lint(config: Config, branch: str) -> int:
    """Check the SQL of the revisions that a branch does not have, and return an exit status.

    :param branch: a branch or commit that git knows.
    :raises CommandError: when git does not know it.
    """
    script = ScriptDirectory.from_config(config)
    (folder, *_) = revisions.version_folders(script)
    start = head_of(branch, folder)
    status = 0
    for name, dialect in dialects(config, script).items():
        linter = databases.of(dialect).sql_linter
        if not linter:
            print("There is no SQL linter for this database: nothing was checked.")
            continue
        if name is not None:  # Of several databases that share the history.
            config.attributes[DATABASE] = name
        config.output_buffer = StringIO()
        command.upgrade(config, f"{start}:head", sql=True)
        program = Path(sys.executable).with_name(linter)
        sql = without_noise(config.output_buffer.getvalue())
        found = run(str(program), f"--stdin-filepath={name or 'upgrade'}.sql", sql=sql)
        print(found.stdout, end="")
        status = max(status, found.returncode)
    return status


def dialects(config: Config, script: ScriptDirectory) -> dict[str | None, str]:
    """Return the kind of each database that env.py is for, without connecting to it.

    :return: by the name of the database, which is None where there is only one.
    """
    found: dict[str | None, str] = {}

    def look(heads: object, migration: MigrationContext) -> list[Any]:
        found[current().name] = migration.dialect.name
        return []

    settings = {"fn": look, "as_sql": True, "output_buffer": StringIO()}
    config.attributes[EVERY_DATABASE] = True
    try:
        with EnvironmentContext(config, script, **settings):
            script.run_env()
    finally:
        del config.attributes[EVERY_DATABASE]
    return found


def head_of(branch: str, folder: Path) -> str:
    """Return the revision at which this branch left the other one, or base.

    :param folder: that of the revision files.
    :raises CommandError: when git does not know the branch.
    """
    if run("git", "rev-parse", "--quiet", "--verify", "HEAD", folder=folder).returncode != 0:
        return "base"  # Nothing is committed yet.
    common = run("git", "merge-base", "HEAD", branch, folder=folder)
    if common.returncode != 0:
        raise CommandError(f"There is no branch {branch} to compare with: name one that git knows.")
    file = f"{common.stdout.strip()}:./head.txt"
    shown = run("git", "show", file, folder=folder)
    return shown.stdout.strip() if shown.returncode == 0 else "base"


def without_noise(sql: str) -> str:
    """Return SQL without what squawk need not see, and with its comments as it wants them."""
    # Alembic's own table is not ours to change.
    sql = re.sub(r"CREATE TABLE alembic_version \(.*?\);\n", "", sql, flags=re.DOTALL)
    return re.sub(r"(-- squawk-ignore [\w ,-]+);\s*", r"\1\n", sql)


def run(
    *arguments: str, sql: str | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program, and keep what it prints."""
    return subprocess.run(
        arguments, input=sql, cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
