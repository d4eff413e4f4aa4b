"""The Alembic environment script: which database is migrated, and which models it should match.

https://alembic.sqlalchemy.org/en/latest/tutorial.html#the-migration-environment
"""

from logging.config import fileConfig

from alembic import context

from migrations import guard

with guard.explained():  # An error in a model is one sentence, too.
    from my_shop.models import Base
    from my_shop.settings import database_url

    config = context.config
    target_metadata = Base.metadata


def run_migrations_offline() -> None:  # alembic upgrade head --sql
    url = guard.choose_url(database_url)
    context.configure(
        url=url,
        target_metadata=target_metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **guard.options(url, target_metadata),
    )
    configure_logging()
    with guard.serialized(), context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    with guard.connect(database_url) as connection:
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            **guard.options(connection, target_metadata),
        )
        configure_logging()
        with guard.serialized(), context.begin_transaction():
            context.run_migrations()


def configure_logging() -> None:
    # A program that calls Alembic keeps its own logging.
    if config.cmd_opts is not None and config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)


with guard.explained():
    if context.is_offline_mode():
        run_migrations_offline()
    else:
        run_migrations_online()
