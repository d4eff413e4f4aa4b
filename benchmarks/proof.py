"""What the proof costs, against the built-in tests of pytest-alembic over the same history.

The faster of two runs in turns: seconds as pytest says, and CPU seconds of the whole process.
Two thirds of a second of ours and more are fixed: starting Python, and `alembic check` in a
process of its own. On servers both spend most of the time there, on the statements.

pytest-alembic 0.13.1 loads on pytest 8.4 and not on 9, so it gets an environment of its own
and the env.py of alembic init, as our env.py refuses the engine that it passes.
"""

import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from histories import write_history
from measuring import ENVIRONMENT, SERVERS, Project, Settings, edit, ours, stock

HEADER = ["revisions", "database", "pytest-alembic, s", "ours, s", "ratio", "CPU s", "CPU s, ours"]
PACKAGES = ["pytest<8.5", "pytest-alembic==0.13.1", "sqlalchemy", "alembic[tz]", "psycopg[binary]", "pymysql"]  # fmt: skip

# The database of pytest-alembic is made anew for each of its tests, as ours is.
CONFTEST = """
import pytest
from sqlalchemy import create_engine, make_url, text


@pytest.fixture
def alembic_config():
    return {{"file": "alembic.ini"}}


@pytest.fixture
def alembic_engine(tmp_path):
    server = {server!r}
    if not server:
        yield create_engine(f"sqlite:///{{tmp_path}}/x.db")
        return
    administrator = create_engine(server, isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS benchmark_proof"))
        connection.execute(text("CREATE DATABASE benchmark_proof"))
    engine = create_engine(make_url(server).set(database="benchmark_proof"))
    yield engine
    engine.dispose()
    with administrator.connect() as connection:
        connection.execute(text("DROP DATABASE benchmark_proof"))
"""


def theirs(folder: Path, python: str, kind: str) -> Project:
    project = stock(folder, "sqlite://", python)
    # https://pytest-alembic.readthedocs.io/en/latest/setup.html
    edit(
        project.path / "migrations" / "env.py",
        "connectable = engine_from_config(",
        'connectable = context.config.attributes.get("connection") or engine_from_config(',
    )
    (project.path / "conftest.py").write_text(CONFTEST.format(server=SERVERS[kind]))
    (project.path / "test_proof.py").write_text("from pytest_alembic.tests import *\n")
    (project.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return project


def measure(python: str, project: Project, *tests: str) -> tuple[float, float]:
    """Return seconds as pytest says, and CPU seconds of the whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=project.path, capture_output=True, text=True, check=False, env=ENVIRONMENT,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = re.search(r"passed.* in ([\d.]+)s", run.stdout)
    if run.returncode or said is None:
        sys.exit(run.stdout[-3000:] + run.stderr[-3000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(said[1]), cpu


def rows(settings: Settings) -> Iterator[list[object]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = str(folder / "environment" / "bin" / "python")
        uv = shutil.which("uv") or sys.exit("uv is needed to install pytest-alembic")
        subprocess.run([uv, "venv", "--quiet", folder / "environment"], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", f"--python={python}", *PACKAGES], check=True)  # fmt: skip
        for kind in settings.kinds:
            for size in settings.sizes(10, 50, 200):
                mine = ours(folder / f"{kind}-{size}", kind)
                other = theirs(folder / f"{kind}-{size}", python, kind)
                write_history(mine, size)
                write_history(other, size)
                rounds = [
                    (
                        measure(python, other),
                        measure(sys.executable, mine, "-p", "no:xdist", "tests/test_migrations.py"),
                    )
                    for _ in range(2)
                ]
                (them, their_cpu), (us, our_cpu) = (
                    min(each[side] for each in rounds) for side in (0, 1)
                )
                yield [
                    size, kind, f"{them:.1f}", f"{us:.1f}", f"{them / us:.1f}",
                    f"{their_cpu:.1f}", f"{our_cpu:.1f}",
                ]  # fmt: skip
