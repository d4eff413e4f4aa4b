"""PostgreSQL: advisory locks, limits on waiting, and what errors and changes of tables mean."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Enum,
    Float,
    Numeric,
    String,
    create_engine,
    event,
    text,
)
from sqlalchemy import pool as pools
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.types import TypeEngine

from .base import Database, Problem, Take, only_asked

# https://www.postgresql.org/docs/current/errcodes-appendix.html
PROBLEMS = {
    "08000": Problem.CONNECTION_LOST,
    "08003": Problem.CONNECTION_LOST,
    "08006": Problem.CONNECTION_LOST,
    "57P01": Problem.CONNECTION_LOST,
    "57P02": Problem.CONNECTION_LOST,
    "57P03": Problem.STARTING,
    "28000": Problem.LOGIN_REJECTED,
    "28P01": Problem.LOGIN_REJECTED,
    "3D000": Problem.NO_SUCH_DATABASE,
    "42701": Problem.ALREADY_EXISTS,
    "42710": Problem.ALREADY_EXISTS,
    "42P06": Problem.ALREADY_EXISTS,
    "42P07": Problem.ALREADY_EXISTS,
    "55P03": Problem.TABLE_LOCKED,
    "25006": Problem.READ_ONLY,
    "53100": Problem.NO_SPACE,
}

# Which sessions hold locks on tables of the statement that had to wait.
BLOCKERS = """
SELECT DISTINCT format('pid %s (%s, query started %s) on table %s',
    a.pid, a.state, date_trunc('second', a.query_start), c.relname)
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
WHERE l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database()
    AND c.relkind IN ('r', 'p') AND strpos(:statement, c.relname) > 0
"""


IDENTITY = """
SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()
"""


class PostgreSQL(Database):
    synchronous_driver = "postgresql+psycopg"
    default_port = 5432
    sql_linter = "squawk"

    def create_engine(self, url: URL, lock_timeout: float) -> Engine:
        # Prepared statements do not survive a connection pooler.
        unprepared = {"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}
        engine = create_engine(url, poolclass=pools.NullPool, connect_args=unprepared)
        # One round trip to the server, not two.
        limits = "; ".join(f"SET LOCAL {setting}" for setting in limits_of(lock_timeout))

        @event.listens_for(engine, "begin")
        def limit_waiting(connection: Connection) -> None:
            # SET LOCAL, because a pooler may give each transaction another session.
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                connection.exec_driver_sql(limits)

        return engine

    def script_settings(self, lock_timeout: float) -> list[str]:
        return [f"SET {setting}" for setting in limits_of(lock_timeout)]

    @contextmanager
    def lock_holder(
        self, connection: Connection, passed: bool
    ) -> Iterator[tuple[Take, Connection]]:
        """Hold a lock in a transaction of a second connection that stays open.

        The first one commits after each revision and in ``autocommit_block()``. A lock of the
        session would be lost behind a pooler in transaction mode, or left behind. The open
        transaction holds no snapshot, so CREATE INDEX CONCURRENTLY does not wait for it.
        https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
        """
        engine = connection.engine.execution_options(isolation_level="READ COMMITTED")
        with engine.connect() as holder:
            yield lambda: take_lock(holder), holder

    def is_same_database(self, one: Connection, other: Connection) -> bool:
        # localhost and 127.0.0.1, a socket, a pooler: the server knows when it was started.
        with only_asked(one, other):
            first, second = (
                connection.execute(text(IDENTITY)).one() for connection in (one, other)
            )
        return bool(first == second)

    def two_phase_commit(self, connection: Connection) -> bool:
        """Return whether ``max_prepared_transactions`` is more than 0.

        https://www.postgresql.org/docs/current/sql-prepare-transaction.html
        """
        in_transaction = connection.in_transaction()
        setting = connection.execute(text("SHOW max_prepared_transactions")).scalar_one()
        if not in_transaction:
            connection.rollback()
        return int(setting) > 0

    def how_to_create(self, name: str) -> str:
        return f"createdb {name}"

    def problem(self, error: DBAPIError) -> Problem | None:
        state = getattr(error.orig, "sqlstate", None)
        if state is None and error.connection_invalidated:
            return Problem.CONNECTION_LOST
        return PROBLEMS.get(str(state))

    def problem_on_connecting(self, error: DBAPIError, url: URL) -> Problem | None:
        """Ask the server again, as libpq passes on the text of an error but not its code.

        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PQPING
        """
        if problem := self.problem(error):
            return problem
        if url.get_driver_name() != "psycopg":
            return Problem.UNREACHABLE
        pq, conninfo = import_module("psycopg.pq"), import_module("psycopg.conninfo")
        _, arguments = url.get_dialect()().create_connect_args(url)
        answer = pq.PGconn.ping(conninfo.make_conninfo(**arguments).encode())
        if answer == pq.Ping.REJECT:
            return Problem.STARTING
        if answer != pq.Ping.OK:
            return Problem.UNREACHABLE
        for database in ("postgres", "template1"):
            other = create_engine(url.set(database=database), poolclass=pools.NullPool)
            with suppress(OperationalError), other.connect():
                return Problem.NO_SUCH_DATABASE
        return Problem.LOGIN_REJECTED

    def blockers(self, error: DBAPIError, witness: Connection) -> Sequence[str]:
        try:
            return witness.scalars(text(BLOCKERS), {"statement": error.statement}).all()
        except DBAPIError:
            return ()  # The account may not look at other sessions.

    # https://www.postgresql.org/docs/current/sql-altertable.html
    building_an_index_blocks = "writes"
    adding_a_foreign_key_blocks = "writes"
    concurrent_index_option = "postgresql_concurrently"
    not_valid_option = "postgresql_not_valid"
    native_enums = True
    sql_grammar = "postgres"
    ddl_holds_locks = True
    comparable_json = "postgresql.JSONB()"
    using_option = "postgresql_using"

    def exclusion(self, name: str, table: tuple[str | None, str]) -> Any:
        from alembic.ddl.postgresql import CreateExcludeConstraintOp

        schema, table_name = table
        return CreateExcludeConstraintOp(name, table_name, [], schema=schema)

    def keeps_storage(self, old: TypeEngine[Any], new: TypeEngine[Any]) -> bool:
        if is_enum(old) or is_enum(new):
            return False
        if isinstance(old, String) and isinstance(new, String):
            return new.length is None or (old.length or new.length + 1) <= new.length
        if isinstance(old, Numeric) and isinstance(new, Numeric):
            if isinstance(old, Float) or isinstance(new, Float):
                return False
            return new.precision is None or (
                old.scale == new.scale and (old.precision or new.precision + 1) <= new.precision
            )
        return False

    def equal_defaults(self, connection: Connection, one: str, other: str) -> bool:
        try:
            with connection.begin_nested():
                return bool(connection.exec_driver_sql(f"SELECT ({one}) = ({other})").scalar())
        except DBAPIError:
            return False  # Values of some types, like JSON, cannot be compared.


def limits_of(lock_timeout: float) -> list[str]:
    """Return the settings of a migration's session.

    A migration that waits for a lock makes all others wait behind it, so it gives up soon.
    But while it works, no limit that was meant for the application's queries may end it.
    https://www.postgresql.org/docs/current/runtime-config-client.html
    """
    return [f"lock_timeout = {max(1, round(lock_timeout * 1000))}", "statement_timeout = 0"]


def take_lock(holder: Connection) -> bool:
    statement = "SELECT pg_try_advisory_xact_lock(hashtext('alembic_version'))"
    if not holder.exec_driver_sql(statement).scalar():
        holder.rollback()
        return False
    # No limit on idle transactions may end this one. Without bind parameters, because a
    # statement with them keeps its snapshot until the next one.
    holder.exec_driver_sql(
        "SELECT set_config(name, '0', true) FROM pg_settings "
        "WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
    )
    return True


def is_enum(type_: TypeEngine[Any]) -> bool:
    return isinstance(type_, Enum) and type_.native_enum


DATABASE = PostgreSQL
