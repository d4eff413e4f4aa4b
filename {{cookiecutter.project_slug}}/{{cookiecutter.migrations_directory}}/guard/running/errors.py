"""What went wrong, in one sentence: what the command line says instead of a traceback.

Errors are recognised by their code or class; by their text only where Alembic has nothing else.
"""

import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alembic import context
from alembic.script import ScriptDirectory
from alembic.script.revision import MultipleHeads, ResolutionError
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, NoSuchTableError, SQLAlchemyError

from .. import databases, revisions
from ..databases import Problem
from ..messages import command_line
from . import interrupts
from .command import Command, only_command
from .connection import name_of
from .retries import GaveUp

# What a problem of the database means, and what to do about it.
ADVICE = {
    Problem.UNREACHABLE: (
        "{database} does not answer: {cause}. Start it, or wait for it with -x wait=SECONDS."
    ),
    Problem.STARTING: (
        "{database} is starting up or shutting down. Wait for it with -x wait=SECONDS."
    ),
    Problem.LOGIN_REJECTED: (
        "{database} rejected the login: {cause}. Check user and password in its URL."
    ),
    Problem.NO_SUCH_DATABASE: "{database} does not exist. Create it: {create}",
    Problem.CONNECTION_LOST: (
        "{database} does not answer any more: {cause}. Start it and try again."
    ),
    Problem.CANNOT_OPEN: (
        "{database} cannot be opened. Its folder has to exist, and to be writable."
    ),
    Problem.READ_ONLY: "{database} is read-only: {cause}. Make it writable and try again.",
    Problem.NO_SPACE: (
        "There is no space left for {database}: {cause}. The revision is rolled back."
    ),
    Problem.FILE_LOCKED: (
        "{database} stayed locked by another program. Let it end and try again, or wait longer "
        "with -x lock_timeout=SECONDS."
    ),
    Problem.TABLE_LOCKED: "A table stayed locked by another session: {cause}.",
    Problem.CONFLICT: "{database} ended the revision in favour of another session: {cause}.",
    Problem.DUPLICATES: (
        "{cause}. Several rows have the same key: change or delete them first, in this revision "
        "or before it."
    ),
    Problem.ALREADY_EXISTS: (
        "{cause}. If the tables were there before Alembic, see "
        "An existing database in docs/baseline.md."
    ),
}


@contextmanager
def explained() -> Iterator[None]:
    """On the command line, end with one sentence instead of a traceback; use it in env.py.

    ``alembic --raiseerr`` still shows the traceback. A program gets the exception itself.

    :raises CommandError: when another thread of the process runs a command.
    :raises SystemExit: on the command line, with the sentence; also for Ctrl-C and SIGTERM.
    """
    with only_command() as command, quiet(command):
        try:
            revisions.check_configuration(command.config)
            revisions.refuse_missing_folders(command.script)
            with interrupts.unwinding(command):
                yield
        except KeyboardInterrupt as error:
            if command.config.cmd_opts is None or command.config.cmd_opts.raiseerr:
                raise
            print(interrupts.what_stands(command), file=sys.stderr)
            sys.exit(interrupts.status(error))
        except Exception as error:
            if command.config.cmd_opts is None or command.config.cmd_opts.raiseerr:
                raise
            sys.exit(f"FAILED: {explanation(error, command, command.script)}")


@contextmanager
def quiet(command: Command) -> Iterator[None]:
    """On the command line, let Alembic's warnings of unreadable revisions be errors.

    They are explained then. A lost CHECK is an error of ours. In a program, warnings are its own.
    """
    if not command.on_command_line:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Revision .* is (not )?present", UserWarning)
        warnings.filterwarnings("ignore", "Unnamed CHECK constraint on reflected", UserWarning)
        yield


def explanation(error: Exception, command: Command, script: ScriptDirectory) -> str:
    """Return what went wrong, where, and what to do about it."""
    folders = revisions.version_folders(script)
    revision = last_place_in(folders, error)
    text = advice(error, command, script, bool(revision)) or first_line(error)
    backend = command.url.get_backend_name() if command.url else ""
    if isinstance(error, DBAPIError):
        text = with_details(text, error, command)
    note = databases.of(backend).cannot_roll_back
    if revision and note and not isinstance(error, GaveUp):
        text += (
            f"\n{backend} {note}: before you try again, revert by hand what the statements "
            "before this one did."
        )
    place = revision or first_place_in_project(error, command)
    if place and command.name:
        place += f", database {command.name}"
    return f"{place}: {text}" if place else text


def with_details(text: str, error: DBAPIError, command: Command) -> str:
    """Return a message with what the server says besides; values of rows only when asked for."""
    known = databases.of(command.url.get_backend_name() if command.url else "")
    with suppress(CommandError):  # A wrong setting has been said already.
        if command.settings.show_values:
            return "\n".join(filter(None, (text, known.details_with_values(error))))
    return "\n".join(filter(None, (known.without_values(text), known.details(error))))


def advice(
    error: Exception, command: Command, script: ScriptDirectory, in_revision: bool
) -> str | None:
    """Return what an error means and what to do about it, if that is known."""
    cause = first_line(error)
    alembic = command_line(command.config)
    if isinstance(error, NoSuchModuleError):
        return f"Unknown dialect or driver {cause.rpartition(':')[2]!r}. Check the database URL."
    if isinstance(error, ModuleNotFoundError) and command.connecting:
        backend = command.url.get_backend_name() if command.url else ""
        package = databases.of(backend).driver_package or error.name
        return f"The driver {error.name} is not installed: uv add {package}"
    if isinstance(error, DBAPIError):
        return advice_on_database(error, command, in_revision)
    if isinstance(error, UserWarning | KeyError) and not in_revision:
        return revisions.copies(script) or revisions.missing_parent(script) or None
    if isinstance(error, AssertionError) and not in_revision:
        # What Alembic says of `upgrade head+5`.
        named = str(getattr(command.config.cmd_opts, "revision", None) or "")
        return relative(named, command) if re.search(r"[+-]\d+$", named) else None
    if in_revision and (sentence := needs_database(error)):
        return sentence
    if not isinstance(error, CommandError):
        return None
    origin = error.__cause__
    if isinstance(origin, MultipleHeads) or "Multiple head revisions" in cause:
        heads = revisions.files_of(script, script.get_heads())
        return f"There are several heads: {heads}. Merge them with: {alembic} merge heads"
    if isinstance(origin, ResolutionError):
        if "start with" in str(origin):
            return f"{origin}. Write more of the id."
        return unknown_revision(origin.argument, command, script)
    if "Relative revision" in cause and (found := re.search(r"Relative revision (\S+)", cause)):
        return relative(found[1], command)
    if "Ambiguous walk" in cause:
        return ambiguous(script, alembic)
    if "batch mode with dialect sqlite requires a live database" in cause:
        return (
            "SQLite changes a table by copying it, for which the database itself is needed: "
            "run this revision without --sql."
        )
    return None


def advice_on_database(error: DBAPIError, command: Command, in_revision: bool) -> str | None:
    """Return what an error of the database means and what to do about it, if that is known."""
    if command.url is None:
        return None
    database = databases.of(command.url.get_backend_name())
    if command.connecting:
        problem = database.problem_on_connecting(error, command.url)
    else:
        problem = database.problem(error)
    if problem is None:
        return database.advice(first_line(error))
    return ADVICE[problem].format(
        database=name_of(command.url),
        cause=first_line(error),
        create=database.how_to_create(command.url),
    )


def unknown_revision(revision: str, command: Command, script: ScriptDirectory) -> str:
    """Say of a revision without a file where it was named: on the command line or in the database."""
    folders = " or ".join(str(folder) for folder in revisions.version_folders(script))
    alembic = command_line(command.config)
    options = vars(command.config.cmd_opts) if command.config.cmd_opts else {}
    named = [options.get("revision"), *(options.get("revisions") or [])]
    ids = [each for argument in named for each in re.split(r"[:@]|[+-]\d+$", str(argument))]
    if revision in ids:
        return f"There is no revision {revision!r} in {folders}. See: {alembic} history"
    database = name_of(command.url) if command.url else "The database"
    if sentence := revisions.of_other_history(revision, database, command.config):
        return sentence
    return (
        f"{database} is at revision {revision!r}, which has no file in {folders}. If it was "
        "applied from another\nbranch, by newer code or by a file that is gone, restore that "
        "file. See migrations/README.md."
    )


def ambiguous(script: ScriptDirectory, alembic: str) -> str:
    """Say which revision joins branches, and how to choose one of them."""
    for head in script.get_revisions(script.get_heads()):
        if isinstance(head.down_revision, tuple):
            first = head.down_revision[0]
            return (
                f"Revision {head.revision} joins {' and '.join(head.down_revision)}: name the one "
                f"to downgrade to, which also reverts\nthe other branch. For example: {alembic} "
                f"downgrade {first}"
            )
    return (
        "The last revision joins two branches: name the revision to downgrade to. "
        f"See: {alembic} history"
    )


def needs_database(error: Exception) -> str | None:
    """Say what a revision asked for that there is not: rows in ``--sql``, an event loop."""
    text = str(error)
    if isinstance(error, AttributeError | TypeError) and "NoneType" in text:
        with suppress(NameError, AttributeError):
            if context.is_offline_mode():
                return (
                    "The revision reads rows, and with --sql there is no database to read them "
                    "from. Put that into:\nif not context.is_offline_mode(): (from alembic import "
                    "context)"
                )
    # Alembic raises plain errors of Python here.
    if isinstance(error, ValueError | NotImplementedError) and "Cannot call run_async" in text:
        return (
            "op.run_async() needs an asynchronous driver, and migrations run on a synchronous one. "
            "Write the function\nwithout async and await, and call it: function(op.get_bind())"
        )
    return None


def relative(steps: str, command: Command) -> str:
    """Say why a relative revision leads nowhere."""
    database = name_of(command.url) if command.url else "the database"
    end = "base" if steps.startswith("-") else "head"
    return (
        f"Relative revision {steps} is out of range: {database} has not that many revisions up "
        f"to {end}."
    )


def first_line(error: Exception) -> str:
    """Return what an error says, without the statement and its parameters."""
    if isinstance(error, SyntaxError):
        conflict = (error.text or "").startswith(("<<<<<<<", "=======", ">>>>>>>"))
        reason = "this merge conflict is not resolved" if conflict else error.msg
        return f"{error.filename}, line {error.lineno}: {reason}"
    if isinstance(error, DBAPIError) and error.orig is not None:
        # PyMySQL has a number first, psycopg and sqlite3 have not.
        words = str(error.orig.args[-1]) if error.orig.args else ""
        return (words.splitlines() or [type(error.orig).__name__])[0]
    if isinstance(error, NoSuchTableError):
        return f"there is no table {error}"
    if isinstance(error, CommandError | ImportError | SQLAlchemyError | UserWarning | ValueError):
        return str(error)
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"{text}. Its traceback: alembic --raiseerr …"


def places(error: Exception) -> Iterator[tuple[Path, int]]:
    """Return the files and lines through which an error came, the outermost first."""
    for origin in (error, error.__cause__):
        for frame, line in traceback.walk_tb(origin.__traceback__ if origin else None):
            yield Path(frame.f_code.co_filename), line


def last_place_in(folders: list[Path], error: Exception) -> str:
    """Return the last line below these folders through which an error came, or nothing."""
    found = ""
    for path, line in places(error):
        if any(folder in path.parents for folder in folders):
            found = f"{path.name}, line {line}"
    return found


def first_place_in_project(error: Exception, command: Command) -> str:
    """Return the first line of the project, beside env.py, through which an error came.

    That is the module which cannot be imported, and not the one that it calls.
    """
    ini = command.config.config_file_name
    if ini is None or isinstance(error, SyntaxError):
        return ""
    project, ours = Path(ini).resolve().parent, Path(__file__).parents[1]
    for path, line in places(error):
        inside = project in path.parents and "site-packages" not in path.parts
        if inside and ours not in path.parents and path.name not in ("env.py", "__init__.py"):
            return f"{path.name}, line {line}"
    return ""
