"""Promises about ``python -m guard ready`` and ``plan``."""

import os
import subprocess
import sys
import time

import pytest
from conftest import query, run_on_server
from environments import MIGRATIONS, Environment, NewEnvironment
from sqlalchemy import create_engine, inspect
from test_record import ahead, with_revisions

ALL = ["sqlite", "postgresql", "mysql"]


def guard(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the guard, as a person does."""
    process = start(environment, *arguments)
    output, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def start(environment: Environment, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "guard", *arguments], cwd=environment.path, text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(MIGRATIONS)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_ready_is_0_at_the_head_or_beyond_and_else_1_with_a_line(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a", "b")
    run = guard(environment, "ready")
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert line.endswith("is at base, but this code needs b. Run: alembic upgrade head")
    engine = create_engine(environment.url)
    assert inspect(engine).get_table_names() == []  # It only reads.
    engine.dispose()
    environment.alembic("upgrade", "a")
    assert "is at a, but this code needs b" in guard(environment, "ready").stderr
    environment.alembic("upgrade", "head")
    run = guard(environment, "ready")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    ahead(environment, "c")
    assert guard(environment, "ready").returncode == 0
    query(environment.url, "UPDATE alembic_version SET version_num = 'lost'")
    run = guard(environment, "ready")
    assert run.returncode == 1 and "is at revision 'lost', which has no file" in run.stderr


@pytest.mark.parametrize("kind", ALL)
def test_ready_waits_for_a_migration(new_environment: NewEnvironment, kind: str) -> None:
    environment = with_revisions(new_environment(kind), "a")
    before = time.monotonic()
    assert guard(environment, "ready", "--wait", "1.5").returncode == 1
    assert time.monotonic() - before > 1.5
    waiting = start(environment, "ready", "--wait", "60")
    time.sleep(2)
    assert waiting.poll() is None
    assert environment.alembic("upgrade", "head").returncode == 0
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0


def test_ready_waits_for_a_server_that_does_not_answer_yet(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment("postgresql")
    elsewhere = new_environment(url=environment.url.set(host="127.0.0.1", port=1))
    run = guard(elsewhere, "ready", "--wait", "1")
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert "does not answer" in line


ROLES = {
    "postgresql": [
        "CREATE ROLE {role} LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    ],
    "mysql": [
        "CREATE USER {role}@'127.0.0.1'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO {role}@'127.0.0.1'",
    ],
}


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_ready_works_with_a_role_that_may_only_read_and_write_rows(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a", "b")
    assert environment.alembic("upgrade", "a").returncode == 0
    role = f"rows_{environment.url.database}"[-32:]
    for statement in ROLES[kind]:
        query(environment.url, statement.format(role=role, database=environment.url.database))
    try:
        application = new_environment(url=environment.url.set(username=role))
        with_revisions(application, "a", "b")
        assert "is at a, but this code needs b" in guard(application, "ready").stderr
        assert application.alembic("upgrade", "head").returncode == 1  # It may not migrate.
        assert environment.alembic("upgrade", "b").returncode == 0
        assert guard(application, "ready").returncode == 0
        ahead(environment, "c")
        run = guard(application, "ready")
        assert run.returncode == 0, run.stderr
        assert application.alembic("upgrade", "head").returncode == 0  # Nothing to do.
    finally:
        if kind == "postgresql":
            query(environment.url, f"DROP OWNED BY {role}")
            query(environment.url, f"DROP ROLE {role}")
        else:
            run_on_server("mysql", f"DROP USER {role}@'127.0.0.1'")


def test_twenty_old_replicas_stay_ready_while_newer_code_migrates(
    new_environment: NewEnvironment,
) -> None:
    newer = with_revisions(new_environment("postgresql"), "a", "b")
    assert newer.alembic("upgrade", "head").returncode == 0
    older = with_revisions(new_environment(url=newer.url), "a", "b")
    newer.add_revision("c", "import time\ntime.sleep(4)\nop.execute('SELECT 1')")
    migrating = subprocess.Popen(
        [sys.executable, "-m", "alembic", "upgrade", "head"], cwd=newer.path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    replicas = [start(older, "ready") for _ in range(20)]
    assert {replica.wait(120) for replica in replicas} == {0}
    assert migrating.wait(60) == 0
    assert guard(older, "ready").returncode == 0


# plan


@pytest.mark.parametrize("kind", ALL)
def test_plan_lists_what_would_run_and_applies_nothing(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a")
    environment.add_revision("b", "op.drop_table('a')", "raise NotImplementedError")
    environment.add_revision("c", "pass")
    first = guard(environment, "plan")
    assert first.returncode == 0, first.stderr
    assert "is at base: 3 revisions to apply" in first.stdout
    environment.alembic("upgrade", "a")
    run = guard(environment, "plan")
    lines = run.stdout.splitlines()
    assert lines[0].endswith("is at a: 2 revisions to apply")
    assert lines[1].startswith("b  ") and "001_b.py" in lines[1]
    assert "    cannot be reverted" in lines
    assert any(line.startswith("    warning: Drops a and its") for line in lines), lines
    assert lines[-1].startswith("c  ") and "002_c.py" in lines[-1]
    assert query(environment.url, "SELECT version_num FROM alembic_version") == [("a",)]
    environment.alembic("upgrade", "head")
    assert guard(environment, "plan").stdout.rstrip().endswith("is at c: nothing to apply")
    ahead(environment, "d")
    assert "newer than this code's head c; nothing to do" in guard(environment, "plan").stdout


@pytest.mark.parametrize("kind", ALL)
def test_plan_prints_the_sql_from_where_the_database_is(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a", "b")
    environment.alembic("upgrade", "a")
    query(environment.url, "INSERT INTO a VALUES (5)")
    environment.add_revision(
        "c",
        "with op.batch_alter_table('a') as batch:\n"
        "    batch.alter_column('id', type_=sa.BigInteger(), existing_type=sa.Integer())",
    )
    run = guard(environment, "plan", "--sql")
    assert run.returncode == 0, run.stderr
    assert "CREATE TABLE b" in run.stdout and "CREATE TABLE a " not in run.stdout
    if kind == "sqlite":
        assert "INSERT INTO _alembic_tmp_a" in run.stdout
        assert "SET version_num='c'" in run.stdout
    else:
        assert "ALTER TABLE a" in run.stdout
    assert query(environment.url, "SELECT version_num FROM alembic_version") == [("a",)]
    assert query(environment.url, "SELECT * FROM a") == [(5,)]
    assert not list(environment.path.rglob("copy.db*"))


def test_plan_and_ready_name_invalid_indexes(new_environment: NewEnvironment) -> None:
    environment = with_revisions(new_environment("postgresql"), "a")
    environment.alembic("upgrade", "head")
    query(environment.url, "INSERT INTO a VALUES (1), (1)")
    environment.add_revision(
        "b",
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('ix_a', 'a', ['id'], unique=True, postgresql_concurrently=True)",
    )
    assert environment.alembic("upgrade", "head").returncode == 1
    for command in ("plan", "ready"):
        run = guard(environment, command)
        assert "Index public.ix_a of table a is invalid" in run.stdout + run.stderr
