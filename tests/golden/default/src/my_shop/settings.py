"""Where the database is."""

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

# The project's folder. Where a wheel is installed there is none: the folder of the process then.
PROJECT = Path(__file__).resolve().parents[2]
ROOT = PROJECT if (PROJECT / "alembic.ini").exists() else Path.cwd()

# The driver for URLs that name none, as hosting services hand them out.
DRIVERS = dict.fromkeys(["sqlite"], "sqlite+pysqlite")

DEVELOPMENT_URL = URL.create(
    "sqlite+pysqlite",
    database=str(ROOT / "my_shop.db"),
)


def database_url(given: str | None = None, fallback: str | None = None) -> URL:
    """Return the URL of the database.

    The first that is set counts: ``given``, ``DATABASE_URL`` in the environment, ``DATABASE_URL``
    in the file ``.env``, ``fallback``, the development database.

    :raises ValueError: when the one that counts is not a URL.
    """
    sources = {
        "The given URL": given,
        "DATABASE_URL": environment_variable("DATABASE_URL"),
        "sqlalchemy.url": fallback,
    }
    for source, text in sources.items():
        if text is not None:
            return parse_url(text, source, DEVELOPMENT_URL)
    return DEVELOPMENT_URL


def environment_variable(name: str) -> str | None:
    """Return a variable of the environment, or else of the file ``.env``, if it is set."""
    if name in os.environ:
        return os.environ[name]
    if not (ROOT / ".env").exists():
        return None
    from dotenv import dotenv_values  # Only where there is a file, as it takes its time.

    return dotenv_values(ROOT / ".env", interpolate=False).get(name)


def parse_url(text: str, source: str, example: URL) -> URL:
    """Return a database URL with the project's driver and an absolute SQLite file.

    https://docs.sqlalchemy.org/en/21/core/engines.html#database-urls

    :param text: the URL; in a password, ``%``, ``@``, ``:`` and ``/`` are written ``%25``,
        ``%40``, ``%3A`` and ``%2F``.
    :param source: where it comes from, for the message.
    :param example: what it should look like, for the message.
    :raises ValueError: when it is not a URL; the message does not repeat it.
    """
    try:
        url = make_url(text)
        # An @ that is left over is one of the password, which would be shown in messages.
        left_over = (url.host or "") + (url.database or "" if url.host else "")
        well_formed = "@" not in left_over
    except (ArgumentError, ValueError):
        well_formed = False
    if not well_formed:
        problem = "is not a URL" if text else "is empty"
        raise ValueError(f"{source} {problem}: it should look like {example}")
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:"):
        url = url.set(database=str(ROOT / file))
    return url
