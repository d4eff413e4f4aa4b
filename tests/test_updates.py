"""Promises about where a template comes from, and about a project on any later day."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUESTIONS, TEMPLATE, UNWANTED, Project, copy_of_template, edit

pytestmark = pytest.mark.machine

UV = Path(sys.executable).parent / "uv"
PROJECT = "{{cookiecutter.project_slug}}"
CHANGED = f"{PROJECT}/{{{{cookiecutter.migrations_directory}}}}/README.md"

CHANGELOG = (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")

Cookiecutter = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, where gh: means a folder with bare git repositories."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".cookiecutterrc").write_text(
        f"abbreviations:\n  gh: {tmp_path.as_uri()}/hub/{{0}}.git\n"
    )
    kept = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    identity = {"NAME": "Zoë", "EMAIL": "zoe@example.com"}
    who = {f"GIT_{r}_{k}": v for r in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
    return kept | who | {"HOME": str(home), "COOKIECUTTER_CONFIG": str(home / ".cookiecutterrc")}


@pytest.fixture
def git(environment: dict[str, str]) -> Callable[..., str]:
    def run(folder: Path, *arguments: str | Path) -> str:
        command = ["git", "-c", "init.defaultBranch=main", "-C", folder, *arguments]
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout

    return run


@pytest.fixture
def template(tmp_path: Path, git: Callable[..., str]) -> Path:
    """A clone of the template with a tag v1, and a bare repository that gh:org/template means."""
    clone, hub = copy_of_template(tmp_path / "template"), tmp_path / "hub/org/template.git"
    hub.mkdir(parents=True)
    git(hub, "init", "--quiet", "--bare")
    git(clone, "init", "--quiet")
    git(clone, "remote", "add", "origin", hub)
    publish(git, clone, "v1")
    return clone


def publish(git: Callable[..., str], template: Path, tag: str) -> None:
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", tag)
    git(template, "tag", tag)
    git(template, "push", "--quiet", "--tags", "origin", "HEAD:main")


@pytest.fixture
def cookiecutter(environment: dict[str, str], template: Path, tmp_path: Path) -> Cookiecutter:
    """A function that runs Cookiecutter as a person does: ``cookiecutter("gh:org/template")``.

    What it asks, as whether to download again what was downloaded before, is affirmed.
    """

    def run(*arguments: str | Path, folder: str = "out") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cookiecutter", "-o", tmp_path / folder, *arguments],
            env=environment,
            input="y\n" * 3,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def contents(folder: Path) -> dict[str, str]:
    project = Project(folder, {})
    return {name: project.read(name) for name in project.files}


ANSWERS = ("--no-input", "set_up_now=no", "driver=async", 'description=Say "hi" \\ Größe 🚀')


def test_gh_takes_the_newest_commit_and_checkout_a_tag(
    cookiecutter: Cookiecutter, template: Path, git: Callable[..., str], tmp_path: Path
) -> None:
    edit(template / CHANGED, "# Migrations\n", "# Migrations, second edition\n")
    publish(git, template, "v2")
    for folder, heading, arguments in (
        ("newest", "# Migrations, second edition", ()),
        ("tagged", "# Migrations", ("--checkout", "v1")),
    ):
        run = cookiecutter("gh:org/template", *arguments, *ANSWERS, folder=folder)
        assert run.returncode == 0, run.stderr
        readme = (tmp_path / folder / "my-shop/migrations/README.md").read_text(encoding="utf-8")
        assert readme.splitlines()[0] == heading


def test_zip_file_and_replay_give_the_same_project(
    cookiecutter: Cookiecutter, template: Path, git: Callable[..., str], tmp_path: Path
) -> None:
    archive = tmp_path / "template.zip"
    git(template, "archive", "--prefix=template/", "--output", archive, "v1")
    assert zipfile.is_zipfile(archive)
    for folder, arguments in (
        ("git", ("gh:org/template", *ANSWERS)),
        ("replay", ("gh:org/template", "--replay")),
        ("zip", (archive, *ANSWERS)),
    ):
        run = cookiecutter(*arguments, folder=folder)
        assert run.returncode == 0, run.stdout + run.stderr
    expected = contents(tmp_path / "git" / "my-shop")
    assert contents(tmp_path / "replay" / "my-shop") == expected
    assert contents(tmp_path / "zip" / "my-shop") == expected


def test_answers_in_the_project_give_the_project_again(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    answers = (*ANSWERS, "example_models=no", "migrations_directory=src/my_shop/migrations")
    assert cookiecutter("gh:org/template", *answers, folder="first").returncode == 0
    first = tmp_path / "first" / "my-shop"
    remembered = first / ".cookiecutter.json"
    arguments = (tmp_path / "template", "--no-input", "--config-file", remembered)
    run = cookiecutter(*arguments, folder="again")
    assert run.returncode == 0, run.stdout + run.stderr
    assert contents(tmp_path / "again" / "my-shop") == contents(first)


def test_answers_in_the_project_are_all_but_private(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    private = ("author_name=Secret Person", "author_email=secret@example.com")
    assert cookiecutter("gh:org/template", *ANSWERS, *private).returncode == 0
    text = (tmp_path / "out/my-shop/.cookiecutter.json").read_text(encoding="utf-8")
    questions = {question for question in QUESTIONS if not question.startswith("_")}
    assert set(json.loads(text)["default_context"]) == questions - {"author_name", "author_email"}
    assert "ecret" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("options", "edited_stays"),
    [
        (["--overwrite-if-exists"], False),
        (["--overwrite-if-exists", "--skip-if-file-exists"], True),
    ],
    ids=["overwrite", "skip"],
)
def test_generating_over_an_edited_project_deletes_no_files(
    options: list[str], edited_stays: bool, cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    assert cookiecutter("gh:org/template", *ANSWERS).returncode == 0
    project = tmp_path / "out" / "my-shop"
    before = contents(project)
    mine = ["mine.txt", "src/my_shop/models/mine.py", "migrations/versions/mine.py", ".venv/mine"]
    for name in mine:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text('"""Mine."""\n')
    edited = "# My own words\n"
    (project / "README.md").write_text(edited)
    (project / ".env.example").unlink()

    run = cookiecutter("gh:org/template", *options, *ANSWERS)

    assert run.returncode == 0, run.stdout + run.stderr
    after = contents(project)
    assert {after.pop(name) for name in mine} == {'"""Mine."""\n'}
    assert after.pop("README.md") == (edited if edited_stays else before["README.md"])
    del before["README.md"]
    assert after == before


@pytest.mark.parametrize("kept", [True, False], ids=["keep", "default"])
def test_a_failed_project_is_kept_when_that_is_asked_for(
    kept: bool, cookiecutter: Cookiecutter, template: Path, tmp_path: Path
) -> None:
    (template / CHANGED).unlink()
    options = ["--keep-project-on-failure"] if kept else []
    run = cookiecutter(template, *options, *ANSWERS)
    assert run.returncode != 0
    assert "where README.md is missing." in run.stderr
    assert (tmp_path / "out" / "my-shop" / "alembic.ini").exists() == kept
    assert not (tmp_path / "out" / "my-shop" / ".new").exists()


@pytest.fixture
def cruft(environment: dict[str, str], tmp_path: Path) -> Cookiecutter:
    """A function that runs cruft in the project.

    It has an environment of its own, as cruft needs a package ``examples``, and aiomysql brings
    another one of that name.
    """
    cache = subprocess.run([UV, "cache", "dir"], check=True, capture_output=True, text=True).stdout
    tool = [UV, "tool", "run", "--quiet", "--python", sys.executable, "cruft"]

    def run(*arguments: str | Path, exit_status: int = 0) -> subprocess.CompletedProcess[str]:
        project = tmp_path / "out" / "my-shop"
        done = subprocess.run(
            [*tool, *arguments],
            cwd=project if project.exists() else tmp_path,
            env=environment | {"UV_CACHE_DIR": cache.strip()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == exit_status, done.stdout + done.stderr
        return done

    return run


def test_cruft_brings_a_newer_template_to_an_edited_project(
    cruft: Cookiecutter, template: Path, git: Callable[..., str], tmp_path: Path
) -> None:
    project = tmp_path / "out" / "my-shop"
    hub = f"{tmp_path.as_uri()}/hub/org/template.git"
    answers = json.dumps({"description": 'Say "hi" \\ Größe 🚀', "database": "postgresql"})
    made = cruft(
        "create", hub, "--no-input", "--output-dir", tmp_path / "out", "--extra-context", answers
    )
    assert "Installing" not in made.stdout
    assert "uv run pytest tests/test_migrations.py" in made.stdout
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "from the template")
    cruft("check")
    cruft("diff", "--exit-code")

    mine = {"src/my_shop/models/mine.py": '"""Mine."""\n', "notes.txt": "mine\n"}
    for name, text in mine.items():
        (project / name).write_text(text)
    edit(
        project / "migrations" / "README.md", "## Data migrations\n", "## Data migrations of ours\n"
    )
    (project / ".env.example").unlink()
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "mine")

    edit(template / CHANGED, "# Migrations\n", "# Migrations, second edition\n")
    edit(template / "cookiecutter.json", '"psycopg[binary]>=3.3"', '"psycopg[binary]>=3.4"')
    (template / PROJECT / "NEW.md").write_text("for {{ cookiecutter.package_name }}\n")
    publish(git, template, "v2")

    cruft("check", exit_status=1)
    updated = cruft("update", "--skip-apply-ask")
    assert "Installing" not in updated.stdout
    readme = (project / "migrations" / "README.md").read_text(encoding="utf-8")
    assert "# Migrations, second edition\n" in readme
    assert "## Data migrations of ours\n" in readme
    assert "psycopg[binary]>=3.4" in (project / "pyproject.toml").read_text(encoding="utf-8")
    assert (project / "NEW.md").read_text() == "for my_shop\n"
    assert not (project / ".env.example").exists()
    for name, text in mine.items():
        assert (project / name).read_text() == text
    changed = git(project, "status", "--porcelain", "--untracked-files=all").split("\n")
    assert {line[3:] for line in changed if line} == {
        ".cruft.json",
        "NEW.md",
        "migrations/README.md",
        "pyproject.toml",
    }
    cruft("check")
    assert "## Data migrations of ours" in cruft("diff").stdout


def test_cruft_takes_a_project_that_cookiecutter_made(
    cookiecutter: Cookiecutter,
    cruft: Cookiecutter,
    template: Path,
    git: Callable[..., str],
    tmp_path: Path,
) -> None:
    assert cookiecutter("gh:org/template", *ANSWERS).returncode == 0
    hub = f"{tmp_path.as_uri()}/hub/org/template.git"
    cruft("link", hub, "--no-input", "--config-file", ".cookiecutter.json")
    project = tmp_path / "out" / "my-shop"
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "mine")
    cruft("diff", "--exit-code")
    edit(template / CHANGED, "# Migrations\n", "# Migrations, second edition\n")
    publish(git, template, "v2")
    cruft("update", "--skip-apply-ask")
    assert "second edition" in (project / "migrations/README.md").read_text(encoding="utf-8")


def before_the_guard() -> str:
    """Return the last commit of this repository whose projects have no guard.

    Without the history the test is skipped, except where CI is set: there it fails.
    """

    def ask(*arguments: str) -> str:
        run = subprocess.run(
            ["git", "-C", TEMPLATE, *arguments], capture_output=True, check=False, text=True
        )
        return run.stdout.strip() if run.returncode == 0 else ""

    added = ask("log", "--diff-filter=A", "--format=%H", "--", "*/guard/__init__.py").split()
    commit = ask("rev-parse", "--verify", "--quiet", f"{added[-1]}^" if added else "HEAD")
    if not commit:
        reason = "the history of the template is not there: git fetch --unshallow"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return commit


# A module that goes, which its owner was invited to edit, and how to be ready for that.
EDITED = "migrations/comparison.py"
OWN_RULE = "\n\ndef a_rule_of_ours() -> None:\n    pass\n"

# Tests of a revision, as the README of the older projects shows them.
OWN_TEST = '''"""Our revisions."""

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from tests.commands import url_of


def test_our_revision(config: Config) -> None:
    command.upgrade(config, "head")
    engine = create_engine(url_of(config))
    assert inspect(engine).has_table("customers")
    engine.dispose()
'''


@pytest.fixture
def older(
    template: Path, cruft: Cookiecutter, git: Callable[..., str], tmp_path: Path
) -> Callable[..., Path]:
    """A function that makes a project of the template before the guard, with its owner's edits.

    The template is then that of today: ``cruft("update")`` brings the project over.
    """

    def empty() -> None:
        git(template, "rm", "-r", "--quiet", ".")
        for path in template.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def make(databases: str = "one") -> Path:
        empty()
        names = ("cookiecutter.json", "hooks", PROJECT)
        archive = subprocess.run(
            ["git", "-C", TEMPLATE, "archive", before_the_guard(), *names],
            capture_output=True, check=True,
        ).stdout  # fmt: skip
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(template, filter="data")
        publish(git, template, "v0")
        hub = f"{tmp_path.as_uri()}/hub/org/template.git"
        answers = json.dumps({"databases": databases})
        cruft(
            "create", hub, "--no-input", "--output-dir", tmp_path / "out",
            "--extra-context", answers,
        )  # fmt: skip
        project = tmp_path / "out" / "my-shop"
        git(project, "init", "--quiet")
        commit(git, project, "from the template")
        edit(
            project / "migrations" / "env.py",
            "\n\ndef run_migrations_offline",
            "OURS = 1\n\n\ndef run_migrations_offline",
        )
        edit(
            project / "migrations" / "script.py.mako",
            "import sqlalchemy as sa",
            "import sqlalchemy as sa  # ours",
        )
        commit(git, project, "mine")
        empty()
        shutil.copytree(copy_of_template(tmp_path / "today"), template, dirs_exist_ok=True)
        publish(git, template, "v2")
        return project

    return make


def commit(git: Callable[..., str], folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def resolve(git: Callable[..., str], project: Path) -> None:
    """Resolve the conflict in env.py as its owner does: the new file, and the edit in it."""
    git(project, "checkout", "--theirs", "migrations/env.py")
    edit(
        project / "migrations" / "env.py",
        "\n\ndef run_migrations_offline",
        "OURS = 1\n\n\ndef run_migrations_offline",
    )


@pytest.mark.parametrize("databases", ["one", "several", "shared_history"])
def test_cruft_brings_the_guard_to_a_project_that_has_none(
    databases: str, older: Callable[..., Path], cruft: Cookiecutter, git: Callable[..., str]
) -> None:
    project = older(databases)
    cruft("update", "--skip-apply-ask")

    conflicts = git(project, "diff", "--name-only", "--diff-filter=U").split()
    assert "migrations/env.py" in conflicts
    env = (project / "migrations" / "env.py").read_text(encoding="utf-8")
    assert "OURS = 1\n" in env.partition("<<<<<<<")[2].partition("=======")[0]
    for name in conflicts:
        git(project, "checkout", "--theirs", name)
    resolve(git, project)
    if "migrations/script.py.mako" not in conflicts:
        mako = (project / "migrations" / "script.py.mako").read_text(encoding="utf-8")
        assert "import sqlalchemy as sa  # ours" in mako
    commit(git, project, "updated")

    today = {path.name for path in (project / "migrations").glob("*.py")}
    assert today == {"__init__.py", "env.py"}
    Project(project, {}).succeed("pytest", "-q")
    cruft("check")


@pytest.mark.parametrize("way", ["deleted", "skip"])
def test_an_edited_module_that_goes_does_not_stop_the_update(
    way: str,
    older: Callable[..., Path],
    cruft: Cookiecutter,
    git: Callable[..., str],
    environment: dict[str, str],
) -> None:
    project = older()
    with (project / EDITED).open("a", encoding="utf-8") as file:
        file.write(OWN_RULE)
    (project / "tests" / "test_ours.py").write_text(OWN_TEST)
    commit(git, project, "our rule")
    if way == "deleted":
        block = re.search(r"```\n(   cd migrations\n.*?)   ```", CHANGELOG, re.DOTALL)
        assert block is not None
        subprocess.run(["sh", "-ec", block[1]], cwd=project, env=environment, check=True)
        assert OWN_RULE in git(project, "show", f"HEAD~1:{EDITED}")
    else:
        state = json.loads((project / ".cruft.json").read_text(encoding="utf-8"))
        (project / ".cruft.json").write_text(json.dumps(state | {"skip": [EDITED]}))
        commit(git, project, "before the update")

    cruft("update", "--skip-apply-ask")
    resolve(git, project)
    edit(
        project / "tests" / "test_ours.py",
        "from tests.commands import url_of",
        "from migrations.guard import url_of",
    )
    assert not list(project.rglob("*.rej"))
    if way == "skip":
        assert OWN_RULE in (project / EDITED).read_text(encoding="utf-8")
        run = Project(project, {}).run("pytest", "-q", "tests/test_migrations.py")
        assert run.returncode == 1
        assert f"Not used any more: {EDITED}." in run.stdout
        assert "1 failed" in run.stdout
        (project / EDITED).unlink()
    Project(project, {}).succeed("pytest", "-q")
    cruft("check")


def test_an_update_that_an_edited_module_stopped_is_noticed(
    older: Callable[..., Path], cruft: Cookiecutter, git: Callable[..., str]
) -> None:
    project = older()
    with (project / EDITED).open("a", encoding="utf-8") as file:
        file.write(OWN_RULE)
    commit(git, project, "our rule")

    assert "Good work!" in cruft("update", "--skip-apply-ask").stdout

    assert OWN_RULE in (project / EDITED).read_text(encoding="utf-8")
    run = Project(project, {}).run("pytest", "-q", "tests/test_migrations.py")
    assert run.returncode != 0
    assert f"Not used any more: {EDITED}." in run.stdout
