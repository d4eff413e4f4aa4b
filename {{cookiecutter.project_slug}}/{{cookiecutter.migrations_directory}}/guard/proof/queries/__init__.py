"""What the tests ask of each kind of database: its schema, and room for a scratch database.

To add a database, add a module like ``sqlite.py`` and its name to ``MODULES``.
"""

from importlib import import_module

from .base import Queries as Queries

# The module for each name that SQLAlchemy gives a dialect.
MODULES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def of(dialect: str) -> Queries:
    """Return the queries for a kind of database, by the name of its dialect.

    :raises NotImplementedError: for a dialect that the tests do not know.
    """
    if dialect not in MODULES:
        raise NotImplementedError(
            "The tests of migrations cannot read the schema of this kind of database: "
            f"they know {', '.join(MODULES)}, not {dialect}"
        )
    queries: Queries = import_module(f".{MODULES[dialect]}", __name__).QUERIES()
    return queries
