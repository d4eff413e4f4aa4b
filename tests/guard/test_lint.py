"""Promises about lint: what is applied stays as it was, and what is new is checked."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from branches import CREATE, Branches, begin
from environments import MIGRATIONS, NewEnvironment

NewBranches = Callable[..., Branches]
DROP = 'op.drop_column("shops", "x")'
# What a process needs that is started without the settings of the tests.
PLAIN = {"PYTHONPATH": str(MIGRATIONS), "PATH": os.environ["PATH"]}
ACCEPTED = f"# guard: accept drops_data: nothing reads it\n{DROP}"


@pytest.fixture
def new_branches(new_environment: NewEnvironment) -> NewBranches:
    """A function that makes a repository whose branch main has one revision."""

    def make(kind: str = "sqlite", settings: str = "") -> Branches:
        return begin(new_environment(kind, settings))

    return make


@pytest.fixture
def branches(new_branches: NewBranches) -> Branches:
    return new_branches()


def rules(text: str) -> list[str]:
    """Return the rules of the findings that are printed, in their order."""
    return re.findall(r"^\S+:\d+: (.*)$", text, re.MULTILINE)


# What is applied


def test_a_branch_without_new_revisions_has_no_findings(branches: Branches) -> None:
    run = branches.lint()
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "0 revisions that main does not have: nothing found.\n"


@pytest.mark.parametrize("committed", [True, False])
def test_a_revision_that_the_branch_has_may_not_be_edited(
    branches: Branches, committed: bool
) -> None:
    branches.git("switch", "--quiet", "--create", "mine")
    branches.write("one", CREATE.replace("sa.Text()", "sa.String(9)"), parent=None)
    if committed:
        branches.commit()
    run = branches.lint()
    assert run.returncode == 1
    assert rules(run.stdout) == ["changes_applied_revision"]
    assert (
        "it is edited here. Write a new one, and restore it:\n    git checkout main -- migrations/versions/one_.py"
        in (run.stdout)
    )
    branches.git("checkout", "main", "--", "migrations/versions/one_.py")
    assert branches.lint().returncode == 0


def test_a_revision_that_the_branch_has_may_not_be_deleted_or_renamed(branches: Branches) -> None:
    path = branches.versions / "one_.py"
    path.rename(branches.versions / "one_tables.py")
    run = branches.lint()
    assert rules(run.stdout) == ["changes_applied_revision"]
    assert (
        "it is renamed here. Write a new one, and restore it:\n    git mv one_tables.py one_.py"
        in run.stdout
    )
    (branches.versions / "one_tables.py").unlink()
    run = branches.lint()
    assert run.returncode == 1
    assert "it is deleted here" in run.stdout


def test_another_parent_is_an_edit(branches: Branches) -> None:
    branches.write("two")
    branches.commit()
    branches.write("two", parent=None)
    assert rules(branches.lint().stdout) == ["changes_applied_revision"]


def test_formatting_comments_and_docstrings_are_no_edit(branches: Branches) -> None:
    path = branches.versions / "one_.py"
    source = path.read_text().replace('"', "'").replace("'''", '"""').replace("Revises", "After")
    path.write_text(
        source.replace("    op.", "    # What we sell in.\n    op.").replace("(", "(\n")
    )
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, [])


def test_what_the_other_branch_has_edited_or_added_is_not_ours(branches: Branches) -> None:
    branches.git("switch", "--quiet", "--create", "mine")
    branches.git("switch", "--quiet", "main")
    branches.write("one", CREATE.replace("sa.Text()", "sa.String(9)"), parent=None)
    branches.write("theirs", DROP)
    branches.commit()
    branches.git("switch", "--quiet", "mine")
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, [])


def test_a_revision_that_reached_the_branch_in_another_way_may_not_be_edited(
    branches: Branches,
) -> None:
    branches.git("switch", "--quiet", "--create", "mine")
    branches.write("two", 'op.execute("SELECT 1")')
    branches.commit()
    branches.git("switch", "--quiet", "main")
    branches.git("merge", "--squash", "mine")
    branches.commit("Squashed")
    branches.git("switch", "--quiet", "mine")
    assert branches.lint().returncode == 0
    branches.write("two", 'op.execute("SELECT 2")')
    assert rules(branches.lint().stdout) == ["changes_applied_revision"]


def test_the_merge_of_two_heads_is_no_edit(branches: Branches) -> None:
    branches.git("switch", "--quiet", "--create", "mine")
    branches.write("mine", head=False)
    branches.commit()
    branches.git("switch", "--quiet", "main")
    branches.write("theirs", head=False)
    branches.commit()
    branches.git("switch", "--quiet", "mine")
    branches.git("merge", "--no-edit", "main")
    branches.write("join", parent=("mine", "theirs"))
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, [])
    assert run.stdout.startswith("2 revisions that main does not have")


def test_squashing_is_accepted_by_a_line_in_the_new_revision(branches: Branches) -> None:
    branches.write("two", 'op.add_column("shops", sa.Column("y", sa.Text()))')
    branches.write("three", 'op.create_table("towns", sa.Column("id", sa.Integer()))', "two")
    branches.commit()
    for path in branches.versions.glob("*.py"):
        path.unlink()
    path = branches.write("three", CREATE, parent=None)
    path = path.rename(branches.versions / "three_all_tables.py")
    run = branches.lint()
    assert rules(run.stdout) == ["changes_applied_revision"] * 3
    line = "# guard: accept changes_applied_revision: each database is at three\n"
    path.write_text(line + path.read_text())
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, [])


def test_squashing_does_not_accept_that_what_comes_after_it_is_deleted(branches: Branches) -> None:
    branches.write("two")
    branches.commit()
    line = "# guard: accept changes_applied_revision: each database is at one\n"
    path = branches.write("one", f"{CREATE}\npass", parent=None)
    path.write_text(line + path.read_text())
    (branches.versions / "two_.py").unlink()
    run = branches.lint()
    assert "versions/two_.py:1: changes_applied_revision" in run.stdout
    assert "one_.py" not in run.stdout


def test_a_hook_of_git_finds_the_repository(branches: Branches) -> None:
    branches.write("two", DROP)
    run = branches.lint(GIT_DIR=".git", GIT_INDEX_FILE=".git/index", GIT_PREFIX="")
    assert rules(run.stdout) == ["drops_data"]


def test_an_edit_that_is_no_python_any_more_is_one_sentence(branches: Branches) -> None:
    path = branches.versions / "one_.py"
    path.write_text(path.read_text() + "\n# guard: accept drops_data: why\ndef (\n")
    run = branches.lint()
    assert run.returncode == 1
    assert re.match(r"FAILED: .*one_.py, line \d+: ", run.stderr)


def test_a_revision_in_another_encoding_is_read(branches: Branches) -> None:
    path = branches.write("two", f"{DROP}  # Käse")
    path.write_bytes(b"# -*- coding: latin-1 -*-\n" + path.read_text().encode("latin-1"))
    assert rules(branches.lint().stdout) == ["drops_data"]


# Which branch


def test_the_branch_is_the_one_that_the_remote_calls_its_head(
    branches: Branches, tmp_path: Path
) -> None:
    branches.git("branch", "--move", "trunk")
    branches.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    branches.write("two", DROP)
    assert "There is no branch main to compare with" in branches.lint().stderr
    branches.git("remote", "add", "origin", str(tmp_path / "clone"))
    branches.git("fetch", "--quiet", "origin")
    branches.git("remote", "set-head", "origin", "trunk")
    run = branches.lint()
    assert "1 revision that origin/trunk does not have" in run.stdout
    assert "1 revision that HEAD does not have" in branches.lint("HEAD").stdout


def test_a_branch_that_git_does_not_know_is_named(branches: Branches) -> None:
    run = branches.lint("nonsense")
    assert run.returncode == 1
    assert run.stderr.startswith("FAILED: There is no branch nonsense to compare with")


def test_before_the_first_commit_every_revision_is_new(new_environment: NewEnvironment) -> None:
    branches = Branches(new_environment())
    branches.git("init", "--quiet")
    branches.write("one", CREATE, parent=None)
    branches.write("two", DROP)
    run = branches.lint()
    assert run.stdout.startswith("2 revisions")
    assert run.returncode == 0  # The branch drops what it has created itself.


# What is new


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_a_new_revision_is_checked_on_each_database_without_one(
    new_environment: NewEnvironment, kind: str
) -> None:
    from sqlalchemy import make_url

    nowhere = {"sqlite": "sqlite:////nowhere/x.db", "postgresql": "postgresql://127.0.0.1:1/x",
               "mysql": "mysql://127.0.0.1:1/x"}  # fmt: skip
    branches = begin(new_environment(kind, url=make_url(nowhere[kind])))
    path = branches.write("two", f'op.create_table("t", sa.Column("i", sa.BigInteger()))\n{DROP}')
    line = path.read_text().split("\n").index(f"    {DROP}") + 1
    run = branches.lint()
    assert (run.returncode, run.stderr) == (1, "")
    assert f"migrations/versions/two_.py:{line}: drops_data\n    Drops shops.x and its data.\n" in (
        run.stdout
    )
    assert rules(run.stdout) == ["drops_data"]


def test_a_finding_is_accepted_by_a_line_that_gives_a_reason(branches: Branches) -> None:
    branches.write("two", ACCEPTED)
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, [])


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"{DROP}  # guard: accept drops_data: why", []),
        (f"# guard: accept drops_data: why\n# It is old.\n\n{DROP}", []),
        (f"# guard: accept drops_data, renames_in_use: why\n{DROP}", ["unused_acceptance"]),
        (f"# guard: accept drops_data: why\nif True:\n    {DROP}", []),
        (f"# guard: accept drops_data:\n{DROP}", ["unused_acceptance", "drops_data"]),
        (f"# guard: accept drops_data\n{DROP}", ["unused_acceptance", "drops_data"]),
        (f"# guard: accept: why\n{DROP}", ["unused_acceptance", "drops_data"]),
        (f"# guard: accept drop_data: why\n{DROP}", ["unused_acceptance", "drops_data"]),
        (f"{DROP}\n# guard: accept drops_data: why\npass", ["drops_data", "unused_acceptance"]),
        (
            f'op.execute("SELECT 1")  # guard: accept drops_data: why\n{DROP}',
            ["unused_acceptance", "drops_data"],
        ),
        (f"text = '''\n# guard: accept drops_data: why\n'''\n{DROP}", ["drops_data"]),
        (
            "def part():\n    # guard: accept drops_data: why\n    op.drop_table('shops')\npart()",
            [],
        ),
        (f"# guard: accept drops_data: why\ndef part():\n    {DROP}\npart()", []),
        (f"def part():\n    {DROP}\n# guard: accept drops_data: why\npart()", []),
    ],
)
def test_where_a_line_stands_says_what_it_accepts(
    branches: Branches, body: str, found: list[str]
) -> None:
    branches.write("two", body)
    run = branches.lint()
    assert rules(run.stdout) == found
    assert (run.returncode == 0) is (found == [])


def test_a_line_outside_of_functions_accepts_for_the_whole_revision(branches: Branches) -> None:
    path = branches.write("two", f'{DROP}\nop.drop_table("shops")')
    path.write_text(path.read_text() + "\n\n# guard: accept drops_data: nothing is left\n")
    assert branches.lint().returncode == 0


def test_a_line_that_accepts_nothing_is_reported(branches: Branches) -> None:
    branches.write("two", "# guard: accept drops_data: why\npass")
    run = branches.lint()
    assert rules(run.stdout) == ["unused_acceptance"]
    assert "Nothing here is found by drops_data: delete this line." in run.stdout
    branches.write("two", "# guard: accept nonsense: why\npass")
    run = branches.lint()
    assert "There is no rule nonsense. Known are: renames_column, " in run.stdout
    branches.write("two", "# guard: accept drops_data:\npass")
    assert "This line accepts nothing: write # guard: accept RULE: why" in branches.lint().stdout


def test_a_line_after_what_cannot_be_read_is_not_called_unused(branches: Branches) -> None:
    branches.write("two", f'op.get_bind().execute(sa.text("SELECT 1")).all()\n{ACCEPTED}')
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, ["not checked"])


def test_a_revision_that_reads_rows_is_read_as_far_as_that(branches: Branches) -> None:
    path = branches.write(
        "two", f'{DROP}\nif op.get_bind().scalar(sa.text("SELECT 1")):\n    op.drop_table("shops")'
    )
    run = branches.lint()
    assert rules(run.stdout) == ["drops_data", "not checked"]
    line = path.read_text().split("\n").index(f"    {DROP}") + 2
    assert (
        f"two_.py:{line}: not checked\n    Unread from here: connection.scalar needs" in run.stdout
    )


def test_sql_that_is_not_understood_is_named(branches: Branches) -> None:
    branches.write("two", 'op.execute("FROBNICATE shops")')
    run = branches.lint()
    assert run.returncode == 0
    assert "not checked\n    This SQL is not understood: FROBNICATE shops" in run.stdout


def test_without_the_parser_one_sentence_says_that_sql_is_not_read(
    branches: Branches, tmp_path: Path
) -> None:
    branches.write("two", 'op.execute("DROP TABLE shops")\nop.execute("DROP TABLE towns")')
    program = (
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'sqlglot' else find(name, *a)\n"
        "sys.argv = ['guard', 'lint']\n"
        "runpy.run_module('guard', run_name='__main__', alter_sys=True)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=branches.environment.path, capture_output=True,
        text=True, check=False, env={**PLAIN, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert (
        "not checked\n    sqlglot is not installed, so SQL is not read: uv add --dev" in run.stdout
    )
    assert run.stdout.count("is not installed") == 1


def test_the_parser_is_imported_only_for_sql(branches: Branches) -> None:
    program = (
        "import runpy, sys\nsys.argv = ['guard', 'lint']\n"
        "try:\n    runpy.run_module('guard', run_name='__main__', alter_sys=True)\n"
        "except SystemExit:\n    pass\n"
        "print('parser' if 'sqlglot' in sys.modules else 'none')\n"
    )
    for body, last in ((DROP, "none"), ('op.execute("DROP TABLE shops")', "parser")):
        branches.write("two", body)
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=branches.environment.path, capture_output=True,
            text=True, check=False, env={**PLAIN, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert run.stdout.splitlines()[-1] == last, run.stderr


def test_a_rule_that_is_switched_off_finds_nothing(new_branches: NewBranches) -> None:
    branches = new_branches(settings="remarks = -drops_data, -changes_applied_revision")
    branches.write("two", DROP)
    branches.write("one", CREATE + "\nassert True", parent=None)
    assert branches.lint().returncode == 0


def test_new_revisions_are_read_in_the_order_of_the_history(branches: Branches) -> None:
    branches.write("zzz", 'op.add_column("shops", sa.Column("y", sa.Text()))')
    branches.write("aaa", 'op.drop_column("shops", "y")', parent="zzz")
    assert branches.lint().returncode == 0  # It drops what it has added itself.


def test_a_check_that_an_older_revision_has_validated_is_known(new_branches: NewBranches) -> None:
    branches = new_branches("postgresql")
    branches.write(
        "two",
        'op.create_check_constraint("filled", "shops", "x IS NOT NULL", postgresql_not_valid=True)',
    )
    branches.write("three", 'op.execute("ALTER TABLE shops VALIDATE CONSTRAINT filled")', "two")
    branches.commit()
    change = 'op.alter_column("shops", "x", nullable=False)'
    branches.write("four", f"# guard: accept requires_value: always written\n{change}", "three")
    run = branches.lint()
    assert (run.returncode, rules(run.stdout)) == (0, [])


def test_what_an_enum_loses_is_found_by_its_downgrade(new_branches: NewBranches) -> None:
    branches = new_branches("postgresql")
    call = (
        'op.sync_enum_values(enum_schema="public", enum_name="mood", new_values={}, '
        "affected_columns=[])"
    )
    path = branches.write("two", call.format(["good"]))
    text = path.read_text().rstrip().removesuffix("pass") + call.format(["good", "bad"]) + "\n"
    path.write_text(text)
    run = branches.lint()
    assert "removes_enum_value" in rules(run.stdout)
    assert "mood loses 'bad'" in run.stdout


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("revision = 'two'\ndown_revision = 'one'\ndef upgrade(:\n", "two_.py, line 3: "),
        ("import nonsense\nrevision = 'two'\n", "two_.py, line 1: No module named 'nonsense'"),
        (
            "revision = 'two'\ndown_revision = 'zero'\n",
            "Revision zero, the parent of two (two_.py)",
        ),
        ("revision = 'one'\ndown_revision = None\n", "Revision one is in two files: "),
    ],
)
def test_a_revision_that_cannot_be_loaded_is_one_sentence(
    branches: Branches, source: str, words: str
) -> None:
    (branches.versions / "two_.py").write_text(source)
    run = branches.lint()
    assert run.returncode == 1
    assert run.stderr.startswith("FAILED: ")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


# PostgreSQL's linter


def test_squawk_checks_the_sql_at_the_line_of_the_operation(new_branches: NewBranches) -> None:
    branches = new_branches("postgresql")
    line = 'op.add_column("shops", sa.Column("y", sa.SmallInteger()))'
    path = branches.write("two", f'op.add_column("shops", sa.Column("z", sa.Text()))\n{line}')
    number = path.read_text().split("\n").index(f"    {line}") + 1
    run = branches.lint()
    assert f"two_.py:{number}: prefer-bigint-over-smallint" in run.stdout
    assert rules(run.stdout) == ["prefer-bigint-over-smallint"]
    branches.write("two", f"# guard: accept prefer-bigint-over-smallint: it is small\n{line}")
    assert branches.lint().returncode == 0
    branches.write("two", f'op.execute("-- squawk-ignore prefer-bigint-over-smallint")\n{line}')
    assert branches.lint().returncode == 0
    branches.write("two", "# guard: accept prefer-bigint-over-smallint: it is small\npass")
    assert rules(branches.lint().stdout) == ["unused_acceptance"]


# On GitHub


def test_github_shows_findings_as_annotations_and_the_sql_in_the_summary(
    branches: Branches, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    branches.write("two", f'{DROP}\nop.execute("UPDATE shops SET x = 1 WHERE id = 100 % 7")')
    run = branches.lint(GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    (annotation,) = re.findall(r"^::error .*$", run.stdout, re.MULTILINE)
    assert annotation.startswith(
        "::error file=migrations/versions/two_.py,line=14,title=drops_data::"
        "Drops shops.x and its data.%0AFirst deploy"
    )
    text = summary.read_text()
    assert text.startswith("## Migrations\n\n1 revision that main does not have: 1 finding.")
    assert "- `migrations/versions/two_.py:14` **drops_data**: Drops shops.x and its data." in text
    assert "### `two_.py`\n\n```sql\nBEGIN;\nALTER TABLE shops DROP COLUMN x;\nUPDATE " in text


def test_nothing_of_github_is_written_elsewhere(branches: Branches) -> None:
    branches.write("two", DROP)
    assert "::" not in branches.lint().stdout


# Speed


def test_three_new_revisions_of_a_thousand_take_less_than_twice_alembic_heads(
    branches: Branches, tmp_path: Path
) -> None:
    parent = "one"
    for number in range(1000):
        branches.write(f"r{number:03}", 'op.add_column("shops", sa.Column("y", sa.Text()))', parent)
        parent = f"r{number:03}"
    branches.commit()
    for number in range(3):
        branches.write(f"new{number}", 'op.execute("UPDATE shops SET x = 1 WHERE id = 1")', parent)
        parent = f"new{number}"

    def seconds(*command: str) -> float:
        # Of the processor, which other tests at work do not change.
        start = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        run = subprocess.run(
            [sys.executable, "-m", *command], cwd=branches.environment.path, capture_output=True,
            text=True, check=False, env={**PLAIN, "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")},
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - start

    seconds("alembic", "heads")  # Python compiles the revisions.
    rounds = [(seconds("alembic", "heads"), seconds("guard", "lint")) for _ in range(3)]
    heads, lint = (min(each) for each in zip(*rounds, strict=True))
    print(f"alembic heads {heads:.2f} s, lint {lint:.2f} s: {lint / heads:.2f} times")
    assert lint < 2 * heads
