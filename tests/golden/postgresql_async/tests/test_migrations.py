"""What must always be true of the migrations. Run them before every merge."""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData, event

from my_shop import models
from my_shop.settings import ROOT

from tests.commands import alembic, alembic_config, migrate
from tests.schema import schema
from tests.scratch import scratch_database

MIGRATIONS = ROOT / "migrations"
APPLICATION = models.__name__.partition(".")[0]


@pytest.fixture(scope="module")
def history() -> ScriptDirectory:
    """The revision files, as Alembic reads them."""
    return ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))


@dataclass
class Upgraded:
    """A database at the head revision, and how it came there."""

    config: Config
    statements: list[str] = field(default_factory=list)
    steps: list[tuple[Script, set[str], set[str]]] = field(default_factory=list)


@pytest.fixture(scope="module")
def upgraded(
    history: ScriptDirectory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgraded]:
    """A database that went from base to head: its SQL, and what each revision added and removed."""

    def upgrade(context: MigrationContext) -> Iterator[MigrationStep]:
        assert context.connection is not None
        before = schema(context.connection)
        for revision in reversed(list(history.walk_revisions())):
            yield MigrationStep.upgrade_from_script(history.revision_map, revision)
            after = schema(context.connection)
            result.steps.append((revision, after - before, before - after))
            before = after

    def listen(connection: object, cursor: object, statement: str, *_: object) -> None:
        result.statements.append(statement)

    with scratch_database(tmp_path_factory.mktemp("upgraded")) as url:
        result = Upgraded(alembic_config(url))
        event.listen(Engine, "before_cursor_execute", listen)
        migrate(result.config, history, upgrade)
        event.remove(Engine, "before_cursor_execute", listen)
        yield result


def test_the_ini_points_at_a_complete_environment(history: ScriptDirectory) -> None:
    assert Path(history.dir).samefile(MIGRATIONS)
    for file in ("env.py", "script.py.mako", "versions"):
        assert (MIGRATIONS / file).exists(), f"{MIGRATIONS / file} is missing"


def test_env_knows_the_tables_of_all_models(
    history: ScriptDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What other tests have imported of the models, the command line does not see.
    for module in [each for each in sys.modules if f"{each}.".startswith(f"{models.__name__}.")]:
        monkeypatch.delitem(sys.modules, module)
    known: list[MetaData] = []

    def look(revision: object, context: MigrationContext) -> list[Any]:
        known.append(context.opts["target_metadata"])
        return []

    config = Config(ROOT / "alembic.ini")
    with EnvironmentContext(config, history, fn=look, as_sql=True):
        history.run_env()

    assert None not in known, "target_metadata is None in env.py"
    tables = {table for metadata in known for table in metadata.tables}
    assert tables_in_source(Path(models.__file__).parent) <= tables


def tables_in_source(folder: Path) -> set[str]:
    """Return each ``__tablename__`` that is written in a Python file of a folder."""
    return {
        node.value.value
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__tablename__"
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def test_history_has_one_base_and_one_head_and_no_gaps(history: ScriptDirectory) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(history.get_bases()) <= 1, history.get_bases()
        assert len(history.get_heads()) <= 1, "run: alembic merge heads"


def test_the_head_file_names_the_head(history: ScriptDirectory) -> None:
    # Two branches that each add a revision both change it, so that git stops before a merge.
    for head in history.get_revisions("heads")[:1]:
        file = Path(head.path).with_name("head.txt")
        assert file.exists(), f"{file} is missing: write {head.revision} into it"
        named = file.read_text(encoding="utf-8").strip()
        assert named in history.get_heads(), f"{file} says {named}, but the head is {head.revision}"


def test_revision_ids_fit_into_the_version_table_and_are_in_the_file_names(
    history: ScriptDirectory,
) -> None:
    for revision in history.walk_revisions():
        assert len(revision.revision) <= 32, f"{revision.path}: the id is too long"
        name = Path(revision.path).name
        assert revision.revision in name, f"{name}: the id {revision.revision} is not in the name"


def test_revisions_do_not_import_the_application(history: ScriptDirectory) -> None:
    for revision in history.walk_revisions():
        for node in ast.walk(ast.parse(Path(revision.path).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = [node.value] if re.fullmatch(r"[\w.]+", node.value) else []
            assert not any(f"{name}.".startswith(f"{APPLICATION}.") for name in names), (
                f"{Path(revision.path).name}, line {node.lineno}: the application goes on changing"  # type: ignore[attr-defined]
            )


def test_a_new_revision_is_valid_whatever_its_message(tmp_path: Path) -> None:
    message = 'say """hi""" in C:\\users with {braces} and 100%\non two lines'
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("version_locations", str(tmp_path).replace("%", "%%"))
    config.set_section_option("post_write_hooks", "hooks", "")  # Valid before it is formatted.
    command.revision(config, message)
    (path,) = tmp_path.glob("*.py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.startswith(message)


def test_upgrade_can_be_written_as_sql(history: ScriptDirectory) -> None:
    sql = StringIO()
    config = Config(ROOT / "alembic.ini", output_buffer=sql)
    try:
        command.upgrade(config, "heads", sql=True)
    except CommandError as error:
        if "batch mode" not in str(error):
            raise
        pytest.skip("SQLite copies a table to change it, and needs the database for that")
    for revision in history.walk_revisions():
        assert revision.revision in sql.getvalue()


def test_upgrade_gives_the_tables_of_the_models(upgraded: Upgraded) -> None:
    check = alembic(upgraded.config, "check")
    assert check.returncode == 0, check.stdout + check.stderr


def test_every_constraint_is_given_a_name(upgraded: Upgraded) -> None:
    for statement in upgraded.statements:
        assert not constraints_without_name(statement), statement


KIND = r"(?:PRIMARY KEY|FOREIGN KEY|REFERENCES|UNIQUE|CHECK|EXCLUDE)\b"


def constraints_without_name(statement: str) -> list[str]:
    """Return what kinds of constraints a statement adds without CONSTRAINT and a name."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "x", statement.upper())
    if not re.match(r"\s*(CREATE|ALTER)\s(\w+\s)*TABLE\b", text):
        return []
    text = re.sub(rf"(CONSTRAINT\s+\S+|DROP)\s+{KIND}", "", text)
    text = re.sub(r"\(\s*[^()]*\)\s*REFERENCES|UNIQUE (KEY|INDEX)", "", text)
    return re.findall(KIND, text)


def test_every_revision_goes_up_down_and_up_again_and_leaves_nothing(
    upgraded: Upgraded, history: ScriptDirectory
) -> None:
    head: dict[str, set[str]] = {}

    def down(context: MigrationContext) -> Iterator[MigrationStep]:
        assert context.connection is not None
        database = str(context.connection.engine.url)
        expected = head[database] = schema(context.connection)
        for revision, added, removed in reversed(upgraded.steps):
            yield MigrationStep.downgrade_from_script(history.revision_map, revision)
            expected = expected - added | removed
            found = schema(context.connection)
            assert found == expected, (
                f"downgrade() of {Path(revision.path).name} is not the reverse of upgrade(): "
                f"left over {sorted(found - expected)}, missing {sorted(expected - found)}"
            )

    def compare(context: MigrationContext) -> Iterator[MigrationStep]:
        assert context.connection is not None
        found = schema(context.connection)
        database = str(context.connection.engine.url)
        assert found == head[database], "upgrade() does not always do the same"
        yield from ()

    migrate(upgraded.config, history, down)
    upgrade = alembic(upgraded.config, "upgrade", "heads")
    assert upgrade.returncode == 0, upgrade.stdout + upgrade.stderr
    migrate(upgraded.config, history, compare)
