"""What comparing costs when there are many tables, which agree with the models.

Median CPU seconds of whole processes run in turns, and the median of their ratios.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import Project, Settings, cpu_seconds, database, ours, paired, run, stock

HEADER = ["tables", "database", "command", "stock, CPU s", "ours, CPU s", "ratio"]
COMMANDS = [["check"], ["revision", "--autogenerate", "-m", "again"]]
IMPORTS = """from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column
"""
MODEL = """
class Table{n}(Base):
    __tablename__ = "table_{n}"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(50), index=True)
    email: Mapped[str] = mapped_column(String(50), unique=True, server_default="x")
    number: Mapped[int] = mapped_column(Integer, server_default="0")
"""


def rows(settings: Settings) -> Iterator[list[object]]:
    for kind in settings.kinds:
        for tables in settings.sizes(10, 100, 300, 1000):
            yield from compare(kind, tables, settings)


def compare(kind: str, tables: int, settings: Settings) -> Iterator[list[object]]:
    with tempfile.TemporaryDirectory() as name, database(kind, Path(name)) as url:
        mine, theirs = ours(Path(name), kind), stock(Path(name), url)
        for project in (mine, theirs):
            project.write_models(IMPORTS + "".join(MODEL.format(n=n) for n in range(tables)))
        run(mine, url, "alembic", "revision", "--autogenerate", "-m", "many")
        (revision,) = mine.versions.glob("*.py")
        (theirs.versions / revision.name).write_text(revision.read_text())
        run(mine, url, "alembic", "upgrade", "head")

        def cost(project: Project, command: list[str]) -> float:
            seconds = cpu_seconds(project, url, "alembic", *command)
            for again in project.versions.glob("*again.py"):
                again.unlink()
            return seconds

        for command in COMMANDS[-1:] if settings.quick else COMMANDS:
            before, after, ratio = paired(
                settings.rounds,
                lambda command=command: cost(theirs, command),
                lambda command=command: cost(mine, command),
            )
            yield [
                tables, kind, f"`{' '.join(command[:2])}`", f"{before:.2f}", f"{after:.2f}",
                f"{ratio:.2f}",
            ]  # fmt: skip
