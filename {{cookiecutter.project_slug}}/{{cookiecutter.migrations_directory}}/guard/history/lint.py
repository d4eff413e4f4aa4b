"""Checks what a branch adds to a history: that what was there stays, and what is new is safe.

No database is needed: a revision is run where nothing is executed; see ``recording.py``.
"""

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.operations import Operations
from alembic.operations.ops import AlterColumnOp, ExecuteSQLOp, MigrateOperation
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Dialect
from sqlalchemy.exc import SQLAlchemyError

from .. import databases, revisions, settings
from ..rules import Remark, rules_without
from ..rules.deployment import RULE_NAMES, findings
from ..rules.operations import Key, table_of
from ..rules.statements import ChangeEnumOp, Step
from ..running.command import Command, current
from ..running.errors import explanation
from ..running.together import EVERY_DATABASE
from . import report
from .acceptance import Acceptance, acceptances, accepted
from .changes import CHANGED, Comparison, Repository, compare, text_in
from .recording import Recording, as_text, record, silence
from .report import Finding, Written
from .sql import NOT_INSTALLED, read_operation

# A finding of the left rule needs no line of its own where the right one is accepted.
ALSO_ACCEPTED_BY = {"renames_column": "drops_data", "renames_table": "drops_data"}

# What the rules here know more exactly than squawk, which sees only the SQL.
OURS = (
    "adding-field-with-default",
    "adding-foreign-key-constraint",
    "adding-not-nullable-field",
    "adding-required-field",
    "adding-serial-primary-key-field",
    "ban-concurrent-index-creation-in-transaction",
    "ban-drop-column",
    "ban-drop-constraint",
    "ban-drop-database",
    "ban-drop-default",
    "ban-drop-not-null",
    "ban-drop-table",
    "ban-truncate-cascade",
    "changing-column-type",
    "constraint-missing-not-valid",
    "disallowed-unique-constraint",
    "prefer-text-field",
    "renaming-column",
    "renaming-table",
    "require-concurrent-index-creation",
)


@dataclass
class Revision:
    """A new revision, as it is for one database."""

    script: Script
    path: Path
    recording: Recording
    accepting: list[Acceptance]


@dataclass
class Branch:
    """What was found so far.

    :param accepting: the lines of each revision file that accept findings.
    :param unread: the files that were not read to their end.
    :param unchecked: whether no linter of SQL has looked.
    """

    found: list[Finding] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    accepting: dict[Path, list[Acceptance]] = field(default_factory=dict)
    unread: set[Path] = field(default_factory=set)
    unchecked: bool = False

    def add(self, finding: Finding) -> None:
        """Note a finding; where several databases share a history, only once."""
        if finding not in self.found:
            self.found.append(finding)


def lint(config: Config, branch: str | None) -> int:
    """Check the revisions that a branch does not have, and return an exit status.

    :param branch: a branch or commit that git knows; None is the head of the remote, or main.
    :raises CommandError: when git does not know it.
    """
    script = ScriptDirectory.from_config(config)
    repository = Repository(script)
    branch = branch or repository.default_branch()
    comparison = compare(repository, branch)
    disabled = settings.read(config).disabled_remarks
    rules_without(disabled)  # Refuses a name that no rule has.
    result = Branch()
    check_changes(comparison, result, disabled)
    new = load(config, script, [file.revision for file in comparison.new])
    if new:
        run_environment(
            config, script, lambda m, name: check(script, new, m, name, result, disabled)
        )
    report_lines(result)
    result.found.sort(key=lambda each: (str(each.path), each.line))
    report.show(result.found, result.written, len(new), repository.root, branch)
    return 1 if any(finding.rule for finding in result.found) else 0


def load(config: Config, script: ScriptDirectory, new: Sequence[str]) -> list[Script]:
    """Load all revisions, and return the new ones in their order.

    :raises CommandError: for a file that cannot be loaded, and a history that is broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # The sentence below says it.
            revisions.refuse_copies(script)
            return in_order(script, new)
    except CommandError:
        raise
    except Exception as error:
        if getattr(config.cmd_opts, "raiseerr", False):
            raise
        raise CommandError(explanation(error, Command(config, script), script)) from error


def in_order(script: ScriptDirectory, new: Sequence[str]) -> list[Script]:
    """Return new revisions, each after those before it."""
    left = set(new)
    scripts: dict[str, Script] = {}
    for name in new:
        if (each := script.get_revision(name)) is not None:
            scripts[name] = each
    ordered: list[Script] = []
    while left:
        ready = sorted(
            name for name in left if not left & set(parents_of(scripts[name])) - {name}
        ) or sorted(left)
        ordered += [scripts[name] for name in ready]
        left -= set(ready)
    return ordered


def parents_of(script: Script) -> tuple[str, ...]:
    parents = script.down_revision or ()
    return (parents,) if isinstance(parents, str) else tuple(parents)


def run_environment(
    config: Config,
    script: ScriptDirectory,
    look: Callable[[MigrationContext, str | None], None],
) -> None:
    """Run env.py offline, and look at each database that it is for, without connecting to it.

    :param look: gets the migration and, where several databases share a history, the name.
    """

    def instead(heads: object, migration: MigrationContext) -> list[Any]:
        together = "guard.databases" in config.attributes
        look(migration, current().name if together else None)
        return []

    options = {"fn": instead, "as_sql": True, "output_buffer": StringIO()}
    # --sql is for one database at a time; here each is looked at.
    config.attributes[EVERY_DATABASE] = True
    try:
        with silence(), EnvironmentContext(config, script, **options):
            script.run_env()
    finally:
        del config.attributes[EVERY_DATABASE]


# What was there


def check_changes(comparison: Comparison, result: Branch, disabled: frozenset[str]) -> None:
    """Note the revisions of the other branch that are not as they were.

    A line in an edited file accepts it, and that those before it are deleted: squashing.
    """
    squashed: set[str] = set()
    for change in comparison.changes:
        if not change.path.is_file():
            continue
        lines = file_acceptances(change.path, result)
        if accepted(CHANGED, [], lines):
            squashed |= {change.revision} | comparison.ancestors(change.revision)
    for change in comparison.changes:
        if change.revision not in squashed and CHANGED not in disabled:
            result.add(Finding(change.path, 1, CHANGED, change.words))


def file_acceptances(path: Path, result: Branch) -> list[Acceptance]:
    """Return the lines of a file that accept findings, the same ones each time."""
    if path not in result.accepting:
        result.accepting[path] = acceptances(text_in(path))
    return result.accepting[path]


# What is new


def check(
    script: ScriptDirectory,
    new: Sequence[Script],
    migration: MigrationContext,
    database: str | None,
    result: Branch,
    disabled: frozenset[str],
) -> None:
    """Check the new revisions for one database."""
    dialect = migration.dialect
    branch = []
    for each in new:
        path = Path(each.path)
        recording = record(each, dialect, database=database)
        branch.append(Revision(each, path, recording, file_acceptances(path, result)))
    places: dict[int, tuple[Revision, tuple[int, ...]]] = {}
    steps: list[Step] = []
    for revision in branch:
        for step, lines in steps_of(revision, dialect, result, database):
            steps.append(step)
            places[id(step)] = revision, lines
    ids = {each.revision for each in new}
    for step, rule, remark in findings(
        steps, dialect, disabled, lambda table: steps_on(table, script, ids, dialect, database)
    ):
        revision, lines = places[id(step)]
        other = ALSO_ACCEPTED_BY.get(rule, "")
        if accepted(rule, lines, revision.accepting) or accepted(
            other, lines, revision.accepting, anywhere=True
        ):
            continue
        line = lines[0] if lines else 1
        text = text_of(remark)
        if rule == "drops_data":
            text += (
                "\nFirst deploy code that does not use it, then: # guard: accept drops_data: why"
            )
        result.add(Finding(revision.path, line, rule, text))
    check_sql(branch, migration, database, result)


def text_of(remark: Remark) -> str:
    """Return the words and the code of a remark."""
    return "\n".join(
        f'op.alter_column("{line.table_name}", "{line.column_name}", existing_type=..., '
        f'new_column_name="{line.modify_name}")'
        if isinstance(line, AlterColumnOp)
        else str(line)
        for line in remark.lines
    )


def steps_of(
    revision: Revision, dialect: Dialect, result: Branch, database: str | None
) -> Iterator[tuple[Step, tuple[int, ...]]]:
    """Return what a revision does, with the lines of the file; note what cannot be read."""
    recording = revision.recording
    for operation, place in zip(recording.operations, recording.places, strict=True):
        reading = read_operation(operation, dialect)
        line = place.lines[0] if place.lines else 1
        for words in reading.unread:
            text = words if words == NOT_INSTALLED else f"This SQL is not understood: {words}"
            result.unread.add(revision.path)
            if words != NOT_INSTALLED or not any(each.text == text for each in result.found):
                result.add(Finding(revision.path, line, "", text))
        sql = as_text(operation.sqltext, dialect) if isinstance(operation, ExecuteSQLOp) else ""
        for each in reading.operations:
            if isinstance(each, ChangeEnumOp) and each.values is not None:
                complete(each, revision.script, dialect, database)
            yield (
                Step(each, revision.script.revision, place.in_transaction, place.in_batch, sql),
                place.lines,
            )
    if recording.unread is not None:
        result.unread.add(revision.path)
        found = re.match(r"line (\d+): (.*)", recording.unread, re.DOTALL)
        line, words = (int(found[1]), found[2]) if found else (1, recording.unread)
        result.add(Finding(revision.path, max(line, 1), "", f"Unread from here: {words}"))


def complete(change: ChangeEnumOp, script: Script, dialect: Dialect, database: str | None) -> None:
    """Find out what an enum loses whose new values are given: downgrade() has the old ones."""
    for other in record(script, dialect, "downgrade", database=database).operations:
        if isinstance(other, ChangeEnumOp) and other.name == change.name and other.values:
            new = change.values or ()
            change.gone = tuple(value for value in other.values if value not in new)


def steps_on(
    table: Key,
    script: ScriptDirectory,
    new: set[str],
    dialect: Dialect,
    database: str | None,
) -> list[Step]:
    """Return what older revisions did to a table with constraints that are validated later."""
    found: list[Step] = []
    for each in reversed(list(script.walk_revisions())):
        if each.revision in new:
            continue
        source = text_in(Path(each.path))
        if table[1] not in source or not re.search("VALID", source, re.IGNORECASE):
            continue
        recording = record(each, dialect, database=database)
        for operation in recording.operations:
            read = read_operation(operation, dialect).operations
            found += [Step(one, each.revision) for one in read if table_of(one) == table]
    return found


def report_lines(result: Branch) -> None:
    """Note the lines that accept nothing, or not as they should."""
    for path, lines in result.accepting.items():
        for each in lines:
            if not each.rules or not each.reason:
                text = "This line accepts nothing: write # guard: accept RULE: why"
                result.add(Finding(path, each.line, "unused_acceptance", text))
                continue
            for rule in each.rules:
                if rule in each.used or (path in result.unread and rule in RULE_NAMES):
                    continue
                if "-" in rule:  # A rule of squawk.
                    if result.unchecked:
                        continue
                elif rule not in RULE_NAMES:
                    text = f"There is no rule {rule}. Known are: {', '.join(RULE_NAMES)}"
                    result.add(Finding(path, each.line, "unused_acceptance", text))
                    continue
                text = f"Nothing here is found by {rule}: delete this line."
                result.add(Finding(path, each.line, "unused_acceptance", text))


# The SQL


def check_sql(
    branch: Sequence[Revision],
    migration: MigrationContext,
    database: str | None,
    result: Branch,
) -> None:
    """Write the SQL of the new revisions, and let the linter of the database look at it."""
    known = databases.of(migration.dialect.name)
    script = SQLScript(known.script_settings(1))
    for revision in branch:
        sql = script.add(revision, migration)
        result.written.append(Written(revision.path, database, sql))
    if not known.sql_linter:
        result.unchecked = True
        return
    program = Path(sys.executable).with_name(known.sql_linter)
    exclude = [f"--exclude={','.join(OURS)}"] if find_spec("sqlglot") else []
    arguments = [str(program), "--reporter=json", "--stdin-filepath=upgrade.sql", *exclude]
    try:
        run = subprocess.run(
            arguments, input=script.text, capture_output=True, encoding="utf-8", check=False
        )
        complaints = json.loads(run.stdout or "[]")
    except (OSError, ValueError):
        result.unchecked = True
        text = f"{known.sql_linter} does not run, so it checks nothing: uv add --dev squawk-cli"
        result.add(Finding(branch[0].path, 1, "", text))
        return
    for complaint in complaints:
        revision, lines = script.place(complaint["line"])
        rule = complaint["rule_name"]
        if accepted(rule, lines, revision.accepting):
            continue
        words = [complaint["message"], complaint.get("help")]
        text = "\n".join(word for word in words if word)
        result.add(Finding(revision.path, lines[0] if lines else 1, rule, text))


class SQLScript:
    """The SQL of several revisions, and which lines of it are of which operation.

    :param statements: what it begins with.
    """

    def __init__(self, statements: Sequence[str]) -> None:
        self.text = "".join(f"{statement};\n" for statement in statements)
        self.places: list[tuple[int, Revision, tuple[int, ...]]] = []

    def add(self, revision: Revision, migration: MigrationContext) -> str:
        """Add a revision, and return its SQL."""
        start, outside = len(self.text), True
        recording = revision.recording
        transactional = migration.impl.transactional_ddl
        for operation, place in zip(recording.operations, recording.places, strict=True):
            if transactional and place.in_transaction == outside:
                self.text += "BEGIN;\n" if outside else "COMMIT;\n"
                outside = not outside
            self.places.append((self.text.count("\n"), revision, place.lines))
            self.text += written(operation, migration)
        if transactional and not outside:
            self.text += "COMMIT;\n"
        if recording.unread is not None:
            self.text += f"-- Unread from here: {recording.unread}\n"
        return self.text[start:]

    def place(self, line: int) -> tuple[Revision, tuple[int, ...]]:
        """Return the revision and the lines of it that a line of SQL comes from."""
        found = self.places[0]
        for place in self.places:
            if place[0] <= line:
                found = place
        return found[1], found[2]


def written(operation: MigrateOperation, migration: MigrationContext) -> str:
    """Return the SQL of an operation, or a comment that says why there is none."""
    buffer = StringIO()
    opts = {
        "as_sql": True,
        "literal_binds": True,
        "output_buffer": buffer,
        "target_metadata": migration.opts.get("target_metadata"),
    }
    try:
        with silence():
            offline = MigrationContext.configure(dialect=migration.dialect, opts=opts)
            Operations(offline).invoke(operation)
    except (NotImplementedError, SQLAlchemyError, AttributeError, TypeError, ValueError) as error:
        name = re.sub(r"(?<!^)(?=[A-Z])", " ", type(operation).__name__.removesuffix("Op")).lower()
        table = table_of(operation)
        reason = " ".join(str(error).split())[:80]
        return f"-- {name}{f' on {table[1]}' if table else ''}: written as SQL only by the database ({reason})\n"
    sql = re.sub(r"\n\s*\n", "\n", buffer.getvalue())
    # squawk wants its comments right before the statement.
    return re.sub(r"(-- squawk-ignore [\w ,-]+);\s*", r"\1\n", sql)
