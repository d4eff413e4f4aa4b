"""What a clean database costs each test, after a history of 40 revisions with ten tables.

Milliseconds per test: `session` rolls back what a test wrote, `own_engine` copies a migrated
database. Others run all migrations for each test, or `metadata.create_all()`.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from histories import write_history
from measuring import Settings, ours, run

APPROACHES = ["session", "own_engine", "migrations", "create_all"]
HEADER = ["database", "`session`, ms", "`own_engine`, ms", "all migrations, ms", "`create_all`, ms"]
TESTS = """
import pytest
from sqlalchemy import text

from my_shop.database import make_engine
from my_shop.models import Base

from migrations.guard.proof.commands import migrated_databases
from migrations.guard.proof.scratch import scratch_database

QUERY = text("SELECT count(*) FROM t0")
repeat = pytest.mark.parametrize("_", range({repeat}))


@repeat
def test_session(session, _):
    session.execute(QUERY)


@repeat
def test_own_engine(own_engine, _):
    with own_engine.connect() as connection:
        connection.execute(QUERY)


@repeat
def test_migrations(application, tmp_path, _):
    with migrated_databases(application, tmp_path) as urls:
        engine = make_engine(urls[""])
        with engine.connect() as connection:
            connection.execute(QUERY)
        engine.dispose()


@repeat
def test_create_all(application, tmp_path, _):
    with scratch_database(application, tmp_path) as url:
        engine = make_engine(url)
        Base.metadata.create_all(engine)
        with engine.connect() as connection:
            connection.execute(QUERY)
        engine.dispose()
"""


def rows(settings: Settings) -> Iterator[list[object]]:
    for kind in settings.kinds:
        with tempfile.TemporaryDirectory() as name:
            project = ours(Path(name), kind)
            write_history(project, 40)
            # The first test of each kind makes what the others share.
            repeat = 3 if settings.quick else 21
            (project.path / "tests" / "test_clean.py").write_text(TESTS.format(repeat=repeat))
            run(
                project, "", "pytest", "-p", "no:xdist", "-q", "--junit-xml=times.xml",
                "tests/test_clean.py",
            )  # fmt: skip
            times = milliseconds(project.path / "times.xml")
            yield [kind, *(f"{times[test]:.0f}" for test in APPROACHES)]


def milliseconds(report: Path) -> dict[str, float]:
    """Return the median time of the tests of each approach, but for the first of each."""
    times: dict[str, list[float]] = {approach: [] for approach in APPROACHES}
    for test in ElementTree.parse(report).iter("testcase"):
        approach, _, number = test.attrib["name"].removeprefix("test_").partition("[")
        if list(test):
            sys.exit(f"{test.attrib['name']} did not pass: {test[0].attrib.get('message')}")
        if number != "0]":
            times[approach].append(float(test.attrib["time"]) * 1000)
    return {approach: statistics.median(each) for approach, each in times.items()}
