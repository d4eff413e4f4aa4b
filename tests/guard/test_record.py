"""Promises about the record of what was applied, and about a database that is ahead of the code."""

import pytest
from conftest import query
from environments import Environment, NewEnvironment

ALL = ["sqlite", "postgresql", "mysql"]


def table(name: str) -> tuple[str, str]:
    """Return upgrade and downgrade of a revision that makes a table."""
    create = f"op.create_table({name!r}, sa.Column('id', sa.Integer()))"
    return create, f"op.drop_table({name!r})"


def with_revisions(environment: Environment, *names: str) -> Environment:
    for name in names:
        environment.add_revision(name, *table(name))
    return environment


def recorded(environment: Environment) -> dict[str, str]:
    return dict(query(environment.url, "SELECT revision, parents FROM alembic_history"))


@pytest.mark.parametrize("kind", ALL)
def test_the_record_follows_upgrade_downgrade_and_stamp(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a", "b", "c", "d")
    chain = {"a": "", "b": "a", "c": "b", "d": "c"}
    for command, expected in [
        ("upgrade b", "ab"), ("upgrade head", "abcd"), ("downgrade -2", "ab"),
        ("stamp head", "abcd"), ("stamp a", "a"), ("stamp --purge c", "abc"),
        ("stamp base", ""), ("stamp d", "abcd"),
    ]:  # fmt: skip
        run = environment.alembic(*command.split())
        assert run.returncode == 0, run.stderr
        assert recorded(environment) == {name: chain[name] for name in expected}, command
