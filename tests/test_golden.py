"""Two whole projects are kept in git, so that a change of output is seen where it is made.

When a project has become another, these tests write the new one to ``tests/golden`` and fail.
Look at ``git diff tests/golden``; when it is what you meant, commit it with your change.
The guard is left out: it has the same bytes as in the template, as test_files.py says.
"""

import difflib
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Bake, Project

GOLDEN = Path(__file__).parent / "golden"
ANSWERS = {"default": {}, "postgresql_async": {"database": "postgresql", "driver": "async"}}


def difference(before: dict[str, str], after: dict[str, str]) -> str:
    """Return how the texts of files differ, as a diff; nothing when they do not."""
    return "".join(
        line
        for name in sorted(before | after)
        for line in difflib.unified_diff(
            *(texts.get(name, "").splitlines(keepends=True) for texts in (before, after)),
            name,
            name,
        )
    )


def texts_of(project: Project) -> dict[str, str]:
    """Return the text of each file, but for those that tools left and git does not see."""
    command = ["git", "-C", project.path, "ls-files", "--cached", "--others", "--exclude-standard"]
    seen = subprocess.run(command, capture_output=True, check=False, text=True).stdout.splitlines()
    return {name: project.read(name) for name in without_guard(project.files) & set(seen)}


def without_guard(files: set[str]) -> set[str]:
    """Return the files of a project, but for those of the guard."""
    return {name for name in files if not name.startswith("migrations/guard/")}


@pytest.mark.parametrize("name", ANSWERS)
def test_project_is_as_it_was(name: str, bake: Bake) -> None:
    new = bake(**ANSWERS[name])
    before = texts_of(Project(GOLDEN / name, {}))
    after = {name: new.read(name) for name in without_guard(new.files)}
    found = difference(before, after)
    if found or before != after:
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
        shutil.copytree(
            new.path, GOLDEN / name, ignore=shutil.ignore_patterns("guard", "__pycache__")
        )
        pytest.fail(f"{name} has changed; if that is meant, commit tests/golden.\n{found}")


@pytest.mark.parametrize(
    ("after", "line"),
    [
        ({"a": "1\n", "b": "3\n"}, "-2\n+3\n"),
        ({"a": "1\n", "b": "2\n", "c": "4\n"}, "+++ c\n"),
        ({"a": "1\n"}, "--- b\n"),
        ({"a": "1\n", "b": "2"}, "-2\n+2"),
    ],
    ids=["changed", "new", "gone", "no newline"],
)
def test_a_change_of_any_file_is_seen(after: dict[str, str], line: str) -> None:
    before = {"a": "1\n", "b": "2\n"}
    assert difference(before, before) == ""
    assert line in difference(before, after)
