"""Promises about rebase: new revisions go behind the head of another branch, and nothing else."""

from pathlib import Path

import pytest
from branches import CREATE, Branches, begin
from environments import NewEnvironment
from guard.head import head_in, write_head


@pytest.fixture
def branches(new_environment: NewEnvironment) -> Branches:
    """Two branches that each have added revisions, and this one has merged main but head.txt."""
    branches = begin(new_environment())
    branches.git("switch", "--quiet", "--create", "mine")
    branches.write("mine", 'op.execute("SELECT 1")')
    branches.write("later", 'op.execute("SELECT 1")', parent="mine")
    branches.commit("Mine")
    branches.git("switch", "--quiet", "main")
    branches.write("theirs", 'op.execute("SELECT 1")')
    branches.commit("Theirs")
    branches.git("switch", "--quiet", "mine")
    return branches


def head(branches: Branches) -> str:
    return head_in((branches.versions / "head.txt").read_text())


def test_the_file_that_conflicts_says_which_command_resolves_it(branches: Branches) -> None:
    assert "CONFLICT" in branches.git("merge", "main", check=False)
    lines = (branches.versions / "head.txt").read_text().splitlines()
    assert lines[1] == "#     python -m guard rebase"
    assert any(line.startswith("<<<<<<<") for line in lines)


def test_new_revisions_go_behind_the_head_and_nothing_else_changes(branches: Branches) -> None:
    branches.git("merge", "main", check=False)
    before = {path: path.read_bytes() for path in branches.versions.glob("*.py")}
    run = branches.guard("rebase")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "mine_.py is now behind theirs, the head of main.\n"
    for path, source in before.items():
        changed = source.replace(
            b"down_revision: str | None = 'one'", b"down_revision: str | None = 'theirs'"
        )
        assert path.read_bytes() == (changed if path.name == "mine_.py" else source)
    assert head(branches) == "later"
    branches.git("add", ".")
    branches.git("commit", "--quiet", "--no-edit")
    run = branches.environment.alembic("heads")
    assert run.stdout.split() == ["later", "(head)"]
    run = branches.environment.alembic("upgrade", "head")
    assert run.returncode == 0, run.stderr
    assert branches.lint().returncode == 0


def test_a_conflict_of_git_rebase_is_resolved_in_the_same_way(branches: Branches) -> None:
    assert "CONFLICT" in branches.git("rebase", "main", check=False)
    assert branches.guard("rebase", "main").returncode == 0
    branches.git("add", ".")
    branches.git("rebase", "--continue")
    assert branches.environment.alembic("heads").stdout.split() == ["later", "(head)"]


def test_rebasing_again_changes_nothing(branches: Branches) -> None:
    branches.git("merge", "main", check=False)
    branches.guard("rebase")
    before = (branches.versions / "mine_.py").read_bytes()
    run = branches.guard("rebase")
    assert run.stdout == "mine_.py is behind the head of main already.\n"
    assert (branches.versions / "mine_.py").read_bytes() == before


def test_a_branch_that_is_not_merged_yet_is_refused_with_the_command(branches: Branches) -> None:
    run = branches.guard("rebase")
    assert run.returncode == 1
    assert run.stderr == (
        "FAILED: main has revisions that are not here, like theirs_.py. Run first: git merge main\n"
    )


def test_without_new_revisions_there_is_nothing_to_do(branches: Branches) -> None:
    branches.git("switch", "--quiet", "main")
    run = branches.guard("rebase")
    assert (run.returncode, run.stdout) == (
        0, "main has all revisions: there is nothing to rebase.\n",
    )  # fmt: skip


@pytest.mark.parametrize("applied", ["mine", "later"])
def test_what_the_database_has_applied_is_refused_with_the_command_that_reverts_it(
    branches: Branches, applied: str
) -> None:
    assert branches.environment.alembic("upgrade", applied).returncode == 0
    branches.git("merge", "main", check=False)
    before = (branches.versions / "mine_.py").read_bytes()
    run = branches.guard("rebase")
    assert run.returncode == 1
    assert (
        f"has {applied} applied. Revert it before it is moved:\nalembic downgrade one\n"
        in run.stderr
    )
    assert (branches.versions / "mine_.py").read_bytes() == before
    assert branches.environment.alembic("downgrade", "one").returncode == 0
    assert branches.guard("rebase").returncode == 0


def test_a_database_that_does_not_answer_is_said_and_does_not_stop_it(
    new_environment: NewEnvironment,
) -> None:
    from sqlalchemy import make_url

    branches = begin(new_environment(url=make_url("sqlite:////nowhere/at/all.db")))
    branches.git("switch", "--quiet", "--create", "mine")
    branches.write("mine")
    branches.git("stash", "--quiet", "--include-untracked")
    branches.git("switch", "--quiet", "main")
    branches.write("theirs")
    branches.commit()
    branches.write("mine")
    run = branches.guard("rebase")
    assert run.returncode == 0
    assert run.stderr.startswith("Whether they are applied is not known: ")
    assert "cannot be opened" in run.stderr


def test_a_merge_of_the_two_heads_is_not_taken_apart(branches: Branches) -> None:
    branches.git("merge", "main", check=False)
    branches.write("join", parent=("later", "theirs"))
    run = branches.guard("rebase")
    assert run.returncode == 1
    assert "join_.py joins the two branches already, so there is nothing to rebase" in run.stderr


def test_two_beginnings_of_a_branch_are_refused(branches: Branches) -> None:
    branches.git("merge", "main", check=False)
    branches.write("other")
    run = branches.guard("rebase")
    assert run.returncode == 1
    assert "FAILED: This branch has several heads: later, other. Merge them first: " in run.stderr


def test_several_heads_of_the_other_branch_are_refused(branches: Branches) -> None:
    branches.git("switch", "--quiet", "main")
    branches.write("second")
    branches.commit()
    branches.write("new")
    run = branches.guard("rebase")
    assert "FAILED: main has several heads: second, theirs." in run.stderr


def test_the_first_revision_of_all_goes_behind_the_head(branches: Branches) -> None:
    branches.git("switch", "--quiet", "main")
    branches.write("new", CREATE, parent=None)
    assert branches.guard("rebase").returncode == 0
    assert (
        "= 'theirs'" in (branches.versions / "new_.py").read_text()
        or '= "theirs"' in (branches.versions / "new_.py").read_text()
    )


def test_a_head_file_of_an_older_project_is_read(tmp_path: Path) -> None:
    assert head_in("abc\n") == "abc"
    write_head(tmp_path / "head.txt", "abc")
    text = (tmp_path / "head.txt").read_text()
    assert head_in(text) == "abc"
    assert all(len(line) <= 100 for line in text.splitlines())
    conflict = text.replace("abc", "<<<<<<< HEAD\nabc\n=======\ndef\n>>>>>>> main")
    assert head_in(conflict) != "abc"
