"""What the tests share: projects generated from the template, and real databases for them."""

import compileall
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from allpairspy import AllPairs
from cookiecutter.main import cookiecutter
from processes import Run, run_at_once
from sqlalchemy import URL, create_engine, inspect, make_url, text
from sqlalchemy.exc import OperationalError

pytest_plugins = ["environments", "several_environments"]

# Whole projects, with tests of their own.
collect_ignore = ["golden"]

TEMPLATE = Path(__file__).resolve().parents[1]
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
SERVERS = {
    "postgresql": make_url(
        os.environ.get(
            "TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
        )
    ),
    "mysql": make_url(os.environ.get("TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")),
}

# What is answered when nothing is said.
DEFAULTS = {
    question: answers[0] if isinstance(answers, list) else answers
    for question, answers in QUESTIONS.items()
    if not question.startswith("_")
}

# What would lead a generated project's tools astray.
UNWANTED = {"CI", "DATABASE_URL", "TEST_DATABASE_URL", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"}

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}

NewDatabase = Callable[[str], URL]
Answers = dict[str, str | bool]

# Where the database of a project is, or each of its databases by name.
Urls = URL | Mapping[str, URL] | None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-servers",
        action="store_true",
        help="skip the tests that need a database server, as if there were none",
    )
    parser.addoption(
        "--fast",
        action="store_true",
        help="run what takes about a minute: nothing with a server or marked as `machine`",
    )


def pytest_configure(config: pytest.Config) -> None:
    global without_servers
    without_servers = bool(config.getoption("without_servers") or config.getoption("fast"))
    if config.getoption("fast"):
        config.option.markexpr = f"({config.option.markexpr}) and not machine"


without_servers = False


def skip_without_servers(kind: str = "server") -> None:
    """Skip a test that is about to use a server, where that is not wanted."""
    if without_servers and kind != "sqlite":
        pytest.skip("a server is needed, and --without-servers or --fast is given")


def choices() -> dict[str, list[Any]]:
    """Return the questions that decide which files there are, with their answers."""
    return {
        question: answers if isinstance(answers, list) else [True, False]
        for question, answers in QUESTIONS.items()
        if not question.startswith("_") and question != "set_up_now"
        if isinstance(answers, list | bool)
    }


def combinations() -> list[Answers]:
    """Return every combination of the answers that the template offers to choose from."""
    return [
        dict(zip(choices(), answers, strict=True))
        for answers in itertools.product(*choices().values())
    ]


def sample() -> list[Answers]:
    """Return a few combinations in which each two answers meet; most faults need only two."""
    return [dict(zip(choices(), answers, strict=True)) for answers in AllPairs(choices().values())]


def name_of(answers: Answers) -> str:
    """Return a readable name for a combination: ``sqlite-async-no_example_models``."""
    words = [
        answer if isinstance(answer, str) else question if answer else f"no_{question}"
        for question, answer in answers.items()
    ]
    return "-".join(words)


def edit(path: Path, old: str, new: str) -> None:
    """Edit a file, and be sure that something was edited."""
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new), encoding="utf-8")


def copy_of_template(folder: Path) -> Path:
    """Copy what Cookiecutter reads of the template, for a test that changes it."""
    folder.mkdir()
    shutil.copy(TEMPLATE / "cookiecutter.json", folder)
    for name in ("hooks", "{{cookiecutter.project_slug}}"):
        shutil.copytree(TEMPLATE / name, folder / name)
    return folder


@dataclass(frozen=True)
class Project:
    """A generated project, and what its owner can do with it."""

    path: Path
    answers: Answers

    @property
    def files(self) -> set[str]:
        """The paths of all files, as written by Cookiecutter, relative to the project."""
        return {
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    @property
    def versions(self) -> Path:
        """The folder of the revisions, of the first database if each has its own."""
        folder = "main" if self.answers.get("databases") == "several" else "versions"
        migrations = str(self.answers.get("migrations_directory", "migrations"))
        return self.path / migrations / folder

    @property
    def names(self) -> list[str]:
        """The names of its databases; the only one of most projects has none."""
        return [] if self.answers.get("databases", "one") == "one" else ["main", "analytics"]

    @property
    def histories(self) -> list[list[str]]:
        """What to say to alembic to choose a history: ``--name main``, or nothing."""
        if self.answers.get("databases") == "several":
            return [["--name", name] for name in self.names]
        return [[]]

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file as its owner would."""
        edit(self.path / name, old, new)

    def add_revision(self, identifier: str, upgrade: str, downgrade: str = "pass") -> Path:
        """Write a revision on top of the newest one. The bodies are Python on one line or more."""
        newest = max(self.versions.glob("*.py"))
        (parent,) = re.findall(r'^revision: str = "(.*)"', newest.read_text(), re.MULTILINE)
        number = len(list(self.versions.glob("*.py")))
        path = self.versions / f"2027_01_{number:02d}_0000-{identifier}_step.py"
        path.write_text(
            f'"""Step {identifier}"""\n\n'
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f'revision: str = "{identifier}"\ndown_revision = "{parent}"\n'
            "branch_labels = None\ndepends_on = None\n\n\n"
            f"def upgrade() -> None:\n{indent(upgrade)}\n\n\n"
            f"def downgrade() -> None:\n{indent(downgrade)}\n"
        )
        return path

    def draw(self) -> None:
        """Draw the picture of the models anew, as the hook before a commit does."""
        self.succeed(
            "paracelsus.cli", "inject", "docs/models.md", "my_shop.models:Base", "--python-dir=src"
        )

    def environment(self, url: Urls = None) -> dict[str, str]:
        """Return the environment in which the owner of the project runs a command."""
        environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
        # Python would take bytecode for that of a file that was edited within a second.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        urls = {"": url} if isinstance(url, URL) else url or {}
        for name, one in urls.items():
            variable = f"{name.upper()}_DATABASE_URL".removeprefix("_")
            environment[variable] = one.render_as_string(hide_password=False)
        return environment

    def start(self, *arguments: str, url: Urls = None) -> subprocess.Popen[str]:
        """Start a module of this Python in the project's folder, and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.path,
            env=self.environment(url),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, url: Urls = None) -> Run:
        """Run a module of this Python in the project's folder: ``run("alembic", "check")``."""
        (run,) = self.run_at_once(arguments, url=url)
        return run

    def run_at_once(self, *commands: Sequence[str], url: Urls = None) -> list[Run]:
        """Run modules of this Python in the project's folder, all at the same time."""
        return run_at_once(*commands, folder=self.path, environment=self.environment(url))

    def succeed(self, *arguments: str, url: Urls = None) -> str:
        """Run a module and return what it printed on standard output.

        :raises AssertionError: when it did not exit with 0.
        """
        run = self.run(*arguments, url=url)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


def indent(code: str) -> str:
    return textwrap.indent(code, "    ")


def stop_at_gate(folder: Path) -> str:
    """Return a body of a revision that makes the file ``begun``, and goes on when there is ``go``."""
    return (
        "import pathlib, time\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "(folder / 'begun').touch(exist_ok=False)\n"
        "while not (folder / 'go').exists():\n"
        "    time.sleep(0.02)"
    )


def wait_until(condition: Callable[[], object], what: str, patience: float = 30) -> None:
    """Wait for a state. The patience, in seconds, only ends tests that would hang."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


Bake = Callable[..., Project]


def generate(folder: Path, **answers: str | bool) -> Project:
    """Generate a project without setting it up, unless the answers say otherwise."""
    path = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        default_config=True,
        output_dir=str(folder),
        extra_context={"set_up_now": False, **answers},
    )
    return Project(Path(path), answers)


@pytest.fixture(scope="session", autouse=True)
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One cache for the types of SQLAlchemy, which take mypy most of its time."""
    os.environ["MYPY_CACHE_DIR"] = str(tmp_path_factory.getbasetemp() / "mypy")


# The group of the tests that run mypy: one worker runs them, as each has a cache of its own.
USES_MYPY = "mypy"


@pytest.fixture(scope="session")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """A function that generates each combination once, for tests that only read it."""
    made: dict[str, Path] = {}

    def bake_once(**answers: str | bool) -> Project:
        name = json.dumps({**DEFAULTS, **answers}, sort_keys=True)
        if name not in made:
            made[name] = generate(tmp_path_factory.mktemp("project"), **answers).path
            keep_bytecode(made[name])
        return Project(made[name], answers)

    return bake_once


def keep_bytecode(folder: Path) -> None:
    """Compile what is in a folder, as of an hour ago: an edit makes a file younger than that.

    Revisions are left out: a new project has nothing but them in their folder.
    """
    for path in folder.rglob("*.py"):
        os.utime(path, (time.time() - 3600,) * 2)
    compileall.compile_dir(folder, quiet=1, rx=re.compile(r"\d{4}_\d\d_\d\d_"))


@pytest.fixture
def bake(baked: Bake, tmp_path: Path) -> Bake:
    """A function that makes a project which the test may change: ``bake(driver="async")``."""

    def copy(**answers: str | bool) -> Project:
        path = baked(**answers).path
        return Project(shutil.copytree(path, tmp_path / "projects" / path.name), answers)

    return copy


def each_combination(group: str | None = None) -> list[Any]:
    """Return the combinations as parameters; one worker runs each, or all of a group."""
    return [
        pytest.param(
            answers,
            id=name_of(answers),
            marks=[
                pytest.mark.xdist_group(group or name_of(answers)),
                *([] if answers in sample() else [pytest.mark.slow]),
            ],
        )
        for answers in combinations()
    ]


@pytest.fixture(params=each_combination())
def project(request: pytest.FixtureRequest, baked: Bake) -> Project:
    """A sample of the combinations, or each one with ``-m slow``; to be read and not changed."""
    return baked(**request.param)


def run_on_server(kind: str, statement: str) -> None:
    """Run a statement on a test server, outside of a transaction."""
    skip_without_servers()
    engine = create_engine(SERVERS[kind], isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def with_driver(url: URL) -> URL:
    """Return a URL that also a project for another kind of database understands."""
    return url.set(drivername=DRIVERS[url.get_backend_name()])


def tables_of(url: URL) -> set[str]:
    """Return the names of the tables of a database, but for Alembic's own."""
    engine = create_engine(with_driver(url))
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names - {"alembic_version", "alembic_history"}


def query(url: URL, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, or run a statement."""
    engine = create_engine(with_driver(url))
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


@pytest.fixture
def new_database(tmp_path: Path) -> Iterator[Callable[[str], URL]]:
    """A function that makes an empty database of a kind; it is dropped after the test.

    Without the server the test is skipped, except where CI is set: there it fails.
    """
    made: list[tuple[str, str]] = []

    def make(kind: str) -> URL:
        name = f"template_{uuid4().hex[:12]}"
        if kind == "sqlite":
            return URL.create("sqlite", database=str(tmp_path / f"{name}.db"))
        skip_without_servers()
        try:
            run_on_server(kind, f"CREATE DATABASE {name}")
        except OperationalError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"the {kind} server does not answer: {error.orig}")
        made.append((kind, name))
        return SERVERS[kind].set(drivername=SERVERS[kind].get_backend_name(), database=name)

    yield make
    for kind, name in made:
        # A process that has ended may have a session for a moment more.
        force = " WITH (FORCE)" if kind == "postgresql" else ""
        run_on_server(kind, f"DROP DATABASE IF EXISTS {name}{force}")


@pytest.fixture
def new_databases(new_database: NewDatabase) -> Callable[[Project], Urls]:
    """A function that makes the empty databases that a project needs."""

    def make(project: Project) -> Urls:
        kind = str(project.answers["database"])
        return {name: new_database(kind) for name in project.names} or new_database(kind)

    return make
