"""Safe and tested migrations with Alembic: what env.py, alembic.ini and the tests use.

This package belongs to the template that made the project and is renewed as a whole: change its
settings in ``[guard]`` of alembic.ini, not its code. README.md is its reference.

Rooms, each of which imports only those below it: ``proof`` (the tests of migrations), ``writing``
(a revision is written), ``history`` (the chain of revision files), ``running`` (a revision is
applied), ``rules`` (what an operation does to rows and to other sessions), ``databases``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .environment import Together as Together
    from .environment import options as options
    from .environment import serialized as serialized
    from .proof.application import Application as Application
    from .proof.commands import url_of as url_of
    from .proof.commands import urls_of as urls_of
    from .running.ahead import DatabaseAhead as DatabaseAhead
    from .running.connection import choose_url as choose_url
    from .running.connection import connect as connect
    from .running.errors import explained as explained

__version__ = "1.0.0"

# Where each public name is defined. It is imported when it is first used: a post-write hook
# must not wait for SQLAlchemy, nor `alembic upgrade` for the tests.
_HOMES = {
    "Application": "proof.application",
    "DatabaseAhead": "running.ahead",
    "Together": "environment",
    "choose_url": "running.connection",
    "connect": "running.connection",
    "explained": "running.errors",
    "options": "environment",
    "serialized": "environment",
    "url_of": "proof.commands",
    "urls_of": "proof.commands",
}

__all__ = [
    "Application",
    "DatabaseAhead",
    "Together",
    "choose_url",
    "connect",
    "explained",
    "options",
    "serialized",
    "url_of",
    "urls_of",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module (https://peps.python.org/pep-0562/)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    except SyntaxError as error:
        # No module of this package may be needed to say so: it might be the broken one.
        from alembic.util import CommandError

        raise CommandError(
            f"{error.filename}, line {error.lineno}: {error.msg}. Restore it: "
            f"git restore --source=HEAD {error.filename}"
        ) from error
