"""Everything about migrating. The application does not know this folder.

alembic.ini names it as a package, which Alembic imports before each command. That is early
enough for what env.py comes too late for, as Alembic reads all revisions before it: to let
threads take turns, and to explain a revision that cannot be read.
"""

import gc
import sys
import warnings
from threading import RLock
from traceback import walk_tb
from types import TracebackType
from typing import Any

from alembic.config import CommandLine, Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import write_hooks

from .post_write import finish

# All that is loaded by now stays to the end: no search for garbage needs to look at it.
gc.freeze()

# The name by which alembic.ini calls it.
write_hooks.register("post_write")(finish)

# A revision that is there twice, or whose parent is missing, is only warned of by Alembic.
warnings.filterwarnings("error", "Revision .* is (not )?present")

# Alembic keeps the command that runs in module globals, so threads have to take turns.
turn = RLock()
begin, end = EnvironmentContext.__enter__, EnvironmentContext.__exit__
show_traceback = sys.excepthook


def begin_in_turn(environment: EnvironmentContext) -> EnvironmentContext:
    turn.acquire()
    return begin(environment)


def end_in_turn(environment: EnvironmentContext, *error: Any) -> None:
    end(environment, *error)
    turn.release()


EnvironmentContext.__enter__ = begin_in_turn  # type: ignore[method-assign]
EnvironmentContext.__exit__ = end_in_turn  # type: ignore[method-assign]


def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one sentence what ended a command before or while env.py was read."""
    for frame, _ in walk_tb(trace):
        if frame.f_code is CommandLine.run_cmd.__code__ and isinstance(error, Exception):
            config: Config = frame.f_locals["config"]
            if config.cmd_opts is not None and not config.cmd_opts.raiseerr:
                from . import errors

                errors.say(error, config)
                return
    show_traceback(kind, error, trace)


sys.excepthook = explain
