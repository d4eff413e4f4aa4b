"""What went wrong, in a sentence: what the command line says instead of a traceback."""

import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SQLAlchemyError

from my_shop import settings

from . import connection

# What an error on connecting says, and what to do about it.
ON_CONNECTING = {
    "refused|Can't connect|resolve host|timeout expired|starting up|Lost connection": (
        "{database} does not answer: {cause}. Start it, or wait for it with -x wait=SECONDS."
    ),
    "password authentication failed|role .* does not exist|no password supplied|Access denied": (
        "{database} does not let this user in: {cause}. Check user and password in DATABASE_URL."
    ),
    "database .* does not exist|Unknown database": "{database} does not exist. Create it first.",
}

# What other errors say, and what to do about it. {0} is what the first group matched.
ADVICE = {
    "Can't load plugin: sqlalchemy.dialects:(.*)": (
        "SQLAlchemy knows no database or driver {0!r}. Check the beginning of DATABASE_URL."
    ),
    "No module named '(psycopg2?|pymysql|MySQLdb|aiosqlite|aiomysql|asyncpg|pyodbc|oracledb)'": (
        "The driver {0} is not installed: uv add {0}"
    ),
    "closed the connection|terminating connection|Lost connection|gone away": (
        "{database} does not answer any more: {cause}. Start it and try again."
    ),
    "unable to open database file": (
        "{database} cannot be opened. Its folder has to exist, and to be writable."
    ),
    "readonly database": "{database} is read-only. Make the file and its folder writable.",
    "disk is full|disk I/O error|No space left": (
        "There is no room left for {database}: {cause}. The revision is rolled back."
    ),
    "database is locked": (
        "{database} stayed locked by another program. Let it end and try again, or wait longer "
        "with -x lock_timeout=SECONDS."
    ),
    "Can't locate revision identified by '(.*)'": (
        "There is no revision {0!r} in {versions}. If the database is at it, it was migrated "
        "from another branch, by newer code or by another project: get that file, or say where "
        "the database really is with: alembic stamp --purge REVISION"
    ),
    "Multiple head revisions are present": (
        "There are several heads: {files}. Join them with: alembic merge heads"
    ),
    "Revision (.*) is present more than once": (
        "Revision {0} is in two files: {files}. Delete the copy, or give it an id of its own."
    ),
    "Revision (\\w+) referenced from .*-> (\\w+).* is not present": (
        "Revision {0}, which comes before {1}, has no file in {versions}. Get it from git, or "
        "correct down_revision."
    ),
    "already exists": (
        "{cause}. If the tables were there before Alembic, say so with: alembic stamp REVISION"
    ),
    "batch mode with dialect sqlite requires a live database": (
        "SQLite changes a table by copying it, for which the database itself is needed: "
        "run this revision without --sql."
    ),
    "Relative revision (.*) didn't produce": "{database} has not that many revisions to go: {0}.",
}


@contextmanager
def explained(config: Config) -> Iterator[None]:
    """On the command line, end with one sentence instead of a traceback.

    ``alembic --raiseerr`` still shows it. A program gets the exception itself.
    """
    try:
        for folder in version_folders(config):
            if not folder.is_dir():
                raise CommandError(f"The folder {folder} is missing. Get it from git.")
        yield
    except Exception as error:
        if config.cmd_opts is None or config.cmd_opts.raiseerr:
            raise
        url = None
        with suppress(SQLAlchemyError, ValueError):  # It may be what is wrong.
            url = connection.database_url(config)
        sys.exit(f"FAILED: {explanation(error, config, url)}")


def say(error: Exception, config: Config) -> None:
    """Say what went wrong where the database does not matter; see __init__.py."""
    sentence = explanation(error, config, None)
    print(f"FAILED: {sentence}", file=sys.stderr)


def version_folders(config: Config) -> list[Path]:
    """Return the folders in which the revision files are."""
    script = ScriptDirectory.from_config(config)
    return [Path(folder) for folder in script.version_locations or [f"{script.dir}/versions"]]


def explanation(error: Exception, config: Config, url: URL | None) -> str:
    """Return what went wrong, where, and what to do about it.

    :param url: the database, if it is known.
    """
    cause = first_line(error)
    database = connection.name_of(url) if url else "The database"
    backend = url.get_backend_name() if url else ""
    text, revision = cause, place_in(version_folders(config), error)
    for pattern, advice in (ADVICE if revision else ON_CONNECTING | ADVICE).items():
        if found := re.search(pattern, cause):
            files = files_with(found.groups(), config) if "{files}" in advice else []
            text = advice.format(
                *found.groups(),
                cause=cause,
                database=database,
                versions=version_folders(config)[0],
                files=" and ".join(files),
            )
            break
    if revision and backend in ("mysql", "mariadb"):
        text += (
            f"\n{backend} cannot roll back CREATE, ALTER and DROP: before you try again, take back "
            "by hand what the lines before this one did."
        )
    place = revision or place_in([Path(settings.__file__).parent / "models"], error)
    return f"{place}: {text}" if place else text


def files_with(identifiers: Iterable[str], config: Config) -> list[str]:
    """Return the names of the files of these revisions, or of all heads."""
    names = identifiers or ScriptDirectory.from_config(config).get_heads()
    either = "|".join(re.escape(name) for name in names)
    revision = re.compile(rf"^revision\b.*[\"']({either})[\"']", re.MULTILINE)
    return [
        path.name
        for folder in version_folders(config)
        for path in sorted(folder.rglob("*.py"))
        if revision.search(path.read_text(encoding="utf-8"))
    ]


def first_line(error: Exception) -> str:
    """Return what an error says, without the statement and its parameters."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    if isinstance(error, DBAPIError) and error.orig is not None:
        # PyMySQL has a number first, psycopg and sqlite3 have not.
        words = str(error.orig.args[-1]) if error.orig.args else ""
        return (words.splitlines() or [type(error.orig).__name__])[0]
    if isinstance(error, NoSuchTableError):
        return f"there is no table {error}"
    if isinstance(error, CommandError | ImportError | SQLAlchemyError | UserWarning | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def place_in(folders: list[Path], error: Exception) -> str:
    """Return the file and line below these folders where an error came up, or nothing."""
    for origin in (error, error.__cause__):
        for frame, line in traceback.walk_tb(origin.__traceback__ if origin else None):
            path = Path(frame.f_code.co_filename)
            if path.name != "__init__.py" and any(folder in path.parents for folder in folders):
                return f"{path.name}, line {line}"
    return ""
