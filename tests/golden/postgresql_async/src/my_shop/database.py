"""The engine, and the sessions in which the application works.

https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html
"""

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from my_shop.settings import database_url


def make_engine(url: URL) -> AsyncEngine:
    """Return an engine for a database. It connects when it is first used."""
    return create_async_engine(url, pool_pre_ping=True)


engine = make_engine(database_url())
Session = async_sessionmaker(engine, expire_on_commit=False)
