"""Promises about projects whose database, section or file was named wrongly."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Bake, Project, edit
from processes import Run, run_at_once


@pytest.fixture(params=["one", "several", "shared_history"])
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    return bake(databases=request.param)


@pytest.mark.parametrize("command", ["current", "upgrade head", "revision -m x", "heads"])
def test_a_wrong_name_is_one_sentence(project: Project, command: str) -> None:
    run = project.run("alembic", "--name", "mian", *command.split())
    assert run.returncode != 0
    right = (
        "Write --name with: main, analytics" if len(project.histories) > 1 else "Leave --name out."
    )
    assert run.stdout + run.stderr == (
        f"FAILED: There is no section [mian] in alembic.ini. {right}\n"
    )


def test_a_program_without_a_section_reads_the_right_form(bake: Bake, tmp_path: Path) -> None:
    project = bake(databases="several")
    program = (
        "from alembic import command\nfrom alembic.config import Config\n"
        f"command.upgrade(Config({str(project.path / 'alembic.ini')!r}), 'head')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=project.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stderr.splitlines()[-1].endswith(
        'Which database? There are main, analytics. Name one: Config(…, ini_section="main")'
    )


def conflict(path: Path) -> None:
    path.write_text("<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> branch\n")


def current(project: Project) -> Run:
    return project.run("alembic", *project.histories[0], "current")


def test_a_conflict_in_a_module_that_env_imports_is_one_sentence(project: Project) -> None:
    helper = project.path / "migrations" / "helper.py"
    conflict(helper)
    env = project.path / "migrations" / "env.py"
    edit(env, "\n    config = context.config\n", "    from migrations import helper as helper\n"
         "\n    config = context.config\n")  # fmt: skip
    run = current(project)
    assert run.stderr == f"FAILED: {helper}, line 1: this merge conflict is not resolved\n"
    helper.write_text("def broken(:\n")
    assert current(project).stderr == f"FAILED: {helper}, line 1: invalid syntax\n"


def test_a_conflict_in_the_guard_is_one_sentence(project: Project) -> None:
    broken = project.path / "migrations" / "guard" / "running" / "command.py"
    conflict(broken)
    run = current(project)
    assert run.returncode != 0
    assert (run.stdout + run.stderr).replace("\n  ", " ") == (
        f"FAILED: {broken}, line 1: invalid syntax. "
        f"Restore it: git restore --source=HEAD {broken}\n"
    )


def test_database_url_is_refused_where_there_are_several(project: Project) -> None:
    if not project.names:
        pytest.skip("There is one database, which DATABASE_URL names")
    environment = {**project.environment(), "DATABASE_URL": "sqlite:///other.db"}
    command = ["alembic", *project.histories[0], "upgrade", "head"]
    (run,) = run_at_once(command, folder=project.path, environment=environment)
    assert run.returncode == 1
    first = "MAIN" if len(project.histories) > 1 else "ANALYTICS"
    assert run.stderr == (
        f"FAILED: DATABASE_URL names no database of several: set {first}_DATABASE_URL.\n"
    )
    assert not list(project.path.glob("*.db"))


def git(project: Project, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=project.path, check=True)


def test_a_missing_folder_is_told_apart_from_a_lost_one(project: Project) -> None:
    folder = project.versions
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "x")
    shutil.rmtree(folder)
    run = current(project)
    assert run.stderr == (
        f"FAILED: The folder {folder} is missing. Restore it: git restore --source=HEAD {folder}\n"
    )
    git(project, "restore", "--source=HEAD", str(folder))
    assert current(project).returncode == 0
    new = folder.with_name("billing")
    if len(project.histories) > 1:
        edit(project.path / "alembic.ini", "migrations/main\n", "migrations/billing\n")
    else:
        edit(project.path / "alembic.ini", "path_separator", "version_locations = %(here)s/migrations/"
             "billing\npath_separator")  # fmt: skip
    run = current(project)
    assert run.stderr == (
        f"FAILED: There is no folder {new}. For a new history, create it with a file that git keeps:"
        f"\nmkdir {new} && touch {new / '.gitkeep'}\n"
    )
    subprocess.run(run.stderr.splitlines()[1], shell=True, check=True)
    assert current(project).returncode == 0
    git(project, "add", ".")
    clone = project.path.with_name("clone")
    git(project, "commit", "--quiet", "-m", "y")
    git(project, "clone", "--quiet", str(project.path), str(clone))
    assert current(Project(clone, project.answers)).returncode == 0


def test_the_readme_says_to_add_a_file_that_git_keeps(bake: Bake) -> None:
    assert ".gitkeep` in it: git does not keep" in bake(databases="several").read("README.md")
