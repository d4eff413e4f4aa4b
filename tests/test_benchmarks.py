"""Promises about benchmarks/: that they still run. What they say is in their README.md."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import TEMPLATE

BENCHMARKS = TEMPLATE / "benchmarks"
SHARED = {"__main__", "measuring"}
PARTS = sorted({path.stem for path in BENCHMARKS.glob("*.py")} - SHARED)


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks in their smallest size, which writes nothing down."""
    return subprocess.run(
        [sys.executable, str(BENCHMARKS), "--quick", "--database=sqlite", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


# The proof is measured against an environment that has to be downloaded.
@pytest.mark.machine
@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.slow] * (part == "proof")) for part in PARTS]
)
def test_each_part_gives_a_table_of_numbers(part: str) -> None:
    run = benchmark(part)
    assert run.returncode == 0, run.stderr
    _, line, *rows = run.stdout.splitlines()
    assert set(line) <= set("|- ")
    assert rows
    for row in rows:
        assert len(re.findall(r"\| [+-]?[\d.]+", row)) >= 3, row


def test_an_unknown_part_is_refused() -> None:
    run = benchmark("many_chairs")
    assert run.returncode == 2
    assert "no such part: many_chairs" in run.stderr


def test_the_readme_has_a_place_for_each_part() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- end of (\w+) -->", readme) != []
    assert sorted(re.findall(r"<!-- end of (\w+) -->", readme)) == PARTS


@pytest.mark.machine
def test_instructions_are_counted_by_valgrind() -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: apt-get install valgrind")
    count = (
        "import measuring, pathlib; project = measuring.Project(pathlib.Path('.')); "
        "print(measuring.instructions(project, '', 'this'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", count], cwd=BENCHMARKS, capture_output=True, text=True, check=True
    )
    assert float(run.stdout) > 10
