"""Promises about several processes that migrate one database at once."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import (
    Bake,
    NewDatabase,
    Project,
    query,
    stop_at_gate,
    tables_of,
    wait_until,
    with_driver,
)
from services import galera_cluster, pgbouncer
from sqlalchemy import URL

KINDS = ["sqlite", "postgresql", "mysql"]


@pytest.fixture
def project(bake: Bake) -> Project:
    """A project with six revisions: create, alter and data."""
    project = bake()
    project.add_revision(
        "b1",
        "with op.batch_alter_table('products') as batch:\n"
        "    batch.add_column(sa.Column('stock', sa.Integer(), server_default='0'))",
    )
    project.add_revision("b2", "op.execute(\"INSERT INTO products (name, price) VALUES ('a', 1)\")")
    project.add_revision("b3", "op.create_table('extra', sa.Column('id', sa.Integer()))")
    project.add_revision("b4", "op.execute('INSERT INTO extra (id) VALUES (1)')")
    project.add_revision("b5", "op.execute('UPDATE products SET price = price + 1')")
    return project


def race(project: Project, url: URL, processes: int, *arguments: str) -> str:
    """Upgrade with many processes at once, and return all that they print.

    :raises AssertionError: unless all succeed and each revision ran once.
    """
    runs = project.run_at_once(*[["alembic", *arguments, "upgrade", "head"]] * processes, url=url)
    output = "".join(run.stdout + run.stderr for run in runs)
    assert [run.returncode for run in runs] == [0] * processes, output
    assert output.count("Running upgrade") == len(list(project.versions.glob("*.py")))
    return output


@pytest.mark.parametrize("kind", KINDS)
def test_eight_processes_apply_each_revision_once(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    for _ in range(2):
        url = with_driver(new_database(kind))
        race(project, url, 8)
        assert query(url, "SELECT price FROM products") == [(2,)]
        assert query(url, "SELECT count(*) FROM extra") == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 8, 16, 32])
@pytest.mark.parametrize("kind", KINDS)
def test_many_processes_apply_each_revision_once_in_ten_rounds(
    project: Project, new_database: NewDatabase, kind: str, processes: int
) -> None:
    for _ in range(10):
        race(project, with_driver(new_database(kind)), processes)


def test_an_index_is_built_concurrently_while_others_wait(
    project: Project, new_database: NewDatabase
) -> None:
    project.add_revision(
        "c1",
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('ix_slow', 'extra', ['id'], postgresql_concurrently=True)",
    )
    project.add_revision("c2", "op.create_table('after', sa.Column('id', sa.Integer()))")
    race(project, new_database("postgresql"), 8)


def test_processes_take_turns_behind_pgbouncer_in_transaction_mode(
    project: Project, new_database: NewDatabase, tmp_path: Path
) -> None:
    project.add_revision(
        "c1",
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('ix_slow', 'extra', ['id'], postgresql_concurrently=True)",
    )
    with pgbouncer(new_database("postgresql")) as url:
        race(project, url, 8)
        assert "extra" in tables_of(url)


def test_each_node_of_a_galera_cluster_is_refused_in_one_sentence(
    project: Project, tmp_path: Path
) -> None:
    with galera_cluster(size=3) as nodes:
        for url in map(with_driver, nodes):
            run = project.run("alembic", "upgrade", "head", url=url)
            assert run.returncode == 1
            (sentence,) = run.stderr.splitlines()
            assert "belongs to a Galera cluster" in sentence
            assert "-x lock=off" in sentence
            assert tables_of(url) == set()
        project.succeed("alembic", "-x", "lock=off", "upgrade", "head", url=with_driver(nodes[1]))
        assert "extra" in tables_of(nodes[2])


@pytest.fixture
def gate(project: Project, tmp_path: Path) -> Path:
    """A revision that stops in its middle, and the folder where it says so and waits."""
    project.add_revision("d1", stop_at_gate(tmp_path))
    return tmp_path


@pytest.fixture(params=KINDS)
def holder(
    request: pytest.FixtureRequest, project: Project, gate: Path, new_database: NewDatabase
) -> Iterator[tuple[subprocess.Popen[str], URL]]:
    """A process that is in the middle of a migration, and the database."""
    url = with_driver(new_database(request.param))
    process = project.start("alembic", "upgrade", "head", url=url)
    wait_until((gate / "begun").exists, "the migration has begun")
    yield process, url
    process.kill()
    process.communicate()


def test_a_killed_migration_frees_the_lock(
    project: Project, gate: Path, holder: tuple[subprocess.Popen[str], URL]
) -> None:
    process, url = holder
    waiting = project.start("alembic", "upgrade", "head", url=url)
    os.kill(process.pid, signal.SIGKILL)
    (gate / "begun").unlink()
    (gate / "go").touch()
    output, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, output
    project.succeed("alembic", "current", "--check-heads", url=url)


def test_waiting_says_so_once_and_ends(
    project: Project, holder: tuple[subprocess.Popen[str], URL]
) -> None:
    _, url = holder
    run = project.run("alembic", "-x", "lock_wait=0.5", "upgrade", "head", url=url)
    assert run.returncode == 1
    waiting, failed = run.stderr.splitlines()
    assert waiting.startswith("Waiting up to 0.5 s for a")
    assert failed.startswith("FAILED: Timed out after 0.5 s waiting for a")
    assert "-x lock_wait=SECONDS" in failed


def test_a_caller_in_line_goes_on_when_its_turn_comes(
    project: Project, gate: Path, holder: tuple[subprocess.Popen[str], URL]
) -> None:
    process, url = holder
    waiting = project.start("alembic", "upgrade", "head", url=url)
    (gate / "go").touch()
    assert waiting.communicate(timeout=120) is not None
    assert waiting.returncode == 0
    assert process.wait() == 0
