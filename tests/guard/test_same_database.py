"""Promises about two names that lead to one database, whatever their URLs look like."""

import os
import time
from pathlib import Path

import pytest
from conftest import NewDatabase, tables_of, with_driver
from guard import databases
from several_environments import NewSeveral
from sqlalchemy import URL, create_engine

CREATE = "op.create_table('one', sa.Column('id', sa.Integer()))"
ALL = ["sqlite", "postgresql", "mysql"]


def other_url(url: URL, folder: Path) -> URL:
    """Return another URL of the same database."""
    if url.get_backend_name() == "sqlite":
        open(str(url.database), "a").close()
        os.symlink(str(url.database), folder / "link.db")
        return url.set(database=str(folder / "link.db"))
    return url.set(host="localhost" if url.host == "127.0.0.1" else "127.0.0.1")


@pytest.mark.parametrize("kind", ALL)
def test_one_database_under_two_names_is_refused_at_once(
    new_several: NewSeveral, new_database: NewDatabase, tmp_path: Path, kind: str
) -> None:
    url = with_driver(new_database(kind))
    environment = new_several(
        "shared_history", urls={"main": url, "analytics": other_url(url, tmp_path)}
    )
    environment.add_revision("one", upgrade_main=CREATE, upgrade_analytics=CREATE)
    begin = time.monotonic()
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 1
    assert "FAILED: analytics and main are the same database, " in run.stderr
    assert time.monotonic() - begin < 20
    assert tables_of(url) == set()


@pytest.mark.parametrize("kind", ALL)
def test_two_databases_of_a_server_are_not_the_same(new_database: NewDatabase, kind: str) -> None:
    urls = [with_driver(new_database(kind)) for _ in range(2)]
    engines = [create_engine(url) for url in urls]
    with engines[0].connect() as one, engines[1].connect() as other, engines[0].connect() as again:
        known = databases.of(one.dialect.name)
        assert not known.is_same_database(one, other)
        assert known.is_same_database(one, again) or kind == "sqlite"
        assert not one.in_transaction()
        assert not other.in_transaction()
    for engine in engines:
        engine.dispose()


def test_two_databases_in_memory_are_not_the_same() -> None:
    with create_engine("sqlite://").connect() as one, create_engine("sqlite://").connect() as other:
        assert not databases.of("sqlite").is_same_database(one, other)


@pytest.mark.parametrize("kind", ALL)
def test_the_history_that_a_database_belongs_to_is_named(
    new_several: NewSeveral, new_database: NewDatabase, tmp_path: Path, kind: str
) -> None:
    url = with_driver(new_database(kind))
    urls = {"main": url, "analytics": other_url(url, tmp_path)}
    environment = new_several("several", urls=urls)
    environment.add_revision("one", "main", upgrade=CREATE)
    environment.add_revision("two", "analytics")
    assert environment.alembic("--name", "main", "upgrade", "head").returncode == 0
    run = environment.alembic("--name", "analytics", "upgrade", "head")
    assert run.returncode == 1
    assert (
        "is at revision 'one' of the history main. Give main and analytics a database each."
        in run.stderr
    )
    assert "stamp" not in run.stderr
