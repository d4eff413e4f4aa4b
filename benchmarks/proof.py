"""Compares the proof of a generated project with the built-in tests of pytest-alembic.

Both run over the same history in a database of the same kind, a file for SQLite:

    uv run python benchmarks/proof.py               # 50, 100 and 200 revisions
    uv run python benchmarks/proof.py 200 sqlite

pytest-alembic 0.13.1 loads on pytest 8.4 and not on 9, so it gets an environment of its own
and the env.py of alembic init, as our env.py refuses the engine that it passes.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parents[1]
SERVERS = {
    "sqlite": "",
    "postgresql": os.environ.get(
        "TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mysql": os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/mysql"),
}
PACKAGES = ["pytest<8.5", "pytest-alembic==0.13.1", "sqlalchemy", "alembic[tz]", "psycopg[binary]", "pymysql"]  # fmt: skip

# Four revisions in turn make a table, a column, an index and another column.
STEPS = [
    (
        """op.create_table(
        "t{t}",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_t{t}"),
    )""",
        'op.drop_table("t{t}")',
    ),
    ('op.add_column("t{t}", sa.Column("a", sa.String(30)))', 'op.drop_column("t{t}", "a")'),
    ('op.create_index("ix_t{t}_name", "t{t}", ["name"])', 'op.drop_index("ix_t{t}_name", "t{t}")'),
    ('op.add_column("t{t}", sa.Column("b", sa.String(30)))', 'op.drop_column("t{t}", "b")'),
]
REVISION = """\"\"\"Step {n}\"\"\"

import sqlalchemy as sa
from alembic import op

revision: str = "{n:012x}"
down_revision = {parent!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
"""
MODEL = """
class Table{t}(Base):
    __tablename__ = "t{t}"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(50), index=True)
    a: Mapped[str | None] = mapped_column(String(30))
    b: Mapped[str | None] = mapped_column(String(30))
"""
IMPORTS = (
    "from sqlalchemy import BigInteger, String\nfrom sqlalchemy.orm import Mapped, mapped_column\n"
)

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


def write_history(versions: Path, revisions: int) -> None:
    parent = None
    for n in range(revisions):
        up, down = (side.format(t=n // 4) for side in STEPS[n % 4])
        text = REVISION.format(n=n, parent=parent, up=up, down=down)
        (versions / f"2027_01_01_{n:04d}-{n:012x}_step.py").write_text(text)
        parent = f"{n:012x}"
    (versions / "head.txt").write_text(f"{parent}\n")


def models(base: str, revisions: int) -> str:
    return IMPORTS + base + "".join(MODEL.format(t=t) for t in range(revisions // 4))


def ours(folder: Path, kind: str, revisions: int) -> Path:
    answers = {"database": kind, "example_models": False, "set_up_now": False}
    path = Path(
        cookiecutter(
            str(TEMPLATE), no_input=True, default_config=True, output_dir=str(folder),
            extra_context=answers,
        )
    )  # fmt: skip
    write_history(path / "migrations" / "versions", revisions)
    base = "from my_shop.models.base import Base\n"
    (path / "src" / "my_shop" / "models" / "many.py").write_text(models(base, revisions))
    return path


def theirs(folder: Path, python: str, kind: str, revisions: int) -> Path:
    folder.mkdir()
    subprocess.run([python, "-m", "alembic", "init", "migrations"], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    write_history(folder / "migrations" / "versions", revisions)
    (folder / "models.py").write_text(
        "from sqlalchemy import MetaData\nfrom sqlalchemy.orm import DeclarativeBase\n\n\n"
        "class Base(DeclarativeBase):\n    metadata = MetaData(naming_convention={\n"
        '        "pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"})\n\n\n'
        + models("", revisions)
    )
    env = folder / "migrations" / "env.py"
    text = env.read_text().replace(
        "target_metadata = None", "from models import Base\ntarget_metadata = Base.metadata"
    )
    # https://pytest-alembic.readthedocs.io/en/latest/setup.html
    text = text.replace(
        "connectable = engine_from_config(",
        'connectable = context.config.attributes.get("connection") or engine_from_config(',
    )
    env.write_text(text)
    (folder / "conftest.py").write_text(CONFTEST.format(server=SERVERS[kind]))
    (folder / "test_proof.py").write_text("from pytest_alembic.tests import *\n")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return folder


def measure(python: str, folder: Path, *tests: str) -> tuple[float, float, float]:
    """Return seconds as pytest says, seconds of the whole process, and its CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=folder, capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"},
    )  # fmt: skip
    took = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = re.search(r"passed.* in ([\d.]+)s", run.stdout)
    if run.returncode or said is None:
        sys.exit(run.stdout[-3000:] + run.stderr[-3000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(said[1]), took, cpu


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:] if word.isdigit()] or [50, 100, 200]
    kinds = [word for word in sys.argv[1:] if word in SERVERS] or list(SERVERS)
    print("| database | revisions | pytest-alembic, s | ours, s | ratio | CPU s | CPU s, ours |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = str(folder / "environment" / "bin" / "python")
        uv = shutil.which("uv") or sys.exit("uv is needed to install pytest-alembic")
        subprocess.run([uv, "venv", "--quiet", folder / "environment"], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", f"--python={python}", *PACKAGES], check=True)  # fmt: skip
        for kind in kinds:
            for size in sizes:
                mine = ours(folder / f"ours-{kind}-{size}", kind, size)
                stock = theirs(folder / f"stock-{kind}-{size}", python, kind, size)
                # The faster of two rounds, taken in turns.
                rounds = [
                    (
                        measure(python, stock),
                        measure(sys.executable, mine, "-p", "no:xdist", "tests/test_migrations.py"),
                    )
                    for _ in range(2)
                ]
                (them, _, their_cpu), (us, _, our_cpu) = (
                    min(each[side] for each in rounds) for side in (0, 1)
                )
                print(
                    f"| {kind} | {size} | {them:.1f} | {us:.1f} | {them / us:.1f} "
                    f"| {their_cpu:.1f} | {our_cpu:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
