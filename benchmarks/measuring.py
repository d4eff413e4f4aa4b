"""What the benchmarks share: projects to compare, databases for them, and what a command costs."""

import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

TEMPLATE = Path(__file__).resolve().parents[1]
SERVERS = {
    "sqlite": "",
    "postgresql": os.environ.get(
        "TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mysql": os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/mysql"),
}
NAME = f"template_benchmark_{os.getpid()}"

# What a user has: bytecode is kept. And what makes two runs alike: one order of sets.
UNWANTED = {"CI", "DATABASE_URL", "PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNWANTED}
ENVIRONMENT["PYTHONHASHSEED"] = "0"

BASE = """from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention={
        "pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s"})
"""


@dataclass(frozen=True)
class Settings:
    """Which databases are measured, and whether only to see that it works."""

    kinds: list[str]
    quick: bool = False

    def sizes(self, *sizes: int) -> list[int]:
        return [sizes[0]] if self.quick else list(sizes)

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3


@dataclass(frozen=True)
class Project:
    """A folder with an alembic.ini."""

    path: Path

    @property
    def versions(self) -> Path:
        return self.path / "migrations" / "versions"

    @property
    def models(self) -> Path:
        """The folder of the models of a generated project; a stock one has them at its root."""
        folder = self.path / "src" / "my_shop" / "models"
        return folder if folder.exists() else self.path

    def write_models(self, text: str) -> None:
        """Write models that refer to ``Base``."""
        package = "models_base" if self.models == self.path else "my_shop.models.base"
        (self.models / "many.py").write_text(f"from {package} import Base\n{text}")


def ours(folder: Path, kind: str, **answers: Any) -> Project:
    """Generate a project, without example models unless the answers say so."""
    answers = {"database": kind, "example_models": False, "set_up_now": False, **answers}
    subprocess.run(
        [
            sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input", "--default-config",
            f"--output-dir={folder / 'ours'}",
            *(f"{question}={answer}" for question, answer in answers.items()),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return Project(folder / "ours" / "my-shop")


def stock(folder: Path, url: str, python: str = sys.executable) -> Project:
    """Make what ``alembic init`` makes, and fill in what it leaves to the user."""
    path = folder / "stock"
    path.mkdir(parents=True)
    subprocess.run(
        [python, "-m", "alembic", "init", "migrations"],
        cwd=path,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (path / "models_base.py").write_text(BASE)
    (path / "many.py").write_text("from models_base import Base\n")
    edit(path / "alembic.ini", "driver://user:pass@localhost/dbname", url)
    edit(
        path / "migrations" / "env.py",
        "target_metadata = None",
        "from many import Base\ntarget_metadata = Base.metadata",
    )
    return Project(path)


def edit(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))


@contextmanager
def database(kind: str, folder: Path, name: str = NAME) -> Iterator[str]:
    """Make an empty database, and drop it afterwards."""
    if kind == "sqlite":
        path = folder / f"{name}.db"
        yield f"sqlite:///{path}"
        path.unlink(missing_ok=True)
        return
    engine = create_engine(SERVERS[kind], isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        server.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(SERVERS[kind]).set(database=name).render_as_string(hide_password=False)
        server.execute(text(f"DROP DATABASE {name}"))
    engine.dispose()


def run(
    project: Project, url: str, *arguments: str, before: Sequence[str] = (), python: str = ""
) -> str:
    """Run a module of Python in a project, and return what it printed.

    :param before: a program to run it with.
    :param python: which Python; without, the one of the benchmarks.
    """
    process = subprocess.run(
        [*before, python or sys.executable, "-m", *arguments],
        cwd=project.path,
        env={**ENVIRONMENT, "DATABASE_URL": url} if url else ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        sys.exit(process.stdout[-2000:] + process.stderr[-2000:])
    return process.stdout + process.stderr


def cpu_seconds(project: Project, url: str, *arguments: str, python: str = "") -> float:
    """Return the processor time of a command, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(project, url, *arguments, python=python)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wall_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def instructions(project: Project, url: str, *arguments: str, python: str = "") -> float:
    """Return how many million instructions a command takes, its child processes included.

    They hardly depend on what else the machine does. Bytecode is written before.
    https://valgrind.org/docs/manual/cl-manual.html
    """
    valgrind = shutil.which("valgrind") or sys.exit("valgrind is needed: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        counting = [
            valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", "--trace-children=yes",
            f"--log-file={folder}/%p",
        ]  # fmt: skip
        run(project, url, *arguments, before=counting, python=python)
        said = "".join(log.read_text(errors="replace") for log in Path(folder).iterdir())
    return sum(map(int, re.findall(r"Collected : (\d+)", said))) / 1e6


def paired(
    rounds: int, stock: Callable[[], float], ours: Callable[[], float]
) -> tuple[float, float, float]:
    """Measure two things in turns: the median of each, and the median of the ratios."""
    both = [(stock(), ours()) for _ in range(rounds)]
    theirs, mine = zip(*both, strict=True)
    return (
        statistics.median(theirs),
        statistics.median(mine),
        statistics.median(two / one for one, two in both),
    )


def markdown(rows: list[list[object]]) -> str:
    """Return a table; its first row is the header."""
    header, *body = [[str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *body])
