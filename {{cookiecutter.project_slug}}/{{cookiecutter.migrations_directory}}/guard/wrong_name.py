"""What alembic says with ``--name`` of a section that alembic.ini does not have.

``[tool.alembic]`` of pyproject.toml names this module: Alembic looks there when the section has no
``script_location``. https://alembic.sqlalchemy.org/en/latest/tutorial.html#using-pyproject-toml-for-configuration
"""

from alembic.util import CommandError

from .sections import sentence

raise CommandError(sentence())
