"""What the proof costs, against others over the same history.

- A plain stairway: each revision up, down and up again, by three commands.
- pytest-alembic's tests that run by default. They do not look at what a downgrade leaves behind.
- With its `test_downgrade_leaves_no_trace`, which looks, as ours does. It rolls revisions back, so
  it fails on MySQL, which cannot.
- The floor: Alembic goes up, down and up again, by three commands for all revisions, and nobody
  looks, nor waits for the disk where that can be said. No proof of a downgrade can do less.

The fastest of three runs in turns, in seconds as pytest says, and in brackets how many times ours
that is. Half a second of ours is fixed: `alembic check` in a process of its own.
pytest-alembic 0.13.1 loads on pytest 8.4 and not on 9, so the others have an environment of their
own, and the env.py of `alembic init`, as ours refuses the engine that pytest-alembic passes.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from histories import write_history
from measuring import ENVIRONMENT, SERVERS, Project, Settings, edit, ours, stock

HEADER = [
    "revisions", "database", "stairway", "pytest-alembic", "with downgrades compared", "floor",
    "ours",
]  # fmt: skip
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


# What each of the others runs.
OTHERS = {
    "stairway": """
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def test_stairway(alembic_engine):
    config = Config("alembic.ini", attributes={"connection": alembic_engine})
    for script in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
        command.upgrade(config, script.revision)
        command.downgrade(config, "-1")
        command.upgrade(config, script.revision)
""",
    "default": "from pytest_alembic.tests import *\n",
    "compared": """
from pytest_alembic.tests import *
from pytest_alembic.tests.experimental import test_downgrade_leaves_no_trace
""",
    "floor": """
from alembic import command
from alembic.config import Config
from sqlalchemy import event

DO_NOT_WAIT = {"sqlite": "PRAGMA synchronous = OFF", "postgresql": "SET synchronous_commit = off"}


def test_up_down_up(alembic_engine):
    @event.listens_for(alembic_engine, "connect")
    def do_not_wait_for_the_disk(connection, _):
        connection.cursor().execute(DO_NOT_WAIT.get(alembic_engine.dialect.name, "SELECT 1"))
        connection.commit()

    config = Config("alembic.ini", attributes={"connection": alembic_engine})
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    command.upgrade(config, "head")
""",
}


def theirs(folder: Path, python: str, kind: str) -> Project:
    project = stock(folder, "sqlite://", python)
    # https://pytest-alembic.readthedocs.io/en/latest/setup.html
    edit(
        project.path / "migrations" / "env.py",
        "connectable = engine_from_config(",
        'connectable = context.config.attributes.get("connection") or engine_from_config(',
    )
    (project.path / "conftest.py").write_text(CONFTEST.format(server=SERVERS[kind]))
    (project.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    for name, text in OTHERS.items():
        (project.path / f"test_{name}.py").write_text(text)
    return project


def seconds(python: str, project: Project, test: str) -> float:
    """Return how long a file of tests takes, as pytest says."""
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test],
        cwd=project.path, capture_output=True, text=True, check=False, env=ENVIRONMENT,
    )  # fmt: skip
    said = re.search(r"passed.* in ([\d.]+)s", run.stdout)
    if run.returncode or said is None:
        sys.exit(run.stdout[-3000:] + run.stderr[-3000:])
    return float(said[1])


def rows(settings: Settings) -> Iterator[list[object]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = str(folder / "environment" / "bin" / "python")
        uv = shutil.which("uv") or sys.exit("uv is needed to install pytest-alembic")
        subprocess.run([uv, "venv", "--quiet", folder / "environment"], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", f"--python={python}", *PACKAGES], check=True)  # fmt: skip
        for kind in settings.kinds:
            # A server that commits each statement cannot roll a revision back.
            others = [each for each in OTHERS if each != "compared" or kind != "mysql"]
            for size in settings.sizes(10, 50, 200):
                mine = ours(folder / f"{kind}-{size}", kind)
                other = theirs(folder / f"{kind}-{size}", python, kind)
                write_history(mine, size)
                write_history(other, size)
                runs = [
                    [seconds(python, other, f"test_{each}.py") for each in others]
                    + [seconds(sys.executable, mine, "tests/test_migrations.py")]
                    for _ in range(settings.rounds)
                ]
                *them, us = map(min, zip(*runs, strict=True))
                cells = {
                    each: f"{time:.2f} ({time / us:.1f})"
                    for each, time in zip(others, them, strict=True)
                }
                yield [size, kind, *(cells.get(each, "fails") for each in OTHERS), f"{us:.2f}"]
