"""Promises about projects with several databases."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import (
    Bake,
    NewDatabase,
    Project,
    Urls,
    indent,
    query,
    skip_without_servers,
    stop_at_gate,
    tables_of,
    wait_until,
    with_driver,
)
from processes import Run, run_at_once
from services import PostgreSQL, postgresql
from sqlalchemy import URL

KINDS = ["sqlite", "postgresql", "mysql"]
MAIN = {"customers", "products", "orders", "order_products"}
ANALYTICS = {"visits"}
FIRST = "4f1c2a7be930"

Databases = dict[str, URL]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    skip_without_servers(request.param)
    return str(request.param)


@pytest.fixture
def databases(kind: str, new_database: NewDatabase) -> Databases:
    return {name: with_driver(new_database(kind)) for name in ("main", "analytics")}


@pytest.fixture
def several(bake: Bake, kind: str) -> Project:
    """A project whose databases have histories of their own."""
    return bake(database=kind, databases="several")


@pytest.fixture
def shared(bake: Bake, kind: str) -> Project:
    """A project whose databases share one history."""
    return bake(database=kind, databases="shared_history")


def revisions(url: URL) -> list[str]:
    return [revision for (revision,) in query(url, "SELECT version_num FROM alembic_version")]


# Several databases, each with a history of its own


@pytest.mark.parametrize(
    "command", ["upgrade head", "heads", "history", "current", "revision -m x"]
)
@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_forgotten_name_is_explained(several: Project, kind: str, command: str) -> None:
    before = several.files
    run = several.run("alembic", *command.split())
    assert run.returncode != 0
    assert run.stdout + run.stderr == "FAILED: Which database? Add --name: main, analytics\n"
    assert several.files == before


def test_each_database_has_a_history_of_its_own(several: Project, databases: Databases) -> None:
    several.succeed("alembic", "--name", "main", "upgrade", "head", url=databases)
    assert tables_of(databases["main"]) == MAIN
    assert tables_of(databases["analytics"]) == set()
    several.succeed("alembic", "--name", "analytics", "upgrade", "head", url=databases)
    assert tables_of(databases["analytics"]) == ANALYTICS
    several.succeed("alembic", "--name", "main", "downgrade", "base", url=databases)
    assert tables_of(databases["main"]) == set()
    assert tables_of(databases["analytics"]) == ANALYTICS


def test_autogenerate_writes_into_the_history_of_its_database(
    several: Project, databases: Databases
) -> None:
    several.succeed("alembic", "--name", "main", "upgrade", "head", url=databases)
    several.succeed("alembic", "--name", "analytics", "upgrade", "head", url=databases)
    add_column_to_visits(several)
    several.succeed("alembic", "--name", "main", "check", url=databases)
    check = several.run("alembic", "--name", "analytics", "check", url=databases)
    assert "Detected added column 'visits.seconds'" in check.stderr
    assert "alembic --name analytics revision --autogenerate" in check.stderr
    several.succeed(
        "alembic", "--name", "analytics", "revision", "--autogenerate", "-m", "seconds",
        url=databases,
    )  # fmt: skip
    (revision,) = several.path.glob("migrations/*/*_seconds.py")
    assert revision.parent.name == "analytics"
    several.succeed("alembic", "--name", "analytics", "upgrade", "head", url=databases)
    several.succeed("alembic", "--name", "analytics", "check", url=databases)


def add_column_to_visits(project: Project) -> None:
    project.replace(
        "src/my_shop/models/analytics/example.py",
        "    page: Mapped[str]\n",
        "    page: Mapped[str]\n    seconds: Mapped[int | None]\n",
    )


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_messages_name_the_command_and_the_variable_of_their_database(
    several: Project, databases: Databases
) -> None:
    run = several.run("alembic", "--name", "analytics", "check", url=databases)
    assert "Upgrade it with: alembic --name analytics upgrade head" in run.stderr
    (several.path / ".env").write_text("ANALYTICS_DATABASE_URL=nonsense\n")
    run = several.run("alembic", "--name", "analytics", "upgrade", "head")
    assert "FAILED: ANALYTICS_DATABASE_URL is not a URL" in run.stderr
    several.succeed("alembic", "--name", "main", "upgrade", "head")


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_x_analytics_url_is_that_of_the_named_database(
    several: Project, databases: Databases, new_database: NewDatabase
) -> None:
    other = new_database("sqlite")
    several.succeed(
        "alembic",
        "--name",
        "analytics",
        "-x",
        f"analytics_url={other}",
        "upgrade",
        "head",
        url=databases,
    )
    assert tables_of(other) == ANALYTICS
    assert tables_of(databases["analytics"]) == set()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_program_names_the_database_as_the_section_of_its_config(
    several: Project, databases: Databases
) -> None:
    program = (
        "import sys\n"
        "from alembic import command\n"
        "from alembic.config import Config\n"
        "config = Config('alembic.ini', ini_section='analytics')\n"
        "config.set_main_option('sqlalchemy.url', sys.argv[1])\n"
        "command.upgrade(config, 'head')\n"
    )
    (several.path / "program.py").write_text(program)
    several.succeed("program", str(databases["analytics"]))
    assert tables_of(databases["analytics"]) == ANALYTICS


def test_processes_that_upgrade_the_databases_in_another_order_do_not_wait_for_ever(
    several: Project, databases: Databases
) -> None:
    program = (
        "import sys\n"
        "from alembic.config import main\n"
        "for name in sys.argv[1:]:\n"
        "    main(['--name', name, 'upgrade', 'head'])\n"
    )
    (several.path / "upgrade_all.py").write_text(program)
    names = list(databases)
    orders = [["upgrade_all", *names], ["upgrade_all", *reversed(names)]] * 4
    runs = several.run_at_once(*orders, url=databases)
    assert [run.returncode for run in runs] == [0] * 8, runs
    assert "".join(run.stderr for run in runs).count("Running upgrade") == 2


@contextmanager
def in_the_middle(project: Project, gate: Path, *arguments: str, url: Urls) -> Iterator[None]:
    """Start a migration that stops at a gate, and end it afterwards."""
    process = project.start("alembic", *arguments, "upgrade", "head", url=url)
    try:
        wait_until((gate / "begun").exists, "the migration has begun")
        yield
    finally:
        process.kill()
        process.communicate()


IN_VAIN = "FAILED: Timed out after 0.5 s waiting for another migration of "


def test_one_waits_for_its_own_database_and_for_no_other(
    several: Project, databases: Databases, tmp_path: Path
) -> None:
    several.add_revision("next", stop_at_gate(tmp_path))
    with in_the_middle(several, tmp_path, "--name", "main", url=databases):
        command = ["alembic", "--name", "main", "-x", "lock_wait=0.5", "upgrade", "head"]
        assert IN_VAIN in several.run(*command, url=databases).stderr
        command[2] = "analytics"
        several.succeed(*command, url=databases)
        assert tables_of(databases["analytics"]) == ANALYTICS


# One history for all databases


def test_one_command_upgrades_and_downgrades_all(shared: Project, databases: Databases) -> None:
    shared.succeed("alembic", "upgrade", "head", url=databases)
    assert tables_of(databases["main"]) == MAIN
    assert tables_of(databases["analytics"]) == ANALYTICS
    assert shared.succeed("alembic", "current", url=databases) == f"{FIRST} (head)\n" * 2
    shared.succeed("alembic", "current", "--check-heads", url=databases)
    shared.succeed("alembic", "check", url=databases)
    shared.succeed("alembic", "downgrade", "base", url=databases)
    assert tables_of(databases["main"]) == tables_of(databases["analytics"]) == set()


def test_autogenerate_compares_each_database_with_its_own_models(
    shared: Project, databases: Databases
) -> None:
    shared.succeed("alembic", "upgrade", "head", url=databases)
    query(databases["analytics"], "INSERT INTO visits (page) VALUES ('/')")
    add_column_to_visits(shared)
    check = shared.run("alembic", "check", url=databases)
    assert check.returncode == 1
    assert check.stderr.splitlines()[:-1] == [
        "Database analytics",
        "Detected added column 'visits.seconds'",
        "Database main",
    ]
    shared.succeed("alembic", "revision", "--autogenerate", "-m", "seconds", url=databases)
    (revision,) = shared.versions.glob("*_seconds.py")
    text = revision.read_text()
    assert "def upgrade_analytics() -> None:" in text
    assert "def downgrade_analytics() -> None:" in text
    assert "_main" not in text
    shared.succeed("ruff", "check", str(revision))
    shared.succeed("ruff", "format", "--check", str(revision))
    for command in ("upgrade head", "check", "downgrade -1", "upgrade head", "check"):
        shared.succeed("alembic", *command.split(), url=databases)
    before = shared.files
    shared.succeed("alembic", "revision", "--autogenerate", "-m", "nothing", url=databases)
    assert shared.files == before


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_hand_written_revision_has_a_place_for_each_database(shared: Project) -> None:
    shared.succeed("alembic", "revision", "-m", "by hand")
    (revision,) = shared.versions.glob("*_by_hand.py")
    functions = re.findall(r"^def (\w+)", revision.read_text(), re.MULTILINE)
    assert functions == [
        "upgrade", "downgrade",
        "upgrade_main", "downgrade_main", "upgrade_analytics", "downgrade_analytics",
    ]  # fmt: skip
    shared.succeed("ruff", "format", "--check", str(revision))


def add_shared_revision(project: Project, main: str, analytics: str) -> Path:
    """Write a revision with these bodies on top of the first one."""
    path = project.add_revision("next", "pass")
    start = path.read_text().partition("def upgrade")[0]
    first = next(project.versions.glob("*_create_example_tables.py")).read_text()
    dispatch = first[first.index("def upgrade(") : first.index("def upgrade_main(")]
    path.write_text(
        f"{start}{dispatch}def upgrade_main() -> None:\n{indent(main)}\n\n\n"
        f"def upgrade_analytics() -> None:\n{indent(analytics)}\n"
    )
    return path


CREATE = "op.create_table('more', sa.Column('id', sa.Integer()))"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("failing", ["main", "analytics"])
def test_a_failure_in_one_database_leaves_none_changed(
    shared: Project, databases: Databases, failing: str
) -> None:
    bodies = {name: CREATE for name in databases} | {failing: "op.execute('nonsense')"}
    revision = add_shared_revision(shared, bodies["main"], bodies["analytics"])
    run = shared.run("alembic", "upgrade", "head", url=databases)
    assert run.returncode == 1
    assert f"FAILED: {revision.name}, line " in run.stderr
    assert f", database {failing}: " in run.stderr
    assert tables_of(databases["main"]) == tables_of(databases["analytics"]) == set()
    revision.write_text(revision.read_text().replace("nonsense", "SELECT 1"))
    shared.succeed("alembic", "upgrade", "head", url=databases)
    assert revisions(databases["main"]) == revisions(databases["analytics"]) == ["next"]


@pytest.mark.parametrize("kind", ["mysql"], indirect=True)
def test_on_mysql_an_upgrade_goes_on_where_each_database_stands(
    shared: Project, databases: Databases
) -> None:
    revision = add_shared_revision(shared, "op.execute('nonsense')", CREATE)
    run = shared.run("alembic", "upgrade", "head", url=databases)
    assert "mysql cannot roll back CREATE, ALTER and DROP" in run.stderr
    assert revisions(databases["main"]) == [FIRST]
    assert revisions(databases["analytics"]) == ["next"]
    revision.write_text(revision.read_text().replace("nonsense", "SELECT 1"))
    shared.succeed("alembic", "upgrade", "head", url=databases)
    assert revisions(databases["main"]) == revisions(databases["analytics"]) == ["next"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], indirect=True)
def test_it_is_said_that_the_databases_commit_one_after_the_other(
    shared: Project, databases: Databases
) -> None:
    run = shared.run("alembic", "upgrade", "head", url=databases)
    assert "Committing analytics and main one after the other" in run.stderr
    assert "Committing" not in shared.run("alembic", "upgrade", "head", url=databases).stderr


def test_eight_processes_upgrade_all_databases_once(shared: Project, databases: Databases) -> None:
    add_shared_revision(shared, CREATE, CREATE)
    runs = shared.run_at_once(*[["alembic", "upgrade", "head"]] * 8, url=databases)
    assert [run.returncode for run in runs] == [0] * 8, runs
    assert "".join(run.stderr for run in runs).count("Running upgrade") == 4


@pytest.mark.parametrize("name", ["main", "analytics"])
def test_a_migration_of_all_waits_for_each_of_them(
    shared: Project, databases: Databases, name: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    add_shared_revision(shared, stop_at_gate(tmp_path), "pass")
    with in_the_middle(shared, tmp_path, url=databases):
        others = {
            each: with_driver(new_database(url.get_backend_name()))
            for each, url in databases.items()
        }
        run = shared.run(
            "alembic", "-x", "lock_wait=0.5", "upgrade", "head",
            url={**others, name: databases[name]},
        )  # fmt: skip
        assert IN_VAIN in run.stderr


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], indirect=True)
def test_one_database_under_two_names_is_refused(shared: Project, databases: Databases) -> None:
    run = shared.run("alembic", "upgrade", "head", url=dict.fromkeys(databases, databases["main"]))
    assert run.returncode == 1
    assert "FAILED: analytics and main are the same database, " in run.stderr
    assert tables_of(databases["main"]) == set()


@pytest.fixture
def two_phase(new_database: NewDatabase) -> Iterator[tuple[PostgreSQL, Databases]]:
    """A PostgreSQL that can prepare transactions, with two databases."""
    with postgresql(max_prepared_transactions="10") as server:
        for name in ("main", "analytics"):
            query_outside_of_a_transaction(server.url, f"CREATE DATABASE {name}")
        yield (
            server,
            {name: with_driver(server.url).set(database=name) for name in ("main", "analytics")},
        )


def query_outside_of_a_transaction(url: URL, statement: str) -> None:
    subprocess.run(
        ["psql", "-q", url.render_as_string(hide_password=False), "-c", statement], check=True
    )


TwoPhase = tuple[PostgreSQL, Databases]
PREPARED = "SELECT gid FROM pg_prepared_xacts ORDER BY gid"


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_postgresql_commits_all_databases_in_two_phases(
    shared: Project, two_phase: TwoPhase
) -> None:
    server, databases = two_phase
    run = shared.run("alembic", "upgrade", "head", url=databases)
    assert run.returncode == 0, run.stderr
    assert "Committing analytics and main in two phases" in run.stderr
    assert tables_of(databases["main"]) == MAIN
    assert tables_of(databases["analytics"]) == ANALYTICS
    assert query(server.url, PREPARED) == []


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_a_database_that_cannot_commit_leaves_none_changed(
    shared: Project, two_phase: TwoPhase
) -> None:
    server, databases = two_phase
    # What a deferred constraint refuses, it refuses only at the end of the transaction.
    add_shared_revision(
        shared,
        'op.execute("ALTER TABLE orders ALTER CONSTRAINT fk_orders_customer_id DEFERRABLE '
        "INITIALLY DEFERRED\"), op.execute('INSERT INTO orders (customer_id) VALUES (7)')",
        CREATE,
    )
    run = shared.run("alembic", "upgrade", "head", url=databases)
    assert run.returncode == 1
    assert "fk_orders_customer_id" in run.stderr
    assert tables_of(databases["main"]) == tables_of(databases["analytics"]) == set()
    assert query(server.url, PREPARED) == []


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("line", "database", "said", "revisions_left_to_run"),
    [
        ("                prepared.append(connection)\n", "analytics", "Rollback", 2),
        ("        other.execute(text(", "analytics", "Commit", 0),
        ("        other.execute(text(", "main", "Commit", 0),
    ],
    ids=["one_is_prepared", "all_are_prepared", "one_is_committed"],
)
def test_what_a_killed_migration_left_prepared_is_finished_by_the_next_one(
    shared: Project,
    two_phase: TwoPhase,
    tmp_path: Path,
    line: str,
    database: str,
    said: str,
    revisions_left_to_run: int,
) -> None:
    server, databases = two_phase
    code = shared.read("migrations/guard/running/together.py")
    stop = (
        f"if connection.engine.url.database == {database!r}:\n"
        f"    import pathlib, time\n"
        f"    pathlib.Path({str(tmp_path / 'stopped')!r}).touch()\n"
        f"    time.sleep(600)\n"
    )
    indentation = " " * (len(line) - len(line.lstrip()))
    shared.replace(
        "migrations/guard/running/together.py", line, textwrap.indent(stop, indentation) + line
    )
    process = shared.start("alembic", "upgrade", "head", url=databases)
    wait_until((tmp_path / "stopped").exists, "the migration has stopped in the middle")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert query(server.url, PREPARED) != []

    (shared.path / "migrations/guard/running/together.py").write_text(code)
    run = shared.run("alembic", "upgrade", "head", url=databases)
    assert run.returncode == 0, run.stderr
    assert f"{said} of what a killed migration had left prepared" in run.stderr
    assert run.stderr.count("Running upgrade") == revisions_left_to_run
    assert query(server.url, PREPARED) == []
    assert tables_of(databases["main"]) == MAIN
    assert tables_of(databases["analytics"]) == ANALYTICS


# Offline, and from programs


def test_a_script_is_for_one_database(shared: Project, databases: Databases) -> None:
    before = shared.files

    def script(name: str) -> str:
        arguments = ["-x", f"database={name}", "upgrade", "head", "--sql"]
        return shared.succeed("alembic", *arguments, url=databases)

    main, analytics = script("main"), script("analytics")
    assert main.startswith("-- Database main\n")
    assert analytics.startswith("-- Database analytics\n")
    assert "CREATE TABLE customers" in main
    assert "visits" not in main
    assert "CREATE TABLE visits" in analytics
    assert "customers" not in analytics
    assert shared.files == before


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_program_passes_a_connection_for_each_database(
    shared: Project, databases: Databases
) -> None:
    (shared.path / "program.py").write_text(
        "import sys\n"
        "from alembic import command\n"
        "from alembic.config import Config\n"
        "from sqlalchemy import create_engine\n"
        "names = ('main', 'analytics')\n"
        "connections = {n: create_engine(u).connect() for n, u in zip(names, sys.argv[1:])}\n"
        "command.upgrade(Config('alembic.ini', attributes={'connections': connections}), 'head')\n"
    )
    shared.succeed("program", *map(str, databases.values()))
    assert tables_of(databases["main"]) == MAIN
    assert tables_of(databases["analytics"]) == ANALYTICS


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_program_sets_a_url_in_the_section_of_each_database(
    shared: Project, databases: Databases
) -> None:
    (shared.path / "program.py").write_text(
        "import sys\n"
        "from alembic import command\n"
        "from alembic.config import Config\n"
        "config = Config('alembic.ini')\n"
        "config.set_section_option('main', 'sqlalchemy.url', sys.argv[1])\n"
        "config.set_section_option('analytics', 'sqlalchemy.url', sys.argv[2])\n"
        "command.upgrade(config, 'head')\n"
    )
    shared.succeed("program", *map(str, databases.values()))
    assert tables_of(databases["main"]) == MAIN
    assert tables_of(databases["analytics"]) == ANALYTICS


# Models, and which database they belong to


@pytest.fixture(params=["several", "shared_history"])
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    """A project with several databases, of either kind."""
    return bake(databases=request.param)


def test_a_model_with_the_base_of_another_database_is_named(project: Project) -> None:
    project.replace(
        "src/my_shop/models/analytics/example.py",
        "from my_shop.models.analytics import Base",
        "from my_shop.models.main import Base",
    )
    run = project.run("alembic", *project.histories[0], "check")
    assert run.returncode == 1
    assert run.stderr == (
        "FAILED: The model Visit of my_shop.models.analytics.example has the Base of the database "
        "'main': give it the Base of its own folder, or move it to my_shop.models.main.\n"
    )


def test_a_database_without_models_is_named(project: Project) -> None:
    project.replace("src/my_shop/settings.py", '"analytics")', '"analytics", "billing")')
    run = project.run("alembic", *project.histories[0], "check")
    assert run.returncode == 1
    assert run.stderr.startswith("FAILED: The database 'billing' of settings.py has no models")
    assert len(run.stderr.splitlines()) == 1


def test_one_session_stores_each_model_in_its_database(
    project: Project, new_database: NewDatabase
) -> None:
    databases = {name: with_driver(new_database("sqlite")) for name in project.names}
    for history in project.histories:
        project.succeed("alembic", *history, "upgrade", "head", url=databases)
    (project.path / "program.py").write_text(
        "from my_shop.database import Session\n"
        "from my_shop.models.analytics.example import Visit\n"
        "from my_shop.models.main.example import Customer\n"
        "with Session.begin() as session:\n"
        "    session.add(Customer(name='Ada', email='ada@example.com'))\n"
        "    session.add(Visit(page='/'))\n"
    )
    environment = {**project.environment(databases), "PYTHONPATH": str(project.path / "src")}
    subprocess.run([sys.executable, "program.py"], cwd=project.path, env=environment, check=True)
    assert query(databases["main"], "SELECT name FROM customers") == [("Ada",)]
    assert query(databases["analytics"], "SELECT page FROM visits") == [("/",)]


STEP = re.compile(r"^\d\. (.*\n(?:   .*\n)*)", re.MULTILINE)


def steps_of_readme(project: Project) -> list[str]:
    """Return the steps with which the README adds a database."""
    readme = project.read("README.md")
    return STEP.findall(readme[readme.index("To add a database") : readme.index("## Deploy")])


def add_billing(project: Project) -> None:
    """Take the steps of the README."""
    several = project.answers["databases"] == "several"
    server = project.answers.get("database", "sqlite") != "sqlite"
    said = [re.findall(r"`([^`]+)`", step)[0] for step in steps_of_readme(project)]
    assert said == [
        "settings.py",
        "models/billing/__init__.py",
        *(["alembic.ini"] if several else []),
        "uv run python docs/diagram.py",
        ".env.example",
        *(["compose.yaml"] if server else []),
    ]
    project.replace("src/my_shop/settings.py", '"analytics")', '"analytics", "billing")')
    models = project.path / "src" / "my_shop" / "models"
    (models / "billing").mkdir()
    shutil.copy(models / "main" / "__init__.py", models / "billing")
    if several:
        (project.path / "migrations" / "billing").mkdir()
        (project.path / "migrations" / "billing" / ".gitkeep").touch()
        ini = project.read("alembic.ini")
        section = re.search(r"\[main\]\n.*\n", ini)
        assert section is not None
        project.replace(
            "alembic.ini", section[0], section[0] + section[0].replace("main", "billing")
        )
    project.succeed("docs.diagram")
    copy_lines(project, ".env.example", "ANALYTICS_DATABASE_URL")
    if server:
        copy_lines(project, "compose.yaml", "ANALYTICS_DATABASE_URL: ", "CREATE DATABASE")
        if several:
            text = project.read("compose.yaml")
            more = re.sub(
                r"(alembic --name )analytics( [^&\"\n]+)", r"\1analytics\2 && \1billing\2", text
            )
            (project.path / "compose.yaml").write_text(more)


def copy_lines(project: Project, name: str, *words: str) -> None:
    """Copy each line that has a word in it, for the database billing."""
    lines = project.read(name).splitlines(keepends=True)
    for place, line in reversed(list(enumerate(lines))):
        if any(word in line for word in words):
            other = line.replace("analytics", "billing").replace("ANALYTICS", "BILLING")
            lines.insert(place + 1, other)
    (project.path / name).write_text("".join(lines))


@pytest.mark.parametrize("layout", ["several", "shared_history"])
def test_no_file_knows_two_databases_and_not_the_third(bake: Bake, layout: str) -> None:
    project = bake(database="postgresql", databases=layout)
    own = ("models/analytics/", "migrations/", "docs/analytics.md", "docs/baseline.md", "guard/")
    knowing = {
        name
        for name in project.files - {".cookiecutter.json", "README.md"}
        if not any(part in name for part in own) and "analytics" in project.read(name).lower()
    }
    add_billing(project)
    assert knowing == {name for name in knowing if "billing" in project.read(name).lower()}, (
        "the README has no step for them"
    )
    for name in knowing:
        text = project.read(name).lower()
        assert text.count("analytics") == text.count("billing"), name
    compose = yaml.safe_load(project.read("compose.yaml"))
    assert compose["services"]["migrate"]["environment"]["BILLING_DATABASE_URL"].endswith(
        "my_shop_billing"
    )
    assert "CREATE DATABASE my_shop_billing;" in compose["configs"]["databases"]["content"]
    assert "# The models of the database billing" in project.read("docs/billing.md")
    project.succeed("docs.diagram", "--check")


@pytest.mark.parametrize("layout", ["several", "shared_history"])
def test_the_hooks_before_a_commit_know_the_revisions_of_each_database(
    bake: Bake, layout: str
) -> None:
    project = bake(database="postgresql", databases=layout)
    config = yaml.safe_load(project.read(".pre-commit-config.yaml"))
    hooks = {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}
    folder = "billing" if layout == "several" else "versions"
    assert re.match(hooks["migrations"]["files"], f"migrations/{folder}/2027_01_01-x.py")
    assert re.match(hooks["migrations"]["files"], "src/my_shop/models/billing/invoice.py")
    # Git does not show a hook the files that were deleted.
    assert all(hooks[name]["always_run"] for name in ("revisions", "diagram"))


@pytest.mark.machine
def test_a_third_database_takes_the_edits_of_the_readme(
    project: Project, new_database: NewDatabase
) -> None:
    several = project.answers["databases"] == "several"
    add_billing(project)
    (project.path / "src/my_shop/models/billing/invoice.py").write_text(
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.billing import Base\n\n\n"
        "class Invoice(Base):\n"
        '    __tablename__ = "invoices"\n\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )
    project.succeed("docs.diagram")
    assert "invoices {" in project.read("docs/billing.md")
    names = [*project.names, "billing"]
    urls = {name: with_driver(new_database("sqlite")) for name in names}
    histories = [["--name", name] for name in names] if several else [[]]
    for history in histories:
        project.succeed("alembic", *history, "upgrade", "head", url=urls)
    project.succeed(
        "alembic", *histories[-1], "revision", "--autogenerate", "-m", "Add invoices", url=urls
    )
    for history in histories:
        project.succeed("alembic", *history, "upgrade", "head", url=urls)
        project.succeed("alembic", *history, "check", url=urls)
    assert tables_of(urls["billing"]) == {"invoices"}
    assert tables_of(urls["main"]) == MAIN
    project.succeed("pytest", url=urls)


# What Alembic's own documentation promises, in each layout


@pytest.fixture(params=["one", "several", "shared_history"])
def any_project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    return bake(databases=request.param)


def urls_for(project: Project, new_database: NewDatabase) -> Urls:
    return {name: with_driver(new_database("sqlite")) for name in project.names} or new_database(
        "sqlite"
    )


def test_branches_with_labels_are_merged_and_the_proof_accepts_it(
    any_project: Project, new_database: NewDatabase
) -> None:
    history, urls = any_project.histories[0], urls_for(any_project, new_database)

    def revision(*arguments: str) -> None:
        any_project.succeed("alembic", *history, *arguments, url=urls)

    revision("revision", "-m", "left", "--rev-id", "left")
    revision(
        "revision", "-m", "right", "--rev-id", "right", "--head", FIRST, "--splice",
        "--branch-label", "side",
    )  # fmt: skip
    revision("revision", "-m", "more", "--rev-id", "more", "--head", "side@head")
    assert len(any_project.succeed("alembic", *history, "heads").splitlines()) == 2
    any_project.succeed("alembic", *history, "upgrade", "side@head", url=urls)
    failed = any_project.run("alembic", *history, "upgrade", "head", url=urls)
    assert "There are several heads" in failed.stderr
    assert f"{' '.join(['alembic', *history])} merge heads" in failed.stderr
    revision("merge", "heads", "-m", "together", "--rev-id", "joined")
    any_project.succeed("alembic", *history, "upgrade", "head", url=urls)
    current = any_project.succeed("alembic", *history, "current", url=urls)
    assert "joined (head) (mergepoint)" in current
    any_project.succeed("pytest", "tests/test_migrations.py", url=urls)


def test_config_is_found_by_its_variable_and_the_option_wins(
    any_project: Project, new_database: NewDatabase, tmp_path: Path
) -> None:
    urls = urls_for(any_project, new_database)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    history = any_project.histories[0]
    ini = str(any_project.path / "alembic.ini")

    def heads(variable: str, *option: str) -> Run:
        environment = {**any_project.environment(urls), "ALEMBIC_CONFIG": variable}
        command = ["alembic", *option, *history, "heads"]
        (run,) = run_at_once(command, folder=elsewhere, environment=environment)
        return run

    assert heads(ini).stdout == f"{FIRST} (head)\n"
    assert heads("nowhere.ini", "--config", ini).stdout == f"{FIRST} (head)\n"
    assert heads(ini, "--config", "nowhere.ini").returncode != 0


def test_x_arguments_reach_env(any_project: Project, new_database: NewDatabase) -> None:
    urls = urls_for(any_project, new_database)
    run = any_project.run(
        "alembic", *any_project.histories[0], "-x", "lock_timeout=soon", "upgrade", "head", url=urls
    )
    assert "-x lock_timeout is a number of seconds" in run.stderr
