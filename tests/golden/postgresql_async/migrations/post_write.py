"""Formats a new revision, if ruff is installed, and writes its id into head.txt.

Two branches that each add a revision both change that file, so git stops before they are
merged. Called by alembic.ini with the path of the new file:
https://alembic.sqlalchemy.org/en/latest/autogenerate.html#applying-post-processing-and-python-code-formatters-to-generated-revisions
"""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

path = Path(sys.argv[1])
if find_spec("ruff"):
    for command in (["check", "--fix"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--quiet", str(path)]
        subprocess.run(ruff, check=False)
revision = re.search(r'^revision: str = "(.*)"', path.read_text(encoding="utf-8"), re.MULTILINE)
if revision:
    path.with_name("head.txt").write_text(f"{revision[1]}\n", encoding="utf-8", newline="\n")
