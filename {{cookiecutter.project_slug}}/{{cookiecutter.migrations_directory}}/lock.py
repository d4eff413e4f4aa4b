{% set layout = cookiecutter._layout_facts[cookiecutter.databases] %}
"""How several migrators take turns, and what is checked before a migration counts as done."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, String, column, select, table, text
from sqlalchemy.exc import DBAPIError, OperationalError

from . import sqlite
from .connection import name_of, seconds, x_argument

log = logging.getLogger("alembic.runtime.migration")

MYSQL_LOCK = "CONCAT('alembic ', COALESCE(LEFT(DATABASE(), 56), ''))"


@contextmanager
def one_at_a_time(migration: MigrationContext) -> Iterator[list[set[str]]]:
    """Migrate while nobody else does, and check afterwards that the database agrees.

    A program that passes a connection in a transaction commits it itself, and sees to it
    that it is alone.

    :return: the heads after each revision that has run so far.
    :raises CommandError: when another migration does not end within ``-x lock_wait=SECONDS``
        (60), when a table stays locked, and when the database is not where it should be.
    """
    connection, config = migration.connection, migration.config
    assert connection is not None
    assert config is not None
    applied: list[set[str]] = []
    if migration.opts.get("dont_mutate") or "revision_context" in migration.opts:
        # alembic current, check and revision only look: they need not wait, nor write.
        migration.opts["dont_mutate"] = True
        with explained_difference(migration):
            yield applied
        return

    def after_each_revision(heads: set[str], **_: Any) -> None:
        applied.append(heads)
        if connection.dialect.name == "sqlite":
            sqlite.check_foreign_keys(connection)

    migration.on_version_apply_callbacks = (
        *migration.on_version_apply_callbacks,
        after_each_revision,
    )
    passed = {{ "connection in config.attributes.get(\"connections\", {}).values()" if layout.shared else "connection is config.attributes.get(\"connection\")" }}
    if connection.in_transaction():
        if not passed:
            raise CommandError(
                "env.py ran a statement before the migrations, which Alembic takes for a "
                "transaction of somebody else, and would save nothing: commit it first."
            )
        yield applied
        return
    with lock(connection, passed) as witness:
        try:
            yield applied
        except OperationalError as error:
            if blockers := blockers_of(error, witness):
                raise CommandError(
                    "A table stayed locked by another session, so the revision was given up: "
                    f"{blockers}. Let it end, or wait longer with -x lock_timeout=SECONDS."
                ) from error
            raise
        if applied:
            connection.rollback()
            same = witness is connection and not passed
            with connection.engine.connect() if same else nullcontext(witness) as fresh:
                saved = saved_heads(migration, fresh)
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
{% if "config" in layout.alembic_in_message %}
        config = migration.config
        assert config is not None
{% endif %}
        current = ", ".join(migration.get_current_heads()) or "no revision"
        head, *others = migration.script.get_heads()
        if others:
            raise CommandError("Multiple head revisions are present") from error
        raise CommandError(
            f"{name_of(migration.connection.engine.url)} is at {current}, but the head is {head}. "
            {{ "f" if "config" in layout.alembic_in_message }}"Bring it up to date with: {{ layout.alembic_in_message }} upgrade head"
        ) from error


@contextmanager
def lock(connection: Connection, passed: bool) -> Iterator[Connection]:
    """Hold the lock that migrations of this database take in turn.

    A process that is killed leaves no lock behind: it belongs to a connection. On PostgreSQL
    and SQLite this is a second one, so that the first can commit, also in an
    ``autocommit_block()``.

    :return: a connection to ask what is committed, and who holds a table.
    """
    backend, engine = connection.dialect.name, connection.engine
    others = f"another migration of {name_of(engine.url)}"
    if backend == "sqlite" and (passed or engine.url.database in (None, "", ":memory:")):
        yield connection
    elif backend == "sqlite" and x_argument("lock") != "off":
        with sqlite.lock_holder(connection) as file, engine.connect() as witness:
            wait_for_turn(lambda: sqlite.take_lock(file), others)
            yield witness
    elif backend == "postgresql" and x_argument("lock") != "off":
        engine = engine.execution_options(isolation_level="READ COMMITTED")
        with engine.connect() as holder:
            wait_for_turn(lambda: take_postgresql_lock(holder), others)
            yield holder
    elif backend in ("mysql", "mariadb") and x_argument("lock") != "off":
        try:
            wait_for_turn(lambda: take_mysql_lock(connection), others)
            yield connection
        finally:
            release_mysql_lock(connection)
    else:
        with engine.connect() as witness:
            yield witness


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

    It outlives transactions, so the session that migrates holds it: that one is never idle
    for so long that the server ends it. https://mariadb.com/kb/en/get_lock/

    :raises CommandError: on a node of a Galera cluster, as other nodes do not see the lock.
    """
    status = holder.execute(text("SHOW STATUS LIKE 'wsrep_cluster_size'")).first()
    if status is not None and int(status[1]) > 0:
        raise CommandError(
            "This server belongs to a Galera cluster, where no lock keeps two migrations apart. "
            "Make sure that only one runs, then add: -x lock=off"
        )
    taken = holder.scalar(text(f"SELECT GET_LOCK({MYSQL_LOCK}, 0)"))
    holder.rollback()  # Alembic begins its own transactions.
    return bool(taken == 1)


def release_mysql_lock(holder: Connection) -> None:
    """Release the lock of a session that may go on, as that of a program does."""
    with suppress(DBAPIError):  # A session that is lost has lost its lock.
        holder.rollback()
        holder.execute(text(f"DO RELEASE_LOCK({MYSQL_LOCK})"))
        holder.rollback()


def blockers_of(error: OperationalError, witness: Connection) -> str:
    """Return which sessions a statement waited for in vain, or nothing if that was not it."""
    # PyMySQL says in the first argument which error it is, psycopg in an attribute.
    first = error.orig.args[0] if error.orig and error.orig.args else None
    code = first if isinstance(first, int) else getattr(error.orig, "sqlstate", None)
    if code not in BLOCKERS:
        return ""
    try:
        found = witness.scalars(text(BLOCKERS[code]), {"statement": error.statement}).all()
    except DBAPIError:
        found = []  # The account may not look at other sessions.
    return "; ".join(found) or "one that this account may not see"


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
