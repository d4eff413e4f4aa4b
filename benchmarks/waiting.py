"""How long sixteen processes take that upgrade one empty database at once.

Wall seconds, against what the work alone would take: sixteen upgrades at head divided by the
processors of this machine, plus one full upgrade. The history has 40 revisions.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from histories import write_history
from measuring import ENVIRONMENT, Project, Settings, database, ours, run, wall_seconds

HEADER = ["processes", "database", "work alone, s", "all, s", "ratio"]


def rows(settings: Settings) -> Iterator[list[object]]:
    processes, processors = 2 if settings.quick else 16, len(os.sched_getaffinity(0))
    for kind in settings.kinds:
        with tempfile.TemporaryDirectory() as name:
            mine = ours(Path(name), kind)
            write_history(mine, 40)
            run(mine, "", "alembic", "heads")
            rounds = [race(mine, Path(name), kind, processes) for _ in range(settings.rounds)]
        full, at_head, all_of_them = (
            statistics.median(times) for times in zip(*rounds, strict=True)
        )
        alone = full + processes * at_head / processors
        yield [processes, kind, f"{alone:.2f}", f"{all_of_them:.2f}", f"{all_of_them / alone:.2f}"]


def race(project: Project, folder: Path, kind: str, processes: int) -> tuple[float, float, float]:
    """Return the wall seconds of one upgrade, of one at head, and of many at once."""
    upgrade = ["alembic", "upgrade", "head"]
    with database(kind, folder) as url:
        full = wall_seconds(lambda: run(project, url, *upgrade))
        at_head = wall_seconds(lambda: run(project, url, *upgrade))
    with database(kind, folder) as url:
        environment = {**ENVIRONMENT, "DATABASE_URL": url}

        def all_at_once() -> None:
            running = [
                subprocess.Popen(
                    [sys.executable, "-m", *upgrade], cwd=project.path, env=environment,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )
                for _ in range(processes)
            ]  # fmt: skip
            for process in running:
                output, _ = process.communicate()
                if process.returncode:
                    sys.exit(output)

        return full, at_head, wall_seconds(all_at_once)
