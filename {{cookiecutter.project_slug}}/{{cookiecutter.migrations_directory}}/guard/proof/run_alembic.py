"""Runs Alembic's command line with the arguments that stand in stdin, as JSON."""

import json
import sys

from alembic.config import main

if __name__ == "__main__":
    main(json.load(sys.stdin), prog="alembic")
