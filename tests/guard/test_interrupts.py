"""Promises about what ends a migration from outside, servers that hang, and short messages."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import query, tables_of, wait_until
from environments import Environment, NewEnvironment
from test_record import table, with_revisions
from test_retries import ADD, held

ALL = ["sqlite", "postgresql", "mysql"]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def interrupted(environment: Environment, number: int, *arguments: str) -> tuple[int, str]:
    """Upgrade until the revision has made the file ``begun``, and send a signal."""
    begun = environment.path / "begun"
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments, "upgrade", "head"], cwd=environment.path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(begun.exists, "the migration has begun")
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    lines = [line for line in errors.splitlines() if not line.startswith(("Running", "Revision"))]
    return process.returncode, "\n".join(lines)


def begin(environment: Environment) -> str:
    return f"import pathlib, time\npathlib.Path({str(environment.path / 'begun')!r}).touch()\n"


@pytest.mark.parametrize(("number", "status"), SIGNALS)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_signal_rolls_back_and_says_which_revision_in_one_line(
    new_environment: NewEnvironment, kind: str, number: int, status: int
) -> None:
    environment = with_revisions(new_environment(kind), "a")
    environment.add_revision("b", f"{table('b')[0]}\n{begin(environment)}time.sleep(60)")
    found, text = interrupted(environment, number)
    assert found == status
    assert text.startswith("Interrupted: revision b was rolled back.") and "is at a;" in text
    assert "\n" not in text
    assert tables_of(environment.url) == {"a"}


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_a_statement_that_runs(
    new_environment: NewEnvironment, number: int, status: int
) -> None:
    environment = new_environment("postgresql")
    environment.add_revision("a", f"{begin(environment)}op.execute('SELECT pg_sleep(60)')")
    before = time.monotonic()
    found, text = interrupted(environment, number)
    assert time.monotonic() - before < 20
    assert (found, text.count("\n")) == (status, 0)
    assert "revision a was rolled back" in text and "is at base" in text


def test_on_mysql_it_says_what_stands(new_environment: NewEnvironment) -> None:
    environment = with_revisions(new_environment("mysql"), "a")
    environment.add_revision("b", f"{table('b')[0]}\n{begin(environment)}time.sleep(60)")
    found, text = interrupted(environment, signal.SIGTERM)
    assert found == 143
    assert text.startswith("Interrupted in revision b: a part of it is committed")
    assert "is at a: complete or revert it by hand" in text
    assert len(text.splitlines()) == 2


def test_a_signal_while_a_locked_table_is_waited_for(new_environment: NewEnvironment) -> None:
    environment = new_environment("postgresql")
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", begin(environment) + ADD)
    with held(environment):
        found, text = interrupted(environment, signal.SIGTERM)
    assert found == 143
    assert "revision a was rolled back" in text.splitlines()[-1]


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        for each in kept:
            each.close()


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_connecting_to_a_server_that_never_answers_is_bounded(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    with silent_server() as port:
        silent = new_environment(url=environment.url.set(host="127.0.0.1", port=port))
        before = time.monotonic()
        run = silent.alembic("-x", "connect_timeout=2", "current")
        took = time.monotonic() - before
        assert run.returncode == 1
        (line,) = run.stderr.splitlines()
        assert "does not answer" in line
        assert 2 <= took < 9, took  # One attempt, or two to ask why on PostgreSQL.
        before = time.monotonic()
        run = silent.alembic("-x", "connect_timeout=2", "-x", "wait=5", "current")
        assert time.monotonic() - before > 5
        assert run.returncode == 1


def test_connecting_is_bounded_by_10_seconds_without_a_setting() -> None:
    from alembic.config import Config
    from guard import settings

    assert settings.read(Config()).connect_timeout == 10


def test_a_long_statement_is_not_ended_by_the_limit_on_connecting(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment("mysql")
    environment.add_revision("a", "op.execute('DO SLEEP(3)')")
    run = environment.alembic("-x", "connect_timeout=1", "upgrade", "head")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("upgrade head+5", "Relative revision head+5 is out of range"),
        ("upgrade +5", "Relative revision +5 is out of range"),
        ("downgrade -1", "Relative revision -1 is out of range"),
        ("-x lockwait=3 current", "Unknown argument -x lockwait"),
        ("upgrade head", "SQLite cannot alter columns and constraints: write the operation inside"),
    ],
)
def test_a_mistake_is_one_sentence(
    new_environment: NewEnvironment, arguments: str, message: str
) -> None:
    environment = new_environment()
    query(environment.url, "CREATE TABLE held (id integer)")
    environment.add_revision("a", "op.alter_column('held', 'id', type_=sa.BigInteger())")
    run = environment.alembic(*arguments.split())
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()[-1:]
    assert line.startswith("FAILED: ") and message in line


def test_the_last_line_inside_the_revision_is_named_and_the_way_to_a_traceback(
    new_environment: NewEnvironment,
) -> None:
    environment = new_environment()
    environment.add_revision("a", "def part():\n    return {}['nothing']\npart()")
    run = environment.alembic("upgrade", "head")
    assert "FAILED: 000_a.py, line 10: KeyError: 'nothing'" in run.stderr
    assert "alembic --raiseerr" in run.stderr
    assert "Traceback" in environment.alembic("--raiseerr", "upgrade", "head").stderr


def test_a_merge_cannot_be_gone_back_from_by_a_step(new_environment: NewEnvironment) -> None:
    environment = with_revisions(new_environment(), "a", "b", "c")
    versions = environment.path / "migrations/versions"
    c = versions / "002_c.py"
    c.write_text(c.read_text().replace("down_revision = 'b'", "down_revision = 'a'"))
    merge = environment.add_revision("m", "pass")
    merge.write_text(merge.read_text().replace("down_revision = 'c'", "down_revision = ('b', 'c')"))
    assert environment.alembic("upgrade", "head").returncode == 0
    run = environment.alembic("downgrade", "-1")
    assert "joins b and c: name the one to downgrade to" in run.stderr
