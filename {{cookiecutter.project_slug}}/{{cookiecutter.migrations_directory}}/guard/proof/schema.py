"""What is in a database, as lines of text that can be compared."""

from functools import cache

from sqlalchemy import Connection

from . import queries


def schema(connection: Connection) -> set[str]:
    """Return a line for each table, column, constraint, index, type, view, trigger and so on.

    The order of columns does not count, as a column that comes back comes last.

    :raises NotImplementedError: for a kind of database that the tests do not know.
    """
    dialect = connection.dialect.name
    return {normalized(dialect, line) for line in queries.of(dialect).schema(connection)}


@cache
def normalized(dialect: str, line: str) -> str:
    """Return a line without what does not count, like quotes around names."""
    return queries.of(dialect).normalized(line)
