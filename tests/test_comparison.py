"""What README.md says of other ways to set up Alembic, tried with them.

They are set up as their own documentation says, and are then used like ours. FastAPI-template
generates and installs its project itself.

full-stack-fastapi-template is not on PyPI, and none of its files are here. In its place stands what
``alembic init`` writes, with the edits that this template has in ``env.py`` and ``script.py.mako``:
the metadata and types of SQLModel, ``compare_type``, and a URL that does not pass ``alembic.ini``.
They were read on 2026-11-25 in stored copies: ``backend/app/alembic/env.py`` at commit b5030de, and
``script.py.mako`` in a project that was made with it. Its settings make URLs for PostgreSQL only, so
it is tried there, and the others on SQLite.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from conftest import UNWANTED, Bake, NewDatabase, edit, query, tables_of, with_driver
from sqlalchemy import URL, make_url
from test_machines import UV, install, interpreter

pytestmark = pytest.mark.slow

STOCK_MODELS = """
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Reader(Base):
    __tablename__ = "readers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True, server_default="new")
"""
FLASK_MODELS = """
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)
migrate = Migrate(app, db)

class Reader(db.Model):
    __tablename__ = "readers"
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(50), unique=True, nullable=False, server_default="new")
"""
SQLMODEL_MODELS = """
from sqlmodel import Field, SQLModel

class Reader(SQLModel, table=True):
    __tablename__ = "readers"
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50, unique=True, sa_column_kwargs=dict(server_default="new"))
"""
HALF_WAY = """def upgrade() -> None:
    from alembic import op

    op.execute("CREATE TABLE first_half (id INTEGER)")
    op.execute("nonsense")


"""
PROGRAM = """
import asyncio
from alembic import command
from alembic.config import Config

async def main():
    command.upgrade(Config("alembic.ini"), "head")

asyncio.run(main())
"""
FLASK_PROGRAM = """
import asyncio
from flask_migrate import upgrade
from models import app

async def main():
    with app.app_context():
        upgrade()

asyncio.run(main())
"""
TOOLS = ["alembic init", "Flask-Migrate", "full-stack-fastapi-template", "FastAPI-template", "ours"]
NO_SERVER = make_url("postgresql://postgres@127.0.0.1:1/none")

# What FastAPI-template has in its Dockerfile; it needs at least 3.12.
PYTHON = "3.13"


@dataclass(frozen=True)
class Tool:
    """A new project whose migrations were set up in one way, with a database.

    ``given`` are the files that were among the revisions from the beginning.
    """

    folder: Path
    models: Path
    url: URL
    python: Path = Path(sys.executable)
    command: tuple[str, ...] = ("alembic",)
    migrations: str = "migrations"
    given: frozenset[str] = frozenset()

    @property
    def revisions(self) -> list[Path]:
        """The revisions that were written since, the oldest first."""
        paths = (self.folder / self.migrations / "versions").glob("*.py")
        written = [path for path in paths if path.name not in self.given]
        return sorted(written, key=lambda path: path.stat().st_mtime_ns)

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the project's environment, as if that were activated."""
        environment = variables() | {
            "DATABASE_URL": with_driver(self.url).render_as_string(hide_password=False),
            "FLASK_APP": "models",
            "MY_SHOP_DB_FILE": str(self.url.database),
            "MY_SHOP_DB_HOST": str(self.url.host),
            "MY_SHOP_DB_PORT": str(self.url.port or 0),
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder, env=environment, capture_output=True, check=False, text=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.start("-m", *self.command, *arguments)

    def succeed(self, *arguments: str) -> None:
        run = self.run(*arguments)
        assert run.returncode == 0, run.stdout + run.stderr

    def write_revision(self, message: str) -> None:
        """Write a revision from the models, with the words of each tool, and apply it."""
        words = ["migrate"] if self.command[0] == "flask" else ["revision", "--autogenerate"]
        self.succeed("upgrade", "head")
        self.succeed(*words, "-m", message)
        self.succeed("upgrade", "head")

    def fill_in(self) -> None:
        """Fill in what ``alembic init`` leaves open: the models, and where the database is."""
        edit(
            self.folder / "migrations" / "env.py",
            "target_metadata = None",
            "import models, os\ntarget_metadata = models.Base.metadata\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])",
        )

    def fill_in_like_full_stack(self) -> None:
        """Make the edits that full-stack-fastapi-template comes with."""
        env = self.folder / "migrations" / "env.py"
        edit(
            env,
            "target_metadata = None",
            "import models, os\ntarget_metadata = models.SQLModel.metadata",
        )
        edit(
            env,
            "config.get_section(config.config_ini_section, {})",
            "{'sqlalchemy.url': os.environ['DATABASE_URL']}",
        )
        edit(
            env,
            "target_metadata=target_metadata\n",
            "target_metadata=target_metadata, compare_type=True\n",
        )
        edit(
            env.with_name("script.py.mako"),
            "import sqlalchemy as sa\n",
            "import sqlalchemy as sa\nimport sqlmodel.sql.sqltypes\n",
        )


def variables() -> dict[str, str]:
    """Return the environment variables of this process, but for those that lead tools astray."""
    return {key: value for key, value in os.environ.items() if key not in UNWANTED}


def models_with_base_of(module: str) -> str:
    """Return the model of ``alembic init`` for a project that has a base class already."""
    return STOCK_MODELS.replace("DeclarativeBase, ", "").replace(
        "class Base(DeclarativeBase):\n    pass", f"from {module} import Base"
    )


@pytest.fixture(scope="session")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that installs packages, and returns the Python that has them."""

    @cache
    def make(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        install(folder, PYTHON, *packages)
        return folder / "bin" / "python"

    return make


@pytest.fixture(scope="session")
def generated(
    python_with: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A function that has FastAPI-template generate and install a project for a database."""

    @cache
    def make(database: str) -> Path:
        folder = tmp_path_factory.mktemp(database)
        options = f"--quiet --name my_shop --api-type rest --ci none --db {database} --orm sqlalchemy --migrations"
        path = f"{UV.parent}{os.pathsep}{os.environ['PATH']}"
        run = subprocess.run(
            [python_with("fastapi_template"), "-m", "fastapi_template", *options.split()],
            cwd=folder, env=variables() | {"PATH": path, "UV_PYTHON": interpreter(PYTHON)},
            stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True,
        )  # fmt: skip
        assert (folder / "my_shop" / ".venv").exists(), run.stdout
        return folder / "my_shop"

    return make


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(name: str, new_database: NewDatabase) -> URL:
    """An empty database of the kind that the tool is tried on."""
    return new_database("postgresql" if name == "full-stack-fastapi-template" else "sqlite")


def initialise(tool: Tool, models: str, *words: str) -> Tool:
    """Put a model into a new folder, and run the command that sets up the migrations."""
    tool.folder.mkdir()
    tool.models.write_text(models)
    tool.succeed("init", *words)
    return tool


def fastapi_template(original: Path, folder: Path, url: URL) -> Tool:
    """Copy what FastAPI-template generated, and put a model into it."""
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache"))
    package = folder / "my_shop" / "db"
    model = package / "models" / "reader.py"
    model.write_text(models_with_base_of("my_shop.db.base"))
    return Tool(
        folder,
        model,
        url,
        python=original / ".venv" / "bin" / "python",
        migrations="my_shop/db/migrations",
        given=frozenset(path.name for path in (package / "migrations" / "versions").iterdir()),
    )


def ours(folder: Path, url: URL) -> Tool:
    """Put a model into a project of this template."""
    model = folder / "src" / "my_shop" / "models" / "reader.py"
    model.write_text(models_with_base_of("my_shop.models.base"))
    return Tool(folder, model, url)


@pytest.fixture
def bare(
    name: str,
    url: URL,
    tmp_path: Path,
    bake: Bake,
    python_with: Callable[..., Path],
    generated: Callable[[str], Path],
) -> Tool:
    """A project as the tool leaves it, with one model in it."""
    folder = tmp_path / "project"
    stock = Tool(folder, folder / "models.py", url)
    match name:
        case "alembic init":
            return initialise(stock, STOCK_MODELS, "migrations")
        case "Flask-Migrate":
            return initialise(replace(stock, command=("flask", "db")), FLASK_MODELS)
        case "full-stack-fastapi-template":
            python = python_with("alembic", "psycopg[binary]", "sqlmodel")
            tool = initialise(replace(stock, python=python), SQLMODEL_MODELS, "migrations")
            tool.fill_in_like_full_stack()
            return tool
        case "FastAPI-template":
            return fastapi_template(generated(url.get_backend_name()), folder, url)
        case _:
            return ours(bake(example_models=False).path, url)


@pytest.fixture
def tool(bare: Tool, name: str) -> Tool:
    """A project that knows its model and its database."""
    if name == "alembic init":
        bare.fill_in()
    return bare


def each(*outcomes: object) -> pytest.MarkDecorator:
    """Give a test each of the tools, and what is to come of it."""
    rows = list(zip(TOOLS, outcomes, strict=True))
    return pytest.mark.parametrize(("name", "outcome"), rows, indirect=["name"], ids=TOOLS)


@each(False, True, True, True, True)
def test_a_first_revision_is_written_and_applied_without_filling_in_anything(
    bare: Tool, outcome: bool
) -> None:
    try:
        bare.write_revision("first")
    except AssertionError:
        assert not outcome
    assert (tables_of(bare.url) == {"readers"}) == outcome


@each(False, False, False, False, True)
def test_any_message_gives_a_file_that_parses(tool: Tool, outcome: bool) -> None:
    tool.run("revision", "-m", 'say """hi""" to C:\\users')
    (revision,) = tool.revisions
    try:
        ast.parse(revision.read_text())
    except SyntaxError:
        assert not outcome
    else:
        assert outcome


@each(2, 1, 2, 2, 1)
def test_nothing_changed_and_a_revision_is_asked_for(tool: Tool, outcome: int) -> None:
    tool.write_revision("first")
    tool.write_revision("again")
    assert len(tool.revisions) == outcome


@each(True, True, True, True, False)
def test_an_external_table_is_dropped_by_the_next_revision(tool: Tool, outcome: bool) -> None:
    tool.write_revision("first")
    query(tool.url, "CREATE TABLE external (id INTEGER)")
    tool.write_revision("again")
    assert ("external" not in tables_of(tool.url)) == outcome


@each({"first_half"}, {"first_half"}, set(), {"first_half"}, set())
def test_a_revision_fails_half_way(tool: Tool, outcome: set[str]) -> None:
    tool.succeed("upgrade", "head")
    tool.succeed("revision", "-m", "half")
    text = tool.revisions[0].read_text()
    start = text.index("def upgrade()")
    end = text.index("def downgrade()")
    tool.revisions[0].write_text(f"{text[:start]}{HALF_WAY}{text[end:]}")
    run = tool.run("upgrade", "head")
    assert "nonsense" in run.stdout + run.stderr
    assert tables_of(tool.url) == outcome


@each(False, False, False, False, True)
def test_constraints_have_names(tool: Tool, outcome: bool) -> None:
    tool.write_revision("first")
    assert ("uq_readers_name" in tool.revisions[0].read_text()) == outcome


@each(False, False, False, False, True)
def test_a_changed_server_default_is_seen(tool: Tool, outcome: bool) -> None:
    tool.write_revision("first")
    tool.succeed("check")
    edit(tool.models, 'server_default="new"', 'server_default="unknown"')
    assert (tool.run("check").returncode != 0) == outcome


@each(True, True, True, False, True)
def test_a_program_migrates_inside_a_running_event_loop(tool: Tool, outcome: bool) -> None:
    tool.write_revision("first")
    tool.succeed("downgrade", "base")
    run = tool.start("-c", FLASK_PROGRAM if tool.command[0] == "flask" else PROGRAM)
    assert ("event loop is already running" not in run.stderr) == outcome, run.stderr
    assert (tables_of(tool.url) == {"readers"}) == outcome


@pytest.mark.parametrize("url", [NO_SERVER], ids=["no_server"])
@each(100, 100, 100, 100, 1)
def test_lines_that_a_server_that_is_down_takes(tool: Tool, outcome: int) -> None:
    run = tool.run("upgrade", "head")
    lines = len((run.stdout + run.stderr).splitlines())
    assert run.returncode != 0
    assert lines <= 2 if outcome == 1 else lines > outcome
