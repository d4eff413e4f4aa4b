"""Puts the revisions that only this branch has behind the head of another branch."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from .. import revisions
from ..head import head_file, write_head
from ..messages import command_line
from ..revisions import RevisionFile
from ..running.command import current
from .changes import Repository


def rebase(config: Config, branch: str | None) -> int:
    """Change ``down_revision`` of the first new revision, and ``head.txt``; nothing else.

    :param branch: a branch or commit that git knows; None is the head of the remote, or main.
    :raises CommandError: when the branch is not merged yet, when the history forks, and when the
        database has the revisions applied.
    """
    script = ScriptDirectory.from_config(config)
    repository = Repository(script)
    branch = branch or repository.default_branch()
    here = list(revisions.read(script))
    there = repository.files(repository.commit(branch)) if repository.has_commits else set()
    missing = sorted(path.name for path in there if not path.is_file())
    if missing:
        raise CommandError(
            f"{branch} has revisions that are not here, like {missing[0]}. Run first: "
            f"git merge {branch}"
        )
    theirs = [file for file in here if file.path.resolve() in there]
    ours = [file for file in here if file.path.resolve() not in there]
    section = config.config_ini_section
    name = "" if section == "alembic" else f"{section}: "
    if not ours:
        print(f"{name}{branch} has all revisions: there is nothing to rebase.")
        return 0
    head = only_head(theirs, f"{branch} has", config)
    last = only_head(ours, "This branch has", config)
    known = {file.revision for file in theirs}
    first = [file for file in ours if set(file.parents) <= known]
    for file in ours:
        if file not in first and known & set(file.parents):
            raise CommandError(
                f"{file.path.name} joins the two branches already, so there is nothing to rebase. "
                f"To rebase instead, delete it first: git rm -f {file.path.name}"
            )
    if len(first) > 1:
        names = " and ".join(file.path.name for file in first)
        raise CommandError(
            f"{names} both begin at {branch}: correct down_revision of one to follow the other."
        )
    (file,) = first
    if head is None or file.parents == (head.revision,):
        moved = f"{name}{file.path.name} is behind the head of {branch} already."
    else:
        refuse_applied(config, script, {each.revision for each in ours}, file)
        replace_parent(file.path, head.revision)
        moved = f"{name}{file.path.name} is now behind {head.revision}, the head of {branch}."
    assert last is not None
    write_head(head_file(last.path), last.revision)
    print(moved)
    return 0


def only_head(files: Sequence[RevisionFile], whose: str, config: Config) -> RevisionFile | None:
    """Return the last of some revisions, or None when there are none.

    :raises CommandError: when there are several.
    """
    parents = {parent for file in files for parent in file.parents}
    heads = [file for file in files if file.revision not in parents]
    if len(heads) > 1:
        names = ", ".join(sorted(file.revision for file in heads))
        raise CommandError(
            f"{whose} several heads: {names}. Merge them first: "
            f"{command_line(config)} merge {names.replace(',', '')}"
        )
    return heads[0] if heads else None


def refuse_applied(
    config: Config, script: ScriptDirectory, ours: set[str], first: RevisionFile
) -> None:
    """Revisions that are applied would come before some that are not.

    :raises CommandError: with the command that reverts them, when a database has them applied.
    """
    target = first.parents[0] if first.parents else "base"
    for database, heads in applied(config, script).items():
        found = sorted(heads & ours)
        if found:
            raise CommandError(
                f"{database} has {', '.join(found)} applied. Revert it before it is moved:\n"
                f"{command_line(config)} downgrade {target}"
            )


def applied(config: Config, script: ScriptDirectory) -> dict[str, set[str]]:
    """Return the revisions that the databases are at; nothing for one that does not answer."""
    found: dict[str, set[str]] = {}

    def look(heads: tuple[str, ...], migration: MigrationContext) -> list[Any]:
        url = migration.connection.engine.url if migration.connection is not None else None
        name = current().name or (url.database if url is not None else "") or "the database"
        found[str(name)] = set(heads)
        return []

    try:
        with EnvironmentContext(config, script, fn=look, dont_mutate=True):
            script.run_env()
    except SystemExit as error:  # guard.explained() ends with a sentence.
        reason = str(error).removeprefix("FAILED: ")
        print(f"Whether they are applied is not known: {reason}", file=sys.stderr)
    return found


def replace_parent(path: Path, parent: str) -> None:
    """Write another ``down_revision`` into a revision file.

    :raises CommandError: when the file does not assign it.
    """
    source = path.read_bytes()
    for statement in ast.parse(source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        named = any(isinstance(each, ast.Name) and each.id == "down_revision" for each in targets)
        value = getattr(statement, "value", None)
        if named and isinstance(value, ast.expr):
            start, end = (
                place(source, value.lineno, value.col_offset),
                place(source, value.end_lineno or value.lineno, value.end_col_offset or 0),
            )
            quote = b"'" if b"'" in source[start:end] else b'"'
            text = quote + parent.encode() + quote
            path.write_bytes(source[:start] + text + source[end:])
            return
    raise CommandError(f"{path.name} has no line that assigns down_revision: add one.")


def place(source: bytes, line: int, column: int) -> int:
    """Return the offset of a place in a file, in bytes, as the columns of ``ast`` are."""
    return sum(len(each) for each in source.splitlines(keepends=True)[: line - 1]) + column
