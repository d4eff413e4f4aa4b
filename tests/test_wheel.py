"""Promises about migrations that live below the package: they are in its wheel, and run from it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import USES_MYPY, Bake, Project, tables_of
from sqlalchemy import make_url

pytestmark = pytest.mark.machine

IMPORTS = """
from alembic import command
from alembic.config import Config

"""
CHECKS = """
command.check(config)
command.current(config, check_heads=True)
"""


@pytest.fixture(params=["migrations", "revisions"])
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    """A project with migrations below its package; one name sorts before models, one after."""
    return bake(migrations_directory=f"src/my_shop/{request.param}")


def programs_for_a_package(project: Project) -> list[str]:
    """Return the programs that the guard's README shows for migrations in a package."""
    folder = str(project.answers["migrations_directory"])
    readme = project.read(f"{folder}/guard/README.md")
    shown = [
        program.replace("my_shop.migrations", folder.removeprefix("src/").replace("/", "."))
        for program in re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        if '"my_shop.migrations:"' in program
    ]
    whole, one_of_several = shown
    if project.answers.get("databases") == "several":
        return [one_of_several.replace('main"', f'{name}"') for name in project.names]
    return [whole]


@pytest.mark.xdist_group(USES_MYPY)
def test_migrations_below_the_package_are_as_good_as_beside_it(project: Project) -> None:
    assert not (project.path / "migrations").exists()
    project.succeed("ruff", "check", "--no-cache")
    project.succeed("ruff", "format", "--check", "--no-cache")
    project.succeed("mypy", "--strict", "src", "tests")
    # A revision is formatted, whatever its template leaves to do.
    template = f"{project.answers['migrations_directory']}/script.py.mako"
    project.replace(template, "def upgrade()", "def   upgrade( )")
    project.succeed("alembic", "revision", "--message", "add invoices")
    project.succeed("ruff", "format", "--check", "--no-cache")
    project.succeed("pytest", "tests/test_migrations.py")
    assert len(project.read("README.md").splitlines()) <= 100


def test_wheel_migrates_a_database_where_there_is_no_source(
    project: Project, tmp_path: Path
) -> None:
    folder = project.answers["migrations_directory"].rpartition("/")[2]
    installed = migrate_from_wheel(project, tmp_path)
    assert tables_of(make_url(f"sqlite:///{tmp_path / 'shop.db'}")) >= {"customers", "orders"}
    for name in ("README.md", "script.py.mako", "guard/README.md"):
        assert (installed / "my_shop" / folder / name).exists()


@pytest.mark.parametrize("databases", ["several", "shared_history"])
def test_wheel_migrates_several_databases(bake: Bake, databases: str, tmp_path: Path) -> None:
    migrate_from_wheel(
        bake(databases=databases, migrations_directory="src/my_shop/migrations"), tmp_path
    )
    assert tables_of(make_url(f"sqlite:///{tmp_path / 'main.db'}")) >= {"customers", "orders"}
    assert tables_of(make_url(f"sqlite:///{tmp_path / 'analytics.db'}")) == {"visits"}


def migrate_from_wheel(project: Project, folder: Path) -> Path:
    """Install a project without its source, and run the programs of its README.

    :return: the folder where the wheel is installed.
    """
    installed, programs = folder / "installed", programs_for_a_package(project)
    for command in (
        ["build", "--quiet", "--wheel", "--offline", "--out-dir", folder, project.path],
        ["pip", "install", "--quiet", "--no-deps", "--offline", "--target", installed],
    ):
        wheels = folder.glob("*.whl") if "install" in command else []
        subprocess.run([sys.executable, "-m", "uv", *command, *wheels], check=True)
    project.path.rename(folder / "elsewhere")
    urls = {
        name: make_url(f"sqlite:///{folder / (name or 'shop')}.db")
        for name in project.names or [""]
    }
    for program in programs:
        subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning", "-c", IMPORTS + program + CHECKS],
            cwd=folder,
            env={**project.environment(urls), "PYTHONPATH": str(installed)},
            check=True,
        )
    return installed
