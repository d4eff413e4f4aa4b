"""Promises about deploys of real projects: several databases, locks, old code, containers."""

import threading
import time
from pathlib import Path

import pytest
import yaml
from conftest import Bake, NewDatabase, Project, query, tables_of, with_driver
from sqlalchemy import create_engine, text
from test_databases import CREATE, FIRST, Databases, add_shared_revision, revisions

KINDS = ["sqlite", "postgresql", "mysql"]
READY = ("migrations.guard", "ready")
PLAN = ("migrations.guard", "plan")


@pytest.fixture(params=["several", "shared_history"])
def project(bake: Bake, request: pytest.FixtureRequest) -> Project:
    return bake(databases=request.param)


def databases_of(kind: str, new_database: NewDatabase) -> Databases:
    return {name: with_driver(new_database(kind)) for name in ("main", "analytics")}


def upgrade(project: Project, urls: Databases) -> None:
    for history in project.histories:
        project.succeed("alembic", *history, "upgrade", "head", url=urls)


def recorded(urls: Databases, name: str) -> set[str]:
    return {row[0] for row in query(urls[name], "SELECT revision FROM alembic_history")}


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_several_databases_has_a_record_and_all_have_to_be_ready(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    urls = databases_of(kind, new_database)
    run = project.run(*READY, url=urls)
    assert run.returncode == 1
    assert [" is at base, but this code needs " in line for line in run.stderr.splitlines()] == [
        True, True,
    ]  # fmt: skip
    planned = project.succeed(*PLAN, url=urls)
    assert planned.count("1 revision to apply") == 2
    upgrade(project, urls)
    for name in urls:
        assert recorded(urls, name) == set(revisions(urls[name])) != set()
    assert project.succeed(*READY, url=urls) == ""
    for history in project.histories:
        project.succeed("alembic", *history, "check", url=urls)
        project.succeed("alembic", *history, "downgrade", "base", url=urls)
    for name in urls:
        assert recorded(urls, name) == set()
    assert project.run(*READY, url=urls).returncode == 1


@pytest.mark.parametrize("kind", KINDS)
def test_old_code_with_several_databases_has_nothing_to_do(
    bake: Bake, new_database: NewDatabase, kind: str
) -> None:
    project = bake(databases="shared_history")
    urls = databases_of(kind, new_database)
    newer = add_shared_revision(project, CREATE, CREATE)
    upgrade(project, urls)
    newer.unlink()
    run = project.run("alembic", "upgrade", "head", url=urls)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count(f"is at next, newer than this code's head {FIRST}; nothing to do") == 2
    assert project.run(*READY, url=urls).returncode == 0
    assert project.run("alembic", "downgrade", "base", url=urls).returncode == 1
    assert "more" in tables_of(urls["main"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_for_several_databases_keeps_their_records(
    bake: Bake, new_database: NewDatabase, kind: str
) -> None:
    project = bake(databases="shared_history")
    urls = databases_of(kind, new_database)
    for name in urls:
        script = project.succeed(
            "alembic", "-x", f"database={name}", "upgrade", "head", "--sql", url=urls
        )
        assert script.count("CREATE TABLE IF NOT EXISTS alembic_history") == 1
        assert script.count("INSERT INTO alembic_history") == 1


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("busy", ["main", "analytics"])
def test_a_lock_in_one_database_delays_all(
    bake: Bake, new_database: NewDatabase, kind: str, busy: str
) -> None:
    project = bake(databases="shared_history")
    urls = databases_of(kind, new_database)
    query(urls[busy], "CREATE TABLE held (id integer)")
    bodies = dict.fromkeys(urls, CREATE)
    bodies[busy] = "op.add_column('held', sa.Column('more', sa.Integer()))"
    add_shared_revision(project, bodies["main"], bodies["analytics"])
    begun = threading.Event()

    def hold() -> None:
        engine = create_engine(urls[busy])
        with engine.connect() as connection:
            connection.execute(text("SELECT * FROM held"))
            begun.set()
            time.sleep(5)
        engine.dispose()

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(20)
    run = project.run("alembic", "-x", "lock_timeout=1", "upgrade", "+2", url=urls)
    holder.join()
    assert run.returncode == 0, run.stderr
    assert "Trying again in" in run.stderr
    for name in urls:
        assert revisions(urls[name]) == ["next"]
        assert recorded(urls, name) == {FIRST, "next"}


@pytest.mark.parametrize("databases", ["one", "several", "shared_history"])
def test_the_health_check_of_the_containers_is_ready(bake: Bake, databases: str) -> None:
    project = bake(database="postgresql", databases=databases)
    services = yaml.safe_load(Path(project.path, "compose.yaml").read_text())["services"]
    assert services["application"]["healthcheck"]["test"] == "python -m migrations.guard ready"


@pytest.mark.parametrize("kind", KINDS)
def test_plan_prints_the_sql_of_each_database(
    bake: Bake, new_database: NewDatabase, kind: str
) -> None:
    project = bake(databases="shared_history")
    urls = databases_of(kind, new_database)
    upgrade(project, urls)
    add_shared_revision(project, CREATE, "op.create_table('other', sa.Column('id', sa.Integer()))")
    script = project.succeed(*PLAN, "--sql", url=urls)
    assert script.count("CREATE TABLE more") == script.count("CREATE TABLE other") == 1
    assert "CREATE TABLE customers" not in script
    assert revisions(urls["main"]) == revisions(urls["analytics"]) == [FIRST]
