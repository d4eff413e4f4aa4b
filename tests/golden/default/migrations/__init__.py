"""Everything about migrating. The application does not know this folder.

Alembic keeps the command that runs in module globals, so in a program with threads the
commands have to take turns. alembic.ini names this folder as a package, which Alembic
imports before a command begins: early enough to see to that.
"""

from threading import RLock
from typing import Any

from alembic.runtime.environment import EnvironmentContext

turn = RLock()
begin, end = EnvironmentContext.__enter__, EnvironmentContext.__exit__


def begin_in_turn(environment: EnvironmentContext) -> EnvironmentContext:
    turn.acquire()
    return begin(environment)


def end_in_turn(environment: EnvironmentContext, *error: Any) -> None:
    end(environment, *error)
    turn.release()


EnvironmentContext.__enter__ = begin_in_turn  # type: ignore[method-assign]
EnvironmentContext.__exit__ = end_in_turn  # type: ignore[method-assign]
