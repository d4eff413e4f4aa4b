"""What README.md says of other ways to set up Alembic, tried with them on SQLite.

They are set up as their own documentation says, and are then used like ours.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import UNWANTED, Bake, query, tables_of
from sqlalchemy import URL

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
HALF_WAY = '    op.execute("CREATE TABLE first_half (id INTEGER)")\n    op.execute("nonsense")'
TOOLS = ["alembic init", "Flask-Migrate", "ours"]


@dataclass(frozen=True)
class Tool:
    """A new project whose migrations were set up in one way, with its database on SQLite."""

    folder: Path
    command: list[str]
    models: Path
    url: URL

    @property
    def revisions(self) -> list[Path]:
        versions = self.folder / "migrations" / "versions"
        return sorted(versions.glob("*.py"), key=lambda path: path.stat().st_mtime_ns)

    def run(self, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
        environment |= {"DATABASE_URL": url or str(self.url), "FLASK_APP": "models"}
        return subprocess.run(
            [sys.executable, "-m", *self.command, *arguments],
            cwd=self.folder, env=environment, capture_output=True, check=False, text=True,
        )  # fmt: skip

    def succeed(self, *arguments: str) -> None:
        run = self.run(*arguments)
        assert run.returncode == 0, run.stdout + run.stderr

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def write_revision(self, message: str) -> None:
        """Write a revision from the models, with the words of each tool."""
        words = ["migrate"] if self.command[0] == "flask" else ["revision", "--autogenerate"]
        self.succeed(*words, "-m", message)

    def fill_in(self) -> None:
        """Fill in what ``alembic init`` leaves open: the models, and where the database is."""
        env = self.folder / "migrations" / "env.py"
        self.edit(
            env,
            "target_metadata = None",
            "import models, os\ntarget_metadata = models.Base.metadata\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'])",
        )


Start = Callable[[], Tool]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bare(name: str, tmp_path: Path, bake: Bake) -> Tool:
    """A project as the tool leaves it, with one model in it."""
    url = URL.create("sqlite", database=str(tmp_path / "database.db"))
    if name == "ours":
        folder = bake(example_models=False).path
        model = folder / "src" / "my_shop" / "models" / "reader.py"
        text = STOCK_MODELS.replace("DeclarativeBase, ", "").replace(
            "class Base(DeclarativeBase):\n    pass", "from my_shop.models.base import Base"
        )
        model.write_text(text)
        return Tool(folder, ["alembic"], model, url)
    folder = tmp_path / "project"
    folder.mkdir()
    model = folder / "models.py"
    model.write_text(STOCK_MODELS if name == "alembic init" else FLASK_MODELS)
    tool = Tool(folder, ["flask", "db"] if name == "Flask-Migrate" else ["alembic"], model, url)
    tool.succeed("init", *(["migrations"] if name == "alembic init" else []))
    return tool


@pytest.fixture
def tool(bare: Tool, name: str) -> Tool:
    """A project that knows its model and its database."""
    if name == "alembic init":
        bare.fill_in()
    return bare


def each(*outcomes: object) -> pytest.MarkDecorator:
    """Give a test each of the tools, and what is to come of it."""
    return pytest.mark.parametrize(
        ("name", "outcome"), zip(TOOLS, outcomes, strict=True), indirect=["name"], ids=TOOLS
    )


@each(False, True, True)
def test_works_without_filling_in_anything(bare: Tool, outcome: bool) -> None:
    words = ["migrate"] if bare.command[0] == "flask" else ["revision", "--autogenerate"]
    run = bare.run(*words, "-m", "first")
    assert (run.returncode == 0 and len(bare.revisions) == 1) == outcome


@each(False, False, True)
def test_any_message_gives_a_file_that_parses(tool: Tool, outcome: bool) -> None:
    tool.run("revision", "-m", 'say """hi""" to C:\\users')
    (revision,) = tool.revisions
    try:
        ast.parse(revision.read_text())
    except SyntaxError:
        assert not outcome
    else:
        assert outcome


@each(2, 1, 1)
def test_nothing_changed_and_a_revision_is_asked_for(tool: Tool, outcome: int) -> None:
    tool.write_revision("first")
    tool.succeed("upgrade", "head")
    tool.write_revision("again")
    assert len(tool.revisions) == outcome


@each({"first_half"}, {"first_half"}, set())
def test_a_revision_fails_half_way(tool: Tool, outcome: set[str]) -> None:
    tool.succeed("revision", "-m", "half")
    text = tool.revisions[0].read_text()
    start = text.index("def upgrade()")
    end = text.index("def downgrade()")
    tool.revisions[0].write_text(
        f"{text[:start]}def upgrade() -> None:\n{HALF_WAY}\n\n\n{text[end:]}"
    )
    assert tool.run("upgrade", "head").returncode != 0
    assert tables_of(tool.url) == outcome


@each(False, False, True)
def test_constraints_have_names(tool: Tool, outcome: bool) -> None:
    tool.write_revision("first")
    tool.succeed("upgrade", "head")
    ((table,),) = query(tool.url, "SELECT sql FROM sqlite_master WHERE name = 'readers'")
    assert ("CONSTRAINT uq_readers_name UNIQUE" in table) == outcome


@each(False, False, True)
def test_a_changed_server_default_is_seen(tool: Tool, outcome: bool) -> None:
    tool.write_revision("first")
    tool.succeed("upgrade", "head")
    tool.succeed("check")
    tool.edit(tool.models, 'server_default="new"', 'server_default="unknown"')
    assert (tool.run("check").returncode != 0) == outcome


@each(100, 100, 1)
def test_lines_that_a_server_that_is_down_takes(tool: Tool, outcome: int) -> None:
    run = tool.run("upgrade", "head", url="postgresql://postgres@127.0.0.1:1/none")
    lines = len((run.stdout + run.stderr).splitlines())
    assert run.returncode != 0
    assert lines <= 2 if outcome == 1 else lines > outcome
