"""Promises about migrations that live below the package: they are in its wheel, and run from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import USES_MYPY, Bake, Project, tables_of
from sqlalchemy import make_url

pytestmark = pytest.mark.machine

MIGRATE = """
from alembic import command
from alembic.config import Config

config = Config()
config.set_main_option("script_location", "my_shop.{folder}:")
command.upgrade(config, "head")
command.check(config)
command.current(config, check_heads=True)
"""


@pytest.fixture(params=["migrations", "revisions"])
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    """A project with migrations below its package; one name sorts before models, one after."""
    return bake(migrations_directory=f"src/my_shop/{request.param}")


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
    installed, database = tmp_path / "installed", tmp_path / "shop.db"
    for command in (
        ["build", "--quiet", "--wheel", "--offline", "--out-dir", tmp_path, project.path],
        ["pip", "install", "--quiet", "--no-deps", "--offline", "--target", installed],
    ):
        wheels = tmp_path.glob("*.whl") if "install" in command else []
        subprocess.run([sys.executable, "-m", "uv", *command, *wheels], check=True)
    project.path.rename(tmp_path / "elsewhere")

    assert f'"my_shop.{folder}:"' in (tmp_path / "elsewhere" / "README.md").read_text()
    subprocess.run(
        [sys.executable, "-c", MIGRATE.format(folder=folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "DATABASE_URL": f"sqlite:///{database}"},
        check=True,
    )
    assert tables_of(make_url(f"sqlite:///{database}")) >= {"customers", "orders"}
    for name in ("README.md", "script.py.mako"):
        assert (installed / "my_shop" / folder / name).exists()
