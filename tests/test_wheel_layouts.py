"""Promises about an installed wheel, in each layout: what the README shows runs there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import UNWANTED, Bake, Project, tables_of
from sqlalchemy import URL

pytestmark = pytest.mark.machine

TABLES = {
    "one": {"my_shop.db": "customers"},
    "several": {"my_shop_main.db": "customers", "my_shop_analytics.db": "visits"},
    "shared_history": {"my_shop_main.db": "customers", "my_shop_analytics.db": "visits"},
}


@pytest.fixture(params=list(TABLES))
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    return bake(databases=request.param, migrations_directory="src/my_shop/migrations")


@pytest.fixture
def installed(project: Project, tmp_path: Path) -> Path:
    """A Python with the wheel, where the project is not; what it needs comes from here."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run(
        [*uv, "build", "--quiet", "--wheel", "--offline", "--out-dir", tmp_path, project.path],
        check=True,
    )
    subprocess.run(
        [*uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "env"], check=True
    )
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "needed.pth").write_text(f"{here}\n")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [*uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python,
         *tmp_path.glob("*.whl")],
        check=True,
    )  # fmt: skip
    shutil.move(project.path, tmp_path / "elsewhere")
    return python


def run(python: Path, program: str, folder: Path, **variables: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    subprocess.run(
        [python, "-I", "-c", program], cwd=folder, env={**environment, **variables}, check=True
    )


def program_of_readme(tmp_path: Path, layout: str) -> str:
    """Return the program that guard/README.md shows for an installed package."""
    readme = (tmp_path / "elsewhere/src/my_shop/migrations/guard/README.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    one, several = (each for each in examples if '"my_shop.migrations:"' in each)
    check = "command.check(config)\ncommand.current(config, check_heads=True)\n"
    program = one + check
    if layout == "several":
        program = (
            several
            + check
            + several.replace('"main"', '"analytics"').replace(':main"', ':analytics"')
            + check
        )
    return f"from alembic import command\nfrom alembic.config import Config\n{program}"


def test_the_program_of_the_readme_runs_from_an_installed_wheel(
    project: Project, installed: Path, tmp_path: Path
) -> None:
    layout = str(project.answers["databases"])
    folder = tmp_path / "started here"
    folder.mkdir()
    run(installed, program_of_readme(tmp_path, layout), folder)
    made = {path.name for path in folder.glob("*.db")}
    assert made == set(TABLES[layout])
    for file, table in TABLES[layout].items():
        assert table in tables_of(URL.create("sqlite", database=str(folder / file)))
    assert not list((tmp_path / "env").rglob("*.db"))


def test_env_of_the_working_directory_counts_where_a_wheel_is_installed(
    project: Project, installed: Path, tmp_path: Path
) -> None:
    layout = str(project.answers["databases"])
    folder = tmp_path / "started here"
    folder.mkdir()
    names = project.names or [""]
    lines = [f"{name.upper()}_DATABASE_URL".removeprefix("_") + f"=sqlite:///of_{name}.db\n"
             for name in names]  # fmt: skip
    (folder / ".env").write_text("".join(lines))
    run(installed, program_of_readme(tmp_path, layout), folder)
    assert {path.name for path in folder.glob("*.db")} == {f"of_{name}.db" for name in names}
