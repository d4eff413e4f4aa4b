"""Promises about ``alembic upgrade head --sql``."""

import subprocess
from typing import Any

import pytest
from conftest import Bake, NewDatabase, Project, query, with_driver
from sqlalchemy import URL, MetaData, create_engine
from sqlalchemy.schema import CreateIndex, CreateTable


@pytest.fixture
def project(bake: Bake) -> Project:
    project = bake()
    project.add_revision(
        "note",
        "op.create_table('notes', sa.Column('id', sa.Integer(), primary_key=True))\n"
        'op.execute("INSERT INTO notes (id) VALUES (1)")',
        "op.drop_table('notes')",
    )
    return project


def run_script(url: URL, script: str) -> None:
    """Give a script to the database's own client, as a database administrator does."""
    if url.get_backend_name() == "sqlite":
        read = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())"
        command = ["python3", "-c", read, str(url.database)]
    elif url.get_backend_name() == "postgresql":
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        command = ["psql", "-qv", "ON_ERROR_STOP=1", dsn]
    else:
        command = ["mysql", f"-h{url.host}", f"-P{url.port or 3306}", f"-u{url.username}"]
        command += [f"-p{url.password}"] if url.password else []
        command += [str(url.database)]
    client = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert client.returncode == 0, client.stderr


def schema(url: URL) -> dict[str, Any]:
    """Return the definition of each table and index of a database, as reflection sees it."""
    engine = create_engine(url)
    metadata = MetaData()
    metadata.reflect(engine)
    engine.dispose()
    return {
        table.name: [
            str(CreateTable(table).compile(engine)),
            sorted(str(CreateIndex(index).compile(engine)) for index in table.indexes),
        ]
        for table in metadata.tables.values()
    }


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_the_script_is_accepted_and_gives_the_same_schema(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    online, offline = with_driver(new_database(kind)), with_driver(new_database(kind))
    project.succeed("alembic", "upgrade", "head", url=online)
    run_script(offline, project.succeed("alembic", "upgrade", "head", "--sql", url=offline))
    assert schema(offline) == schema(online)
    assert query(offline, "SELECT version_num FROM alembic_version") == [("note",)]

    run_script(
        offline, project.succeed("alembic", "downgrade", "note:4f1c2a7be930", "--sql", url=offline)
    )
    project.succeed("alembic", "downgrade", "-1", url=online)
    assert schema(offline) == schema(online)

    run_script(
        offline, project.succeed("alembic", "upgrade", "4f1c2a7be930:head", "--sql", url=offline)
    )
    project.succeed("alembic", "upgrade", "head", url=online)
    assert schema(offline) == schema(online)


def test_a_script_needs_no_server(project: Project) -> None:
    url = URL.create("postgresql+psycopg", "me", "secret", "host.invalid", 5432, "x")
    script = project.succeed("alembic", "upgrade", "head", "--sql", url=url)
    settings, record, rest = script.partition("CREATE TABLE IF NOT EXISTS alembic_history")
    assert settings == "SET lock_timeout = 5000;\n\nSET statement_timeout = 0;\n\n"
    assert record
    assert ");\n\nBEGIN;\n\nCREATE TABLE alembic_version" in rest
    assert "secret" not in script


def test_an_error_is_not_written_into_the_script(
    project: Project, new_database: NewDatabase
) -> None:
    project.add_revision("bad", "raise ValueError('no rows to be seen here')")
    run = project.run("alembic", "upgrade", "head", "--sql", url=new_database("sqlite"))
    assert run.returncode == 1
    assert "FAILED" not in run.stdout
    assert "line 13: no rows to be seen here" in run.stderr
