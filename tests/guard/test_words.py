"""Promises about what is said when a revision fails, and about a schema for each tenant."""

import pytest
from conftest import query
from environments import Environment, NewEnvironment
from test_writing import ALL

TABLE = 'op.create_table("t", sa.Column("a", sa.Integer), sa.Column("email", sa.String(50)))'


def fails(environment: Environment, *arguments: str) -> str:
    run = environment.alembic(*arguments)
    assert run.returncode == 1, run.stdout
    (said,) = [run.stderr[run.stderr.index("FAILED:") :]]
    assert "Traceback" not in said
    return said


def succeed(environment: Environment, *arguments: str) -> None:
    run = environment.alembic(*arguments)
    assert run.returncode == 0, run.stderr


def test_a_merge_that_cannot_be_reverted_by_steps_is_named(new_environment: NewEnvironment) -> None:
    environment = new_environment()
    environment.add_revision("start", "pass")
    for name in ("left", "right"):
        path = environment.add_revision(name, "pass")
        path.write_text(path.read_text().replace("'left'\n\n\ndef", "'start'\n\n\ndef"))
    path = environment.add_revision("joined", "pass")
    path.write_text(path.read_text().replace("= 'right'\n\n\n", "= ('left', 'right')\n\n\n"))
    succeed(environment, "upgrade", "head")
    said = fails(environment, "downgrade", "-1")
    assert "Revision joined joins left and right" in said
    assert "alembic downgrade left" in said


def test_detail_and_hint_are_said_without_values_of_rows(new_environment: NewEnvironment) -> None:
    environment = new_environment("postgresql")
    environment.add_revision("one", TABLE)
    succeed(environment, "upgrade", "head")
    query(environment.url, "CREATE VIEW v AS SELECT email FROM t")
    query(environment.url, "INSERT INTO t VALUES (1, 'me@example.com'), (2, 'me@example.com')")
    environment.add_revision("two", 'op.drop_column("t", "email")')
    said = fails(environment, "upgrade", "head")
    assert "Detail: view v depends on column email of table t" in said
    assert "Hint: Use DROP ... CASCADE" in said
    query(environment.url, "DROP VIEW v")
    two = next(environment.path.glob("migrations/versions/*two.py"))
    two.write_text(
        two.read_text().replace(
            'op.drop_column("t", "email")', 'op.create_unique_constraint("uq", "t", ["email"])'
        )
    )
    said = fails(environment, "upgrade", "head")
    assert "Several rows have the same key" in said
    assert "Detail: Key (email) is duplicated." in said
    assert "me@example" not in said
    assert "me@example" in fails(environment, "-x", "show_values=on", "upgrade", "head")
    two.write_text(
        two.read_text().replace(
            'op.create_unique_constraint("uq", "t", ["email"])',
            'op.create_check_constraint("ck", "t", "a > 5")\n'
            '    op.execute("UPDATE t SET a = email::integer")',
        )
    )
    said = fails(environment, "upgrade", "head")
    assert "me@example" not in said


@pytest.mark.parametrize("kind", ALL)
def test_duplicates_under_a_new_key_are_explained(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    environment.add_revision("one", TABLE)
    succeed(environment, "upgrade", "head")
    query(environment.url, "INSERT INTO t VALUES (1, 'me@example.com'), (2, 'me@example.com')")
    environment.add_revision("two", 'op.create_index("uq", "t", ["email"], unique=True)')
    said = fails(environment, "upgrade", "head")
    assert "Several rows have the same key: change or delete them first" in said
    assert "me@example" not in said


@pytest.mark.parametrize("end", ["all()", "fetchone()[0]", "scalars().first()"])
def test_a_revision_that_reads_rows_under_sql_is_told_how(
    new_environment: NewEnvironment, end: str
) -> None:
    environment = new_environment("postgresql")
    environment.add_revision("one", f'op.get_bind().execute(sa.text("SELECT 1")).{end}')
    succeed(environment, "upgrade", "head")
    said = fails(environment, "upgrade", "head", "--sql")
    assert "000_one.py, line 9" in said
    assert "if not context.is_offline_mode():" in said


def test_run_async_is_told_what_to_write(new_environment: NewEnvironment) -> None:
    environment = new_environment()
    environment.add_revision("one", "async def work(c): pass\nop.run_async(work)")
    said = fails(environment, "upgrade", "head")
    assert "op.run_async() needs an asynchronous driver" in said
    assert "function(op.get_bind())" in said


TENANTS = """
from alembic import context
from sqlalchemy import make_url, MetaData, text

import guard

target_metadata = MetaData()


def database_url(given=None, fallback=None):
    return make_url(given or {url!r})


with guard.explained():
    with guard.connect(database_url) as connection:
        for tenant in ("t1", "t2"):
            {choose}
            context.configure(
                connection=connection, target_metadata=target_metadata,
                **guard.options(connection, target_metadata),
            )
            with guard.serialized(), context.begin_transaction():
                context.run_migrations()
"""
SEARCH_PATH = """connection.execute(text(f'SET search_path TO "{tenant}"'))
            connection.commit()
            connection.dialect.default_schema_name = tenant"""


def test_each_tenant_has_a_schema(new_environment: NewEnvironment) -> None:
    environment = new_environment("postgresql")
    env = environment.path / "migrations" / "env.py"
    url = repr(environment.url.render_as_string(hide_password=False))
    env.write_text(TENANTS.replace("{url!r}", url).replace("{choose}", SEARCH_PATH))
    for tenant in ("t1", "t2"):
        query(environment.url, f"CREATE SCHEMA {tenant}")
    environment.add_revision("one", TABLE, 'op.drop_table("t")')
    succeed(environment, "upgrade", "head")
    found = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN "
    expected = [
        (f"t{n}", name) for n in (1, 2) for name in ("alembic_history", "alembic_version", "t")
    ]
    assert sorted(query(environment.url, found + "('t1', 't2', 'public')")) == expected
    environment.add_revision("two", 'op.add_column("t", sa.Column("b", sa.Integer))')
    succeed(environment, "upgrade", "head")
    query(
        environment.url, "SELECT b FROM t1.t, t2.t AS other".replace("SELECT b", "SELECT other.b")
    )
    # A revision that saves nothing is still found out.
    environment.add_revision("three", "op.get_bind().rollback()")
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 1, run.stderr
