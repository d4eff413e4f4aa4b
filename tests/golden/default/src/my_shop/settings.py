"""Where the database is."""

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).resolve().parents[2]

# The driver for URLs that name none, as hosting services hand them out.
DRIVERS = dict.fromkeys(["sqlite"], "sqlite+pysqlite")

DEVELOPMENT_URL = URL.create(
    "sqlite+pysqlite",
    database=str(ROOT / "my_shop.db"),
)


def environment_url() -> str | None:
    """Return ``DATABASE_URL`` of the environment, or else of the file ``.env``, if it is set."""
    if "DATABASE_URL" in os.environ:
        return os.environ["DATABASE_URL"]
    if not (ROOT / ".env").exists():
        return None
    from dotenv import dotenv_values  # Only where there is a file, as it takes its time.

    return dotenv_values(ROOT / ".env", interpolate=False).get("DATABASE_URL")


def database_url() -> URL:
    """Return the URL of the application's database: the one that is set, or the development one.

    :raises ValueError: when ``DATABASE_URL`` is set and is not a URL.
    """
    text = environment_url()
    return DEVELOPMENT_URL if text is None else parse_url(text, source="DATABASE_URL")


def parse_url(text: str, source: str) -> URL:
    """Return a database URL with the project's driver and an absolute SQLite file.

    https://docs.sqlalchemy.org/en/21/core/engines.html#database-urls

    :param text: the URL; in a password, ``%``, ``@``, ``:`` and ``/`` are written ``%25``,
        ``%40``, ``%3A`` and ``%2F``.
    :param source: where it comes from, for the message.
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
        example = DEVELOPMENT_URL
        raise ValueError(f"{source} {problem}: it should look like {example}")
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:"):
        url = url.set(database=str(ROOT / file))
    return url
