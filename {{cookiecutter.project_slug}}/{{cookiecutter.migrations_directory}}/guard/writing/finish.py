"""Finishes a revision file that has just been written.

It is run as a post-write hook for each new revision, so it imports neither SQLAlchemy nor Alembic.
https://alembic.sqlalchemy.org/en/latest/autogenerate.html#applying-post-processing-and-python-code-formatters-to-generated-revisions
"""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..head import head_file, write_head


def finish(path: Path) -> None:
    """Format a revision, if ruff is installed, and write its id into ``head.txt`` beside it.

    Two branches that each add a revision both change that file, so git reports a conflict.
    """
    if find_spec("ruff"):
        for command in (["check", "--fix"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--quiet", str(path)]
            subprocess.run(ruff, check=False)
    if revision := revision_in(path.read_text(encoding="utf-8")):
        write_head(head_file(path), revision)


def revision_in(source: str) -> str | None:
    """Return the id that a revision file gives itself: ``revision = "…"``, annotated or not."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return None  # Alembic itself says where.
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        is_revision = any(isinstance(each, ast.Name) and each.id == "revision" for each in targets)
        if is_revision and isinstance(statement.value, ast.Constant):
            value = statement.value.value
            return value if isinstance(value, str) else None
    return None
