"""Two whole projects are kept in git, so that a change of output is seen where it is made.

When a project has become another, these tests write the new one to ``tests/golden`` and fail.
Look at ``git diff tests/golden``; when it is what you meant, commit it with your change.
"""

import difflib
import shutil
from pathlib import Path

import pytest
from conftest import Bake, Project

GOLDEN = Path(__file__).parent / "golden"
ANSWERS = {"default": {}, "postgresql_async": {"database": "postgresql", "driver": "async"}}


def difference(before: Project, after: Project) -> str:
    """Return how two projects differ, as a diff; nothing when they do not."""
    texts = [{name: p.read(name) for name in p.files} for p in (before, after)]
    return "".join(
        line
        for name in sorted(before.files | after.files)
        for line in difflib.unified_diff(
            *(text.get(name, "").splitlines(keepends=True) for text in texts), name, name
        )
    )


@pytest.mark.parametrize("name", ANSWERS)
def test_project_is_as_it_was(name: str, bake: Bake) -> None:
    golden, new = Project(GOLDEN / name, {}), bake(**ANSWERS[name])
    found = difference(golden, new)
    if found or golden.files != new.files:
        shutil.rmtree(golden.path, ignore_errors=True)
        shutil.copytree(new.path, golden.path)
        pytest.fail(f"{name} has changed; if that is meant, commit tests/golden.\n{found}")


def test_a_change_of_any_file_is_seen(bake: Bake, tmp_path: Path) -> None:
    before = bake()
    after = Project(tmp_path / "after", {})
    shutil.copytree(before.path, after.path)
    assert difference(before, after) == ""
    after.replace("alembic.ini", "timezone = UTC", "timezone = CET")
    (after.path / "new.txt").write_text("new\n")
    (after.path / ".env.example").unlink()
    found = difference(before, after)
    for line in ("+timezone = CET\n", "+++ new.txt\n", "--- .env.example\n"):
        assert line in found
