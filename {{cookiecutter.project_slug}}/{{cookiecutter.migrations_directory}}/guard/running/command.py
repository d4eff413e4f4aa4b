"""The command of Alembic that is running: its configuration, its settings, its databases.

There is one at a time in a process. Alembic keeps it in module globals (``alembic.context`` and
``alembic.op``), so that with two threads the DDL of one could reach the database of the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from alembic import context
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL

from .. import settings
from ..settings import Settings

if TYPE_CHECKING:
    from .steps import Steps

lock = Lock()
running: "Command | None" = None


@dataclass
class Command:
    """What is known of the command so far.

    :param url: the database at work, if one has been chosen.
    :param name: its name, where several databases share a history.
    :param connecting: whether a connection is just being made.
    :param progress: the steps of each database.
    """

    config: Config
    script: ScriptDirectory
    url: URL | None = None
    name: str | None = None
    connecting: bool = False
    progress: "list[Steps]" = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return settings.read(self.config)

    @property
    def on_command_line(self) -> bool:
        """Whether a person runs ``alembic``, and not a program with a Config of its own."""
        return self.config.cmd_opts is not None


CLASH = (
    "Another thread of this program runs a command of Alembic, which can run one at a time: hold "
    "a threading.Lock around each call of alembic.command."
)


@contextmanager
def only_command() -> Iterator[Command]:
    """Begin a command, unless another thread runs one.

    :raises CommandError: when another thread of this process does.
    """
    global running
    if not lock.acquire(blocking=False):
        raise CommandError(CLASH)
    try:
        try:
            running = Command(context.config, context.script)
        except AttributeError as error:  # The other command has ended and taken it with it.
            raise CommandError(CLASH) from error
        try:
            yield running
        except Exception as error:
            clash = is_clash(error) or not belongs_to(running)
            if isinstance(error, CommandError) or not clash:
                raise
            raise CommandError(CLASH) from error
    finally:
        running = None
        lock.release()


def is_clash(error: Exception) -> bool:
    """Return whether an error says that Alembic's globals are gone."""
    if isinstance(error, AttributeError):
        return error.obj is context
    return isinstance(error, NameError) and "proxy object" in str(error)


def belongs_to(command: Command) -> bool:
    """Return whether Alembic's globals are still those of a command, and not of another thread."""
    try:
        return context.config is command.config
    except (AttributeError, NameError):  # The other command has ended and taken them with it.
        return False


def current() -> Command:
    """Return the command that is running.

    :raises CommandError: outside of ``with guard.explained()``, and when another thread has
        begun a command in the meantime, which Alembic's globals now belong to.
    """
    if running is None:
        raise CommandError("Call this in env.py, inside: with guard.explained()")
    if not belongs_to(running):
        raise CommandError(CLASH)
    return running
