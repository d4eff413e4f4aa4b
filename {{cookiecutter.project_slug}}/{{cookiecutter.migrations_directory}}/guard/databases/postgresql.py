"""PostgreSQL: advisory locks, limits on waiting, and what errors and changes of tables mean."""

import logging
import re
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
from .postgresql_casts import has_cast, special

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
    "40001": Problem.CONFLICT,
    "40P01": Problem.CONFLICT,
    "25006": Problem.READ_ONLY,
    "53100": Problem.NO_SPACE,
    "23505": Problem.DUPLICATES,
}

# Which sessions hold what a session waits for. A prepared transaction has no session.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
BLOCKERS = """
SELECT DISTINCT CASE WHEN b.pid = 0 THEN 'a prepared transaction' ELSE
    format('pid %s (%s, query started %s)', b.pid, COALESCE(a.state, 'of another user'),
        date_trunc('second', a.query_start)) END
    || COALESCE((SELECT ' on table ' || min(c.relname) FROM pg_catalog.pg_locks w
        JOIN pg_catalog.pg_class c ON c.oid = w.relation WHERE w.pid = :session AND NOT w.granted), '')
FROM unnest(pg_blocking_pids(:session)) AS b(pid)
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
"""

# Indexes that CREATE INDEX CONCURRENTLY began and did not complete, and nobody builds now.
# https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
INVALID_INDEXES = """
SELECT n.nspname, i.relname, t.relname FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = i.relnamespace
WHERE NOT x.indisvalid AND i.relkind = 'i' AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_locks l WHERE l.relation = x.indexrelid AND l.granted
        AND l.pid <> pg_backend_pid())
"""

NAME = r'(?:"[^"]+"|[\w$]+)'
CONCURRENT_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?({NAME})"
    rf"\s+ON\s+(?:ONLY\s+)?(?:({NAME})\.)?({NAME})",
    re.IGNORECASE,
)

log = logging.getLogger("alembic.runtime.migration")


IDENTITY = """
SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()
"""

TYPES = """
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = :schema AND relname = :table AND attnum > 0 AND NOT attisdropped
"""

ENUMS = """
SELECT nspname, typname, array_agg(enumlabel::text ORDER BY enumsortorder)
FROM pg_enum JOIN pg_type t ON t.oid = enumtypid JOIN pg_namespace n ON n.oid = typnamespace
GROUP BY nspname, typname
"""

COLUMNS_OF_ENUM = """
SELECT tn.nspname, relname, attname, atttypid = t.typarray, pg_get_expr(adbin, adrelid)
FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
JOIN pg_attribute ON atttypid IN (t.oid, t.typarray) JOIN pg_class c ON c.oid = attrelid
JOIN pg_namespace tn ON tn.oid = relnamespace
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE n.nspname = :schema AND typname = :name AND relkind IN ('r', 'p') AND NOT attisdropped
    AND NOT relispartition
ORDER BY 1, 2, 3
"""


class PostgreSQL(Database):
    synchronous_driver = "postgresql+psycopg"
    default_port = 5432
    driver_package = '"psycopg[binary]"'
    sql_linter = "squawk"

    utc_now = "clock_timestamp() AT TIME ZONE 'UTC'"

    def create_engine(self, url: URL, lock_timeout: float, connect_timeout: float = 10) -> Engine:
        arguments: dict[str, Any] = {}
        if url.get_driver_name() in ("psycopg", "psycopg2") and "connect_timeout" not in url.query:
            # libpq takes 1 for 2, and 0 for no limit.
            arguments["connect_timeout"] = max(2, round(connect_timeout))
        if url.get_driver_name() == "psycopg":
            # Prepared statements do not survive a connection pooler.
            arguments["prepare_threshold"] = None
        engine = create_engine(url, poolclass=pools.NullPool, connect_args=arguments)
        event.listen(engine, "before_cursor_execute", drop_invalid_index)
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

    def schema_of(self, connection: Connection, table: str) -> str | None:
        quoted = connection.dialect.identifier_preparer.quote(table)
        query = text(
            "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE c.oid = to_regclass(:table)"
        )
        return connection.scalar(query, {"table": quoted})  # type: ignore[no-any-return]

    def two_phase_commit(self, connection: Connection) -> bool:
        """Return whether ``max_prepared_transactions`` is more than 0.

        https://www.postgresql.org/docs/current/sql-prepare-transaction.html
        """
        in_transaction = connection.in_transaction()
        setting = connection.execute(text("SHOW max_prepared_transactions")).scalar_one()
        if not in_transaction:
            connection.rollback()
        return int(setting) > 0

    def how_to_create(self, url: URL) -> str:
        server = f"--host={url.host} --port={url.port or self.default_port}"
        return f"createdb {server} --username={url.username} {url.database}"

    def problem(self, error: DBAPIError) -> Problem | None:
        state = getattr(error.orig, "sqlstate", None)
        if state is None and error.connection_invalidated:
            return Problem.CONNECTION_LOST
        return PROBLEMS.get(str(state))

    def details(self, error: DBAPIError) -> str:
        """Return DETAIL and HINT: https://www.postgresql.org/docs/current/protocol-error-fields.html

        A failing row is left out, and of a key the values.
        """
        found = self.details_with_values(error)
        found = re.sub(r"(Key \([^)]*\))=\(.*?\)(?= )", r"\1", found)
        return re.sub(r"(Detail: )?Failing row contains .*?\)\. ?", "", found).strip()

    def details_with_values(self, error: DBAPIError) -> str:
        diagnosis = getattr(error.orig, "diag", None)
        parts = {
            "Detail": getattr(diagnosis, "message_detail", None),
            "Hint": getattr(diagnosis, "message_hint", None),
        }
        return " ".join(f"{name}: {' '.join(part.split())}" for name, part in parts.items() if part)

    def without_values(self, message: str) -> str:
        return re.sub(r"(invalid input \w+ for [\w ]+): \".*\"", r"\1", message)

    def problem_on_connecting(self, error: DBAPIError, url: URL) -> Problem | None:
        """Ask the server again, as libpq passes on the text of an error but not its code.

        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PQPING
        """
        if problem := self.problem(error):
            return problem
        if url.get_driver_name() != "psycopg":
            return Problem.UNREACHABLE
        pq, conninfo = import_module("psycopg.pq"), import_module("psycopg.conninfo")
        if isinstance(error.orig, import_module("psycopg.errors").ConnectionTimeout):
            return Problem.UNREACHABLE
        _, arguments = url.get_dialect()().create_connect_args(url)
        answer = pq.PGconn.ping(
            conninfo.make_conninfo(**{"connect_timeout": 10, **arguments}).encode()
        )
        if answer == pq.Ping.REJECT:
            return Problem.STARTING
        if answer != pq.Ping.OK:
            return Problem.UNREACHABLE
        for database in ("postgres", "template1"):
            other = self.create_engine(url.set(database=database), 1)
            with suppress(OperationalError), other.connect():
                return Problem.NO_SUCH_DATABASE
        return Problem.LOGIN_REJECTED

    knows_blockers = True

    def session_id(self, connection: Connection) -> int | None:
        # Asked of the server, as a pooler gives each transaction another session.
        found = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        return int(found)

    def blockers(self, session: int, witness: Connection) -> Sequence[str]:
        return witness.scalars(text(BLOCKERS), {"session": session}).all()

    def invalid_indexes(self, connection: Connection) -> Sequence[str]:
        rows = connection.exec_driver_sql(INVALID_INDEXES)
        return [f"{schema}.{index} of table {table}" for schema, index, table in rows]

    @contextmanager
    def passed(self, connection: Connection) -> Iterator[None]:
        event.listen(connection, "before_cursor_execute", drop_invalid_index)
        try:
            yield
        finally:
            event.remove(connection, "before_cursor_execute", drop_invalid_index)

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

    def conversion(
        self, connection: Connection | None, old: str, new: str, column: str, plain: bool
    ) -> str | None:
        if (expression := special(old, new, column)) is not None:
            return expression
        if plain and connection is not None and not has_cast(connection, old, new):
            raise LookupError(new)
        return f"{column}::{new}" if plain else None

    def is_partitioned(self, connection: Connection, schema: str | None, table: str) -> bool:
        place = schema or connection.dialect.default_schema_name
        query = text(
            "SELECT relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = :schema AND relname = :table"
        )
        return bool(connection.scalar(query, {"schema": place, "table": table}))

    def declared_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> dict[str, str]:
        place = schema or connection.dialect.default_schema_name
        rows = connection.execute(text(TYPES), {"schema": place, "table": table})
        return {name: type_ for name, type_ in rows}

    def enum_types(self, connection: Connection) -> dict[tuple[str, str], list[str]]:
        rows = connection.execute(text(ENUMS))
        return {(schema, name): list(values) for schema, name, values in rows}

    def columns_of_enum(
        self, connection: Connection, schema: str, name: str
    ) -> list[tuple[str, str, str, bool, str | None]]:
        rows = connection.execute(text(COLUMNS_OF_ENUM), {"schema": schema, "name": name})
        return [tuple(row) for row in rows]


def limits_of(lock_timeout: float) -> list[str]:
    """Return the settings of a migration's session.

    A migration that waits for a lock makes all others wait behind it, so it gives up soon.
    But while it works, no limit that was meant for the application's queries may end it.
    https://www.postgresql.org/docs/current/runtime-config-client.html
    """
    return [f"lock_timeout = {max(1, round(lock_timeout * 1000))}", "statement_timeout = 0"]


def drop_invalid_index(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
    """Drop what a failed CREATE INDEX CONCURRENTLY has left, so that it can be built again.

    Otherwise the index "already exists", or with IF NOT EXISTS counts as built.
    """
    if (found := CONCURRENT_INDEX.match(statement)) is None:
        return
    name, schema, table = (part and unquoted(part) for part in found.groups())
    cursor.execute(INVALID_INDEXES)
    for place, index, of_table in cursor.fetchall():
        if (index, of_table) == (name, table) and schema in (None, place):
            log.info("Index %s is invalid, as building it failed: building it again", index)
            quote = connection.dialect.identifier_preparer.quote_identifier
            cursor.execute(f"DROP INDEX CONCURRENTLY {quote(place)}.{quote(index)}")


def unquoted(name: str) -> str:
    """Return a name as the catalog has it."""
    return name[1:-1] if name.startswith('"') else name.lower()


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
