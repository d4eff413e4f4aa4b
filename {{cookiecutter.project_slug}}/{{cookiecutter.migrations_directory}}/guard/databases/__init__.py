"""What the guard knows of each kind of database: one module for each, found by the dialect.

Every room asks here; nothing here imports a room. To add a database, add a module like
``sqlite.py`` and its name to ``MODULES``.
"""

from importlib import import_module

from .base import Database as Database
from .base import Problem as Problem

# The module for each name that SQLAlchemy gives a dialect.
MODULES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def of(dialect: str) -> Database:
    """Return what is known of a database, by the name of its dialect.

    :param dialect: as in ``connection.dialect.name`` or ``url.get_backend_name()``. Of a dialect
        without a module, nothing is known: the answers are then cautious or errors.
    """
    if dialect not in MODULES:
        return Database(dialect)
    module = import_module(f".{MODULES[dialect]}", __name__)
    database: Database = module.DATABASE(dialect)
    return database
