"""Formats a new revision file, if ruff is installed. Called by alembic.ini.

https://alembic.sqlalchemy.org/en/latest/autogenerate.html#applying-post-processing-and-python-code-formatters-to-generated-revisions
"""

import subprocess
import sys
from importlib.util import find_spec

if find_spec("ruff"):
    for command in (["check", "--fix"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", *sys.argv[1:]]
        subprocess.run(ruff, check=False)
