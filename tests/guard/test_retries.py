"""Promises about locks and deadlocks: they delay a migration, they do not fail it."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import query, wait_until
from environments import Environment, NewEnvironment
from sqlalchemy import create_engine, text

SERVERS = ["postgresql", "mysql"]
ADD = "op.add_column('held', sa.Column('more', sa.Integer()))"


def start(environment: Environment, *arguments: str) -> subprocess.Popen[str]:
    """Start alembic, and do not wait for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=environment.path, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def number_of(kind: str) -> str:
    return {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}[kind]


@contextmanager
def held(environment: Environment, statement: str = "SELECT * FROM held") -> Iterator[int]:
    """Keep a table locked by a transaction that has read it; return the number of the session."""
    engine = create_engine(environment.url)
    with engine.connect() as connection:
        number = connection.scalar(text(number_of(environment.url.get_backend_name())))
        connection.execute(text(statement))
        yield int(number)
    engine.dispose()


def hold_for(environment: Environment, seconds: float) -> threading.Thread:
    """Keep the table locked for some seconds, from now on."""
    begun = threading.Event()

    def hold() -> None:
        with held(environment):
            begun.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(20)
    return thread


@pytest.mark.parametrize("kind", SERVERS)
def test_a_locked_table_delays_a_migration_and_its_holder_is_named(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", ADD)
    with held(environment) as number:
        process = start(environment, "-x", "lock_timeout=1", "upgrade", "head")
        time.sleep(5)
        assert process.poll() is None
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    lines = [line for line in output.splitlines() if "Trying again in" in line]
    assert 1 <= len(lines) <= 4
    for line in lines:
        assert "A table stayed locked by another session, so revision a was rolled back" in line
        assert f"{'pid' if kind == 'postgresql' else 'connection'} {number} (" in line
    assert query(environment.url, "SELECT more FROM held") == []


@pytest.mark.parametrize("kind", SERVERS)
def test_queries_of_others_wait_no_longer_than_one_attempt(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", ADD)
    holder = hold_for(environment, 7)
    process = start(environment, "-x", "lock_timeout=2", "upgrade", "head")
    longest, engine = 0.0, create_engine(environment.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while process.poll() is None:
            before = time.monotonic()
            connection.execute(text("SELECT count(*) FROM held"))
            longest = max(longest, time.monotonic() - before)
            time.sleep(0.3)
    engine.dispose()
    holder.join()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert 0.5 < longest < 2.6, longest  # They do queue up behind the migration, but not for long.


@pytest.mark.parametrize("kind", SERVERS)
def test_the_time_to_try_again_is_limited(new_environment: NewEnvironment, kind: str) -> None:
    environment = new_environment(kind)
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", ADD)
    with held(environment) as number:
        run = environment.alembic("-x", "lock_timeout=1", "-x", "retry_for=3", "upgrade", "head")
    assert run.returncode == 1
    failed = run.stderr.splitlines()[-1]
    assert "A table stayed locked by another session, so revision a was rolled back" in failed
    assert f" {number} (" in failed
    assert "-x retry_for=SECONDS" in failed


def with_tables(environment: Environment, names: list[str]) -> None:
    for name in names:
        environment.add_revision(
            name,
            f"op.create_table({name!r}, sa.Column('id', sa.Integer()))",
            f"op.drop_table({name!r})",
        )


@pytest.mark.parametrize("kind", SERVERS)
def test_a_relative_downgrade_that_had_to_wait_goes_no_further(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    with_tables(environment, ["t1", "t2", "t3", "held", "t5"])
    assert environment.alembic("upgrade", "head").returncode == 0
    holder = hold_for(environment, 3)
    run = environment.alembic("-x", "lock_timeout=1", "downgrade", "-3")
    holder.join()
    assert run.returncode == 0, run.stderr
    assert "Trying again" in run.stderr
    assert query(environment.url, "SELECT version_num FROM alembic_version") == [("t2",)]
    assert query(environment.url, "SELECT * FROM t1") == query(environment.url, "SELECT * FROM t2")


@pytest.mark.parametrize("kind", SERVERS)
def test_a_relative_upgrade_that_had_to_wait_goes_no_further(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    query(environment.url, "CREATE TABLE held (id integer)")
    with_tables(environment, ["t1"])
    environment.add_revision("a", ADD)
    with_tables(environment, ["t3", "t4"])
    holder = hold_for(environment, 3)
    run = environment.alembic("-x", "lock_timeout=1", "upgrade", "+2")
    holder.join()
    assert run.returncode == 0, run.stderr
    assert "Trying again" in run.stderr
    assert query(environment.url, "SELECT version_num FROM alembic_version") == [("a",)]


def test_an_enum_type_that_was_rolled_back_is_created_again(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment("postgresql")
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision(
        "a",
        "op.create_table('t', sa.Column('x', sa.Enum('a', 'b', name='letter')))\n" + ADD,
    )
    holder = hold_for(environment, 3)
    run = environment.alembic("-x", "lock_timeout=1", "upgrade", "head")
    holder.join()
    assert run.returncode == 0, run.stderr
    assert "Trying again" in run.stderr


@pytest.mark.parametrize("kind", SERVERS)
def test_a_deadlock_is_tried_again(new_environment: NewEnvironment, kind: str) -> None:
    environment = new_environment(kind)
    for name in ("one", "two"):
        query(environment.url, f"CREATE TABLE {name} (id integer)")
        query(environment.url, f"INSERT INTO {name} VALUES (1)")
    folder = environment.path
    environment.add_revision(
        "a",
        "import pathlib, time\n"
        "op.execute('UPDATE one SET id = id + 1')\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "(folder / 'begun').touch()\n"
        "while not (folder / 'go').exists():\n    time.sleep(0.02)\n"
        "op.execute('UPDATE two SET id = id + 1')",
    )
    process = start(environment, "upgrade", "head")
    wait_until((folder / "begun").exists, "the migration has begun")
    engine = create_engine(environment.url)
    with engine.connect() as other:
        if kind == "mysql":  # The transaction with fewer changes is the victim.
            for _ in range(8):
                other.execute(text("INSERT INTO two SELECT 1 FROM two"))
        else:  # The one that waits first for deadlock_timeout is the victim.
            other.execute(text("SET LOCAL deadlock_timeout = '60s'"))
        other.execute(text("UPDATE two SET id = 7"))
        (folder / "go").touch()
        time.sleep(0.5)
        other.execute(text("UPDATE one SET id = id + 10"))
        other.commit()
    engine.dispose()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "in conflict with another session" in output
    assert query(environment.url, "SELECT id FROM one") == [(12,)]


def test_a_busy_sqlite_file_is_tried_again(new_environment: NewEnvironment) -> None:
    import sqlite3

    environment = new_environment()
    with_tables(environment, ["t1", "t2"])
    writer = sqlite3.connect(str(environment.url.database), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    process = start(environment, "-x", "lock_timeout=0.5", "upgrade", "head")
    time.sleep(3)
    assert process.poll() is None
    writer.execute("COMMIT")
    writer.close()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert f"{environment.url.database} stayed locked by another program" in output
    assert query(environment.url, "SELECT version_num FROM alembic_version") == [("t2",)]


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("postgresql", "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE done (id integer)')"),
        ("mysql", "op.create_table('done', sa.Column('id', sa.Integer()))"),
    ],
)  # fmt: skip
def test_a_revision_that_has_committed_something_is_not_run_again(
    new_environment: NewEnvironment, kind: str, first: str
) -> None:
    environment = new_environment(kind)
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", f"{first}\n{ADD}")
    with held(environment):
        run = environment.alembic("-x", "lock_timeout=1", "upgrade", "head")
    assert run.returncode == 1
    assert (
        "A part of revision a is committed already, so it is not run again by itself" in run.stderr
    )
    assert "Trying again" not in run.stderr


def test_a_program_that_passes_its_connection_is_not_kept_waiting(
    new_environment: NewEnvironment,
) -> None:
    from alembic import command
    from sqlalchemy.exc import OperationalError

    environment = new_environment("postgresql")
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", ADD)
    engine = create_engine(environment.url)
    with held(environment), engine.connect() as connection:
        connection.exec_driver_sql("SET lock_timeout = '500ms'")
        connection.commit()
        config = environment.config
        config.attributes["connection"] = connection
        before = time.monotonic()
        with pytest.raises(OperationalError):
            command.upgrade(config, "head")
        assert time.monotonic() - before < 3
    engine.dispose()


# Indexes that are built concurrently

CONCURRENTLY = (
    "with op.get_context().autocommit_block():\n"
    "    op.create_index('ix_Held', 'held', ['id'], unique=True, postgresql_concurrently=True{})"
)


@pytest.mark.parametrize("option", ["", ", if_not_exists=True"])
def test_a_concurrent_index_that_failed_is_built_again(
    new_environment: NewEnvironment, option: str
) -> None:
    environment = new_environment("postgresql")
    query(environment.url, "CREATE TABLE held (id integer)")
    query(environment.url, "INSERT INTO held VALUES (1), (1)")
    environment.add_revision("a", CONCURRENTLY.format(option))
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 1
    assert "stamp" not in run.stderr
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = '\"ix_Held\"'::regclass"
    assert query(environment.url, valid) == [(False,)]
    query(environment.url, "DELETE FROM held")
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 0, run.stderr
    assert "Index ix_Held is invalid, as building it failed: building it again" in run.stderr
    assert query(environment.url, valid) == [(True,)]
    assert re.search("Revision a took", run.stderr)
