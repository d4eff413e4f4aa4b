"""Formats a new revision, if ruff is installed, and writes its id into head.txt.

Two branches that each add a revision both change that file, so git stops before they are
merged. Named in alembic.ini:
https://alembic.sqlalchemy.org/en/latest/autogenerate.html#writing-custom-hooks-as-python-functions
"""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def finish(revision_path: str, options: dict[str, Any]) -> None:
    """Finish a revision that has just been written."""
    path = Path(revision_path)
    if find_spec("ruff"):
        for command in (["check", "--fix"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--quiet", str(path)]
            subprocess.run(ruff, check=False)
    revision = re.search(r'^revision: str = "(.*)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    if revision:
        head = path.with_name("head.txt")
        head.write_text(f"{revision[1]}\n", encoding="utf-8", newline="\n")
