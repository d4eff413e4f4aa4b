"""Promises about the ways into Alembic besides the command line."""

import ast
import subprocess
import sys

import pytest
from conftest import Bake, NewDatabase, Project, tables_of, with_driver
from sqlalchemy import URL

EXAMPLES = {"customers", "products", "orders", "order_products"}
PROGRAM = """
import asyncio, logging, sys, threading
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, pool
from sqlalchemy.ext.asyncio import create_async_engine

ini, url, async_url = sys.argv[1:4]

def config(**attributes):
    return Config(ini, attributes=attributes)

def config_with_url(url=url):
    made = config()
    made.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return made

def tables(connection):
    return {name for name in inspect(connection).get_table_names() if not name.startswith("alembic_")}

"""


# Both have the same migrations, so the second driver is tried with -m slow.
@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    return bake(driver=request.param)


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> URL:
    return with_driver(new_database(request.param))


def run_program(project: Project, url: URL, program: str) -> str:
    """Run a program in another directory, and return what it prints."""
    asynchronous = {
        "sqlite": "sqlite+aiosqlite",
        "postgresql": "postgresql+psycopg",
        "mysql": "mysql+aiomysql",
    }
    urls = [url, url.set(drivername=asynchronous[url.get_backend_name()])]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, str(project.path / "alembic.ini"),
         *(u.render_as_string(hide_password=False) for u in urls)],
        cwd="/", env=project.environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    return run.stdout


def test_a_script_sets_the_url_on_the_config(project: Project, url: URL) -> None:
    run_program(project, url, "command.upgrade(config_with_url(), 'head')")
    assert tables_of(url) == EXAMPLES


def test_a_url_on_the_config_comes_before_the_environment(
    project: Project, url: URL, new_database: NewDatabase
) -> None:
    (project.path / ".env").write_text("DATABASE_URL=sqlite:////nonexistent/file.db\n")
    run_program(project, url, "command.upgrade(config_with_url(), 'head')")
    assert tables_of(url) == EXAMPLES


def test_a_plain_call_works_inside_a_running_event_loop(project: Project, url: URL) -> None:
    run_program(
        project,
        url,
        "async def main():\n    command.upgrade(config_with_url(), 'head')\nasyncio.run(main())",
    )
    assert tables_of(url) == EXAMPLES


def test_a_worker_thread_of_an_event_loop_works(project: Project, url: URL) -> None:
    run_program(
        project,
        url,
        "async def main():\n"
        "    await asyncio.to_thread(command.upgrade, config_with_url(), 'head')\n"
        "asyncio.run(main())",
    )
    assert tables_of(url) == EXAMPLES


def test_a_connection_is_used_and_committed(project: Project, url: URL) -> None:
    run_program(
        project,
        url,
        "with create_engine(url).connect() as connection:\n"
        "    command.upgrade(config(connection=connection), 'head')",
    )
    assert tables_of(url) == EXAMPLES


# MySQL commits with each CREATE TABLE, whoever has begun the transaction.
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_the_transaction_of_a_caller_is_left_to_the_caller(project: Project, url: URL) -> None:
    output = run_program(
        project,
        url,
        "from sqlalchemy import event\n"
        "engine = create_engine(url)\n"
        "if engine.dialect.name == 'sqlite':\n"
        "    event.listen(engine, 'connect', lambda c, _: setattr(c, 'isolation_level', None))\n"
        "    event.listen(engine, 'begin', lambda c: c.exec_driver_sql('BEGIN'))\n"
        "with engine.connect() as connection:\n"
        "    transaction = connection.begin()\n"
        "    command.upgrade(config(connection=connection), 'head')\n"
        "    print(len(tables(connection)), transaction.is_active)\n"
        "    transaction.rollback()",
    )
    assert output == "4 True\n"
    assert tables_of(url) == set()


@pytest.mark.parametrize("block", ["begin", "connect"])
def test_an_async_connection_is_passed_with_run_sync(
    project: Project, url: URL, block: str
) -> None:
    run_program(
        project,
        url,
        "async def main():\n"
        "    engine = create_async_engine(async_url)\n"
        f"    async with engine.{block}() as connection:\n"
        "        await connection.run_sync(\n"
        "            lambda c: command.upgrade(config(connection=c), 'head'))\n"
        "    await engine.dispose()\n"
        "asyncio.run(main())",
    )
    assert tables_of(url) == EXAMPLES


def test_a_database_in_memory_is_migrated_through_its_connection(
    project: Project, new_database: NewDatabase
) -> None:
    output = run_program(
        project,
        new_database("sqlite"),
        "with create_engine('sqlite://', poolclass=pool.StaticPool).connect() as connection:\n"
        "    command.upgrade(config(connection=connection), 'head')\n"
        "    print(len(tables(connection)))\n"
        "async def main():\n"
        "    engine = create_async_engine('sqlite+aiosqlite://', poolclass=pool.StaticPool)\n"
        "    async with engine.begin() as connection:\n"
        "        await connection.run_sync(\n"
        "            lambda c: command.upgrade(config(connection=c), 'head'))\n"
        "        print(len(await connection.run_sync(tables)))\n"
        "    await engine.dispose()\n"
        "asyncio.run(main())",
    )
    assert output == "4\n4\n"


def test_threads_at_once_are_applied_or_refused_and_never_cross(
    project: Project, url: URL, new_database: NewDatabase
) -> None:
    other = with_driver(new_database(url.get_backend_name()))
    # When threads overlap, Alembic itself ends with a KeyError in EnvironmentContext.__exit__().
    output = run_program(
        project,
        url,
        f"other = {other.render_as_string(hide_password=False)!r}\n"
        "from alembic.util import CommandError\n"
        "def upgrade(u):\n"
        "    try:\n"
        "        command.upgrade(config_with_url(u), 'head')\n"
        "        outcomes.append(('applied', u == url))\n"
        "    except (CommandError, KeyError) as error:\n"
        "        outcomes.append(('refused', u == url))\n"
        "outcomes = []\n"
        "threads = [threading.Thread(target=upgrade, args=[u]) for u in (url, other) * 3]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(outcomes)",
    )
    outcomes = ast.literal_eval(output)
    assert len(outcomes) == 6, output
    for each, is_first in ((url, True), (other, False)):
        assert tables_of(each) in (set(), EXAMPLES)
        if ("applied", is_first) in outcomes:
            assert tables_of(each) == EXAMPLES


def test_threads_that_hold_a_lock_take_turns(
    project: Project, url: URL, new_database: NewDatabase
) -> None:
    other = with_driver(new_database(url.get_backend_name()))
    run_program(
        project,
        url,
        f"other = {other.render_as_string(hide_password=False)!r}\n"
        "lock = threading.Lock()\n"
        "def upgrade(u):\n"
        "    with lock:\n"
        "        command.upgrade(config_with_url(u), 'head')\n"
        "threads = [threading.Thread(target=upgrade, args=[u]) for u in (url, other) * 2]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]",
    )
    assert tables_of(url) == tables_of(other) == EXAMPLES


def test_the_logging_of_a_program_stays_as_it_is(
    project: Project, new_database: NewDatabase
) -> None:
    output = run_program(
        project,
        new_database("sqlite"),
        "logging.getLogger('app').setLevel(logging.DEBUG)\n"
        "def state():\n"
        "    names = [None, 'app', 'alembic', 'alembic.runtime.migration', 'sqlalchemy']\n"
        "    loggers = [logging.getLogger(name) for name in names]\n"
        "    return [(l.level, list(l.handlers), l.disabled, l.propagate) for l in loggers]\n"
        "before = state()\n"
        "command.upgrade(config_with_url(), 'head')\n"
        "print(before == state())",
    )
    assert output == "True\n"


def test_the_exception_hook_of_a_program_stays_its_own(
    project: Project, new_database: NewDatabase
) -> None:
    output = run_program(
        project,
        new_database("sqlite"),
        "def hook(kind, error, trace):\n"
        "    print('hook of the program:', error)\n"
        "sys.excepthook = hook\n"
        "command.upgrade(config_with_url(), 'head')\n"
        "import atexit, os\n"
        "atexit.register(lambda: (sys.stdout.flush(), os._exit(0)))\n"
        "raise ValueError('as ever')",
    )
    assert output == "hook of the program: as ever\n"


def test_a_connection_goes_back_to_the_pool_with_foreign_keys_on(
    project: Project, new_database: NewDatabase
) -> None:
    output = run_program(
        project,
        new_database("sqlite"),
        "from sqlalchemy import event\n"
        "engine = create_engine(url)\n"
        "@event.listens_for(engine, 'connect')\n"
        "def prepare(connection, _):\n"
        "    connection.isolation_level = None\n"
        "    connection.execute('PRAGMA foreign_keys = ON')\n"
        "@event.listens_for(engine, 'begin')\n"
        "def begin(connection):\n"
        "    connection.exec_driver_sql('BEGIN')\n"
        "for run in (lambda c: command.upgrade(c, 'head'), command.check, command.current):\n"
        "    with engine.connect() as connection:\n"
        "        run(config(connection=connection))\n"
        "        print(connection.in_transaction())\n"
        "    with engine.connect() as connection:\n"
        "        print(connection.exec_driver_sql('PRAGMA foreign_keys').scalar())",
    )
    assert [line for line in output.splitlines() if line in ("0", "1", "True", "False")] == [
        "False", "1", "False", "1", "False", "1",
    ]  # fmt: skip


def test_something_else_than_a_connection_is_explained(
    project: Project, new_database: NewDatabase
) -> None:
    output = run_program(
        project,
        new_database("sqlite"),
        "try:\n"
        "    command.upgrade(config(connection=create_engine(url)), 'head')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)",
    )
    assert output.startswith('CommandError config.attributes["connection"] has to be a Connection')


def test_copying_a_table_with_foreign_keys_on_is_refused_inside_a_transaction(
    project: Project, new_database: NewDatabase
) -> None:
    project.add_revision(
        "alter",
        "with op.batch_alter_table('customers') as batch:\n"
        "    batch.alter_column('name', type_=sa.String(80), existing_type=sa.Text())",
    )
    output = run_program(
        project,
        new_database("sqlite"),
        "command.upgrade(config_with_url(), '4f1c2a7be930')\n"
        "engine = create_engine(url)\n"
        "with engine.connect() as connection:\n"
        "    connection.connection.cursor().execute('PRAGMA foreign_keys = ON')\n"
        "    connection.exec_driver_sql('BEGIN')\n"
        "    try:\n"
        "        command.upgrade(config(connection=connection), 'head')\n"
        "    except Exception as error:\n"
        "        print(error)",
    )
    assert "with foreign keys on would delete the rows that refer to it" in output
