"""What the safety of the connection costs a run: the lock, the limits and the check afterwards.

Median processor milliseconds of `command.upgrade(config, "head")` with nothing to do, a hundred
times in one process, so that starting Python and imports do not count. PostgreSQL needs a second
connection for the lock.
"""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from histories import write_history
from measuring import NAME, Project, Settings, database, ours, run, stock

HEADER = ["database", "stock, ms", "ours, ms", "difference, ms"]

PROGRAM = """
import statistics
import time

from alembic import command
from alembic.config import Config

config = Config("alembic.ini")


def milliseconds():
    start = time.process_time()
    command.upgrade(config, "head")
    return 1000 * (time.process_time() - start)


milliseconds()
print("median:", statistics.median(milliseconds() for _ in range({times})))
"""


def rows(settings: Settings) -> Iterator[list[object]]:
    for kind in settings.kinds:
        with (
            tempfile.TemporaryDirectory() as name,
            database(kind, Path(name)) as url,
            database(kind, Path(name), f"{NAME}_stock") as stock_url,
        ):
            both = (stock(Path(name), stock_url), stock_url), (ours(Path(name), kind), url)
            for project, _ in both:
                write_history(project, 10)
                (project.path / "again.py").write_text(
                    PROGRAM.format(times=10 if settings.quick else 100)
                )
            rounds = [[median(*each) for each in both] for _ in range(settings.rounds)]
            before, after = (statistics.median(side) for side in zip(*rounds, strict=True))
            yield [kind, f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}"]


def median(project: Project, url: str) -> float:
    said = run(project, url, "again")
    (line,) = [line for line in said.splitlines() if line.startswith("median:")]
    return float(line.split()[1])
