"""Promises about the figures of lint: what is right has no finding, and each fault is found."""

from pathlib import Path

import pytest
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from conftest import indent
from guard.history.lint import Branch, check, in_order, report_lines
from guard.history.report import Finding
from guard.rules.deployment import RULE_NAMES
from lint_cases import ALL, RIGHT, WRONG, Case

REVISION = """\
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {parent!r}


def upgrade():
{body}
"""


def findings(case: Case, kind: str, folder: Path) -> list[Finding]:
    """Return what lint finds in a branch."""
    (folder / "versions").mkdir()
    parent = None
    for number, body in enumerate(case.revisions):
        revision = f"r{number}"
        source = REVISION.format(revision=revision, parent=parent, body=indent(body.strip()))
        (folder / "versions" / f"{revision}_.py").write_text(source)
        parent = revision
    script = ScriptDirectory(str(folder))
    new = in_order(script, [f"r{number}" for number in range(len(case.revisions))])
    migration = MigrationContext.configure(dialect_name=kind, opts={"as_sql": True})
    result = Branch()
    check(script, new, migration, None, result, frozenset())
    report_lines(result)
    return result.found


def cells(cases: list[Case]) -> list[object]:
    return [
        pytest.param(case, kind, id=f"{case.rule}-{case.name}-{kind}".lstrip("-").replace(" ", "_"))
        for case in cases
        for kind in case.kinds
    ]


@pytest.mark.parametrize(("case", "kind"), cells(RIGHT))
def test_a_change_that_is_right_has_no_finding(case: Case, kind: str, tmp_path: Path) -> None:
    assert findings(case, kind, tmp_path) == []


@pytest.mark.parametrize(("case", "kind"), cells(WRONG))
def test_a_fault_is_found(case: Case, kind: str, tmp_path: Path) -> None:
    found = findings(case, kind, tmp_path)
    assert case.rule in {finding.rule for finding in found}, found
    for finding in found:
        if finding.rule in RULE_NAMES:
            assert all(len(line) <= 100 for line in finding.text.splitlines()), finding.text


def test_there_are_as_many_as_were_promised() -> None:
    names = [case.name for case in RIGHT]
    assert len(set(names)) == len(names) >= 50
    assert len(WRONG) >= 40
    for kind in ALL:
        assert sum(kind in case.kinds for case in RIGHT) >= 40
        assert sum(kind in case.kinds for case in WRONG) >= 40


def test_each_rule_has_a_fault() -> None:
    other = {"renames_table", "changes_applied_revision"}  # See test_rules.py and test_lint.py.
    assert {case.rule for case in WRONG} | other == set(RULE_NAMES)
