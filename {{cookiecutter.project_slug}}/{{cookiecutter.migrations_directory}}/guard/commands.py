"""The commands of ``python -m migrations.guard``. They run env.py, as those of Alembic do."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from os import environ
from pathlib import Path

from alembic.config import Config
from alembic.util import CommandError

from . import revisions


def run(arguments: list[str]) -> int:
    """Run a command and return its exit status.

    :param arguments: what follows ``python -m migrations.guard``.
    """
    options = parser().parse_args(arguments)
    command: Callable[[list[Config], Namespace], int] = options.command
    try:
        return command(configurations(options), options)
    except CommandError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1


def parser() -> ArgumentParser:
    """Return the command line, with the options that ``alembic`` has too."""
    made = ArgumentParser(prog=f"python -m {__package__}")
    made.add_argument("-c", "--config", default=environ.get("ALEMBIC_CONFIG", "alembic.ini"))
    made.add_argument("-n", "--name", help="section of the ini: the database, of several")
    made.add_argument("-x", action="append", help="a setting for this call: -x name=value")
    made.add_argument("--raiseerr", action="store_true", help="show the traceback of an error")
    commands = made.add_subparsers(required=True)
    for name, command, text in (
        ("lint", lint, "check what is new, and that what was there stays"),
        ("rebase", rebase, "put new revisions behind the head of another branch"),
    ):
        added = commands.add_parser(name, help=text)
        added.add_argument("branch", nargs="?", help="default: the head of the remote, or main")
        added.set_defaults(command=command)
    ready_parser = commands.add_parser("ready", help="is the database at this code's head?")
    ready_parser.add_argument("--wait", type=float, default=0, metavar="SECONDS")
    ready_parser.set_defaults(command=ready)
    plan_parser = commands.add_parser("plan", help="which revisions would run here")
    plan_parser.add_argument("--sql", action="store_true", help="print their SQL")
    plan_parser.set_defaults(command=plan)
    return made


def lint(configs: list[Config], options: Namespace) -> int:
    """Check the revisions that a branch does not have, and that those it has stay."""
    from .history.lint import lint

    return max([lint(config, options.branch) for config in configs])


def rebase(configs: list[Config], options: Namespace) -> int:
    """Put the revisions that a branch does not have behind its head."""
    from .history.rebase import rebase

    return max([rebase(config, options.branch) for config in configs])


def ready(configs: list[Config], options: Namespace) -> int:
    """Return 0 when the databases are at this code's head or beyond, else 1 with a line each."""
    from .running.ready import ready

    return 0 if ready(configs, options.wait, partial(print, file=sys.stderr)) else 1


def plan(configs: list[Config], options: Namespace) -> int:
    """Print which revisions would run on the databases, or their SQL."""
    from .history.plan import plan

    for config in configs:
        plan(config, options.sql)
    return 0


def configurations(options: Namespace) -> list[Config]:
    """Return a configuration for each history: the one that is named, or all.

    :raises CommandError: when there is no such ini, or no such section in it.
    """
    ini = Path(options.config)
    if not ini.is_file():
        raise CommandError(f"There is no {ini} here: name it with -c PATH.")
    config = Config(ini)
    names = [options.name] if options.name else histories(config)
    for name in names:
        if not config.file_config.has_section(name):
            raise CommandError(f"There is no section [{name}] in {ini}. See: {', '.join(names)}")
    return [Config(ini, ini_section=name, cmd_opts=options) for name in names]


def histories(config: Config) -> list[str]:
    """Return the sections of the databases that have a history each, or Alembic's own section."""
    return revisions.histories(config) or ["alembic"]
