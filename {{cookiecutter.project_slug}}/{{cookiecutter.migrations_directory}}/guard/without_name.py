"""What alembic says without ``--name``, where each of several databases has a history of its own.

The section ``[alembic]`` of alembic.ini names this module as its ``script_location`` then.
"""

from alembic.util import CommandError

from .sections import sentence

raise CommandError(sentence())
