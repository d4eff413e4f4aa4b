"""Promises about scratch databases, without a project: where they are, and what they are named."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest
from conftest import SERVERS, run_on_server, skip_without_servers
from guard.proof.application import Application, Layout
from guard.proof.commands import alembic_config, alembic_configs, url_of, urls_of
from guard.proof.scratch import prefix_of, scratch_database, scratch_databases
from sqlalchemy import URL, create_engine, make_url, text

INIS = {
    Layout.ONE: "[alembic]\nversion_locations = %(here)s/versions\n",
    Layout.SHARED_HISTORY: "[alembic]\n",
    Layout.SEVERAL: "[DEFAULT]\n[main]\nversion_locations = a\n[logs]\nversion_locations = b\n",
}
MissingServer = pytest.skip.Exception


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "TEST_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def application(
    folder: Path, url: str | URL, layout: Layout = Layout.ONE, package: str = "guarded"
) -> Application:
    """Return what a project in a folder would tell, whose databases are all at one URL."""
    (folder / "alembic.ini").write_text(INIS[layout])
    bases: dict[str, type] = {} if layout is Layout.ONE else {"main": object, "logs": object}

    def database_url(*name: str, given: str | None = None) -> URL:
        found = make_url(given or url)
        return found.set(database="_".join([str(found.database), *name]))

    return Application(
        ini=folder / "alembic.ini",
        models=ModuleType(f"{package}.models"),
        database_url=database_url,
        make_engine=create_engine,
        bases=bases,
    )


def create_and_drop(project: Application, folder: Path) -> None:
    with scratch_database(project, folder):
        pass


def databases_on(kind: str) -> set[str]:
    skip_without_servers(kind)
    query = {"postgresql": "SELECT datname FROM pg_database", "mysql": "SHOW DATABASES"}[kind]
    engine = create_engine(SERVERS[kind])
    with engine.connect() as connection:
        names = set(connection.scalars(text(query)))
    engine.dispose()
    return names


@pytest.mark.parametrize("layout", Layout)
def test_the_layout_is_read_from_the_ini(layout: Layout, tmp_path: Path) -> None:
    project = application(tmp_path, "sqlite:///x.db", layout)
    assert project.layout is layout
    assert project.databases == ([""] if layout is Layout.ONE else ["main", "logs"])
    expected = {
        Layout.ONE: {"": [""]},
        Layout.SHARED_HISTORY: {"": ["main", "logs"]},
        Layout.SEVERAL: {"main": ["main"], "logs": ["logs"]},
    }
    for history, databases in expected[layout].items():
        assert project.databases_of(history) == databases


@pytest.mark.parametrize("layout", Layout)
def test_a_configuration_points_at_scratch_databases(layout: Layout, tmp_path: Path) -> None:
    project = application(tmp_path, "sqlite:///x.db", layout)
    with scratch_databases(project, tmp_path) as urls:
        configs = alembic_configs(project, urls)
        found = [url for config in configs.values() for url in urls_of(config).values()]
        assert found == list(urls.values())
        assert list(configs) == (["main", "logs"] if layout is Layout.SEVERAL else [""])
        if layout is Layout.SHARED_HISTORY:
            with pytest.raises(ValueError, match="urls_of"):
                url_of(configs[""])


def test_a_configuration_never_points_at_the_configured_database(tmp_path: Path) -> None:
    project = application(tmp_path, "sqlite:///x.db")
    with pytest.raises(ValueError, match="configured database, which tests may not touch"):
        alembic_config(project, {"": project.url("")})


def test_the_name_says_whose_database_it_is_and_is_short_enough(tmp_path: Path) -> None:
    for package, expected in (("my_shop", "my_shop_scratch_"), ("Ünï", "_n__scratch_")):
        assert prefix_of(application(tmp_path, "sqlite://", package=package)) == expected
    longest = prefix_of(application(tmp_path, "sqlite://", package="a" * 200))
    assert len(longest) + 12 <= 63


@pytest.mark.parametrize("kind", SERVERS)
def test_a_database_on_a_server_is_there_and_then_gone(kind: str, tmp_path: Path) -> None:
    project = application(tmp_path, SERVERS[kind])
    with scratch_database(project, tmp_path) as url:
        assert re.fullmatch("guarded_scratch_[0-9a-f]{12}", str(url.database))
        assert url.database in databases_on(kind)
    assert url.database not in databases_on(kind)


@pytest.mark.parametrize("layout", Layout)
def test_one_variable_puts_all_of_them_on_another_server(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = application(tmp_path, "mysql+pymysql://nobody@127.0.0.1:1/x", layout)
    url = SERVERS["postgresql"].render_as_string(hide_password=False)
    monkeypatch.setenv("TEST_DATABASE_URL", url)
    with scratch_databases(project, tmp_path) as urls:
        assert {each.get_backend_name() for each in urls.values()} == {"postgresql"}
        assert {each.database for each in urls.values()} <= databases_on("postgresql")


def test_a_variable_that_is_no_url_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "nonsense")

    def database_url(given: str | None = None) -> URL:
        raise ValueError("is not a URL")

    project = application(tmp_path, "sqlite://")
    broken = Application(project.ini, project.models, database_url, create_engine)
    with pytest.raises(ValueError, match="TEST_DATABASE_URL: is not a URL"):
        create_and_drop(broken, tmp_path)


@pytest.mark.parametrize("kind", SERVERS)
def test_without_a_server_the_test_is_skipped_and_in_ci_it_fails(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = application(tmp_path, SERVERS[kind].set(host="127.0.0.1", port=1))
    message = "No scratch database at 127.0.0.1:1: "
    with pytest.raises(MissingServer, match=message):
        create_and_drop(project, tmp_path)
    monkeypatch.setenv("CI", "true")
    # A skip would skip this test, too.
    with pytest.raises((pytest.fail.Exception, MissingServer), match=message) as outcome:
        create_and_drop(project, tmp_path)
    assert outcome.type is pytest.fail.Exception


@pytest.fixture(params=SERVERS)
def without_privilege(request: pytest.FixtureRequest) -> Iterator[tuple[str, URL]]:
    """A kind of server, and the URL of an account there that may not create databases."""
    kind, account = str(request.param), f"weak_{uuid4().hex[:8]}"
    create, drop = {
        "postgresql": (f"CREATE ROLE {account} LOGIN PASSWORD 'x'", f"DROP ROLE {account}"),
        "mysql": (f"CREATE USER {account}@'%' IDENTIFIED BY 'x'", f"DROP USER {account}@'%'"),
    }[kind]
    run_on_server(kind, create)
    yield kind, SERVERS[kind].set(username=account, password="x")
    run_on_server(kind, drop)


def test_an_account_that_may_not_create_databases_is_told_the_statement_that_lets_it(
    without_privilege: tuple[str, URL], tmp_path: Path
) -> None:
    kind, url = without_privilege
    project = application(tmp_path, url)
    with pytest.raises(pytest.fail.Exception) as failure:
        create_and_drop(project, tmp_path)
    said, statement = str(failure.value).split("\n")
    assert said.startswith(f"{url.username} may not create databases at {url.host}:{url.port}")
    assert max(len(said), len(statement)) <= 100
    run_on_server(kind, statement.partition(": ")[2])
    with scratch_database(project, tmp_path) as scratch:
        assert scratch.database in databases_on(kind)
    assert scratch.database not in databases_on(kind)
