"""Promises about ``running/``: what a command changes, and what it says when it cannot."""

import ast
import subprocess
import sys
import textwrap

import pytest
from conftest import TEMPLATE, query, tables_of
from environments import MIGRATIONS, Environment, NewEnvironment
from services import postgresql
from sqlalchemy import create_engine, text

CREATE = "op.create_table('one', sa.Column('id', sa.Integer()))"
ALL = ["sqlite", "postgresql", "mysql"]


def run_program(environment: Environment, code: str, *arguments: str) -> str:
    """Run a program that imports the guard, and return what it prints."""
    program = "import sys\nfrom alembic import command\nfrom alembic.config import Config\n"
    run = subprocess.run(
        [sys.executable, "-c", program + textwrap.dedent(code), environment.ini, *arguments],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("kind", ALL)
def test_a_program_finds_its_process_as_it_was(new_environment: NewEnvironment, kind: str) -> None:
    environment = new_environment(kind)
    environment.add_revision("one", CREATE, "op.drop_table('one')")
    (environment.path / "migrations/script.py.mako").write_text(
        "# ${message}\nrevision = '${up_revision}'\ndown_revision = '${down_revision}'\n"
    )
    printed = run_program(
        environment,
        """
        import gc, logging, os, signal, threading, warnings
        from alembic import autogenerate, operations, runtime, script
        from alembic.runtime.environment import EnvironmentContext
        from alembic.runtime.migration import MigrationContext
        from alembic.autogenerate.render import renderers
        from alembic.script import write_hooks

        def state():
            loggers = {name: (logger.level, tuple(logger.handlers), logger.disabled)
                       for name, logger in logging.root.manager.loggerDict.items()
                       if isinstance(logger, logging.Logger)}
            return dict(
                hook=sys.excepthook, filters=list(warnings.filters), frozen=gc.get_freeze_count(),
                enabled=gc.isenabled(), threshold=gc.get_threshold(),
                signals=[signal.getsignal(each) for each in signal.valid_signals()],
                threads=threading.enumerate(), root=(logging.root.level, tuple(logging.root.handlers)),
                loggers={name: each for name, each in loggers.items() if name in known},
                classes={(kind, name): value for kind in (EnvironmentContext, MigrationContext)
                         for name, value in vars(kind).items()},
                renderers=dict(renderers._registry), hooks=dict(write_hooks._registry),
                environment=dict(os.environ), cwd=os.getcwd(),
            )

        import alembic.command, alembic.autogenerate, sqlalchemy, sqlalchemy.orm
        known = set()
        config = Config(sys.argv[1])
        command.history(config)
        known = set(logging.root.manager.loggerDict)
        before = state()
        command.upgrade(config, "head")
        command.current(config)
        command.revision(config, "next")
        after = state()
        print([name for name in before if before[name] != after[name]])
        """,
    )
    assert printed.splitlines()[-1] == "[]"


def test_a_second_thread_is_refused(new_environment: NewEnvironment) -> None:
    environment, other = new_environment(), new_environment()
    for each in (environment, other):
        each.add_revision(
            "one",
            f"{CREATE}\nimport pathlib, time\n"
            f"pathlib.Path({str(each.path)!r}, 'begun').touch()\n"
            f"while not pathlib.Path({str(each.path)!r}, 'go').exists():\n    time.sleep(0.02)",
        )
    (other.path / "go").touch()
    printed = run_program(
        environment,
        """
        import pathlib, threading, time
        first = pathlib.Path(sys.argv[1]).parent
        outcome = []
        def upgrade(ini):
            try:
                command.upgrade(Config(ini), "head")
                outcome.append("applied")
            except Exception as error:
                outcome.append(str(error))
        thread = threading.Thread(target=upgrade, args=[sys.argv[1]])
        thread.start()
        while not (first / "begun").exists():
            time.sleep(0.02)
        upgrade(sys.argv[2])
        (first / "go").touch()
        thread.join()
        print(outcome[0][:60])
        """,
        str(other.ini),
    )
    assert "Another thread of this program runs a command of Alembic" in printed
    assert tables_of(other.url) == set()


def test_threads_that_hold_a_lock_migrate_one_after_the_other(
    new_environment: NewEnvironment,
) -> None:
    environments = [new_environment() for _ in range(3)]
    for environment in environments:
        environment.add_revision("one", CREATE)
    run_program(
        environments[0],
        """
        import threading
        lock = threading.Lock()
        def upgrade(ini):
            with lock:
                command.upgrade(Config(ini), "head")
        threads = [threading.Thread(target=upgrade, args=[ini]) for ini in sys.argv[1:]]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
        *(str(environment.ini) for environment in environments[1:]),
    )
    assert all(tables_of(environment.url) == {"one"} for environment in environments)


@pytest.mark.parametrize("command", ["upgrade head", "current"])
@pytest.mark.parametrize("kind", ALL)
def test_a_command_loads_only_what_it_needs(
    new_environment: NewEnvironment, kind: str, command: str
) -> None:
    environment = new_environment(kind)
    environment.add_revision("one", CREATE)
    name, *arguments = command.split()
    printed = run_program(
        environment,
        """
        command_name, *arguments = sys.argv[2:]
        getattr(command, command_name)(Config(sys.argv[1]), *arguments)
        print(sorted(name for name in sys.modules if name.startswith("guard.")))
        """,
        name, *arguments,
    )  # fmt: skip
    rooms = {name.split(".")[1].strip("'") for name in eval(printed)}
    assert not rooms & {"proof", "writing", "history", "rules", "commands"}, rooms
    assert "guard.databases.postgresql" in printed or kind != "postgresql"
    assert ("pymysql" in printed) == False or kind == "mysql"


def test_an_unknown_argument_is_refused_with_the_known_ones(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment()
    run = environment.alembic("-x", "lockwait=3", "current")
    assert run.returncode == 1
    assert "FAILED: Unknown argument -x lockwait. Known are: url, wait, lock," in run.stderr


def test_an_argument_of_the_owner_is_accepted_when_the_ini_lists_it(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment(settings="own_arguments = tenant")
    assert environment.alembic("-x", "tenant=3", "current").returncode == 0


def test_a_setting_of_the_ini_counts_and_an_argument_comes_before_it(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment(settings="lock_timeout = soon")
    assert (
        "[guard] lock_timeout is a number of seconds"
        in environment.alembic("upgrade", "head").stderr
    )
    assert environment.alembic("-x", "lock_timeout=1", "upgrade", "head").returncode == 0


def test_an_unknown_setting_is_refused(new_environment: NewEnvironment) -> None:
    environment = new_environment(settings="lockwait = 3")
    assert "Unknown setting 'lockwait' in [guard]" in environment.alembic("current").stderr


def test_a_database_that_the_guard_does_not_know_is_refused_when_it_cannot_be_locked() -> None:
    from alembic.util import CommandError
    from guard import databases
    from sqlalchemy import create_engine

    with (
        create_engine("sqlite://").connect() as connection,
        pytest.raises(CommandError, match="Migrations on oracle cannot be"),
        databases.of("oracle").lock_holder(connection, False),
    ):
        pass


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("%(here)s/migrations", "migrations:", "script_location = %(here)s/migrations"),
        (
            "[loggers]",
            "[post_write_hooks]\nhooks = ruff\nruff.type = post_write\n[loggers]",
            "Replace its section [post_write_hooks]",
        ),
    ],
)
def test_the_ini_of_an_older_project_is_told_what_to_change(
    new_environment: NewEnvironment, old: str, new: str, message: str
) -> None:
    environment = new_environment()
    environment.ini.write_text(environment.ini.read_text().replace(old, new, 1))
    environment.ini.write_text(
        environment.ini.read_text().replace(
            "prepend_sys_path = ", "prepend_sys_path =\n    %(here)s\n    "
        )
    )
    run = environment.alembic("current")
    assert run.returncode == 1
    assert message in run.stderr


def test_the_guard_names_no_application_and_has_no_template_code() -> None:
    for path in (MIGRATIONS / "guard").rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "{%" not in text and "cookiecutter." not in text, path
            assert "my_shop" not in text or path.name == "README.md", path


def test_no_cache_is_left_where_it_would_be_copied_into_projects() -> None:
    caches = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    assert not [path for path in TEMPLATE.glob("{{*") if path.name in caches]
    assert not [path for path in MIGRATIONS.rglob("*") if path.name in caches]


def test_a_server_that_speaks_another_language_is_understood(
    new_environment: NewEnvironment,
) -> None:
    with postgresql("de", lc_messages="C.UTF-8") as server:
        here = new_environment(url=server.url)
        here.add_revision("one", CREATE)
        missing = new_environment(url=server.url.set(database="nope"))
        assert "'nope' at 127.0.0.1" in missing.alembic("current").stderr
        assert (
            "does not exist. Create it: createdb --host=127.0.0.1"
            in missing.alembic("current").stderr
        )
        stranger = new_environment(url=server.url.set(username="stranger"))
        run = stranger.alembic("current")
        assert "rejected the login" in run.stderr
        assert "existiert nicht" in run.stderr
        query(server.url, "CREATE TABLE one (id integer)")
        run = here.alembic("upgrade", "head")
        assert "existiert bereits. If the tables were there before Alembic" in run.stderr
        query(server.url, "DROP TABLE one")
        (here.path / "migrations/versions/000_one.py").unlink()
        here.add_revision("two", "op.execute('ALTER TABLE held ADD x integer')")
        query(server.url, "CREATE TABLE held (id integer)")
        engine = create_engine(here.url)
        with engine.connect() as holder:
            holder.execute(text("LOCK TABLE held"))
            run = here.alembic("-x", "lock_timeout=0.2", "-x", "retry_for=0", "upgrade", "head")
        engine.dispose()
        assert "A table stayed locked by another session" in run.stderr
        assert "on table held" in run.stderr
        server.stop()
        assert "does not answer" in here.alembic("current").stderr


def test_the_guard_needs_nothing_that_a_project_may_lack() -> None:
    # mypy of a project for SQLite has no psycopg to look into.
    for path in (MIGRATIONS / "guard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            packages = {name.partition(".")[0] for name in names}
            known = {"alembic", "sqlalchemy", "pytest", "pytest_asyncio", "mako"}
            assert packages <= known | sys.stdlib_module_names, (path, packages)
