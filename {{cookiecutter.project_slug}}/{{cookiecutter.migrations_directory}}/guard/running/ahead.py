"""A database at a revision that this code does not have: newer code has migrated it, or another.

Deploying step by step, and going back to an older version of the application, old code meets
such a database. Then there is nothing to do for it, and that is no error.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from .. import revisions
from .connection import name_of
from .record import Record, parents_of

log = logging.getLogger("alembic.runtime.migration")

Parents = Mapping[str, tuple[str, ...]]


class DatabaseAhead(CommandError):
    """The database is at a revision that comes after this code's head."""


def known(script: ScriptDirectory) -> dict[str, tuple[str, ...]]:
    """Return the parents of each revision that this code has."""
    return {each.revision: parents_of(script, each) for each in script.walk_revisions()}


def reached(heads: set[str], files: Parents, record: Parents) -> set[str]:
    """Return where a database is and all that comes before it, by the files and the record."""
    found: set[str] = set()
    left = list(heads)
    while left:
        if (identifier := left.pop()) not in found:
            found.add(identifier)
            left += files.get(identifier) or record.get(identifier, ())
    return found


def is_at_or_beyond(heads: set[str], script: ScriptDirectory, record: Parents) -> bool:
    """Return whether a database has all revisions of this code.

    :param heads: where the database is. Not the rows of the record count, but its order.
    :param record: the parents that the database knows of revisions.
    """
    return set(script.get_heads()) <= reached(heads, known(script), record)


def answers(function: Callable[..., Any], heads: set[str], migration: MigrationContext) -> bool:
    """Answer for a command where the database is at a revision without a file.

    :param function: the ``fn`` of the command.
    :return: True when that was all there is to do, and False when all revisions have a file.
    :raises DatabaseAhead: when the database is newer, and the command needs it not to be.
    :raises CommandError: when the database is at a revision that is no newer one.
    """
    script = migration.script
    if script is None or migration.as_sql or not heads:
        return False
    files = known(script)
    unknown = heads - files.keys()
    if not unknown:
        return False
    assert migration.connection is not None
    database = name_of(migration.connection.engine.url)
    record = Record(migration).parents()
    here, own = ", ".join(sorted(heads)), ", ".join(sorted(script.get_heads()))
    assert migration.config is not None
    if sentence := revisions.of_other_history(min(unknown), database, migration.config):
        raise CommandError(sentence)
    if not own or not is_at_or_beyond(heads, script, record):
        raise CommandError(without_file(database, min(unknown), script, files, record))
    sentence = f"{database} is at {here}, newer than this code's head {own}"
    if "revision_context" not in migration.opts and migration.opts.get("dont_mutate"):
        migration.config.print_stdout("%s (newer than this code's head %s)", here, own)
        return True
    if function.__name__ == "upgrade" and is_the_head(script, migration.opts["destination_rev"]):
        log.warning("%s; nothing to do", sentence)
        return True
    raise DatabaseAhead(f"{sentence}: run this with the newer code.")


def is_the_head(script: ScriptDirectory, destination: str | None) -> bool:
    """Return whether the destination of an upgrade is the head, or are all heads, of this code."""
    if destination is None or re.search(r"[+-]\d+$", destination):
        return False
    wanted = {each.revision for each in script.get_revisions(destination) if each}
    return wanted == set(script.get_heads())


def without_file(
    database: str, revision: str, script: ScriptDirectory, files: Parents, record: Parents
) -> str:
    """Say of a database how it may have come to a revision without a file."""
    folders = " or ".join(str(folder) for folder in revisions.version_folders(script))
    common = reached({revision}, files, record) & files.keys()
    parents = {parent for each in common for parent in files[each]}
    if record.get(revision) is not None:
        last = ", ".join(sorted(common - parents)) or "base"
        return (
            f"{database} is at revision {revision!r} of another branch, which left this one after "
            f"{last}.\nSwitch to that branch and downgrade to {last}, or merge it into this one."
        )
    return (
        f"{database} is at revision {revision!r}, which has no file in {folders}. If it was "
        "applied from another\nbranch, by newer code or by a file that is gone, restore that "
        "file. See migrations/README.md."
    )
