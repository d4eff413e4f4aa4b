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
from sqlalchemy import Engine, MetaData, event, inspect

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
    tables = {table.name for metadata in known for table in metadata.tables.values()}
    folder = Path(models.__file__).parent
    unknown = tables_in_source(folder) - tables
    assert not unknown, f"env.py does not import the models of {sorted(unknown)} in {folder}"


def tables_in_source(folder: Path) -> set[str]:
    """Return the ``__tablename__`` of each class in a Python file of a folder."""
    return {
        name
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ClassDef)
        and isinstance(name := assigned(node).get("__tablename__"), str)
        and "__abstract__" not in assigned(node)
    }


def assigned(node: ast.ClassDef) -> dict[str, object]:
    """Return the constants that the body of a class gives names to."""
    return {
        ast.unparse(target): line.value.value
        for line in node.body
        if isinstance(line, ast.Assign | ast.AnnAssign) and isinstance(line.value, ast.Constant)
        for target in (line.targets if isinstance(line, ast.Assign) else [line.target])
    }


def test_history_has_one_base_and_one_head_and_no_gaps(history: ScriptDirectory) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(history.get_bases()) <= 1, "only the first revision has down_revision = None"
        assert len(history.get_heads()) <= 1, "run: alembic merge heads"
        known = {Path(revision.path).resolve() for revision in history.walk_revisions()}
    files = {path.resolve() for path in Path(history.versions).rglob("*.py")}
    lost = {path for path in files - known if path.name != "__init__.py"}
    assert not lost, f"Alembic does not look into folders below {history.versions}: {lost}"


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
        for node in ast.walk(ast.parse(Path(revision.path).read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
                names = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
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


def test_upgrade_gives_the_tables_of_the_models(
    upgraded: Upgraded, history: ScriptDirectory
) -> None:
    check = alembic(upgraded.config, "check")
    assert check.returncode == 0, check.stdout + check.stderr
    migrate(upgraded.config, history, compare_primary_keys)


def compare_primary_keys(context: MigrationContext) -> Iterator[MigrationStep]:
    """Compare what autogenerate does not: primary keys, and whether the database numbers rows."""
    assert context.connection is not None
    inspector = inspect(context.connection)
    for table in context.opts["target_metadata"].tables.values():
        if table.name not in inspector.get_table_names(table.schema):
            continue  # A view, or a model that only a test has imported.
        expected = {column.name for column in table.primary_key}
        found = inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"]
        assert set(found) == expected, f"{table.name} has primary key {found}, not {expected}"
        number = table.autoincrement_column
        for column in inspector.get_columns(table.name, table.schema):
            numbered = column.get("autoincrement", True) or column.get("identity")
            assert numbered or number is None or number.name != column["name"], (
                f"The database gives {table.name}.{number.name} no numbers"
            )
    yield from ()


def test_every_constraint_is_given_a_name(upgraded: Upgraded) -> None:
    for statement in upgraded.statements:
        found = constraints_without_name(statement)
        assert not found, f"{', '.join(found)} without CONSTRAINT and a name in: {statement}"


KIND = r"\b(?:PRIMARY KEY|FOREIGN KEY|REFERENCES|UNIQUE|CHECK|EXCLUDE)\b"
# Comments, bodies of functions, texts and quoted names may have these words in them.
QUOTED = r"--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|'[^']*'|\"[^\"]*\"|`[^`]*`"


def constraints_without_name(statement: str) -> list[str]:
    """Return what kinds of constraints a statement adds without CONSTRAINT and a name."""
    text = re.sub(QUOTED, " x ", statement.upper(), flags=re.DOTALL)
    if not re.search(r"\b(CREATE|ALTER)\s+(\w+\s+)*TABLE\b", text):
        return []
    text = re.sub(rf"(CONSTRAINT\s+(IF NOT EXISTS\s+)?\S+|DROP)\s+{KIND}", "", text)
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
            if is_irreversible(revision):
                return
            yield MigrationStep.downgrade_from_script(history.revision_map, revision)
            expected = expected - added | removed
            found = schema(context.connection)
            assert found == expected, (
                f"downgrade() of {Path(revision.path).name} is not the reverse of upgrade(): "
                f"left over {sorted(found - expected)}, missing {sorted(expected - found)}"
            )
            if not added and not removed:  # Rows, which may be in the way of the next upgrade.
                yield MigrationStep.upgrade_from_script(history.revision_map, revision)
                yield MigrationStep.downgrade_from_script(history.revision_map, revision)

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


def is_irreversible(revision: Script) -> bool:
    """Return whether a downgrade() says that there is no way back: raise NotImplementedError."""
    return any(
        isinstance(line, ast.Raise) and "NotImplementedError" in ast.unparse(line)
        for function in ast.parse(Path(revision.path).read_bytes()).body
        if isinstance(function, ast.FunctionDef) and function.name.startswith("downgrade")
        for line in function.body
    )
