"""Promises about tables that SQLite copies: what the copy would not have stops the migration."""

import pytest
from conftest import query
from environments import Environment, NewEnvironment
from sqlalchemy import create_engine, text

ALTER = "with op.batch_alter_table('Child'{options}) as batch:\n    batch.{operation}"
NULLABLE = "alter_column('n', existing_type=sa.Text(), nullable=True)"

PARENT = 'CREATE TABLE "Parent" (id INTEGER PRIMARY KEY, code TEXT UNIQUE)'


def child(environment: Environment, columns: str, rest: str = "") -> str:
    """Create the table that is copied, and return its definition."""
    query(environment.url, PARENT)
    query(environment.url, f'CREATE TABLE "Child" (id INTEGER PRIMARY KEY, {columns}) {rest}')
    return definition(environment)


def definition(environment: Environment) -> str:
    (row,) = query(environment.url, "SELECT sql FROM sqlite_master WHERE name = 'Child'")
    return str(row[0])


def copy(environment: Environment, operation: str = NULLABLE, options: str = "") -> str:
    """Copy the table, and return what a person reads about it, or nothing."""
    environment.add_revision("copy", ALTER.format(operation=operation, options=options))
    run = environment.alembic("upgrade", "head")
    assert (run.returncode == 0) == (run.stderr == ""), run.stderr
    return run.stderr


def is_short(message: str) -> bool:
    lines = message.splitlines()
    return len(lines) <= 2


@pytest.fixture
def environment(new_environment: NewEnvironment) -> Environment:
    made = new_environment()
    made.ini.write_text(made.ini.read_text().replace("level = INFO", "level = WARNING"))
    return made


N = "n TEXT NOT NULL"
LOST = [
    # Foreign keys of a column
    (f"{N}, p INT REFERENCES Parent(id) ON DELETE CASCADE", "ON DELETE CASCADE of p"),
    (f"{N}, p INT REFERENCES Parent ON DELETE SET NULL", "ON DELETE SET NULL of p"),
    (f"{N}, p INT references 'Parent'(id) on update cascade", "ON UPDATE CASCADE of p"),
    (
        f"{N}, p INT REFERENCES Parent(id) DEFERRABLE INITIALLY DEFERRED",
        "DEFERRABLE INITIALLY DEFERRED of p",
    ),
    (f"{N}, p TEXT REFERENCES Parent(code) MATCH FULL", "MATCH FULL of p"),
    (f"{N}, p INT CONSTRAINT fk_Child_p REFERENCES Parent(id)", "the name fk_Child_p of p"),
    # In comments, in another order, and with quotes
    (
        (f'{N}, "P q" INT /* of (its */ NULL REFERENCES [Parent] -- ) parent\n'
        '(`id`) ON UPDATE NO ACTION ON DELETE CASCADE'),
        "ON DELETE CASCADE of P q",
    ),
    # Unique constraints, primary keys, NOT NULL
    ("n TEXT NOT NULL UNIQUE ON CONFLICT REPLACE", "UNIQUE ON CONFLICT REPLACE of n"),
    (f"{N}, UNIQUE (n) ON CONFLICT IGNORE", "UNIQUE ON CONFLICT IGNORE of n"),
    (f"{N}, a INT, UNIQUE (a COLLATE NOCASE, n)", "UNIQUE A COLLATE NOCASE of a, n"),
    (f"{N}, a INT CONSTRAINT uq_a UNIQUE", "UNIQUE uq_a of a"),
    (f"{N}, a INT NOT NULL ON CONFLICT IGNORE", "NOT NULL ON CONFLICT IGNORE of a"),
    # CHECK, COLLATE
    (f"{N} CHECK (n <> '')", "a CHECK that has no name"),
    (f"{N}, CHECK (n NOT IN (',', '(')), CONSTRAINT ok CHECK (n > 'a')", "a CHECK that has no name"),
    ("n TEXT COLLATE RTRIM NOT NULL", "the COLLATE of n"),
    (f"{N}, a NUMERIC(10, 2) COLLATE NOCASE", "the COLLATE of a"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "said"), LOST)
def test_what_a_copy_would_not_have_stops_the_migration(
    environment: Environment, columns: str, said: str
) -> None:
    before = child(environment, columns)
    message = copy(environment)
    assert f"Table Child would lose {said}" in message
    assert is_short(message), message
    assert definition(environment) == before


@pytest.mark.parametrize("option", ["STRICT", "WITHOUT ROWID"])
def test_an_option_of_a_table_is_not_lost(environment: Environment, option: str) -> None:
    before = child(environment, "n TEXT NOT NULL", option)
    message = copy(environment)
    kept = option in definition(environment).upper()
    assert kept or f"Table Child would lose {option}" in message
    assert kept or definition(environment) == before


def test_a_clause_is_not_lost_when_its_column_is_renamed(environment: Environment) -> None:
    child(
        environment, "n TEXT COLLATE NOCASE NOT NULL, p INT REFERENCES Parent(id) ON DELETE CASCADE"
    )
    message = copy(environment, "alter_column('n', new_column_name='m', existing_type=sa.Text())")
    assert "Table Child would lose the COLLATE of m" in message or "ON DELETE CASCADE" in message
    environment.add_revision("other", "pass")


def test_a_renamed_column_keeps_its_collation(environment: Environment) -> None:
    child(environment, "n TEXT COLLATE NOCASE NOT NULL")
    message = copy(
        environment,
        "alter_column('n', new_column_name='m', existing_type=sa.Text(), nullable=True)",
    )
    assert "Table Child would lose the COLLATE of m" in message


KEPT = [
    "n TEXT NOT NULL UNIQUE, a INT, UNIQUE (n, a)",
    'n TEXT NOT NULL, p INT REFERENCES "Parent" (id)',
    'n TEXT NOT NULL, p INT REFERENCES "Parent"',
    'n TEXT NOT NULL, p INT REFERENCES "Parent" (id) ON DELETE NO ACTION NOT DEFERRABLE',
    'n TEXT NOT NULL, p INT, FOREIGN KEY (p) REFERENCES "Parent" (id) ON DELETE CASCADE',
    (
        'n TEXT NOT NULL, p INT, CONSTRAINT fk_p FOREIGN KEY (p) REFERENCES "Parent" (id) '
        "ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED"
    ),
    'n TEXT NOT NULL, up INT REFERENCES "Child" (id)',
    "n TEXT NOT NULL, CONSTRAINT ck_n CHECK (n <> ''), CONSTRAINT uq_n UNIQUE (n)",
    "n TEXT NOT NULL DEFAULT 'CHECK (1), COLLATE', a INT DEFAULT (1 + 2), b INT DEFAULT -1",
    '"n" TEXT NOT NULL, "check" INT, "unique" TEXT, [references] INT',
]


@pytest.mark.parametrize("columns", KEPT)
def test_what_a_copy_has_is_no_reason_to_stop(environment: Environment, columns: str) -> None:
    before = child(environment, columns)
    query(environment.url, 'INSERT INTO "Parent" (id) VALUES (1)')
    query(environment.url, "INSERT INTO \"Child\" (id, n) VALUES (1, 'x')")
    assert copy(environment) == ""
    assert definition(environment) != before
    assert query(environment.url, 'SELECT count(*) FROM "Child"') == [(1,)]


DROPPED = [
    ("n TEXT NOT NULL, CONSTRAINT uq_n UNIQUE (n)", "drop_constraint('uq_n')", ""),
    ("n TEXT NOT NULL, CONSTRAINT ck_n CHECK (n <> '')", "drop_constraint('ck_n')", ""),
    (
        'n INT, CONSTRAINT fk_n FOREIGN KEY (n) REFERENCES "Parent" (id) ON DELETE CASCADE',
        "drop_constraint('fk_n')", "",
    ),
    (
        "n TEXT UNIQUE", "drop_constraint('uq_Child_n')",
        ", naming_convention={'uq': 'uq_%(table_name)s_%(column_0_name)s'}",
    ),
    ("n TEXT NOT NULL UNIQUE ON CONFLICT REPLACE, a INT", "drop_column('n')", ""),
    ("n TEXT COLLATE NOCASE CHECK (n <> ''), a INT", "drop_column('n')", ""),
    ('n INT REFERENCES "Parent" (id) ON DELETE CASCADE, a INT', "drop_column('n')", ""),
    ("n TEXT COLLATE NOCASE", "alter_column('n', type_=sa.Text(collation='BINARY'))", ""),
    (
        "n TEXT CHECK (n IN ('a', 'b'))",
        "alter_column('n', type_=sa.Enum('a', 'b', 'c', create_constraint=True))", "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "operation", "options"), DROPPED)
def test_what_a_revision_drops_is_not_lost(
    environment: Environment, columns: str, operation: str, options: str
) -> None:
    child(environment, columns)
    assert copy(environment, operation, options) == ""


REMEDIES = [
    (
        'n TEXT NOT NULL, p INT REFERENCES "Parent" (id) ON DELETE CASCADE ON UPDATE SET NULL',
        (
            ", reflect_args=[sa.Column('p', sa.Integer(), "
            'sa.ForeignKey("Parent.id", ondelete="CASCADE", onupdate="SET NULL"))]'
        ),
    ),
    (
        'n TEXT NOT NULL, p INT CONSTRAINT fk_P REFERENCES "Parent" DEFERRABLE INITIALLY DEFERRED',
        (
            ", reflect_args=[sa.Column('p', sa.Integer(), "
            'sa.ForeignKey("Parent.id", deferrable=True, initially="DEFERRED", name="fk_P"))]'
        ),
    ),
    (
        "n TEXT NOT NULL CHECK (n <> '')",
        ", table_args=[sa.CheckConstraint(\"n <> ''\", name='ck_n')]",
    ),
    (
        "n TEXT NOT NULL UNIQUE ON CONFLICT REPLACE",
        (
            ", copy_from=sa.Table('Child', sa.MetaData(), "
            "sa.Column('id', sa.Integer(), primary_key=True), sa.Column('n', sa.Text()), "
            "sa.UniqueConstraint('n', sqlite_on_conflict='REPLACE'))"
        ),
    ),
]


@pytest.mark.parametrize(("columns", "options"), REMEDIES)
def test_the_code_of_the_message_keeps_it(
    environment: Environment, columns: str, options: str
) -> None:
    child(environment, columns)
    assert copy(environment, options=options) == ""
    engine = create_engine(environment.url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT on_delete FROM pragma_foreign_key_list('Child')"))
        assert ("CASCADE" in columns) == ("CASCADE" in [row[0] for row in rows])


def test_the_message_has_the_code_for_a_foreign_key(environment: Environment) -> None:
    child(environment, 'n TEXT NOT NULL, "Pid" INT REFERENCES "Parent" ON DELETE CASCADE')
    assert 'sa.Column("Pid", ..., sa.ForeignKey("Parent.id", ondelete="CASCADE"))' in copy(
        environment
    )
