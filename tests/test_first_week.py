"""Promises about the first week with several databases, where no other test goes."""

import re

import pytest
from conftest import Bake, NewDatabase, tables_of, with_driver
from sqlalchemy import URL

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("layout", ["several", "shared_history"])
@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_an_async_project_with_several_databases_on_a_server(
    bake: Bake, new_database: NewDatabase, kind: str, layout: str
) -> None:
    project = bake(database=kind, driver="async", databases=layout)
    driver = {"mysql": "mysql+aiomysql", "postgresql": "postgresql+psycopg"}[kind]
    urls = {name: new_database(kind).set(drivername=driver) for name in project.names}
    for history in project.histories:
        project.succeed("alembic", *history, "upgrade", "head", url=urls)
        project.succeed("alembic", *history, "check", url=urls)
        project.succeed("alembic", *history, "current", "--check-heads", url=urls)
    assert "customers" in tables_of(with_driver(urls["main"]))
    assert tables_of(with_driver(urls["analytics"])) == {"visits"}
    project.succeed("pytest", url=urls)
    for history in project.histories:
        project.succeed("alembic", *history, "downgrade", "base", url=urls)
    assert not any(tables_of(with_driver(url)) for url in urls.values())


@pytest.mark.parametrize("layout", ["several", "shared_history"])
def test_a_history_is_squashed_as_the_document_says(
    bake: Bake, new_database: NewDatabase, layout: str
) -> None:
    project = bake(databases=layout)
    urls: dict[str, URL] = {name: with_driver(new_database("sqlite")) for name in project.names}
    for history in project.histories:
        project.succeed("alembic", *history, "upgrade", "head", url=urls)
    history = project.histories[0]
    project.succeed(
        "alembic", *history, "revision", "-m", "nothing", "--rev-id", "c94d7e21f058", url=urls
    )
    project.succeed("alembic", *history, "upgrade", "head", url=urls)
    document = project.read("docs/baseline.md")
    squashing = document[document.index("## Squashing") :]
    commands = re.findall(r"^\$ uv run alembic (.*)$", squashing, re.MULTILINE)
    assert len(commands) == 3
    for path in project.versions.glob("*.py"):
        path.unlink()
    for command in commands:
        arguments = re.findall(r'"[^"]*"|\S+', command)
        project.succeed("alembic", *(each.strip('"') for each in arguments), url=urls)
    for each in project.histories:
        project.succeed("alembic", *each, "upgrade", "head", url=urls)
        project.succeed("alembic", *each, "check", url=urls)
    project.succeed("pytest", "tests/test_migrations.py", url=urls)
