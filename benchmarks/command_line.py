"""What every command costs, with the four example tables in the database.

Million instructions of whole processes (`valgrind --tool=callgrind`), against what
`alembic init` makes, with the same models and the same revision.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import (
    Project,
    Settings,
    cpu_seconds,
    database,
    edit,
    instructions,
    ours,
    run,
    stock,
)  # fmt: skip

HEADER = ["database", "command", "stock", "ours", "ratio"]
COMMANDS = [["heads"], ["current"], ["upgrade", "head"], ["check"]]


def projects(folder: Path, kind: str, url: str) -> tuple[Project, Project]:
    """Make a generated project, and a stock one with the same models and revisions."""
    mine, theirs = ours(folder, kind, example_models=True), stock(folder, url)
    shutil.copytree(mine.models, theirs.path / "models")
    edit(theirs.path / "models" / "example.py", "my_shop.models", "models")
    # Written out, as most people do it.
    (theirs.path / "models" / "__init__.py").write_text("from models import example\n")
    (theirs.path / "many.py").write_text("import models\nfrom models.base import Base\n")
    for path in mine.versions.glob("*.py"):
        shutil.copy(path, theirs.versions)
    return mine, theirs


def rows(settings: Settings) -> Iterator[list[object]]:
    cost = cpu_seconds if settings.quick else instructions
    for kind in settings.kinds:
        with (
            tempfile.TemporaryDirectory() as name,
            database(kind, Path(name)) as url,
            tempfile.TemporaryDirectory() as other_name,
            database(kind, Path(other_name)) as other,
        ):
            mine, theirs = projects(Path(name), kind, other)
            # A database each: stock Alembic takes our record for a table without a model.
            urls = {theirs: other, mine: url}
            for project in (theirs, mine):
                run(project, urls[project], "alembic", "upgrade", "head")
            for command in COMMANDS[-1:] if settings.quick else COMMANDS:
                costs = []
                for project in (theirs, mine):
                    run(project, urls[project], "alembic", *command)
                    costs.append(cost(project, urls[project], "alembic", *command))
                before, after = costs
                yield [
                    kind, f"`{' '.join(command)}`", f"{before:.0f}", f"{after:.0f}",
                    f"{after / before:.3f}",
                ]  # fmt: skip
