"""Promises about types that are not SQLAlchemy's: how a revision writes what the database gets."""

import textwrap

import pytest
from conftest import query
from environments import Environment, NewEnvironment
from test_writing import ALL, give_models, revise, upgraded

# Type, and what the revision says of it on each database.
GUID = """
class GUID(sa.TypeDecorator):
    impl = sa.CHAR
    cache_ok = True
    def load_dialect_impl(self, dialect):
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID())
        return dialect.type_descriptor(sa.CHAR(36))
class Twice(sa.TypeDecorator):
    impl = GUID
    cache_ok = True
class Payload(sa.TypeDecorator):
    impl = sa.JSON
    cache_ok = True
class Digest(sa.TypeDecorator):
    impl = sa.LargeBinary
    cache_ok = True
    def load_dialect_impl(self, dialect):
        if dialect.name == "postgresql":
            return postgresql.BYTEA()
        return sa.BINARY(16)
class Money(sa.TypeDecorator):
    impl = sa.Numeric(12, 2)
    cache_ok = True
class Short(sa.String):
    def __init__(self, size=7):
        super().__init__(length=size)
class Mood(sa.TypeDecorator):
    impl = sa.Enum("sad", "it's (ok)", name="mood")
    cache_ok = True
class Moods(sa.TypeDecorator):
    impl = sa.String
    cache_ok = True
    def load_dialect_impl(self, dialect):
        return sa.Enum("sad", "glad", name="moods")
class Tags(sa.TypeDecorator):
    impl = sa.JSON
    cache_ok = True
    def load_dialect_impl(self, dialect):
        if dialect.name == "postgresql":
            return postgresql.ARRAY(Money())
        return sa.JSON()
class Pair(sa.types.UserDefinedType):
    cache_ok = True
    def __init__(self, digits):
        self.digits = digits
    def get_col_spec(self, **kw):
        return f"DECIMAL({self.digits}, 0)"
"""
IMPORTS = "from sqlalchemy.dialects import postgresql, mysql, sqlite\n"
COLUMNS = {
    "GUID()": {
        "postgresql": "sa.UUID()",
        "mysql": "sa.CHAR(length=36)",
        "sqlite": "sa.CHAR(length=36).with_variant(sa.UUID(), 'postgresql')",
    },
    "Twice()": {"postgresql": "sa.UUID()", "mysql": "sa.CHAR(length=36)"},
    "Payload()": {"postgresql": "sa.JSON()", "mysql": "sa.JSON()", "sqlite": "sa.JSON()"},
    "sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')": {
        "sqlite": "sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), 'postgresql')",
    },
    "Payload().with_variant(postgresql.JSONB(), 'postgresql')": {
        "postgresql": "postgresql.JSONB(astext_type=sa.Text())",
        "sqlite": "sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), 'postgresql')",
    },
    "sa.JSON().with_variant(Digest(), 'mysql')": {
        "postgresql": "sa.JSON().with_variant(sa.BINARY(length=16), 'mysql', 'mariadb')",
        "mysql": "sa.BINARY(length=16)",
    },
    "Digest()": {
        "postgresql": "postgresql.BYTEA()",
        "mysql": "sa.BINARY(length=16)",
        "sqlite": "sa.BINARY(length=16).with_variant(postgresql.BYTEA(), 'postgresql')",
    },
    "Money()": {
        "postgresql": "sa.Numeric(precision=12, scale=2)",
        "mysql": "sa.Numeric(precision=12, scale=2)",
        "sqlite": "sa.Numeric(precision=12, scale=2)",
    },
    "Short(9)": {"postgresql": "sa.String(length=9)", "mysql": "sa.String(length=9)"},
    "Mood()": {
        "postgresql": "name='mood', create_type=False)",
        "mysql": "sa.Enum(",
        "sqlite": "sa.Enum(",
    },
    "Moods()": {"postgresql": "name='moods', create_type=False)", "mysql": "name='moods'"},
    "postgresql.ARRAY(Money())": {
        "postgresql": "postgresql.ARRAY(sa.Numeric(precision=12, scale=2))",
    },
    "sa.ARRAY(Mood(), dimensions=1)": {"postgresql": "create_type=False), dimensions=1)"},
    "postgresql.ARRAY(GUID())": {"postgresql": "postgresql.ARRAY(sa.UUID())"},
    "Tags()": {"postgresql": "ARRAY(sa.Numeric(precision=12, scale=2))", "sqlite": "sa.JSON()"},
    "Pair(5)": {
        "postgresql": "'DECIMAL(5, 0)'",
        "mysql": "'DECIMAL(5, 0)'",
        "sqlite": "'DECIMAL(5, 0)'",
    },
}


def model(*columns: str, before: str = "") -> str:
    """Return the source of a table with columns of some types."""
    lines = "".join(
        f"    sa.Column('c{place}', {column}),\n" for place, column in enumerate(columns)
    )
    return (
        f"{IMPORTS}{textwrap.dedent(before)}\nsa.Table('things', target_metadata,\n"
        f"    sa.Column('id', sa.Integer, primary_key=True),\n{lines})\n"
    )


def goes_up_and_down(environment: Environment) -> None:
    """Check that a new revision can be applied and reverted, and that nothing differs then."""
    for arguments in (
        ["upgrade", "head"],
        ["check"],
        ["downgrade", "-1"],
        ["upgrade", "head"],
        ["check"],
    ):
        run = environment.alembic(*arguments)
        assert run.returncode == 0, f"{arguments}: {run.stdout}{run.stderr}"


@pytest.mark.parametrize("kind", ALL)
def test_a_type_is_written_as_what_the_database_gets(
    new_environment: NewEnvironment, kind: str
) -> None:
    columns = {column: texts[kind] for column, texts in COLUMNS.items() if kind in texts}
    environment = upgraded(new_environment(kind))
    give_models(environment, model(*columns, before=GUID))
    text, _ = revise(environment)
    for place, (column, written) in enumerate(columns.items()):
        (line,) = [line for line in text.splitlines() if f"sa.Column('c{place}'" in line]
        assert written in line, column
    assert "env_py" not in text
    goes_up_and_down(environment)
    # And the next one, which drops the columns, brings them back.
    give_models(environment, model())
    run = environment.alembic("revision", "--autogenerate", "-m", "drop", "--rev-id", "dropped")
    assert run.returncode == 0, run.stderr
    goes_up_and_down(environment)


PACKAGES = {
    "sqlalchemy_utils.UUIDType()": {
        "postgresql": "sa.UUID()",
        "mysql": "sa.BINARY(length=16)",
        "sqlite": "sa.BINARY(length=16).with_variant(sa.UUID(), 'postgresql')",
    },
    "sqlalchemy_utils.EmailType()": {"postgresql": "sa.Unicode(length=255)"},
    "sqlalchemy_utils.ChoiceType([('a', 'b')], sa.String(3))": {"mysql": "sa.String(length=3)"},
    "sqlalchemy_utils.ScalarListType()": {"sqlite": "sa.UnicodeText()"},
    "sqlalchemy_utils.TSVectorType()": {"postgresql": "postgresql.TSVECTOR()"},
    "sqlalchemy_utils.LtreeType()": {"postgresql": "sqlalchemy_utils.LtreeType()"},
    "sqlmodel.AutoString(20)": {"mysql": "sa.String(length=20)", "sqlite": "sa.String(length=20)"},
    "advanced_alchemy.types.GUID()": {"sqlite": "sa.BINARY(length=16).with_variant(sa.UUID()"},
    "advanced_alchemy.types.DateTimeUTC()": {"postgresql": "sa.DateTime(timezone=True)"},
    "pgvector.sqlalchemy.VECTOR(3)": {"sqlite": "pgvector.sqlalchemy.VECTOR(dim=3)"},
    "pgvector.sqlalchemy.HALFVEC(4)": {"sqlite": "pgvector.sqlalchemy.HALFVEC(dim=4)"},
}


@pytest.mark.parametrize("kind", ALL)
def test_a_type_of_another_package_is_imported_or_written_as_what_it_stores(
    new_environment: NewEnvironment, kind: str
) -> None:
    columns = {column: texts[kind] for column, texts in PACKAGES.items() if kind in texts}
    environment = upgraded(new_environment(kind))
    if kind == "postgresql":
        query(environment.url, "CREATE EXTENSION ltree")
    modules = {column.partition("(")[0].rpartition(".")[0] for column in columns}
    before = "".join(f"import {module}\n" for module in sorted(modules))
    give_models(environment, model(*columns, before=before))
    text, _ = revise(environment)
    for place, (column, written) in enumerate(columns.items()):
        (line,) = [line for line in text.splitlines() if f"sa.Column('c{place}'" in line]
        assert written in line, column
    goes_up_and_down(environment)


def test_a_geometry_is_written_with_its_import(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    column = "geoalchemy2.Geometry('POINT', srid=4326, spatial_index=False)"
    give_models(environment, model(column, before="import geoalchemy2"))
    text, _ = revise(environment)
    assert "import geoalchemy2\n" in text
    assert "geoalchemy2.Geometry(geometry_type='POINT', srid=4326" in text
    # There is no PostGIS here: the type that it would find in the database is made by hand.
    sql = environment.alembic("upgrade", "head", "--sql")
    assert "c0 geometry(POINT,4326)" in sql.stdout, sql.stderr


@pytest.mark.parametrize(
    ("kind", "column", "before"),
    [
        ("mysql", "Plain()", "class Plain(sa.TypeDecorator):\n    impl = sa.String\n"),
        ("sqlite", "Many()", "class Many(sa.TypeDecorator):\n    impl = sa.ARRAY(sa.Integer)\n"),
        ("postgresql", "Odd()", "class Odd(sa.types.UserDefinedType):\n    pass\n"),
    ],
)
def test_a_type_that_cannot_be_written_is_refused_and_leaves_no_file(
    new_environment: NewEnvironment, kind: str, column: str, before: str
) -> None:
    environment = upgraded(new_environment(kind))
    give_models(environment, model(column, before=before))
    run = environment.alembic("revision", "--autogenerate", "-m", "x")
    assert run.returncode != 0
    assert "FAILED: " in run.stderr + run.stdout
    assert column.removesuffix("()") in run.stderr + run.stdout
    assert len((run.stderr + run.stdout).strip().splitlines()) <= 4
    assert not list((environment.path / "migrations" / "versions").glob("*.py"))
    assert environment.alembic("current").returncode == 0


@pytest.mark.parametrize("kind", ALL)
def test_a_type_that_only_the_server_knows_is_compared_and_brought_back(
    new_environment: NewEnvironment, kind: str
) -> None:
    name = {"postgresql": "circle", "mysql": "inet6", "sqlite": "GEOMETRY"}[kind]
    create = f'op.execute("CREATE TABLE things (id INTEGER NOT NULL PRIMARY KEY, c0 {name})")'
    environment = upgraded(new_environment(kind), create)
    other = """
        class Known(sa.types.UserDefinedType):
            cache_ok = True
            def get_col_spec(self, **kw):
                return "NAME"
    """
    give_models(environment, model("Known()", before=other.replace("NAME", name.upper())))
    run = environment.alembic("check")
    assert run.returncode == 0, run.stdout + run.stderr
    give_models(environment, model())
    text, _ = revise(environment)
    assert name in text
    for arguments in (["upgrade", "head"], ["downgrade", "-1"]):
        run = environment.alembic(*arguments)
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_dialects_that_revisions_are_for_are_a_setting(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql", "dialects = sqlite"))
    give_models(environment, model("GUID()", before=GUID))
    text, _ = revise(environment)
    assert "sa.UUID().with_variant(sa.CHAR(length=36), 'sqlite')" in text
