"""What alembic says without ``--name``, where each of several databases has a history of its own.

The section ``[alembic]`` of alembic.ini names this module as its ``script_location`` then.
"""

import sys
from argparse import ArgumentParser
from os import environ

from alembic.config import Config
from alembic.util import CommandError

from .commands import histories

options = ArgumentParser(add_help=False, exit_on_error=False)
options.add_argument("-c", "--config", default=environ.get("ALEMBIC_CONFIG", "alembic.ini"))
ini = options.parse_known_args(sys.argv[1:])[0].config

raise CommandError(f"Which database? Add --name: {', '.join(histories(Config(ini)))}")
