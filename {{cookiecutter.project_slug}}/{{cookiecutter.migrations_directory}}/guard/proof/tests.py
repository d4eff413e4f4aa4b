"""What must always be true of the migrations. ``tests/test_migrations.py`` takes them by name."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, event, inspect

from ..head import head_in
from ..messages import command_line
from ..revisions import is_irreversible, version_folders
from .application import Application, Layout
from .commands import alembic, alembic_config, migrate, tables_of_env
from .schema import schema
from .scratch import scratch_databases

# The guard lies beside env.py; that is what alembic.ini has to point at.
GUARD = Path(__file__).resolve().parents[1]
PACKAGE = __name__.removesuffix(".proof.tests")

# A revision, and which lines of the schema it added and removed.
Step = tuple[Script, set[str], set[str]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in the order of this file, in whatever order they were imported.

    When the last one fails, it leaves a database that is not at the head revision.
    """
    places = [
        place
        for place, item in enumerate(items)
        if isinstance(item, pytest.Function) and item.function.__module__ == __name__
    ]
    ours = sorted((items[place] for place in places), key=place_in_file)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def place_in_file(item: pytest.Item) -> tuple[Path, int]:
    """Return which test module took a test, and its line in this file."""
    assert isinstance(item, pytest.Function)
    return item.path, item.function.__code__.co_firstlineno


@pytest.fixture(scope="module")
def database_name(application: Application) -> str:
    """The name of the database whose history is tested, where each database has one.

    ``tests/conftest.py`` then has a fixture of this name, with all names as its params.
    """
    if application.layout is Layout.SEVERAL:
        pytest.fail(
            "tests/conftest.py has no fixture database_name(request) that returns request.param.\n"
            'Add it, with: @pytest.fixture(scope="module", params=BASES)',
            pytrace=False,
        )
    return ""


@pytest.fixture(scope="module")
def revision_files(application: Application, database_name: str) -> ScriptDirectory:
    """The revision files, as Alembic reads them."""
    return ScriptDirectory.from_config(application.config(database_name))


@dataclass
class Upgraded:
    """Databases at the head revision, and how they came there.

    :param steps: by the URL of the database, what each revision did.
    """

    config: Config
    statements: list[str] = field(default_factory=list)
    steps: dict[str, list[Step]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def upgraded(
    application: Application,
    database_name: str,
    revision_files: ScriptDirectory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Upgraded]:
    """A database that went from base to head: its SQL, and what each revision added and removed."""

    def upgrade(context: MigrationContext) -> Iterator[MigrationStep]:
        assert context.connection is not None
        before = schema(context.connection)
        steps = result.steps.setdefault(str(context.connection.engine.url), [])
        for revision in reversed(list(revision_files.walk_revisions())):
            yield MigrationStep.upgrade_from_script(revision_files.revision_map, revision)
            after = schema(context.connection)
            steps.append((revision, after - before, before - after))
            before = after

    def listen(connection: object, cursor: object, statement: str, *_: object) -> None:
        result.statements.append(statement)

    folder, databases = tmp_path_factory.mktemp("upgraded"), application.databases_of(database_name)
    with scratch_databases(application, folder, databases=databases) as urls:
        result = Upgraded(alembic_config(application, urls, database_name))
        event.listen(Engine, "before_cursor_execute", listen)
        try:
            migrate(result.config, revision_files, upgrade)
        finally:
            event.remove(Engine, "before_cursor_execute", listen)
        yield result


def test_the_ini_points_at_a_complete_environment(revision_files: ScriptDirectory) -> None:
    folder = Path(revision_files.dir)
    assert folder.samefile(GUARD.parent), (
        f"script_location of alembic.ini is {folder}, but the migrations are in {GUARD.parent}"
    )
    for path in (folder / "env.py", folder / "script.py.mako", *version_folders(revision_files)):
        assert path.exists(), f"{path} is missing"


# Modules of older projects, each with a word that only this file of ours has.
OLD_MODULES = {
    "comparison.py": "made_by_revisions",
    "connection.py": "migration_engine",
    "errors.py": "explanation",
    "lint.py": "without_noise",
    "lock.py": "one_at_a_time",
    "post_write.py": "def finish",
    "remarks.py": "remark_on",
    "review.py": "look_over",
    "sqlite.py": "look_before_a_table_is_copied",
    "together.py": "with_own_options",
    "without_name.py": "Which database?",
}
OLD_TEST_MODULES = {
    "commands.py": "scratch_database",
    "schema.py": "def schema(",
    "scratch.py": "scratch_database",
}


def test_no_module_of_an_older_layout_is_left(
    application: Application, revision_files: ScriptDirectory
) -> None:
    project = application.ini.parent
    old = [
        str(path.relative_to(project))
        for folder, modules in (
            (Path(revision_files.dir), OLD_MODULES),
            (project / "tests", OLD_TEST_MODULES),
        )
        for name, word in modules.items()
        if (path := folder / name).exists() and word in path.read_text(encoding="utf-8")
    ]
    assert not old, (
        f"Not used any more: {', '.join(old)}. Settings in [guard] of alembic.ini replace edits in "
        "them.\nWrite yours there and delete the files; see the template's CHANGELOG."
    )


def test_env_knows_the_tables_of_all_models(application: Application, database_name: str) -> None:
    tables = tables_of_env(application, database_name)
    known = tables | {(None, name) for _, name in tables}
    folder = Path(str(application.models.__file__)).parent / database_name
    unknown = tables_in_source(folder) - known
    names = sorted(f"{schema}.{name}" if schema else name for schema, name in unknown)
    assert not unknown, f"env.py does not import the models of {names} in {folder}"


def tables_in_source(folder: Path) -> set[tuple[str | None, str]]:
    """Return schema, if it is given, and ``__tablename__`` of each class in a folder."""
    return {
        (schema_in(node), name)
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


def schema_in(node: ast.ClassDef) -> str | None:
    """Return the schema that ``__table_args__`` of a class names, if it does so in plain text."""
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__table_args__":
            last = line.value.elts[-1:] if isinstance(line.value, ast.Tuple) else [line.value]
            for each in last:
                for key, value in zip(
                    getattr(each, "keys", ()), getattr(each, "values", ()), strict=True
                ):
                    if isinstance(key, ast.Constant) and key.value == "schema":
                        found = value.value if isinstance(value, ast.Constant) else None
                        return found if isinstance(found, str) else None
    return None


def test_history_has_one_base_and_one_head_and_no_gaps(
    application: Application, database_name: str, revision_files: ScriptDirectory
) -> None:
    alembic = command_line(application.config(database_name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bases, heads = revision_files.get_bases(), revision_files.get_heads()
        assert len(bases) <= 1, (
            f"{len(bases)} revisions have down_revision = None: {', '.join(bases)}. "
            "Only the first one may."
        )
        assert len(heads) <= 1, (
            f"There are {len(heads)} heads: {', '.join(heads)}. Run: {alembic} merge heads"
        )
        known = {Path(revision.path).resolve() for revision in revision_files.walk_revisions()}
    for folder in version_folders(revision_files):
        files = {path.resolve() for path in folder.rglob("*.py")}
        lost = {str(path) for path in files - known if path.name != "__init__.py"}
        assert not lost, f"Alembic does not look into folders below {folder}: {sorted(lost)}"


def test_the_head_file_names_the_head(revision_files: ScriptDirectory) -> None:
    # Two branches that each add a revision both change it, so that git stops before a merge.
    for head in revision_files.get_revisions("heads")[:1]:
        file = Path(head.path).with_name("head.txt")
        assert file.exists(), f"{file} is missing: write {head.revision} into it"
        named = head_in(file.read_text(encoding="utf-8"))
        assert named in revision_files.get_heads(), (
            f"{file} says {named}, but the head is {head.revision}"
        )


def test_revision_ids_fit_into_the_version_table_and_are_in_the_file_names(
    revision_files: ScriptDirectory,
) -> None:
    for revision in revision_files.walk_revisions():
        assert len(revision.revision) <= 32, (
            f"{revision.path}: the id {revision.revision} is longer than 32 characters"
        )
        name = Path(revision.path).name
        assert revision.revision in name, f"{name}: the id {revision.revision} is not in the name"


def test_revisions_do_not_import_the_application(
    application: Application, revision_files: ScriptDirectory
) -> None:
    for revision in revision_files.walk_revisions():
        for node in ast.walk(ast.parse(Path(revision.path).read_bytes())):
            for name in imported(node):
                of_application = f"{name}.".startswith(f"{application.package}.")
                # The guard may lie inside the application's package.
                assert not of_application or f"{name}.".startswith(f"{PACKAGE}."), (
                    f"{Path(revision.path).name}, line {getattr(node, 'lineno', 0)} imports {name}:"
                    " the application changes later, a revision must not"
                )


def imported(node: ast.AST) -> list[str]:
    """Return the modules, or what might be one, that a statement or a call imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module or ''}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
        return [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
    return []


def test_a_new_revision_is_valid_whatever_its_message(
    application: Application, database_name: str, tmp_path: Path
) -> None:
    message = 'say """hi""" in C:\\users with {braces} and 100%\non two lines'
    config = application.config(database_name)
    config.set_main_option("version_locations", str(tmp_path).replace("%", "%%"))
    config.set_section_option("post_write_hooks", "hooks", "")  # Valid before it is formatted.
    command.revision(config, message)
    (path,) = tmp_path.glob("*.py")
    revision = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(revision)
    assert docstring is not None, "script.py.mako writes no docstring"
    assert docstring.startswith(message), "script.py.mako changes the message"
    expected = ["database"] if application.layout is Layout.SHARED_HISTORY else []
    functions = {
        node.name: [argument.arg for argument in node.args.args]
        for node in revision.body
        if isinstance(node, ast.FunctionDef)
    }
    for name in ("upgrade", "downgrade"):
        assert functions.get(name) == expected, (
            f"script.py.mako has no function {name}({', '.join(expected)}), "
            "so Alembic cannot run a new revision"
        )


def test_upgrade_can_be_written_as_sql(
    application: Application, database_name: str, revision_files: ScriptDirectory
) -> None:
    for name in application.databases_of(database_name):
        sql = StringIO()
        config = application.config(database_name, output=sql)
        if application.layout is Layout.SHARED_HISTORY:
            config.attributes["database"] = name
        try:
            command.upgrade(config, "heads", sql=True)
        except CommandError as error:
            if "batch mode" not in str(error):
                raise
            pytest.skip("A table is altered by copying it (batch mode), which needs the database")
        for revision in revision_files.walk_revisions():
            assert revision.revision in sql.getvalue(), f"--sql leaves out {revision.revision}"


def test_upgrade_gives_the_tables_of_the_models(
    upgraded: Upgraded, revision_files: ScriptDirectory
) -> None:
    check = alembic(upgraded.config, "check")
    assert check.returncode == 0, check.stdout + check.stderr
    migrate(upgraded.config, revision_files, compare_primary_keys)


def compare_primary_keys(context: MigrationContext) -> Iterator[MigrationStep]:
    """Compare what autogenerate does not: primary keys, and whether the database numbers rows."""
    assert context.connection is not None
    inspector = inspect(context.connection)
    given = context.opts["target_metadata"]
    for metadata in given if isinstance(given, list | tuple) else [given]:
        for table in metadata.tables.values():
            if table.name not in inspector.get_table_names(table.schema):
                continue  # A view, or a model that only a test has imported.
            expected = {column.name for column in table.primary_key}
            found = inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"]
            assert set(found) == expected, (
                f"{table.fullname} has primary key {found}, not {sorted(expected)}"
            )
            number = table.autoincrement_column
            for column in inspector.get_columns(table.name, table.schema):
                numbered = column.get("autoincrement", True) or column.get("identity")
                assert numbered or number is None or number.name != column["name"], (
                    f"The database gives {table.fullname}.{number.name} no numbers"
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
    upgraded: Upgraded, revision_files: ScriptDirectory
) -> None:
    head: dict[str, set[str]] = {}

    def down(context: MigrationContext) -> Iterator[MigrationStep]:
        assert context.connection is not None
        database = str(context.connection.engine.url)
        expected = head[database] = schema(context.connection)
        for revision, added, removed in reversed(upgraded.steps[database]):
            if is_irreversible(Path(revision.path)):
                return
            yield MigrationStep.downgrade_from_script(revision_files.revision_map, revision)
            expected = expected - added | removed
            found = schema(context.connection)
            assert found == expected, (
                f"downgrade() of {Path(revision.path).name} is not the reverse of upgrade(): "
                f"left over {sorted(found - expected)}, missing {sorted(expected - found)}"
            )
            if not added and not removed:  # Rows, which may be in the way of the next upgrade.
                yield MigrationStep.upgrade_from_script(revision_files.revision_map, revision)
                yield MigrationStep.downgrade_from_script(revision_files.revision_map, revision)

    def compare(context: MigrationContext) -> Iterator[MigrationStep]:
        assert context.connection is not None
        found = schema(context.connection)
        expected = head[str(context.connection.engine.url)]
        assert found == expected, (
            "upgrade() did not do the same when it ran again: "
            f"left over {sorted(found - expected)}, missing {sorted(expected - found)}"
        )
        yield from ()

    migrate(upgraded.config, revision_files, down)
    upgrade = alembic(upgraded.config, "upgrade", "heads")
    assert upgrade.returncode == 0, upgrade.stdout + upgrade.stderr
    migrate(upgraded.config, revision_files, compare)
