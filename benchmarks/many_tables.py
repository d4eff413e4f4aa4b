"""Compares ``alembic check`` and ``revision --autogenerate`` with a stock project's.

Both projects have the same models in the same database. Each command is run in turns, and
the ratio is that of the median CPU times of the processes: uv run python benchmarks/many_tables.py
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter
from sqlalchemy import create_engine, make_url, text

TEMPLATE = Path(__file__).resolve().parents[1]
TABLES, ROUNDS = 300, 5
SERVERS = {
    "sqlite": None,
    "postgresql": os.environ.get(
        "TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    ),
    "mysql": os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/"),
}
MODEL = """
class Table{n}(Base):
    __tablename__ = "table_{n}"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(50), index=True)
    email: Mapped[str] = mapped_column(String(50), unique=True, server_default="x")
    number: Mapped[int] = mapped_column(Integer, server_default="0")
"""
IMPORTS = "from sqlalchemy import BigInteger, Integer, String\nfrom sqlalchemy.orm import Mapped, mapped_column\n"


def models(base: str) -> str:
    return IMPORTS + base + "\n".join(MODEL.format(n=n) for n in range(TABLES))


def stock_project(folder: Path, url: str) -> Path:
    """Make what ``alembic init`` makes, and fill in what it leaves to the user."""
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "alembic", "init", "migrations"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    base = "from my_base import Base\n"
    (folder / "my_base.py").write_text(
        "from sqlalchemy import MetaData\nfrom sqlalchemy.orm import DeclarativeBase\n\n"
        "class Base(DeclarativeBase):\n"
        "    metadata = MetaData(naming_convention={\n"
        '        "pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s",\n'
        '        "uq": "uq_%(table_name)s_%(column_0_N_name)s"})\n'
    )
    (folder / "many.py").write_text(models(base))
    ini = folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("driver://user:pass@localhost/dbname", url))
    env = folder / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace(
            "target_metadata = None", "from many import Base\ntarget_metadata = Base.metadata"
        )
    )
    return folder


def our_project(folder: Path, kind: str) -> Path:
    answers = {"database": kind, "example_models": False, "set_up_now": False}
    path = Path(
        cookiecutter(
            str(TEMPLATE), no_input=True, default_config=True, output_dir=str(folder),
            extra_context=answers,
        )
    )  # fmt: skip
    base = "from my_shop.models.base import Base\n"
    (path / "src" / "my_shop" / "models" / "many.py").write_text(models(base))
    return path


def cpu_seconds(folder: Path, url: str, *command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        [sys.executable, "-m", "alembic", *command],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": url},
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stdout[-2000:] + run.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(kind: str, folder: Path) -> None:
    name = "benchmark_many_tables"
    server = SERVERS[kind]
    engine = create_engine(server, isolation_level="AUTOCOMMIT") if server else None
    if engine and server:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
    else:
        url = f"sqlite:///{folder / 'many.db'}"
    ours, stock = our_project(folder / "ours", kind), stock_project(folder / "stock", url)
    cpu_seconds(ours, url, "revision", "--autogenerate", "-m", "many")
    (revision,) = (ours / "migrations" / "versions").glob("*.py")
    (stock / "migrations" / "versions" / revision.name).write_text(revision.read_text())
    cpu_seconds(ours, url, "upgrade", "head")
    for command in (["check"], ["revision", "--autogenerate", "-m", "again"]):
        times: dict[Path, list[float]] = {ours: [], stock: []}
        for _ in range(ROUNDS):
            for project, measured in times.items():
                measured.append(cpu_seconds(project, url, *command))
                for extra in (project / "migrations" / "versions").glob("*again.py"):
                    extra.unlink()
        mine, theirs = (statistics.median(times[project]) for project in (ours, stock))
        print(
            f"| {kind} | `{' '.join(command[:2])}` | {theirs:.2f} | {mine:.2f} | {mine / theirs:.2f} |"
        )
    if engine:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))


def main() -> None:
    print(
        f"| {TABLES} tables | command | stock, CPU s | ours, CPU s | ratio |\n|---|---|---|---|---|"
    )
    for kind in SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            compare(kind, Path(folder))


if __name__ == "__main__":
    main()
