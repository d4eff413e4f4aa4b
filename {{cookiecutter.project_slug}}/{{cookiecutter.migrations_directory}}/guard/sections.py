"""Which section of alembic.ini was meant: what Alembic says when it finds none.

Alembic takes a module for its ``script_location``, and imports it: those that call ``sentence()``.
"""

import sys
from argparse import ArgumentParser
from os import environ
from pathlib import Path

from alembic.config import Config

from . import revisions

HERE = Path(__file__).resolve()


def sentence() -> str:
    """Return what to write instead, on the command line or in a program."""
    options = ArgumentParser(add_help=False, exit_on_error=False)
    options.add_argument("-c", "--config", default=environ.get("ALEMBIC_CONFIG", "alembic.ini"))
    options.add_argument("-n", "--name")
    given = options.parse_known_args(sys.argv[1:])[0]
    # A program names its ini elsewhere; it is in a folder above this one.
    places = [Path(given.config), *(folder / "alembic.ini" for folder in HERE.parents)]
    ini = next((place for place in places if place.is_file()), places[0])
    config = Config(ini)
    names = revisions.histories(config)
    if given.name is not None and not config.file_config.has_section(given.name):
        right = f"Write --name with: {', '.join(names)}" if names else "Leave --name out."
        return f"There is no section [{given.name}] in {ini.name}. {right}"
    if not names:
        return f"There is no such section in {ini.name}."
    if Path(sys.argv[0]).stem == "alembic" or Path(sys.argv[0]).parent.name == "alembic":
        return f"Which database? Add --name: {', '.join(names)}"
    return (
        f"Which database? There are {', '.join(names)}. Name one: "
        f'Config(…, ini_section="{names[0]}")'
    )
