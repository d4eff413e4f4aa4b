"""A connection that is safe to migrate on.

In the order in which things happen: which database, how it is reached, how several
migrators take turns, and what is checked before a migration counts as done.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from alembic import context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    String,
    column,
    create_engine,
    event,
    pool,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError, OperationalError

from {{ cookiecutter.migrations_directory }} import sqlite
from {{ cookiecutter.package_name }} import settings

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

# A lock on PostgreSQL is held by an open transaction, on MySQL by a session.
ISOLATION = {"postgresql": "READ COMMITTED", "mysql": "AUTOCOMMIT", "mariadb": "AUTOCOMMIT"}

log = logging.getLogger("alembic.runtime.migration")

# Migrations need no event loop, so they also work inside a running one.
SYNCHRONOUS_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


# Which database


def database_url(config: Config) -> URL:
    """Return the database to migrate, with a driver that needs no event loop.

    The first that is given counts: ``alembic -x url=…``, ``sqlalchemy.url`` of a Config
    made by a program, ``DATABASE_URL``, ``sqlalchemy.url`` in alembic.ini, the default.

    :raises ValueError: when it is not a URL.
    """
    configured = config.get_main_option("sqlalchemy.url") or None
    called_by_program = config.cmd_opts is None
    url = settings.DEVELOPMENT_URL
    for source, given in (
        ("-x url", x_argument("url")),
        ("sqlalchemy.url", configured if called_by_program else None),
        ("DATABASE_URL", settings.environment_url()),
        ("sqlalchemy.url", configured),
    ):
        if given is not None:
            url = settings.parse_url(given, source)
            break
    return synchronous(url)


def synchronous(url: URL) -> URL:
    """Return the URL of the same database with a driver that needs no event loop."""
    if not url.get_dialect().is_async:
        return url
    return url.set(drivername=SYNCHRONOUS_DRIVERS[url.get_backend_name()])


def x_argument(name: str) -> str | None:
    """Return the value of ``alembic -x name=value``, if it was given."""
    return context.get_x_argument(as_dictionary=True).get(name)


def seconds(name: str, default: float) -> float:
    """Return ``alembic -x name=SECONDS``.

    :raises ValueError: when it is not a positive number.
    """
    given = x_argument(name)
    if given is None:
        return default
    if not re.fullmatch(r"\d+(\.\d+)?", given):
        raise ValueError(f"-x {name} is a number of seconds, like -x {name}={default:g}")
    return float(given)


def options(url: URL) -> dict[str, Any]:
    """Return what ``context.configure()`` needs to know of the kind of database."""
    is_sqlite = url.get_backend_name() == "sqlite"
    return {
        # A revision that fails takes back what it did, and keeps those before it.
        "transaction_per_migration": True,
        # Alembic takes SQLite for unable to do so; connect() makes it able.
        "transactional_ddl": True if is_sqlite else None,
        # SQLite cannot alter a column: Alembic copies the table instead.
        # https://alembic.sqlalchemy.org/en/latest/batch.html
        "render_as_batch": is_sqlite,
    }


# How it is reached


@contextmanager
def connect(config: Config) -> Iterator[Connection]:
    """Connect to the database to migrate, or use the connection that a program passes.

    ``alembic -x wait=SECONDS`` waits for a server that is still starting.
    https://alembic.sqlalchemy.org/en/latest/cookbook.html#sharing-a-connection-across-one-or-more-programmatic-migration-commands
    """
    passed = config.attributes.get("connection")
    if passed is not None:
        if not isinstance(passed, Connection):
            raise CommandError(
                'config.attributes["connection"] has to be a Connection; '
                "pass that of an AsyncConnection with connection.run_sync()."
            )
        with sqlite.careful(passed) if passed.dialect.name == "sqlite" else nullcontext():
            yield passed
        return
    engine = migration_engine(database_url(config))
    deadline = time.monotonic() + seconds("wait", 0)
    while True:
        try:
            connection = engine.connect()
            break
        except OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)
    with connection:
        yield connection


def migration_engine(url: URL) -> Engine:
    """Return an engine whose transactions hold all of a migration and wait for locks briefly."""
    wait = seconds("lock_timeout", 5)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return sqlite.migration_engine(url, wait)
    if backend == "postgresql":
        # Prepared statements do not survive a connection pooler.
        unprepared = {"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}
        engine = create_engine(url, poolclass=pool.NullPool, connect_args=unprepared)

        @event.listens_for(engine, "begin")
        def limit_waiting(connection: Connection) -> None:
            # SET LOCAL, because a pooler may give each transaction another session.
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                for setting in postgresql_settings(wait):
                    connection.exec_driver_sql(f"SET LOCAL {setting}")

        return engine
    if url.get_driver_name() == "pymysql":
        limit = max(1, round(wait))
        limits = f"lock_wait_timeout = {limit}, innodb_lock_wait_timeout = {limit}"
        arguments = {
            "init_command": f"SET {limits}, time_zone = '+00:00'",
            # PyMySQL encodes in Latin-1 what the server expects in UTF-8.
            "password": (url.password or "").encode().decode("latin-1"),
        }
        return create_engine(url, poolclass=pool.NullPool, connect_args=arguments)
    return create_engine(url, poolclass=pool.NullPool)


def postgresql_settings(wait: float) -> list[str]:
    """Return the settings under which a migration runs on PostgreSQL.

    A migration that waits for a lock makes all others wait behind it, so it gives up soon.
    But while it works, no limit that was meant for the application's queries may end it.
    https://www.postgresql.org/docs/current/runtime-config-client.html
    """
    return [f"lock_timeout = {round(wait * 1000)}", "statement_timeout = 0"]


def script_settings(url: URL) -> list[str]:
    """Return the statements with which the output of ``alembic upgrade head --sql`` begins."""
    if url.get_backend_name() != "postgresql":
        return []
    return [f"SET {setting}" for setting in postgresql_settings(seconds("lock_timeout", 5))]


# How several migrators take turns


@contextmanager
def one_at_a_time(migration: MigrationContext) -> Iterator[None]:
    """Migrate while nobody else does, and check afterwards that the database agrees.

    A program that passes a connection in a transaction commits it itself, and sees to it
    that it is alone.

    :raises CommandError: when another migration does not end within ``-x lock_wait=SECONDS``
        (60), when a table stays locked, and when the database is not where it should be.
    """
    connection = migration.connection
    assert connection is not None
    if migration.opts.get("dont_mutate") or "revision_context" in migration.opts:
        # alembic current, check and revision only look: they need not wait, nor write.
        migration.opts["dont_mutate"] = True
        with explained_difference(migration):
            yield
        return
    applied: list[set[str]] = []

    def after_each_revision(heads: set[str], **_: Any) -> None:
        applied.append(heads)
        if connection.dialect.name == "sqlite":
            sqlite.restore(connection)
            sqlite.check_foreign_keys(connection)

    migration.on_version_apply_callbacks = (
        *migration.on_version_apply_callbacks,
        after_each_revision,
    )
    if connection.in_transaction():
        if migration.config is None or "connection" not in migration.config.attributes:
            raise CommandError(
                "env.py ran a statement before the migrations, which Alembic takes for a "
                "transaction of somebody else, and would save nothing: commit it first."
            )
        yield
        return
    with lock(connection) as witness:
        try:
            yield
        except OperationalError as error:
            raise explained_lock_timeout(error, witness) from error
        if applied:
            connection.rollback()
            saved = saved_heads(migration, witness)
            if saved != applied[-1]:
                raise CommandError(
                    f"The migrations ended at {sorted(applied[-1])}, but they were not saved: "
                    f"the database is at {sorted(saved)}."
                )


def saved_heads(migration: MigrationContext, witness: Connection) -> set[str]:
    """Return where the database is, as others see it."""
    versions = table(
        migration.version_table,
        column("version_num", String()),
        schema=migration.version_table_schema,
    )
    try:
        return set(witness.scalars(select(versions.c.version_num)))
    except DBAPIError:
        return set()  # There is no such table.


@contextmanager
def explained_difference(migration: MigrationContext) -> Iterator[None]:
    """Say what "Target database is not up to date" means, and which command mends it."""
    try:
        yield
    except CommandError as error:
        if "not up to date" not in str(error) or migration.script is None:
            raise
        assert migration.connection is not None
        current = ", ".join(migration.get_current_heads()) or "no revision"
        head = ", ".join(migration.script.get_heads())
        raise CommandError(
            f"{name_of(migration.connection.engine.url)} is at {current}, but the head is {head}. "
            "Bring it up to date with: alembic upgrade head"
        ) from error


@contextmanager
def lock(connection: Connection) -> Iterator[Connection]:
    """Hold the lock that migrations of this database take in turn.

    A process that is killed leaves no lock behind: it belongs to a connection. On servers
    this is a second one, so that the first can commit, also in an ``autocommit_block()``.

    :return: a connection that sees only what is committed.
    """
    backend = connection.dialect.name
    if x_argument("lock") == "off" or backend not in ("sqlite", "postgresql", "mysql", "mariadb"):
        with connection.engine.connect() as witness:
            yield witness
    elif backend == "sqlite":
        if "begin" in connection.info:
            wait_for_turn(
                lambda: sqlite.take_the_file(connection),
                f"all others that use {connection.engine.url.database}",
            )
        yield connection
    else:
        take = take_postgresql_lock if backend == "postgresql" else take_mysql_lock
        engine = connection.engine.execution_options(isolation_level=ISOLATION[backend])
        with engine.connect() as holder:
            wait_for_turn(lambda: take(holder), f"another migration of {name_of(engine.url)}")
            yield holder


def wait_for_turn(take: Callable[[], bool], others: str) -> None:
    """Take a lock, or say once what is waited for and try again until the time is over."""
    patience = seconds("lock_wait", 60)
    deadline = time.monotonic() + patience
    said = False
    while not take():
        if time.monotonic() >= deadline:
            raise CommandError(
                f"Waited {patience:g} s in vain for {others}. "
                "Let it end and try again, or wait longer with -x lock_wait=SECONDS."
            )
        if not said:
            log.info("Waiting up to %g s for %s", patience, others)
            said = True
        time.sleep(0.1)


def take_postgresql_lock(holder: Connection) -> bool:
    """Take the lock in a transaction that stays open until the migrations are done.

    A lock of the session would be lost behind a pooler in transaction mode, or left behind.
    The open transaction holds no snapshot, so CREATE INDEX CONCURRENTLY does not wait for it.
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """
    if not holder.exec_driver_sql(
        "SELECT pg_try_advisory_xact_lock(hashtext('alembic_version'))"
    ).scalar():
        holder.rollback()
        return False
    # No limit on idle transactions may end this one. Without bind parameters, because a
    # statement with them keeps its snapshot until the next one.
    holder.exec_driver_sql(
        "SELECT set_config(name, '0', true) FROM pg_settings "
        "WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
    )
    return True


def take_mysql_lock(holder: Connection) -> bool:
    """Take the lock of the session, which MySQL has no other kind of.

    https://mariadb.com/kb/en/get_lock/

    :raises CommandError: on a node of a Galera cluster, as other nodes do not see the lock.
    """
    status = holder.execute(text("SHOW STATUS LIKE 'wsrep_cluster_size'")).first()
    if status is not None and int(status[1]) > 0:
        raise CommandError(
            "This server belongs to a Galera cluster, where no lock keeps two migrations apart. "
            "Make sure that only one runs, then add: -x lock=off"
        )
    name = text("SELECT GET_LOCK(CONCAT('alembic ', LEFT(DATABASE(), 56)), 0)")
    return bool(holder.scalar(name) == 1)


def explained_lock_timeout(error: OperationalError, witness: Connection) -> Exception:
    """Return an error that names who blocks, if waiting for a table was given up."""
    # PyMySQL says in the first argument which error it is, psycopg in an attribute.
    first = error.orig.args[0] if error.orig and error.orig.args else None
    code = first if isinstance(first, int) else getattr(error.orig, "sqlstate", None)
    if code not in BLOCKERS:
        return error
    try:
        found = witness.execute(text(BLOCKERS[code]), {"statement": error.statement}).all()
    except DBAPIError:
        found = []  # The account may not look at other sessions.
    who = "; ".join(str(row[0]) for row in found) or "a session that this account may not see"
    return CommandError(
        f"A table stayed locked by another session, so the revision was given up: {who}. "
        "Let it end, or wait longer with -x lock_timeout=SECONDS."
    )


# Which sessions hold locks on tables of the statement that had to wait, by error code.
BLOCKERS: dict[object, str] = {
    "55P03": """
        SELECT DISTINCT format('pid %s (%s, query started %s) on table %s',
            a.pid, a.state, date_trunc('second', a.query_start), c.relname)
        FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
        WHERE l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database()
            AND c.relkind IN ('r', 'p') AND strpos(:statement, c.relname) > 0
    """,
    1205: """
        SELECT CONCAT('connection ', p.id, ' (', p.command, ', transaction started ',
            t.trx_started, ')')
        FROM information_schema.innodb_trx t
        JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
        WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID() AND :statement IS NOT NULL
    """,
}


def name_of(url: URL) -> str:
    """Return a name for a database that may be shown: without user, password and options."""
    if url.host is None:
        return str(url.database or "a database in memory")
    return f"{url.get_backend_name()} database {url.database!r} at {url.host}:{url.port or DEFAULT_PORTS.get(url.get_backend_name())}"
