"""Promises about migrations that fail, and about data that they must not lose."""

import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Bake, NewDatabase, Project, query, tables_of, wait_until, with_driver
from services import postgresql
from sqlalchemy import URL, Connection, create_engine, text

EXAMPLES = {"customers", "products", "orders", "order_products"}
FAILS_THIRD = (
    "op.create_table('one', sa.Column('id', sa.Integer()))\n"
    "op.create_table('two', sa.Column('id', sa.Integer()))\n"
    "op.execute('nonsense')"
)


@pytest.fixture
def project(bake: Bake) -> Project:
    return bake()


@pytest.fixture
def url(new_database: NewDatabase) -> URL:
    """A SQLite database."""
    return new_database("sqlite")


# All or nothing


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_revision_that_fails_leaves_nothing_and_can_be_mended(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    url = with_driver(new_database(kind))
    revision = project.add_revision("bad", FAILS_THIRD)
    run = project.run("alembic", "upgrade", "head", url=url)
    assert run.returncode == 1
    assert f"FAILED: {revision.name}, line 15: " in run.stderr
    assert tables_of(url) == EXAMPLES
    revision.write_text(revision.read_text().replace("nonsense", "DELETE FROM one"))
    project.succeed("alembic", "upgrade", "head", url=url)
    assert tables_of(url) == EXAMPLES | {"one", "two"}


def test_mysql_is_said_to_be_unable_to_roll_back(
    project: Project, new_database: NewDatabase
) -> None:
    url = with_driver(new_database("mysql"))
    revision = project.add_revision("bad", FAILS_THIRD)
    run = project.run("alembic", "upgrade", "head", url=url)
    assert run.returncode == 1
    assert f"FAILED: {revision.name}, line 15: " in run.stderr
    assert "mysql cannot roll back CREATE, ALTER and DROP" in run.stderr
    assert query(url, "SELECT version_num FROM alembic_version") == [("4f1c2a7be930",)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_revisions_before_the_one_that_fails_are_kept(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    url = with_driver(new_database(kind))
    project.add_revision("good", "op.create_table('good', sa.Column('id', sa.Integer()))")
    project.add_revision("bad", "op.execute('nonsense')")
    assert project.run("alembic", "upgrade", "head", url=url).returncode == 1
    assert tables_of(url) == EXAMPLES | {"good"}
    assert query(url, "SELECT version_num FROM alembic_version") == [("good",)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_migration_that_is_killed_can_be_run_again(
    project: Project, new_database: NewDatabase, tmp_path: Path, kind: str
) -> None:
    url = with_driver(new_database(kind))
    begun = tmp_path / "begun"
    project.add_revision(
        "slow",
        "import pathlib, time\n"
        "op.create_table('slow', sa.Column('id', sa.Integer()))\n"
        f"begun = pathlib.Path({str(begun)!r})\n"
        "if not begun.exists():\n"
        "    begun.touch()\n"
        "    time.sleep(600)",
    )
    process = project.start("alembic", "upgrade", "head", url=url)
    wait_until(begun.exists, "the migration has begun")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    project.succeed("alembic", "upgrade", "head", url=url)
    assert tables_of(url) == EXAMPLES | {"slow"}


def test_a_server_that_stops_in_the_middle_is_named_and_the_migration_can_be_run_again(
    project: Project, tmp_path: Path
) -> None:
    project.add_revision(
        "slow",
        "import pathlib, time\n"
        "op.create_table('slow', sa.Column('id', sa.Integer()))\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / 'begun').touch()\n"
        "while not (folder / 'go').exists():\n"
        "    time.sleep(0.02)\n"
        "op.create_table('more', sa.Column('id', sa.Integer()))",
    )
    with postgresql() as server:
        url = with_driver(server.url)
        process = project.start("alembic", "upgrade", "head", url=url)
        wait_until((tmp_path / "begun").exists, "the migration has begun")
        server.stop()
        (tmp_path / "go").touch()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "Traceback" not in output
        assert f"at 127.0.0.1:{url.port} does not answer any more" in output
        server.start()
        project.succeed("alembic", "upgrade", "head", url=url)
        assert tables_of(url) == EXAMPLES | {"slow", "more"}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_autocommit_block_in_the_middle_keeps_the_rest_together(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    url = with_driver(new_database(kind))
    project.add_revision(
        "block",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE INDEX ix_block ON products (price)')",
    )
    project.add_revision("bad", FAILS_THIRD)
    assert project.run("alembic", "upgrade", "head", url=url).returncode == 1
    assert tables_of(url) == EXAMPLES
    assert query(url, "SELECT version_num FROM alembic_version") == [("block",)]


def test_a_full_disk_is_explained_and_rolled_back(project: Project, url: URL) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    project.add_revision(
        "large",
        "op.create_table('large', sa.Column('text', sa.Text()))\n"
        'op.execute("INSERT INTO large VALUES (hex(randomblob(2000000)))")',
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        process = project.start("alembic", "upgrade", "head", url=url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert f"There is no space left for {url.database}" in output
    assert tables_of(url) == EXAMPLES
    project.succeed("alembic", "upgrade", "head", url=url)


# No data lost


ALTER_CUSTOMERS = (
    "with op.batch_alter_table('customers') as batch:\n"
    "    batch.alter_column('name', type_=sa.String(80), existing_type=sa.Text())"
)


def test_copying_a_parent_table_keeps_every_child_row(project: Project, url: URL) -> None:
    project.replace(
        "src/my_shop/models/example.py",
        'ForeignKey("customers.id")',
        'ForeignKey("customers.id", ondelete="CASCADE")',
    )
    (first,) = project.versions.glob("*.py")
    first.write_text(
        first.read_text().replace(
            'name=op.f("fk_orders_customer_id")',
            'name=op.f("fk_orders_customer_id"), ondelete="CASCADE"',
        )
    )
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "INSERT INTO customers (id, name, email) VALUES (1, 'Ada', 'a@b.c')")
    query(url, "INSERT INTO orders (id, customer_id) VALUES (1, 1), (2, 1)")
    project.add_revision("alter", ALTER_CUSTOMERS)
    project.succeed("alembic", "upgrade", "head", url=url)
    assert query(url, "SELECT count(*) FROM orders") == [(2,)]


def test_a_violated_foreign_key_is_rolled_back_and_named(project: Project, url: URL) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "INSERT INTO customers (id, name, email) VALUES (1, 'Ada', 'a@b.c')")
    query(url, "INSERT INTO orders (id, customer_id) VALUES (7, 1)")
    project.add_revision("bad", "op.execute('DELETE FROM customers')")
    run = project.run("alembic", "upgrade", "head", url=url)
    assert run.returncode == 1
    assert "Row 7 of table orders refers to a row that table customers does not have" in run.stderr
    assert query(url, "SELECT count(*) FROM customers") == [(1,)]


def test_triggers_views_and_expression_indexes_survive_the_copy_of_a_table(
    project: Project, url: URL
) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "CREATE INDEX ix_lower ON customers (lower(name))")
    query(url, "CREATE VIEW names AS SELECT name FROM customers")
    query(
        url,
        "CREATE TRIGGER no_empty_name BEFORE INSERT ON customers WHEN new.name = '' "
        "BEGIN SELECT raise(ABORT, 'empty'); END",
    )
    project.add_revision("alter", ALTER_CUSTOMERS)
    project.succeed("alembic", "upgrade", "head", url=url)
    names = query(url, "SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger')")
    assert {("ix_lower",), ("no_empty_name",)} <= set(names)
    assert query(url, "SELECT name FROM names") == []


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT", "would lose AUTOINCREMENT"),
        ("id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE", "would lose the COLLATE of name"),
        ("id INTEGER PRIMARY KEY, name TEXT CHECK (name <> '')", "would lose a CHECK"),
    ],
)
def test_what_a_copied_table_would_lose_is_said_before_it_happens(
    project: Project, url: URL, definition: str, message: str
) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, f"CREATE TABLE old ({definition})")
    before = query(url, "SELECT sql FROM sqlite_master WHERE name = 'old'")
    project.add_revision("alter", ALTER_CUSTOMERS.replace("customers", "old"))
    run = project.run("alembic", "upgrade", "head", url=url)
    assert run.returncode == 1
    assert message in run.stderr
    assert query(url, "SELECT sql FROM sqlite_master WHERE name = 'old'") == before


def test_what_the_message_says_keeps_autoincrement(project: Project, url: URL) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "CREATE TABLE old (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
    project.add_revision(
        "alter",
        ALTER_CUSTOMERS.replace(
            "'customers'", "'old', table_kwargs={'sqlite_autoincrement': True}"
        ),
    )
    project.succeed("alembic", "upgrade", "head", url=url)
    ((sql,),) = query(url, "SELECT sql FROM sqlite_master WHERE name = 'old'")
    assert "AUTOINCREMENT" in sql


# Bounded locks


@pytest.fixture
def lock_products(
    project: Project, new_database: NewDatabase
) -> Iterator[Callable[[str], tuple[URL, Connection]]]:
    """A function that migrates a database and then keeps its table products locked."""
    connections = []

    def lock(kind: str) -> tuple[URL, Connection]:
        url = with_driver(new_database(kind))
        project.succeed("alembic", "upgrade", "head", url=url)
        connection = create_engine(url).connect()
        connections.append(connection)
        connection.execute(text("INSERT INTO products (name, price) VALUES ('tea', 1)"))
        return url, connection

    yield lock
    for connection in connections:
        connection.close()
        connection.engine.dispose()


@pytest.mark.parametrize(
    ("kind", "session"),
    [("postgresql", "SELECT pg_backend_pid()"), ("mysql", "SELECT CONNECTION_ID()")],
)
def test_a_busy_table_is_given_up_and_its_holder_is_named(
    project: Project,
    lock_products: Callable[[str], tuple[URL, Connection]],
    kind: str,
    session: str,
) -> None:
    url, holder = lock_products(kind)
    number = holder.scalar(text(session))
    project.add_revision("alter", "op.add_column('products', sa.Column('stock', sa.Integer()))")
    run = project.run(
        "alembic", "-x", "lock_timeout=1", "-x", "retry_for=0", "upgrade", "head", url=url
    )
    assert run.returncode == 1
    failed = run.stderr.splitlines()[1]
    assert "A table stayed locked by another session" in failed
    assert f"{'pid' if kind == 'postgresql' else 'connection'} {number} (" in failed
    assert "started 20" in failed
    holder.rollback()
    project.succeed("alembic", "upgrade", "head", url=url)


def test_a_busy_sqlite_file_is_explained(project: Project, url: URL) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    project.add_revision("data", "op.execute('DELETE FROM products')")
    reader = sqlite3.connect(str(url.database), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM products").fetchall()
    run = project.run(
        "alembic", "-x", "lock_timeout=1", "-x", "retry_for=0", "upgrade", "head", url=url
    )
    assert run.returncode == 1
    assert f"{url.database} stayed locked by another program" in run.stderr
    reader.close()
    project.succeed("alembic", "upgrade", "head", url=url)


def test_an_idle_application_does_not_block_a_migration(project: Project, url: URL) -> None:
    with sqlite3.connect(str(url.database)) as application:
        application.execute("PRAGMA journal_mode = WAL")
        application.execute("SELECT * FROM sqlite_master").fetchall()
        project.succeed(
            "alembic", "-x", "lock_timeout=1", "-x", "retry_for=0", "upgrade", "head", url=url
        )
    application.close()


@pytest.mark.parametrize("statement", ["DROP TRIGGER mine", "DROP INDEX ix_lower"])
def test_what_survived_the_copy_of_a_table_can_be_dropped_in_the_same_revision(
    project: Project, url: URL, statement: str
) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "CREATE INDEX ix_lower ON customers (lower(name))")
    query(url, "CREATE TRIGGER mine AFTER INSERT ON customers BEGIN SELECT 1; END")
    project.add_revision("alter", f"{ALTER_CUSTOMERS}\nop.execute('{statement}')")
    project.succeed("alembic", "upgrade", "head", url=url)
    names = query(url, "SELECT name FROM sqlite_master WHERE name IN ('mine', 'ix_lower')")
    assert len(names) == 1


# Exit 0 means applied


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_a_statement_before_the_transaction_cannot_lose_the_migration(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    url = with_driver(new_database(kind))
    project.replace(
        "migrations/env.py",
        "        context.configure(\n            connection",
        '        connection.exec_driver_sql("SELECT 1")\n'
        "        context.configure(\n            connection",
    )
    run = project.run("alembic", "upgrade", "head", url=url)
    assert run.returncode == 1
    assert "env.py ran a statement before the migrations" in run.stderr
    assert tables_of(url) == set()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_a_revision_number_that_was_not_saved_is_an_error(
    project: Project, new_database: NewDatabase, kind: str
) -> None:
    url = with_driver(new_database(kind))
    project.succeed("alembic", "upgrade", "head", url=url)
    project.add_revision("lost", "op.get_bind().engine._lost = op.get_bind()")
    project.replace(
        "migrations/env.py",
        "context.run_migrations()\n\n\ndef configure_logging",
        "context.run_migrations()\n"
        "            connection.exec_driver_sql(\"UPDATE alembic_version SET version_num = 'x'\")\n"
        "            connection.commit()\n\n\n"
        "def configure_logging",
    )
    run = project.run("alembic", "upgrade", "head", url=url)
    assert run.returncode == 1
    assert "The migrations ended at ['lost'], but they were not saved" in run.stderr
    assert "['x']" in run.stderr
