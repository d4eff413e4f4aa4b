"""Tests of what stands before a commit, a merge and a deployment of a generated project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import QUESTIONS, USES_MYPY, Bake, NewDatabase, Project, query, with_driver
from guard.head import head_in

SERVERS = [name for name, facts in QUESTIONS["_database_facts"].items() if not facts["embedded"]]
# Those whose SQL is also checked by squawk.
LINTED = [
    name
    for name, facts in QUESTIONS["_database_facts"].items()
    if any(each.startswith("squawk") for each in facts["lint_dependencies"])
]
DATABASES = list(QUESTIONS["_database_facts"])


def git(project: Project, *arguments: str, check: bool = True) -> str:
    """Run git as the owner of a project does, and return what it says."""
    run = subprocess.run(
        ["git", "-c", "user.name=Owner", "-c", "user.email=owner@example.com", *arguments],
        cwd=project.path,
        env={**project.environment(), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_EDITOR": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0 or not check, run.stdout + run.stderr
    return run.stdout + run.stderr


def commit(project: Project, message: str) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", message)


@pytest.fixture
def repository(bake: Bake) -> Project:
    """A generated project whose first commit is on the branch main."""
    project = bake()
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "First")
    return project


def tool(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment on a generated project."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


# Linear history


def test_a_new_revision_is_noted_as_the_head(repository: Project) -> None:
    repository.succeed("alembic", "revision", "--rev-id", "abc", "-m", "x")
    assert head_in(repository.read("migrations/versions/head.txt")) == "abc"


def test_the_first_revision_is_noted_as_the_head(bake: Bake) -> None:
    project = bake(example_models=False)
    project.succeed("alembic", "revision", "--rev-id", "abc", "-m", "x")
    assert head_in(project.read("migrations/versions/head.txt")) == "abc"


def test_branches_that_each_add_a_revision_conflict_and_three_commands_join_them(
    repository: Project, new_database: NewDatabase
) -> None:
    url = new_database("sqlite")
    for branch, start in (("theirs", "main"), ("ours", "main")):
        git(repository, "switch", "--quiet", "--create", branch, start)
        repository.succeed("alembic", "revision", "--rev-id", branch, "-m", branch)
        commit(repository, branch)
    git(repository, "branch", "--force", "main", "theirs")
    section = re.search(
        r"or merge the two heads:\n```console\n(.*?)```",
        repository.read("migrations/README.md"),
        re.DOTALL,
    )
    assert section is not None
    merge, join, conclude, _ = re.findall(r"^\$ (.*)", section[1], re.MULTILINE)
    assert "CONFLICT" in git(repository, *shlex.split(merge)[1:], check=False)
    assert "<<<<" in repository.read("migrations/versions/head.txt")
    repository.succeed(*shlex.split(join)[2:])
    add, then = conclude.split("&&")
    git(repository, *shlex.split(add)[1:])
    git(repository, *shlex.split(then)[1:])
    assert git(repository, "status", "--porcelain") == ""
    (head,) = repository.succeed("alembic", "heads").split()[:1]
    assert head_in(repository.read("migrations/versions/head.txt")) == head
    repository.succeed("alembic", "upgrade", "head", url=url)
    assert query(url, "SELECT version_num FROM alembic_version") == [(head,)]


# SQL


def lint(project: Project, branch: str = "main") -> subprocess.CompletedProcess[str]:
    return project.run("migrations.guard", "lint", branch)


@pytest.fixture
def linted(bake: Bake) -> Project:
    """A project with SQL checks whose first commit is on the branch main."""
    project = bake(database=LINTED[0])
    git(project, "init", "--quiet", "--initial-branch=main")
    return project


ADD_COLUMN = 'op.add_column("customers", sa.Column("age", sa.SmallInteger()))'


@pytest.mark.parametrize("databases", ["one", "several", "shared_history"])
@pytest.mark.parametrize("database", DATABASES)
def test_the_first_revision_has_no_finding_before_anything_is_committed(
    bake: Bake, database: str, databases: str
) -> None:
    project = bake(database=database, databases=databases)
    git(project, "init", "--quiet", "--initial-branch=main")
    run = project.run("migrations.guard", "lint")
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    histories = 2 if databases == "several" else 1
    assert run.stdout == "1 revision that main does not have: nothing found.\n" * histories


@pytest.mark.parametrize("databases", ["several", "shared_history"])
def test_each_of_several_databases_is_checked(bake: Bake, databases: str) -> None:
    project = bake(databases=databases)
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "First")
    options = {"several": ["--name", "analytics"], "shared_history": []}[databases]
    project.succeed("alembic", *options, "revision", "--rev-id", "abc", "-m", "x")
    (path,) = (project.path / "migrations").glob("*/*abc_x.py")
    source = path.read_text(encoding="utf-8")
    name = "upgrade_analytics" if databases == "shared_history" else "upgrade"
    start, middle, rest = source.partition(f"def {name}() -> None:\n")
    path.write_text(f'{start}{middle}    op.drop_table("visits")\n{rest}', encoding="utf-8")
    run = project.run("migrations.guard", "lint")
    assert run.returncode == 1
    assert run.stdout.count(": drops_data\n    Drops visits and its rows.") == 1, run.stdout


def test_only_the_sql_of_new_revisions_is_checked(linted: Project) -> None:
    linted.add_revision("old", ADD_COLUMN)
    (linted.versions / "head.txt").write_text("old\n")
    assert "prefer-bigint-over-smallint" in lint(linted).stdout
    commit(linted, "Accepted on main")
    assert lint(linted).returncode == 0
    linted.add_revision("new", 'op.drop_column("customers", "email")')
    run = lint(linted)
    assert run.returncode == 1
    assert "drops_data" in run.stdout
    assert "smallint" not in run.stdout


def test_a_branch_is_compared_with_where_it_left_main(linted: Project) -> None:
    commit(linted, "First")
    git(linted, "switch", "--quiet", "--create", "mine")
    git(linted, "switch", "--quiet", "main")
    path = linted.add_revision("theirs", ADD_COLUMN)
    (linted.versions / "head.txt").write_text("theirs\n")
    commit(linted, "Theirs")
    git(linted, "switch", "--quiet", "mine")
    assert not path.exists()
    linted.add_revision("mine", 'op.drop_column("customers", "email")')
    run = lint(linted)
    assert "drops_data" in run.stdout, run.stderr


def test_a_finding_is_accepted_by_a_comment_in_the_revision(
    linted: Project, new_database: NewDatabase
) -> None:
    commit(linted, "First")
    reference = linted.read("migrations/guard/README.md")
    (accepted,) = re.findall(r'op\.execute\("-- squawk-ignore .*"\)', reference)
    linted.add_revision("new", f"{accepted}\n{ADD_COLUMN}")
    run = lint(linted)
    assert run.returncode == 0, run.stdout
    linted.succeed("alembic", "upgrade", "head", url=new_database(LINTED[0]))


def test_an_unknown_branch_is_named_by_the_sql_check(linted: Project) -> None:
    commit(linted, "First")
    run = lint(linted, "origin/main")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("FAILED: There is no branch origin/main")


# The diagram


def diagram_command(project: Project) -> list[str]:
    """Return the command with which the workflow checks the diagram, for Project.run()."""
    (command,) = re.findall(
        r"run: uv run (.*docs.* --check)$", project.read(".github/workflows/ci.yml"), re.MULTILINE
    )
    return module_of(shlex.split(command))


def module_of(words: list[str]) -> list[str]:
    """Return what stands after ``uv run``, as Project.run() wants it: beginning with a module."""
    if words[:2] == ["python", "-m"]:
        return words[2:]
    if words[0] == "python":
        return [words[1].removesuffix(".py").replace("/", "."), *words[2:]]
    if words[0] == "paracelsus":  # The project is not installed here.
        return ["paracelsus.cli", *words[1:], "--python-dir=src"]
    return words


@pytest.mark.parametrize(
    ("database", "databases", "examples"),
    [
        ("sqlite", "one", True),
        ("sqlite", "one", False),
        ("postgresql", "several", True),
        ("mysql", "shared_history", True),
    ],
)
def test_the_diagram_is_up_to_date_and_the_workflow_checks_it(
    bake: Bake, database: str, databases: str, examples: bool
) -> None:
    project = bake(database=database, example_models=examples, databases=databases)
    check = diagram_command(project)
    project.succeed(*check)
    folder, name = ("models", "models") if databases == "one" else ("models/main", "main")
    base = "base" if databases == "one" else "main"
    assert ("customers {" in project.read(f"docs/{name}.md")) == examples
    (project.path / f"src/my_shop/{folder}/invoice.py").write_text(
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        f"from my_shop.models.{base} import Base\n\n\n"
        'class Invoice(Base):\n    __tablename__ = "invoices"\n\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )
    assert project.run(*check).returncode == 1
    project.succeed(*(word for word in check if word != "--check"))
    assert "invoices {" in project.read(f"docs/{name}.md")
    project.succeed(*check)


# Before the commit, and on the server of the repository


@pytest.mark.parametrize("database", DATABASES)
def test_workflow_and_hooks_are_valid_and_safe(baked: Bake, database: str) -> None:
    project = baked(database=database, driver="sync", example_models=True)
    for name, arguments in (
        ("check-jsonschema", ["--builtin-schema=vendor.github-workflows", ".github/workflows/ci.yml"]),
        ("pre-commit", ["validate-config"]),
        ("zizmor", ["--offline", "--no-progress", "."]),
    ):  # fmt: skip
        run = tool(name, *arguments, folder=project.path)
        assert run.returncode == 0, run.stdout + run.stderr
    assert "No findings" in run.stdout
    workflow = yaml.safe_load(project.read(".github/workflows/ci.yml"))
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"] == "${{ github.workflow }}-${{ github.ref }}"
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read"}
    assert ("services" in job) == (database in SERVERS)
    assert any("migrations.guard lint" in step.get("run", "") for step in job["steps"])


@pytest.mark.xdist_group(USES_MYPY)
@pytest.mark.parametrize(
    "database",
    [pytest.param(name, marks=[] if name in LINTED else [pytest.mark.slow]) for name in DATABASES],
)
def test_every_command_of_the_workflow_passes_in_a_new_project(
    bake: Bake, new_database: NewDatabase, database: str
) -> None:
    project = bake(database=database)
    git(project, "init", "--quiet", "--initial-branch=main")
    commit(project, "First")
    git(project, "update-ref", "refs/remotes/origin/main", "main")
    (job,) = yaml.safe_load(project.read(".github/workflows/ci.yml"))["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[:2] == ["pipx install uv", "uv sync --locked"]
    url = new_database(database)
    for command in commands[2:]:
        words = shlex.split(command)
        assert words[:2] == ["uv", "run"], command
        project.succeed(*module_of(words[2:]), url=url)


@pytest.mark.machine
@pytest.mark.xdist_group(USES_MYPY)
def test_the_hooks_run_before_a_commit_and_stop_what_is_wrong(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"  # uv run, with the packages of this environment.
    uv.write_text(f'#!/bin/sh\nshift\nprogram="$1"\nshift\nexec "{sys.prefix}/bin/$program" "$@"\n')
    uv.chmod(0o755)
    environment = {
        **project.environment(),
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "src",
    }

    def hooks() -> subprocess.CompletedProcess[str]:
        git(project, "add", "--all")
        program = Path(sys.executable).with_name("pre-commit")
        return subprocess.run(
            [program, "run", "--all-files"],
            cwd=project.path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    git(project, "init", "--quiet", "--initial-branch=main")
    run = hooks()
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("Passed") == 6, run.stdout
    project.replace(
        "src/my_shop/models/example.py", "    price:", "    weight: Mapped[int]\n    price:"
    )
    run = hooks()
    assert re.search(r"update the ER diagram\.*Failed", run.stdout), run.stdout
    assert re.search(r"test the migrations\.*Failed", run.stdout), run.stdout
    assert "weight" in project.read("docs/models.md")


# Operation


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, baked: Bake) -> Project:
    return baked(database=request.param, driver="sync", example_models=True)


def services(project: Project) -> dict[str, Any]:
    return dict(yaml.safe_load(project.read("compose.yaml"))["services"])


def test_compose_file_is_valid_and_starts_only_the_server_unless_asked(served: Project) -> None:
    run = tool(
        "check-jsonschema", "--builtin-schema=vendor.compose-spec", "compose.yaml",
        folder=served.path,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    parts = services(served)
    assert [name for name, part in parts.items() if "profiles" not in part] == ["database"]
    assert parts["database"]["healthcheck"]["test"]
    ports = [port for part in parts.values() for port in part.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_application_waits_for_a_migration_that_ran_once(served: Project) -> None:
    parts = services(served)
    assert parts["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "restart" not in parts["migrate"]
    assert parts["application"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"}
    }
    assert (
        parts["migrate"]["environment"]["DATABASE_URL"]
        == parts["application"]["environment"]["DATABASE_URL"]
    )


def test_what_the_image_does_works_outside_a_container(
    served: Project, new_database: NewDatabase, tmp_path: Path
) -> None:
    """The Dockerfile's COPY and RUN in a folder, then the commands of compose.yaml in turn."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    url = with_driver(new_database(str(served.answers["database"])))
    context, image = tmp_path / "context", tmp_path / "image"
    shutil.copytree(served.path, context, ignore=shutil.ignore_patterns("__pycache__"))
    image.mkdir()
    environment = {
        key: value for key, value in served.environment(url).items() if key != "VIRTUAL_ENV"
    }
    environment["PATH"] = f"{image / '.venv/bin'}{os.pathsep}{environment['PATH']}"
    uv = ["uv", "lock", "--quiet"]
    subprocess.run(uv, cwd=context, env=environment, check=True)
    for line in (context / "Dockerfile").read_text().splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if (context / source).is_dir():
                    shutil.copytree(context / source, image / target)
                else:
                    shutil.copy(context / source, image / target)
        elif instruction == "RUN" and not rest.startswith("pip "):
            subprocess.run(shlex.split(rest), cwd=image, env=environment, check=True)
    parts = services(served)

    def container(command: str) -> int:
        return subprocess.run(
            shlex.split(command), cwd=image, env=environment, check=False
        ).returncode

    assert container(parts["application"]["healthcheck"]["test"]) != 0
    assert container(parts["migrate"]["command"]) == 0
    assert container(parts["application"]["healthcheck"]["test"]) == 0
    assert not {path.name for path in image.iterdir()} & {"tests", ".env", ".git"}


def test_a_database_in_a_file_needs_none_of_the_server_things(baked: Bake) -> None:
    for database in set(DATABASES) - set(SERVERS):
        project = baked(database=database, driver="sync", example_models=True)
        for name in project.files:
            assert not re.search("docker|compose|services:", project.read(name), re.IGNORECASE), (
                name
            )
