"""Promises about a schema as text: every part of it is seen, and what does not count is not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import NewDatabase, with_driver
from guard.proof import queries
from guard.proof.schema import schema
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.engine.mock import MockConnection

ALL = ["sqlite", "postgresql", "mysql"]

# A change, which is seen as another text, and what that text names.
CHANGES = {
    "a column": (ALL, "ALTER TABLE t ADD b INTEGER", "t.b"),
    "a default": (ALL, "ALTER TABLE t ADD b INTEGER DEFAULT 7", "DEFAULT"),
    "an index": (ALL, "CREATE INDEX ix ON t (a)", "ix"),
    "a unique index": (ALL, "CREATE UNIQUE INDEX ix ON t (a)", "ix"),
    "a view": (ALL, "CREATE VIEW v AS SELECT a FROM t", "view v"),
    "a table": (ALL, "CREATE TABLE u (a INTEGER)", "u.a"),
    "a foreign key": (
        ALL,
        "CREATE TABLE u (a INTEGER, CONSTRAINT fk FOREIGN KEY (a) REFERENCES t (id))",
        "foreign key",
    ),
    "a check": (ALL, "CREATE TABLE u (a INTEGER, CONSTRAINT ck CHECK (a > 1))", "ck"),
    "a unique constraint": (ALL, "CREATE TABLE u (a INTEGER, CONSTRAINT uq UNIQUE (a))", "unique"),
    "a schema": (["postgresql"], "CREATE SCHEMA other", "schema other"),
    "a table in another schema": (
        ["postgresql"],
        "CREATE SCHEMA other; CREATE TABLE other.t (x INTEGER)",
        "other.t.x",
    ),
    "a sequence": (["postgresql"], "CREATE SEQUENCE s", "sequence s"),
    "an enum": (["postgresql"], "CREATE TYPE e AS ENUM ('x')", "enum e 'x'"),
    "a comment": (["postgresql"], "COMMENT ON TABLE t IS 'what it is for'", "what it is for"),
    "the comment of a table": (["mysql"], "ALTER TABLE t COMMENT 'what it is for'", "what it is"),
    "a procedure": (["mysql"], "CREATE PROCEDURE p() SELECT 1", "PROCEDURE p"),
    "a trigger": (
        ["sqlite"],
        "CREATE TRIGGER tr AFTER DELETE ON t BEGIN SELECT 1; END",
        "trigger tr",
    ),
    "a collation": (["sqlite"], "ALTER TABLE t ADD b TEXT COLLATE NOCASE", "COLLATE NOCASE"),
    "a table without rowid": (
        ["sqlite"],
        "CREATE TABLE u (a INTEGER PRIMARY KEY) WITHOUT ROWID",
        "WITHOUT ROWID",
    ),
}


@contextmanager
def one_table(url: URL) -> Iterator[Connection]:
    """Connect to an empty database and create a table."""
    engine = create_engine(with_driver(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL)"))
        yield connection
    engine.dispose()


@pytest.mark.parametrize("kind", ALL)
def test_every_change_is_seen_and_named(kind: str, new_database: NewDatabase) -> None:
    missed = {}
    for change, (kinds, statement, named) in CHANGES.items():
        if kind not in kinds:
            continue
        with one_table(new_database(kind)) as connection:
            before = schema(connection)
            for part in [statement] if "BEGIN" in statement else statement.split(";"):
                connection.execute(text(part))
            added = schema(connection) - before
        if not any(named.lower() in line.lower() for line in added):
            missed[change] = added
    assert not missed


@pytest.mark.parametrize("kind", ALL)
def test_a_column_that_comes_back_last_is_no_change(kind: str, new_database: NewDatabase) -> None:
    with one_table(new_database(kind)) as connection:
        for column in ("b", "c"):
            connection.execute(text(f"ALTER TABLE t ADD {column} INTEGER"))
        before = schema(connection)
        connection.execute(text("ALTER TABLE t DROP COLUMN b"))
        assert schema(connection) < before
        connection.execute(text("ALTER TABLE t ADD b INTEGER"))
        assert schema(connection) == before


def test_a_name_in_quotes_is_the_same_name(new_database: NewDatabase) -> None:
    lines = []
    for name in ('"ix"', "ix", "`ix`"):
        with one_table(new_database("sqlite")) as connection:
            connection.execute(text(f"CREATE INDEX {name} ON t (a)"))
            lines.append(schema(connection))
    assert lines[0] == lines[1] == lines[2]


def test_casts_of_a_list_and_of_its_members_are_the_same() -> None:
    known = queries.of("postgresql")
    as_a_whole = "CHECK (kind = ANY ((ARRAY['a'::character varying])::text[]))"
    each_member = "CHECK (kind = ANY (ARRAY[('a'::character varying)::text]))"
    assert known.normalized(as_a_whole) == known.normalized(each_member)


def test_an_unknown_kind_of_database_is_an_error_that_names_it() -> None:
    connection = MockConnection(make_url("oracle://").get_dialect()(), lambda *_: None)
    with pytest.raises(NotImplementedError, match="not oracle"):
        schema(connection)  # type: ignore[arg-type]
