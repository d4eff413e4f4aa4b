"""Ctrl-C and SIGTERM in the middle of a migration: what is rolled back, and what stands."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .. import databases
from .command import Command
from .connection import name_of


class Terminated(KeyboardInterrupt):
    """SIGTERM. Drivers end a running statement for a KeyboardInterrupt, so this is one."""


DEFAULT = signal.SIG_DFL

# The exit status of a shell for what a signal has ended: 128 and its number.
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


@contextmanager
def unwinding(command: Command) -> Iterator[None]:
    """On the command line, let SIGTERM roll back what Ctrl-C would; leave the handler as it was."""
    main = threading.current_thread() is threading.main_thread()
    if not (command.on_command_line and main and signal.getsignal(signal.SIGTERM) is DEFAULT):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, DEFAULT)


def status(error: KeyboardInterrupt) -> int:
    """Return the exit status for an interruption."""
    return TERMINATED if isinstance(error, Terminated) else INTERRUPTED


def what_stands(command: Command) -> str:
    """Say which revision was rolled back, and where the database is now."""
    database = name_of(command.url) if command.url else "the database"
    began = [steps for steps in command.progress if steps.planned is not None]
    if not began:
        return f"Interrupted before a revision was applied: {database} was not changed."
    for steps in began:
        here = ", ".join(sorted(steps.reached)) or "base"
        if steps.revision is None:
            continue
        if steps.part_may_stand():
            backend = command.url.get_backend_name() if command.url else ""
            note = databases.of(backend).cannot_roll_back
            return (
                f"Interrupted in revision {steps.revision}: a part of it is committed"
                f"{f', or still runs, as {backend} {note}' if note else ''}.\n"
                f"{database} is at {here}: complete or revert it by hand, then run it again."
            )
        return (
            f"Interrupted: revision {steps.revision} was rolled back. {database} is at {here}; "
            "run the command again to continue."
        )
    here = ", ".join(sorted(began[-1].reached)) or "base"
    return f"Interrupted between two revisions: nothing is half done. {database} is at {here}."
