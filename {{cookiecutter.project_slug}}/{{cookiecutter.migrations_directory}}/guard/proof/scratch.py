"""Databases for tests to fill and to empty. The configured database is never one of them."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL

from . import queries
from .application import Application

# Where it is set, scratch databases are created on the server of that URL.
VARIABLE = "TEST_DATABASE_URL"


@contextmanager
def scratch_database(
    application: Application, folder: Path, database: str = "", template: URL | None = None
) -> Iterator[URL]:
    """Create a database beside the configured one, and drop it afterwards.

    :param folder: where the file is created, for SQLite.
    :param database: the name of the one beside which it is created, where there are several.
    :param template: a scratch database to copy, to which nobody is connected. Without one, or
        on MySQL where it has more than tables, the new database is empty.
    :raises NotImplementedError: for a kind of database that the tests do not know.
    """
    url = server_url(application, database)
    prefix = prefix_of(application)
    known = queries.of(url.get_backend_name())
    name = f"{prefix}{uuid4().hex[:12]}"
    with known.scratch_database(url, folder, prefix, name, template) as scratch:
        yield scratch


@contextmanager
def scratch_databases(
    application: Application,
    folder: Path,
    templates: Mapping[str, URL] | None = None,
    databases: Iterable[str] | None = None,
) -> Iterator[dict[str, URL]]:
    """Create a scratch database for each database of the project, by its name.

    :param databases: the names of some of the project's databases, if not all are needed.
    """
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                scratch_database(application, folder, name, templates[name] if templates else None)
            )
            for name in (application.databases if databases is None else databases)
        }


def server_url(application: Application, database: str) -> URL:
    """Return the URL of a database beside which scratch databases are created.

    :raises ValueError: when TEST_DATABASE_URL is not a URL.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return application.url(database)
    try:
        return application.url(database, given=given)
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None


def prefix_of(application: Application) -> str:
    """Return with what the names of a project's scratch databases begin.

    Names of databases have at most 63 characters, on PostgreSQL.
    """
    package = re.sub(r"\W", "_", application.package.lower(), flags=re.ASCII)
    return f"{package[:40]}_scratch_"
