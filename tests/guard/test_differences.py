"""Promises about models and histories of all kinds: what is found, written and done is right."""

from typing import Any

import pytest
from conftest import query
from environments import NewEnvironment
from test_enums import change, goes_up_and_down, succeed
from test_writing import ALL, give_models, revise, upgraded

IMPORTS = "from sqlalchemy.dialects import postgresql, mysql\n"


def things(*columns: str, more: str = "") -> str:
    """Return the source of a table with some columns."""
    lines = "".join(f"    {column},\n" for column in columns)
    return (
        f"{IMPORTS}sa.Table('things', target_metadata,\n"
        f"    sa.Column('id', sa.Integer, primary_key=True),\n{lines}{more})\n"
    )


# Defaults, which servers rewrite

DEFAULTS = {
    "postgresql": [
        ("sa.String(40)", "sa.text('substr(md5(random()::text), 1, 8)')"),
        ("sa.Time", r"sa.text(r\"'08\:30'\")"),
        ("sa.Text", r"sa.text(r\"'{\"\"a\"\"\:1}'\")"),
        ("sa.JSON", "sa.text('\\'{\"a\"\\\\:1}\\'')"),
        ("sa.Text", "sa.text(\"'5%'\")"),
        ("sa.String(20)", "'5% a:b'"),
        ("sa.UUID", "sa.text('gen_random_uuid()')"),
        ("sa.DateTime(timezone=True)", "sa.text(\"now() + interval '1 day'\")"),
        ("sa.Interval", "sa.text(\"'1 day 02\\\\:00'\")"),
        ("postgresql.ARRAY(sa.String)", "'{}'"),
        ("postgresql.JSONB", "sa.text(\"'[]'\")"),
        ("sa.Boolean", "sa.false()"),
        ("sa.Numeric(6, 2)", "sa.text('1.5 * 2')"),
        ("sa.String(9)", "sa.func.upper('a%')"),
        ("sa.Date", "sa.text('CURRENT_DATE')"),
    ],
    "mysql": [
        ("sa.String(40)", "sa.text('(uuid())')"),
        ("sa.Time", "sa.text(\"'08\\\\:30'\")"),
        ("sa.String(20)", "sa.text(\"'5%'\")"),
        ("sa.String(20)", "'5% a:b'"),
        ("sa.JSON", "sa.text('\\'{\"a\"\\\\:1}\\'')"),
        ("sa.Integer", "sa.text('(1 + 2)')"),
        ("sa.String(20)", "sa.text(\"(concat('a', 'b'))\")"),
        ("sa.Boolean", "sa.false()"),
        ("sa.DateTime", "sa.text('CURRENT_TIMESTAMP')"),
        ("sa.Text(16777216)", "None"),
        ("sa.Text(70000)", "None"),
        ("sa.LargeBinary(70000)", "None"),
    ],
    "sqlite": [
        ("sa.String(40)", "sa.text('(hex(randomblob(4)))')"),
        ("sa.Time", "sa.text(\"'08\\\\:30'\")"),
        ("sa.String(20)", "sa.text(\"'5%'\")"),
        ("sa.JSON", "sa.text('\\'{\"a\"\\\\:1}\\'')"),
        ("sa.String(20)", "sa.text(\"('a:' || '%')\")"),
        ("sa.DateTime", "sa.func.now()"),
    ],
}


@pytest.mark.parametrize("kind", ALL)
def test_a_default_that_the_server_rewrites_is_written_as_it_is_and_is_no_change(
    new_environment: NewEnvironment, kind: str
) -> None:
    columns = [
        f"sa.Column('c{place}', {type_}, server_default={default})".replace('\\"', '"')
        for place, (type_, default) in enumerate(DEFAULTS[kind])
        if not (kind == "postgresql" and place == 2)
    ]
    environment = upgraded(new_environment(kind))
    give_models(environment, things(*columns))
    text, _ = revise(environment)
    assert "%%" not in text
    goes_up_and_down(environment)
    query(environment.url, "INSERT INTO things (id) VALUES (1)")
    names = {default: f"c{place}" for place, (_, default) in enumerate(DEFAULTS[kind])}
    column = names["sa.text(\"'5%'\")"]
    assert query(environment.url, f"SELECT {column} FROM things") == [("5%",)]
    # Dropped, and brought back as it was.
    change(environment, things(), "dropped")
    goes_up_and_down(environment)
    succeed(environment, "downgrade", "-1")
    give_models(environment, things(*columns))
    run = environment.alembic("-x", "unmanaged=compare", "upgrade", "change")
    assert run.returncode == 0
    query(environment.url, "INSERT INTO things (id) VALUES (2)")
    assert query(environment.url, f"SELECT {column} FROM things WHERE id = 2") == [("5%",)]


def test_a_volatile_default_is_not_evaluated(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    query(environment.url, "CREATE SEQUENCE numbers")
    column = (
        "sa.Column('n', sa.Integer, server_default=sa.text(\"nextval('numbers'::regclass) + {}\"))"
    )
    change(environment, things(column.format(1)), "first")
    succeed(environment, "upgrade", "head")
    give_models(environment, things(column.format(2)))
    run = environment.alembic("check")
    assert run.returncode == 1
    assert "things.n" in run.stderr
    assert query(environment.url, "SELECT is_called FROM numbers") == [(False,)]


@pytest.mark.parametrize("kind", ALL)
def test_percent_and_colon_in_conditions_are_written_as_they_are(
    new_environment: NewEnvironment, kind: str
) -> None:
    more = (
        "    sa.CheckConstraint(\"name <> '5%'\", name='ck_percent'),\n"
        "    sa.CheckConstraint(\"name <> 'a\\\\:b'\", name='ck_colon'),\n"
    )
    if kind == "postgresql":
        more += (
            "    sa.Index('ix_part', 'name', postgresql_where=sa.text(\"name <> '5%a\\\\:b'\")),\n"
        )
    environment = upgraded(new_environment(kind))
    give_models(environment, things("sa.Column('name', sa.String(20))", more=more))
    text, _ = revise(environment)
    assert "%%" not in text
    goes_up_and_down(environment)
    query(environment.url, "INSERT INTO things (id, name) VALUES (1, '5%%')")
    with pytest.raises(Exception, match=r"(?i)ck_percent"):
        query(environment.url, "INSERT INTO things (id, name) VALUES (2, '5%')")
    with pytest.raises(Exception, match=r"(?i)ck_colon"):
        query(environment.url, r"INSERT INTO things (id, name) VALUES (3, 'a\:b')")


# Conversions: old type, a value, new type, the value after, the value when it is back

CONVERSIONS: list[tuple[str, str, str, Any, Any]] = [
    ("sa.Integer", "1", "sa.Boolean", True, 1),
    ("sa.BigInteger", "2", "sa.Boolean", True, 1),
    ("sa.SmallInteger", "0", "sa.Boolean", False, 0),
    ("sa.Numeric(4, 1)", "1", "sa.Boolean", True, 1),
    ("sa.String(9)", "'true'", "sa.Boolean", True, "true"),
    ("sa.String(9)", "'12'", "sa.Integer", 12, "12"),
    ("sa.Text", "'{\"a\": 1}'", "sa.JSON", {"a": 1}, '{"a": 1}'),
    ("sa.JSON", "'1'", "postgresql.JSONB", 1, 1),
    ("postgresql.JSONB", "'\"x\"'", "sa.Text", '"x"', "x"),
    ("sa.Integer", "3", "postgresql.JSONB", 3, 3),
    ("sa.String(9)", "'a,b'", "postgresql.ARRAY(sa.String)", ["a", "b"], "a,b"),
    ("sa.Text", "'ü'", "sa.LargeBinary", "ü".encode(), "ü"),
    ("sa.BigInteger", "0", "sa.Interval", None, 0),
    ("sa.String(36)", "'6f9619ff-8b86-d011-b42d-00cf4fc964ff'", "sa.UUID", None, None),
]


def test_usual_conversions_keep_the_values_both_ways(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    old = [f"sa.Column('c{place}', {each[0]})" for place, each in enumerate(CONVERSIONS)]
    new = [f"sa.Column('c{place}', {each[2]})" for place, each in enumerate(CONVERSIONS)]
    change(environment, things(*old), "first")
    succeed(environment, "upgrade", "head")
    values = ", ".join(each[1].replace(":", r"\:") for each in CONVERSIONS)
    query(environment.url, f"INSERT INTO things VALUES (1, {values})")
    change(environment, things(*new), "second")
    succeed(environment, "upgrade", "head")
    ((_, *found),) = query(environment.url, "SELECT * FROM things")
    for (before, _, after, expected, _), value in zip(CONVERSIONS, found, strict=True):
        assert expected is None or value == expected, (before, after)
    succeed(environment, "check")
    change(environment, things(*(each for each in new if "JSONB" not in each)), "third")
    succeed(environment, "downgrade", "-1")
    ((_, *found),) = query(environment.url, "SELECT * FROM things")
    for (before, _, after, _, expected), value in zip(CONVERSIONS, found, strict=True):
        assert expected is None or value == expected, (before, after)


def test_a_default_changes_with_its_type(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    change(environment, things("sa.Column('a', sa.Integer, server_default='0')"), "first")
    succeed(environment, "upgrade", "head")
    change(environment, things("sa.Column('a', sa.Boolean, server_default='false')"), "second")
    goes_up_and_down(environment)
    query(environment.url, "INSERT INTO things (id) VALUES (1)")
    assert query(environment.url, "SELECT a FROM things") == [(False,)]


def test_where_there_is_no_cast_a_new_column_is_advised(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    change(environment, things("sa.Column('a', sa.Integer)"), "first")
    succeed(environment, "upgrade", "head")
    text, said = change(environment, things("sa.Column('a', sa.UUID)"), "second")
    assert "Fails: postgresql has no cast from INTEGER to UUID" in said
    assert "# op.add_column('things', sa.Column('new_a', sa.UUID(), nullable=True))" in text
    assert '# op.alter_column("things", "new_a", new_column_name="a")' in text


def test_times_get_and_lose_their_zone_as_utc(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    database = environment.url.database
    query(environment.url, f"ALTER DATABASE {database} SET timezone = 'America/New_York'")
    old = ["sa.DateTime", "sa.Date", "sa.Time", "sa.String(40)", "sa.String(40)"]
    zoned = "sa.DateTime(timezone=True)"
    new = [zoned, zoned, "sa.Time(timezone=True)", zoned, zoned]
    change(environment, things(*(f"sa.Column('c{n}', {t})" for n, t in enumerate(old))), "first")
    succeed(environment, "upgrade", "head")
    query(
        environment.url,
        r"INSERT INTO things VALUES (1, '2024-01-02 12\:00', '2024-01-02', '12\:00', "
        r"'2024-01-02 12\:00', '2024-01-02T12\:00+02\:00')",
    )
    _, said = change(
        environment, things(*(f"sa.Column('c{n}', {t})" for n, t in enumerate(new))), "second"
    )
    assert "Takes the times of things.c0 that have no zone as UTC." in said
    succeed(environment, "upgrade", "head")
    hours = ", ".join(f"(c{n} AT TIME ZONE 'UTC')::text" for n in range(5))
    assert query(environment.url, f"SELECT {hours} FROM things") == [
        ("2024-01-02 12:00:00", "2024-01-02 00:00:00", "12:00:00+00", "2024-01-02 12:00:00",
         "2024-01-02 10:00:00")
    ]  # fmt: skip
    succeed(environment, "downgrade", "-1")
    assert query(environment.url, "SELECT c0::text, c1::text, c2::text FROM things") == [
        ("2024-01-02 12:00:00", "2024-01-02", "12:00:00")
    ]


def test_a_partitioned_table_is_not_advised_what_the_server_refuses(
    new_environment: NewEnvironment,
) -> None:
    environment = upgraded(new_environment("postgresql"))
    columns = "sa.Column('at', sa.Date, primary_key=True)"
    partitions = "    postgresql_partition_by='RANGE (at)'"
    change(environment, things(columns, more=partitions), "first")
    succeed(environment, "upgrade", "head")
    index = "    sa.Index('ix_at', 'at'),\n"
    text, _ = change(environment, things(columns, more=index + partitions), "second")
    assert "Building this index blocks writes to things." in text
    assert "concurrently" not in text
    goes_up_and_down(environment)


# Tables that refer to each other, names in two schemas, computed columns

CIRCLE = """
for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
    sa.Table(name, target_metadata, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("other_id", sa.ForeignKey(f"{other}.id", name=f"fk_{name}")),
        sa.Column("self_id", sa.ForeignKey(f"{name}.id", name=f"fk_self_{name}")))
"""


@pytest.mark.parametrize("kind", ALL)
def test_tables_that_refer_to_each_other_are_created_and_dropped(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = upgraded(new_environment(kind))
    text, _ = change(environment, CIRCLE, "first")
    assert text.count("ForeignKeyConstraint") == 5
    goes_up_and_down(environment)
    change(environment, "", "second")
    goes_up_and_down(environment)


def test_a_model_that_names_the_default_schema_is_the_table_without(
    new_environment: NewEnvironment,
) -> None:
    environment = upgraded(new_environment("postgresql"))
    table = (
        "sa.Table('t', target_metadata, sa.Column('a', {}, server_default={!r}), schema='public')\n"
    )
    change(environment, table.format("sa.Integer", "0"), "first")
    goes_up_and_down(environment)
    change(environment, table.format("sa.Boolean", "false"), "second")
    goes_up_and_down(environment)
    query(environment.url, "INSERT INTO t DEFAULT VALUES")
    assert query(environment.url, "SELECT a FROM t") == [(False,)]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("persisted", [True, None])
def test_a_table_with_a_computed_column_is_altered(
    new_environment: NewEnvironment, kind: str, persisted: bool | None
) -> None:
    if kind == "postgresql" and not persisted:
        pytest.skip("PostgreSQL stores every computed column")
    environment = upgraded(new_environment(kind))
    column = "sa.Column('name', sa.String({}))"
    computed = f"sa.Column('double', sa.Integer, sa.Computed('size * 2', persisted={persisted}))"
    computed = f"sa.Column('size', sa.Integer), {computed}"
    change(environment, things(column.format(10), computed), "first")
    succeed(environment, "upgrade", "head")
    query(environment.url, "INSERT INTO things (id, name, size) VALUES (1, 'x', 3)")
    change(environment, things(column.format(20), computed), "second")
    goes_up_and_down(environment)
    assert query(environment.url, "SELECT double FROM things".replace("double", "`double`" if kind == "mysql" else '"double"')) == [(6,)]  # fmt: skip


# What revisions have made is known from running them


def test_a_revision_that_reads_rows_first_is_still_known(new_environment: NewEnvironment) -> None:
    upgrade = """
bind = op.get_bind()
rows = bind.execute(sa.text("SELECT 1 WHERE 1 = 0")).all()
count = bind.scalar(sa.text("SELECT 1"))
first = bind.execute(sa.text("SELECT 1")).first()
for name in ("accounts", "bills"):
    op.create_table(name, sa.Column("id", sa.Integer))
"""
    environment = upgraded(new_environment("sqlite"), upgrade)
    _text, said = change(environment, "", "second")
    for name in ("accounts", "bills"):
        assert f"Drops {name} and its rows." in said
    assert "Ignoring" not in said


def test_columns_that_a_loop_has_added_are_dropped(new_environment: NewEnvironment) -> None:
    tables = "".join(
        f"sa.Table('{name}', target_metadata, sa.Column('id', sa.Integer, primary_key=True))\n"
        for name in ("accounts", "bills")
    )
    environment = upgraded(new_environment("postgresql"))
    change(environment, tables, "first")
    succeed(environment, "upgrade", "head")
    path = environment.add_revision(
        "loop",
        'for table in ("accounts", "bills"):\n'
        '    op.add_column(table, sa.Column("deleted_at", sa.DateTime))',
    )
    path.write_text(
        "\n".join(
            "down_revision = 'first'" if line.startswith("down_revision") else line
            for line in path.read_text().splitlines()
        )
    )
    succeed(environment, "upgrade", "head")
    text, said = change(environment, tables, "third")
    assert text[: text.index("def downgrade")].count("op.drop_column") == 2
    assert "Ignoring" not in said
