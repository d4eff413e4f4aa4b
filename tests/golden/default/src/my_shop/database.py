"""The engine, and the sessions in which the application works.

https://docs.sqlalchemy.org/en/21/orm/session_basics.html
"""

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from my_shop.settings import database_url


def make_engine(url: URL) -> Engine:
    """Return an engine for a database. It connects when it is first used."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare_connection)
        event.listen(engine, "begin", begin_transaction)
    return engine


def prepare_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Check foreign keys, which SQLite does only on demand, and leave BEGIN to us.

    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#transactions-with-sqlite-and-the-sqlite3-driver
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def begin_transaction(connection: Connection) -> None:
    """Begin when SQLAlchemy does: sqlite3 would wait for the first INSERT."""
    connection.exec_driver_sql("BEGIN")


engine = make_engine(database_url())
Session = sessionmaker(engine)
