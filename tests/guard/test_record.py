"""Promises about the record of what was applied, and about a database that is ahead of the code."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from conftest import edit, query
from environments import Environment, NewEnvironment
from sqlalchemy import create_engine, inspect

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
    for line, expected in [
        ("upgrade b", "ab"), ("upgrade head", "abcd"), ("downgrade -2", "ab"),
        ("stamp head", "abcd"), ("stamp a", "a"), ("stamp --purge c", "abc"),
        ("stamp base", ""), ("stamp d", "abcd"),
    ]:  # fmt: skip
        run = environment.alembic(*line.split())
        assert run.returncode == 0, run.stderr
        assert recorded(environment) == {name: chain[name] for name in expected}, line


@pytest.mark.parametrize("kind", ALL)
def test_sql_keeps_the_record_right_too(new_environment: NewEnvironment, kind: str) -> None:
    environment = with_revisions(new_environment(kind), "a", "b", "c")
    for line, expected in [
        ("upgrade head", "abc"), ("downgrade c:a", "a"), ("stamp a:c", "abc"), ("upgrade a:b", "abc"),
    ]:  # fmt: skip
        run = environment.alembic(*line.split(), "--sql")
        assert run.returncode == 0, run.stderr
        if line == "upgrade a:b":  # The script may run on a database that has a record already.
            lines = [each for each in run.stdout.splitlines() if "alembic_history" in each]
            assert "IF NOT EXISTS" in lines[0]
            continue
        for statement in re.split(r";\s*\n", re.sub(r"--.*", "", run.stdout)):
            if statement.strip() and statement.strip() not in ("BEGIN", "COMMIT"):
                query(environment.url, statement)
        assert set(recorded(environment)) == set(expected), line
    assert query(
        environment.url, "SELECT count(*) FROM alembic_history WHERE applied_at IS NULL"
    ) == [(0,)]


@pytest.mark.parametrize("kind", ALL)
def test_what_was_applied_without_the_record_is_added(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a", "b", "c")
    assert environment.alembic("-x", "record=no", "upgrade", "b").returncode == 0
    assert "alembic_history" not in all_tables(environment)
    assert environment.alembic("upgrade", "c").returncode == 0
    assert recorded(environment) == {"a": "", "b": "a", "c": "b"}
    times = dict(query(environment.url, "SELECT revision, applied_at FROM alembic_history"))
    assert times["b"] is None and times["c"] is not None
    environment.alembic("-x", "record=no", "downgrade", "a")
    assert environment.alembic("upgrade", "a").returncode == 0  # Nothing to do but that.
    assert recorded(environment) == {"a": ""}


def all_tables(environment: Environment) -> set[str]:
    engine = create_engine(environment.url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


@pytest.mark.parametrize("kind", ALL)
def test_the_time_is_in_utc_and_each_line_says_how_long_it_took(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind)
    environment.add_revision("a", "import time\ntime.sleep(0.3)")
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    run = environment.alembic("upgrade", "head", TZ="Asia/Tokyo")
    after = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=1)
    assert re.search(r"Revision a took 0\.[3-9]\d s", run.stderr)
    ((at, seconds, guard),) = query(
        environment.url, "SELECT applied_at, seconds, guard FROM alembic_history"
    )
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    assert before <= at <= after
    assert 0.3 <= seconds < 1
    assert guard == __import__("guard").__version__


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_revision_that_fails_leaves_no_row(new_environment: NewEnvironment, kind: str) -> None:
    environment = with_revisions(new_environment(kind), "a")
    environment.add_revision("bad", "op.execute('nonsense')")
    assert environment.alembic("upgrade", "head").returncode == 1
    assert recorded(environment) == {"a": ""}


def test_the_record_lies_in_the_schema_of_the_version_table(
    new_environment: NewEnvironment,
) -> None:
    environment = with_revisions(new_environment("postgresql"), "a")
    query(environment.url, "CREATE SCHEMA ops")
    edit(
        environment.path / "migrations/env.py",
        "target_metadata=target_metadata,",
        "target_metadata=target_metadata, version_table_schema='ops', version_table='my_version',",
    )
    assert environment.alembic("upgrade", "head").returncode == 0
    assert query(environment.url, "SELECT revision FROM ops.my_history") == [("a",)]


@pytest.mark.parametrize("kind", ALL)
def test_autogenerate_and_check_do_not_see_the_record(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = new_environment(kind, settings="unmanaged = compare")
    environment.add_revision("a", "pass")
    assert environment.alembic("upgrade", "head").returncode == 0
    run = environment.alembic("check")
    assert run.returncode == 0, run.stderr
    assert "alembic_history" not in run.stdout + run.stderr


# A database that is ahead of the code


def ahead(environment: Environment, *names: str) -> None:
    """Migrate with newer code, and go back to the older one."""
    with_revisions(environment, *names)
    assert environment.alembic("upgrade", "head").returncode == 0
    for path in (environment.path / "migrations/versions").glob("*.py"):
        if path.stem.partition("_")[2] in names:
            path.unlink()


@pytest.mark.parametrize("kind", ALL)
def test_old_code_has_nothing_to_do_for_a_newer_database(
    new_environment: NewEnvironment, kind: str
) -> None:
    environment = with_revisions(new_environment(kind), "a", "b")
    ahead(environment, "c", "d")
    for line in ("upgrade head", "upgrade heads", "upgrade b"):
        run = environment.alembic(*line.split())
        assert run.returncode == 0, run.stderr
        assert "is at d, newer than this code's head b; nothing to do" in run.stderr
        assert len(run.stderr.splitlines()) == 1
    for line in ("current", "current --check-heads"):
        run = environment.alembic(*line.split())
        assert (run.returncode, run.stdout) == (0, "d (newer than this code's head b)\n")
    for line in (
        "downgrade -1", "downgrade a", "stamp head", "upgrade +1", "upgrade a", "check",
        "revision --autogenerate -m x", "upgrade b+1",
    ):  # fmt: skip
        run = environment.alembic(*line.split())
        assert run.returncode == 1, line
        assert "is at d, newer than this code's head b: run this with the newer code" in run.stderr
    assert set(recorded(environment)) == set("abcd")
    assert query(environment.url, "SELECT version_num FROM alembic_version") == [("d",)]


def test_a_program_gets_an_exception_with_a_name_of_its_own(
    new_environment: NewEnvironment,
) -> None:
    import guard

    environment = with_revisions(new_environment(), "a", "b")
    ahead(environment, "c")
    command.upgrade(environment.config, "head")
    for call in (
        lambda: command.downgrade(environment.config, "a"),
        lambda: command.stamp(environment.config, "head"),
        lambda: command.check(environment.config),
    ):
        with pytest.raises(guard.DatabaseAhead, match="newer than this code's head b"):
            call()


def test_reached_is_asked_of_the_heads_and_not_of_the_rows(new_environment: NewEnvironment) -> None:
    environment = with_revisions(new_environment(), "a", "b")
    ahead(environment, "c")
    # Rows that are left over, of a revision on another branch, do not count.
    query(environment.url, "UPDATE alembic_history SET parents = 'a' WHERE revision = 'c'")
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 1
    assert "is at revision 'c' of another branch, which left this one after a" in run.stderr
    assert "downgrade to a" in run.stderr


def test_a_typo_another_branch_and_a_missing_file_are_different_errors(
    new_environment: NewEnvironment,
) -> None:
    environment = with_revisions(new_environment(), "a")
    environment.alembic("upgrade", "head")
    typo = environment.alembic("upgrade", "nope")
    assert "There is no revision 'nope' in" in typo.stderr and "alembic history" in typo.stderr
    ahead(environment, "other")
    with_revisions(environment, "mine")
    branch = environment.alembic("upgrade", "head")
    assert (
        branch.returncode == 1 and "of another branch, which left this one after a" in branch.stderr
    )
    query(environment.url, "DROP TABLE alembic_history")
    missing = environment.alembic("upgrade", "head")
    assert missing.returncode == 1 and "which has no file in" in missing.stderr


def test_without_the_record_it_is_the_error_that_it_was(new_environment: NewEnvironment) -> None:
    environment = with_revisions(new_environment(settings="record = no"), "a", "b")
    ahead(environment, "c")
    run = environment.alembic("upgrade", "head")
    assert run.returncode == 1
    assert "is at revision 'c', which has no file in" in run.stderr
