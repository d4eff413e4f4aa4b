"""Promises about enum types: a change of values and of what uses them is one revision."""

import pytest
from conftest import query
from environments import Environment, NewEnvironment
from test_writing import give_models, upgraded

IMPORTS = "from sqlalchemy.dialects import postgresql\n"


def table(
    values: str, default: str | None = None, name: str = "people", array: bool = False
) -> str:
    """Return the source of a table with a column of an enum type."""
    enum = f"sa.Enum({', '.join(map(repr, values.split()))}, name='mood')"
    type_ = f"postgresql.ARRAY({enum})" if array else enum
    return (
        f"{IMPORTS}sa.Table({name!r}, target_metadata, sa.Column('id', sa.Integer, "
        f"primary_key=True),\n    sa.Column('mood', {type_}, server_default={default!r}))\n"
    )


def change(environment: Environment, models: str, identifier: str) -> tuple[str, str]:
    """Write a revision for new models, and return its text and what was said."""
    give_models(environment, models)
    run = environment.alembic(
        "revision", "--autogenerate", "-m", identifier, "--rev-id", identifier
    )
    assert run.returncode == 0, run.stderr
    (path,) = (environment.path / "migrations" / "versions").glob(f"{identifier}_*.py")
    return path.read_text(), run.stderr


def succeed(environment: Environment, *arguments: str) -> None:
    run = environment.alembic(*arguments)
    assert run.returncode == 0, f"{arguments}: {run.stdout}{run.stderr}"


def goes_up_and_down(environment: Environment) -> None:
    for arguments in ("upgrade head", "check", "downgrade -1", "upgrade head", "check"):
        succeed(environment, *arguments.split())


BEFORE = table("sad glad", "sad")
CHANGES = {
    "a new value that is the default": table("sad glad new", "new"),
    "a new first value that is the default": table("new sad glad", "new"),
    "a new value in the middle": table("sad new glad", "sad"),
    "new values everywhere": table("a sad b c glad d", "c"),
    "a removed value that was the default": table("glad", "glad"),
    "removed and new": table("glad new", "new"),
    "another order": table("glad sad", "glad"),
    "no default any more": table("sad glad new"),
    "a second table": table("sad glad new", "new") + table("sad glad new", "new", "dogs"),
    "the table goes, another has it": table("sad new", "new", "dogs"),
    "difficult values": table("sad glad it's 5% a:b ::x", "it's"),
    "a column more": table("sad glad new", "new").replace(
        "server_default='new'))",
        "server_default='new'), sa.Column('other', sa.Enum('sad', 'glad', 'new', name='mood'), "
        "server_default='new'), sa.Index('ix_new', 'mood', postgresql_where=sa.text(\"mood = 'new'\")))",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_values_change_with_what_uses_them_and_back(
    new_environment: NewEnvironment, name: str
) -> None:
    environment = upgraded(new_environment("postgresql"))
    change(environment, BEFORE, "first")
    succeed(environment, "upgrade", "head")
    if "table goes" not in name:
        query(environment.url, "INSERT INTO people (id, mood) VALUES (1, 'glad')")
    text, _ = change(environment, CHANGES[name], "second")
    assert "DefaultClause" not in text
    goes_up_and_down(environment)
    succeed(environment, "downgrade", "-1")
    give_models(environment, BEFORE)
    run = environment.alembic("upgrade", "first", "--sql")
    assert run.returncode == 0
    if "table goes" not in name:
        assert query(environment.url, "SELECT mood FROM people") == [("glad",)]
    default = query(
        environment.url,
        "SELECT column_default FROM information_schema.columns WHERE column_name = 'mood'",
    )
    assert default == [("'sad'::mood",)]


@pytest.mark.parametrize(
    ("default", "values", "after"),
    [("{sad}", "sad glad new", "{new,sad}"), ("{sad}", "glad", "{glad}"), (None, "new", "{}")],
)
def test_an_array_of_an_enum_changes(
    new_environment: NewEnvironment, default: str | None, values: str, after: str
) -> None:
    environment = upgraded(new_environment("postgresql"))
    change(environment, table("sad glad", default, array=True), "first")
    succeed(environment, "upgrade", "head")
    change(environment, table(values, after, array=True), "second")
    goes_up_and_down(environment)


def test_a_decorated_enum_changes(new_environment: NewEnvironment) -> None:
    decorator = "class Mood(sa.TypeDecorator):\n    impl = sa.Enum({}, name='mood')\n"
    column = "sa.Table('t', target_metadata, sa.Column('m', Mood(), server_default={!r}))\n"
    environment = upgraded(new_environment("postgresql"))
    change(environment, decorator.format("'a', 'b'") + column.format("a"), "first")
    succeed(environment, "upgrade", "head")
    change(environment, decorator.format("'b', 'c'") + column.format("c"), "second")
    goes_up_and_down(environment)


def test_a_renamed_value_is_a_ready_line(new_environment: NewEnvironment) -> None:
    environment = upgraded(new_environment("postgresql"))
    change(environment, BEFORE, "first")
    succeed(environment, "upgrade", "head")
    text, said = change(environment, table("sad happy", "sad"), "second")
    assert "# enum_values_to_rename=[('glad', 'happy')]" in text
    assert "enum_values_to_rename=[('glad', 'happy')]" in said


def test_enum_types_of_one_name_in_two_schemas_are_different(
    new_environment: NewEnvironment,
) -> None:
    def models(first: str, second: str) -> str:
        return "".join(
            f"sa.Table('t', target_metadata, sa.Column('m', sa.Enum({values}, name='mood', "
            f"schema={schema!r})), schema={schema!r})\n"
            for schema, values in ((None, first), ("audit", second))
            if values
        )

    environment = upgraded(new_environment("postgresql"))
    query(environment.url, "CREATE SCHEMA audit")
    change(environment, models("'a'", "'b'"), "first")
    goes_up_and_down(environment)
    text, _ = change(environment, models("'a'", "'b', 'c'"), "second")
    assert text.count("ADD VALUE") == 1
    assert "ALTER TYPE audit.mood ADD VALUE" in text
    goes_up_and_down(environment)
    query(environment.url, "CREATE TYPE audit.weather AS ENUM ('sun')")
    text, said = change(environment, models("", "'b', 'c'"), "third")
    assert "Ignoring enum type 'audit.weather'" in said
    assert text.count(".drop(op.get_bind())") == 1
    assert "schema" not in text[text.index("name='mood'") : text.index(".drop(op.get_bind())")]
    # The type that nobody made by a revision is in the way of the next one, and said.
    query(environment.url, "CREATE TYPE weather AS ENUM ('sun')")
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 0, run.stderr


def test_an_enum_that_only_a_database_has_a_column_of_changes(
    new_environment: NewEnvironment,
) -> None:
    environment = upgraded(new_environment("postgresql"))
    change(environment, BEFORE, "first")
    succeed(environment, "upgrade", "head")
    query(environment.url, "CREATE TABLE foreign_table (m mood DEFAULT 'glad')")
    change(environment, table("glad", "glad"), "second")
    goes_up_and_down(environment)
