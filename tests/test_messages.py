"""Promises about what is said when something is wrong."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import SERVERS, Bake, NewDatabase, Project, query, run_on_server, with_driver
from services import free_port, pgbouncer
from sqlalchemy import URL, make_url

# Each character that has a meaning in a URL, an ini or a shell.
PASSWORD = "s3%cr@t:/#?& ü"


@pytest.fixture
def project(bake: Bake) -> Project:
    return bake()


@pytest.fixture
def url(new_database: NewDatabase) -> URL:
    """A SQLite database."""
    return new_database("sqlite")


def failure(project: Project, *command: str, url: URL | str | None = None) -> str:
    """Run a command that fails, and return its message.

    :raises AssertionError: when it is not one or two lines on standard error, without a
        traceback and without the password.
    """
    environment_url = make_url(url) if isinstance(url, str) else url
    run = project.run("alembic", *command, url=environment_url)
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    for secret in (PASSWORD, "s3%25cr%40t", "cr@t", "cr%40t"):
        assert secret not in run.stderr
    message = run.stderr[run.stderr.index("FAILED: ") :]
    assert len(message.splitlines()) <= 2
    return message


def failure_with_text(project: Project, text: str, *command: str) -> str:
    """Run a command with a DATABASE_URL that is no URL."""
    (project.path / ".env").write_text(f"DATABASE_URL='{text}'\n")
    return failure(project, *(command or ("upgrade", "head")))


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_server_that_is_down(project: Project, kind: str) -> None:
    port = free_port()
    url = with_driver(URL.create(kind, "me", PASSWORD, "127.0.0.1", port, "shop"))
    message = failure(project, "upgrade", "head", url=url)
    assert f"{kind} database 'shop' at 127.0.0.1:{port} does not answer" in message
    assert "-x wait=SECONDS" in message


def test_a_wrong_password_on_postgresql(
    project: Project, new_database: NewDatabase, tmp_path: Path
) -> None:
    with pgbouncer(with_driver(new_database("postgresql")), password="right") as right:
        wrong = right.set(password=PASSWORD)
        message = failure(project, "upgrade", "head", url=wrong)
        assert f"at 127.0.0.1:{right.port} rejected the login" in message
        project.succeed("alembic", "upgrade", "head", url=right)


@pytest.fixture
def account(new_database: NewDatabase) -> Callable[[], URL]:
    """A function that makes a MariaDB account with a difficult password."""

    def make() -> URL:
        url = with_driver(new_database("mysql"))
        user = f"u{uuid4().hex[:8]}"
        run_on_server("mysql", f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}'")
        run_on_server("mysql", f"GRANT ALL ON {url.database}.* TO {user}")
        return url.set(username=user, password=PASSWORD)

    return make


def test_a_password_with_every_special_character_works(
    project: Project, account: Callable[[], URL]
) -> None:
    url = account()
    project.succeed("alembic", "upgrade", "head", url=url)
    text = url.render_as_string(hide_password=False)
    project.succeed("alembic", "-x", f"url={text}", "check")
    (project.path / ".env").write_text(f"DATABASE_URL='{text}'\n")
    project.succeed("alembic", "check")


def test_a_wrong_password_on_mysql(project: Project, account: Callable[[], URL]) -> None:
    url = account().set(password=PASSWORD + "x")
    assert "rejected the login" in failure(project, "upgrade", "head", url=url)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_missing_database(project: Project, new_database: NewDatabase, kind: str) -> None:
    url = with_driver(new_database(kind)).set(database="no_such_database")
    message = failure(project, "upgrade", "head", url=url)
    assert "'no_such_database' at 127.0.0.1" in message
    assert "does not exist. Create it: " in message


def test_a_missing_driver(project: Project) -> None:
    message = failure(project, "upgrade", "head", url="oracle+oracledb://me:cr%40t@127.0.0.1/x")
    assert "The driver oracledb is not installed: uv add oracledb" in message


def test_an_unknown_driver(project: Project) -> None:
    message = failure_with_text(project, "postgresql+nonsense://me:cr%40t@127.0.0.1/x")
    assert "Unknown dialect or driver 'postgresql.nonsense'" in message


@pytest.mark.parametrize(
    "text",
    ["nonsense cr@t", "postgresql://me:cr@t@127.0.0.1/x", "postgresql://me:cr@t/x@127.0.0.1:x/x"],
)
def test_a_malformed_url(project: Project, text: str) -> None:
    assert "DATABASE_URL is not a URL: it should look like" in failure_with_text(project, text)


def test_an_empty_url(project: Project) -> None:
    assert "DATABASE_URL is empty: it should look like" in failure_with_text(project, "")


def test_a_folder_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    # Root may write everywhere but into the kernel's own folder.
    folder = tmp_path if os.getuid() else Path("/proc")
    url = URL.create("sqlite", database=str(folder / "new.db"))
    assert f"{url.database} cannot be opened" in failure(project, "upgrade", "head", url=url)


def test_a_folder_that_is_missing(project: Project, tmp_path: Path) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "no" / "new.db"))
    assert f"{url.database} cannot be opened" in failure(project, "upgrade", "head", url=url)


def test_a_file_that_is_read_only(project: Project, url: URL) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    project.add_revision("more", "op.create_table('more', sa.Column('id', sa.Integer()))")
    project.replace(
        "migrations/guard/databases/sqlite.py",
        'cursor.execute("PRAGMA foreign_keys")\n',
        'cursor.execute("PRAGMA query_only = ON")\n    cursor.execute("PRAGMA foreign_keys")\n',
    )
    assert f"{url.database} is read-only" in failure(project, "upgrade", "head", url=url)


def test_a_revision_in_the_database_that_has_no_file(project: Project, url: URL) -> None:
    project.succeed("alembic", "upgrade", "head", url=url)
    query(url, "UPDATE alembic_version SET version_num = 'abcdef'")
    for command in (["upgrade", "head"], ["current"], ["check"], ["stamp", "head"]):
        message = failure(project, *command, url=url)
        assert "is at revision 'abcdef', which has no file in " in message
        assert "stamp" not in message
    project.succeed("alembic", "stamp", "--purge", "4f1c2a7be930", url=url)
    project.succeed("alembic", "check", url=url)


def test_two_heads(project: Project, url: URL) -> None:
    (first,) = project.versions.glob("*.py")
    (project.versions / "second.py").write_text(first.read_text().replace("4f1c2a7be930", "bbbb"))
    for command in (["upgrade", "head"], ["upgrade", "head", "--sql"]):
        message = failure(project, *command, url=url)
        assert f"There are several heads: {first.name} and second.py" in message
        assert "alembic merge heads" in message


def test_a_parent_that_is_missing(project: Project, url: URL) -> None:
    revision = project.add_revision("child", "pass")
    revision.write_text(revision.read_text().replace("4f1c2a7be930", "gone"))
    for command in (["upgrade", "head"], ["current"], ["check"]):
        message = failure(project, *command, url=url)
        assert f"Revision gone, the parent of child ({revision.name}), has no file in " in message


def test_a_revision_that_was_copied(project: Project, url: URL) -> None:
    (first,) = project.versions.glob("*.py")
    (project.versions / "copy.py").write_text(first.read_text())
    for command in (["upgrade", "head"], ["current"], ["check"]):
        message = failure(project, *command, url=url)
        assert f"Revision 4f1c2a7be930 is in two files: {first.name} and copy.py" in message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def (", "broken.py, line 1: invalid syntax"),
        ("import no_such_module", "broken.py, line 1: No module named 'no_such_module'"),
        ("1 / 0", "broken.py, line 1: ZeroDivisionError: division by zero"),
    ],
)
def test_a_revision_that_cannot_be_read(
    project: Project, url: URL, code: str, message: str
) -> None:
    (project.versions / "broken.py").write_text(code + "\n")
    for command in (["upgrade", "head"], ["current"], ["check"]):
        assert message in failure(project, *command, url=url)


def test_a_revision_without_an_id(project: Project, url: URL) -> None:
    (project.versions / "broken.py").write_text("x = 1\n")
    message = failure(project, "upgrade", "head", url=url)
    assert "Could not determine revision id from filename broken.py" in message


def test_a_model_that_cannot_be_imported(project: Project, url: URL) -> None:
    project.replace("src/my_shop/models/example.py", "    price:", "    cost: nonsense\n    price:")
    message = failure(project, "check", url=url)
    assert message.startswith("FAILED: example.py, line ")
    assert "NameError: name 'nonsense' is not defined" in message
    assert "Traceback" in project.run("alembic", "--raiseerr", "check", url=url).stderr


def test_tables_that_were_there_before_alembic(project: Project, url: URL) -> None:
    query(url, "CREATE TABLE customers (id INTEGER)")
    message = failure(project, "upgrade", "head", url=url)
    assert "table customers already exists. If the tables were there before Alembic" in message
    assert "An existing database in docs/baseline.md" in message


def test_a_missing_versions_folder(project: Project, url: URL) -> None:
    project.versions.rename(project.path / "elsewhere")
    message = failure(project, "upgrade", "head", url=url)
    assert f"There is no folder {project.versions}" in message


def test_a_database_that_is_behind(project: Project, url: URL) -> None:
    for command in (["check"], ["revision", "--autogenerate", "-m", "x"]):
        message = failure(project, *command, url=url)
        assert f"{url.database} is at no revision, but the head is 4f1c2a7be930" in message
        assert "alembic upgrade head" in message


def test_more_steps_than_there_are(project: Project, url: URL) -> None:
    assert "Relative revision -1 is out of range" in failure(project, "downgrade", "-1", url=url)


@pytest.mark.parametrize("name", ["wait", "lock_wait", "lock_timeout"])
def test_seconds_that_are_no_number(project: Project, url: URL, name: str) -> None:
    arguments = ["-x", f"{name}=soon", "-x", "wait=0"] if name != "wait" else ["-x", "wait=soon"]
    message = failure(project, *arguments, "upgrade", "head", url=url)
    assert f"-x {name} is a number of seconds" in message


def test_raiseerr_shows_the_traceback_without_the_password(project: Project) -> None:
    url = with_driver(URL.create("postgresql", "me", PASSWORD, "127.0.0.1", free_port(), "shop"))
    run = project.run("alembic", "--raiseerr", "upgrade", "head", url=url)
    assert "Traceback" in run.stderr
    assert "cr@t" not in run.stderr
    assert "cr%40t" not in run.stderr


def test_wait_waits_for_a_server_that_is_still_starting(
    project: Project, new_database: NewDatabase, tmp_path: Path
) -> None:
    url = with_driver(new_database("postgresql"))
    port = free_port()
    process = project.start(
        "alembic", "-x", "wait=60", "upgrade", "head", url=url.set(host="127.0.0.1", port=port)
    )
    with pgbouncer(url, port=port):
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert SERVERS["postgresql"].port != port
