"""Joins models, database and the rules of this folder for Alembic.

https://alembic.sqlalchemy.org/en/latest/tutorial.html#the-migration-environment
"""

from logging.config import fileConfig

from alembic import context

from my_shop.models import Base

from migrations import connection, errors, lock, review

config = context.config
target_metadata = Base.metadata


def run_migrations_offline() -> None:  # alembic upgrade head --sql
    url = connection.database_url(config)
    context.configure(
        url=url,
        target_metadata=target_metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **connection.options(url),
    )
    configure_logging()
    for statement in connection.script_settings(url):
        context.execute(statement)
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    with connection.connect(config) as connected:
        context.configure(
            connection=connected,
            target_metadata=target_metadata,
            **connection.options(connected.engine.url),
            **review.options(target_metadata),
        )
        configure_logging()
        with lock.one_at_a_time(context.get_context()), context.begin_transaction():
            context.run_migrations()


def configure_logging() -> None:
    # A program that calls Alembic keeps its own logging. Only now, because configure()
    # logs what nobody needs to read.
    if config.cmd_opts is not None and config.config_file_name is not None:
        fileConfig(config.config_file_name, disable_existing_loggers=False)


with errors.explained(config):
    if context.is_offline_mode():
        run_migrations_offline()
    else:
        run_migrations_online()
