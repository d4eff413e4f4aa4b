"""Prints schema and name of the tables that env.py knows, as JSON.

Stdin has the path of alembic.ini and the name of the section, also as JSON.
"""

import json
import sys
from io import StringIO
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

# As in running/together.py: nothing is written, so all databases may be asked. This file is run
# by its path, and cannot import that one.
EVERY_DATABASE = "guard.every_database"


def tables_of_env(ini: str, section: str) -> list[tuple[str | None, str]]:
    """Return schema and name of the tables in ``target_metadata``, without any database.

    :raises SystemExit: when env.py has ``target_metadata = None``.
    """
    tables: list[tuple[str | None, str]] = []

    def look(revision: object, context: MigrationContext) -> list[Any]:
        given = context.opts["target_metadata"]
        if given is None:
            sys.exit("target_metadata is None in env.py")
        for metadata in given if isinstance(given, list | tuple) else [given]:
            tables.extend((table.schema, table.name) for table in metadata.tables.values())
        return []

    config = Config(ini, ini_section=section, output_buffer=StringIO())
    config.attributes[EVERY_DATABASE] = True
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=look, as_sql=True):
        script.run_env()
    return tables


if __name__ == "__main__":
    tables = tables_of_env(*json.load(sys.stdin))
    print()  # env.py may have printed something, without a new line.
    print(json.dumps(tables))
