"""What must always be true of the migrations. Run them before every merge."""

import ast
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, MetaData, inspect
from sqlalchemy.dialects.postgresql.base import PGInspector

from my_shop import models
from my_shop.settings import ROOT, database_url

from tests.scratch import alembic_config, scratch_engine

MIGRATIONS = ROOT / "migrations"


@pytest.fixture
def history() -> ScriptDirectory:
    """The revision files, as Alembic reads them."""
    return ScriptDirectory.from_config(alembic_config(database_url()))


def tables_and_types(url: URL) -> set[str]:
    """Return the names of all tables and enum types of a database, but for Alembic's own table."""
    engine = scratch_engine(url)
    inspector = inspect(engine)
    names = set(inspector.get_table_names()) - {"alembic_version"}
    if isinstance(inspector, PGInspector):
        names |= {enum["name"] for enum in inspector.get_enums()}
    engine.dispose()
    return names


def test_the_ini_points_at_a_complete_environment(history: ScriptDirectory) -> None:
    assert Path(history.dir).samefile(MIGRATIONS)
    for name in ("env.py", "script.py.mako", "versions"):
        assert (MIGRATIONS / name).exists(), f"{MIGRATIONS / name} is missing"


def test_env_knows_the_tables_of_all_models(history: ScriptDirectory) -> None:
    known: list[MetaData] = []

    def look(revision: object, context: MigrationContext) -> list[Any]:
        known.append(context.opts["target_metadata"])
        return []

    config = alembic_config(database_url())
    with EnvironmentContext(config, history, fn=look, as_sql=True):
        history.run_env()

    assert known[0] is not None, "target_metadata is None in env.py"
    assert tables_in_source(Path(models.__file__).parent) <= set(known[0].tables)


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


def test_history_has_one_base_and_one_head(history: ScriptDirectory) -> None:
    assert len(history.get_bases()) <= 1
    assert len(history.get_heads()) <= 1, "run: alembic merge heads"


def test_revision_ids_fit_into_the_version_table(history: ScriptDirectory) -> None:
    for revision in history.walk_revisions():
        assert len(revision.revision) <= 32, f"{revision.path}: the id is too long"


@pytest.mark.parametrize("message", ["add a table", 'say """hi"""', "drop C:\\users", "a\nb"])
def test_a_new_revision_is_valid_whatever_its_message(message: str, tmp_path: Path) -> None:
    config = alembic_config(database_url())
    config.set_main_option("version_locations", str(tmp_path).replace("%", "%%"))
    command.revision(config, message)
    (path,) = tmp_path.glob("*.py")
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.startswith(message)


def test_upgrade_gives_the_tables_of_the_models(empty_database: URL) -> None:
    config = alembic_config(empty_database)
    command.upgrade(config, "head")
    command.check(config)


def test_downgrade_leaves_nothing_and_upgrade_works_again(empty_database: URL) -> None:
    config = alembic_config(empty_database)
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    assert tables_and_types(empty_database) == set()
    command.upgrade(config, "head")
    command.check(config)


def test_upgrade_can_be_written_as_sql(history: ScriptDirectory) -> None:
    config = alembic_config(database_url())
    config.output_buffer = StringIO()
    try:
        command.upgrade(config, "head", sql=True)
    except CommandError as error:
        if "batch mode" not in str(error):
            raise
        pytest.skip("SQLite copies a table to change it, and needs the database for that")
    for revision in history.walk_revisions():
        assert revision.revision in config.output_buffer.getvalue()
