"""MySQL and MariaDB: GET_LOCK, limits on waiting, and what errors and changes of tables mean."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from alembic.util import CommandError
from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    Enum,
    String,
    create_engine,
    event,
    pool,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from .base import Database, Problem, Take, only_asked

LOCK = "CONCAT('alembic ', COALESCE(LEFT(DATABASE(), 56), ''))"

# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
PROBLEMS = {
    2002: Problem.UNREACHABLE,
    2003: Problem.UNREACHABLE,
    2005: Problem.UNREACHABLE,
    1044: Problem.LOGIN_REJECTED,
    1045: Problem.LOGIN_REJECTED,
    1698: Problem.LOGIN_REJECTED,
    1049: Problem.NO_SUCH_DATABASE,
    2006: Problem.CONNECTION_LOST,
    2013: Problem.CONNECTION_LOST,
    1927: Problem.CONNECTION_LOST,
    1050: Problem.ALREADY_EXISTS,
    1060: Problem.ALREADY_EXISTS,
    1061: Problem.ALREADY_EXISTS,
    1205: Problem.TABLE_LOCKED,
    3572: Problem.TABLE_LOCKED,
    1213: Problem.CONFLICT,
    1290: Problem.READ_ONLY,
    1836: Problem.READ_ONLY,
    1021: Problem.NO_SPACE,
    1114: Problem.NO_SPACE,
    1062: Problem.DUPLICATES,
}

# Whether a session waits for a lock: otherwise nobody blocks it, it works.
WAITS = """
SELECT 1 FROM information_schema.processlist p
LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
WHERE p.id = :session AND (p.state LIKE 'Waiting for%lock%' OR t.trx_state = 'LOCK WAIT')
"""

# Which sessions hold what a session waits for, by what this server and account can see: locks of
# tables, locks of rows, and in the end all that have a transaction open in this database.
BLOCKERS = (
    """
SELECT DISTINCT CONCAT('connection ', blocking_pid, ' (', COALESCE(t.command, ''),
    COALESCE(CONCAT(', transaction started ', x.trx_started), ''), ') on table ', object_name)
FROM sys.schema_table_lock_waits
LEFT JOIN information_schema.processlist t ON t.id = blocking_pid
LEFT JOIN information_schema.innodb_trx x ON x.trx_mysql_thread_id = blocking_pid
WHERE waiting_pid = :session AND blocking_pid <> :session
""",
    """
SELECT DISTINCT CONCAT('connection ', l.thread_id, ' (', p.command,
    COALESCE(CONCAT(', transaction started ', x.trx_started), ''), ') on table ', l.table_name)
FROM information_schema.metadata_lock_info l
JOIN information_schema.processlist p ON p.id = l.thread_id
LEFT JOIN information_schema.innodb_trx x ON x.trx_mysql_thread_id = l.thread_id
WHERE l.table_schema = DATABASE() AND l.thread_id <> :session AND l.table_name <> ''
""",
    """
SELECT DISTINCT CONCAT('connection ', blocking_pid, ' (', COALESCE(p.command, ''),
    ', transaction started ', blocking_trx_started, ') on table ', locked_table)
FROM sys.innodb_lock_waits
LEFT JOIN information_schema.processlist p ON p.id = blocking_pid
WHERE waiting_pid = :session
""",
    """
SELECT CONCAT('connection ', p.id, ' (', p.command, ', transaction started ', t.trx_started, ')')
FROM information_schema.innodb_trx t
JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.db = DATABASE() AND p.id NOT IN (:session, CONNECTION_ID())
""",
)

# Statements that are part of a transaction; all others commit it.
# https://mariadb.com/docs/server/reference/sql-statements/transactions/sql-statements-that-cause-an-implicit-commit
IN_TRANSACTION = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CALL|DO|SET|SHOW|DESC(RIBE)?|EXPLAIN|USE|"
    r"SAVEPOINT|RELEASE|ROLLBACK|(CREATE|DROP)\s+TEMPORARY)\b",
    re.IGNORECASE,
)

TYPES = """
SELECT column_name, column_type FROM information_schema.columns
WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
"""

# A column in SHOW CREATE TABLE, with an expression as its default.
DEFAULT = re.compile(
    r"\s*`(?P<column>(?:[^`]|``)+)` .*? DEFAULT (?P<default>(?:'(?:[^']|'')*'|[^'])*?)"
    r"(?: ON UPDATE [\w()]+)?(?: COMMENT '.*')?(?: CHECK \(.*\))?,?$"
)


class MySQL(Database):
    synchronous_driver = "mysql+pymysql"
    default_port = 3306
    driver_package = "pymysql, and begin the URL with mysql+pymysql://"
    cannot_roll_back = "cannot roll back CREATE, ALTER and DROP"

    utc_now = "UTC_TIMESTAMP()"

    def create_engine(self, url: URL, lock_timeout: float, connect_timeout: float = 10) -> Engine:
        if url.get_driver_name() != "pymysql":
            return super().create_engine(url, lock_timeout, connect_timeout)
        limit = max(1, round(lock_timeout))
        limits = f"lock_wait_timeout = {limit}, innodb_lock_wait_timeout = {limit}"
        arguments = {
            "init_command": f"SET {limits}, time_zone = '+00:00'",
            # PyMySQL encodes in Latin-1 what the server expects in UTF-8.
            "password": (url.password or "").encode().decode("latin-1"),
        }
        engine = create_engine(url, poolclass=pool.NullPool, connect_args=arguments)
        if "unix_socket" in url.query or "connect_timeout" in url.query:
            return engine

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, record: Any, given: Any, options: dict[str, Any]) -> Any:
            return connect_in_time(dialect, options, connect_timeout)

        return engine

    @contextmanager
    def lock_holder(
        self, connection: Connection, passed: bool
    ) -> Iterator[tuple[Take, Connection]]:
        """Let the session that migrates hold the lock, as MySQL has only locks of sessions.

        It outlives transactions, and this session is never idle for so long that the server
        ends it. https://mariadb.com/kb/en/get_lock/
        """
        try:
            yield lambda: take_lock(connection), connection
        finally:
            with suppress(DBAPIError):  # A session that is lost has lost its lock.
                connection.rollback()
                connection.execute(text(f"DO RELEASE_LOCK({LOCK})"))
                connection.rollback()

    def is_same_database(self, one: Connection, other: Connection) -> bool:
        # MariaDB has no identity of a server; but what one session locks, its others see.
        lock = f"alembic {uuid4().hex}"
        with only_asked(one, other):
            one.execute(text("DO GET_LOCK(:lock, 0)"), {"lock": lock})
            holder = other.scalar(text("SELECT IS_USED_LOCK(:lock)"), {"lock": lock})
            one.execute(text("DO RELEASE_LOCK(:lock)"), {"lock": lock})
            first, second = (each.scalar(text("SELECT DATABASE()")) for each in (one, other))
        return holder is not None and bool(first == second)

    def schema_of(self, connection: Connection, table: str) -> str | None:
        return connection.scalar(text("SELECT DATABASE()"))  # type: ignore[no-any-return]

    def problem(self, error: DBAPIError) -> Problem | None:
        code = error.orig.args[0] if error.orig is not None and error.orig.args else None
        return PROBLEMS.get(code) if isinstance(code, int) else None

    def without_values(self, message: str) -> str:
        message = re.sub(r"entry '.*' for", "entry for", message)
        return re.sub(r"(value|Truncated incorrect \w+ value): '.*?'(?= |$)", r"\1", message)

    def problem_on_connecting(self, error: DBAPIError, url: URL) -> Problem | None:
        # PyMySQL has no number for a server that closes the connection during the greeting.
        problem = self.problem(error) or Problem.UNREACHABLE
        return Problem.UNREACHABLE if problem is Problem.CONNECTION_LOST else problem

    knows_blockers = True

    def session_id(self, connection: Connection) -> int | None:
        number = getattr(connection.connection.dbapi_connection, "thread_id", None)
        return int(number()) if callable(number) else None

    def blockers(self, session: int, witness: Connection) -> Sequence[str]:
        if witness.scalar(text(WAITS), {"session": session}) is None:
            return ()
        for query in BLOCKERS:
            # A view that this server does not have, or the account may not read.
            with suppress(DBAPIError):
                if found := witness.scalars(text(query), {"session": session}).all():
                    return found
        return ()

    def commits(self, statement: str) -> bool:
        return not IN_TRANSACTION.match(statement)

    # https://mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-online-ddl
    rewriting_blocks = "writes"
    building_an_index_blocks = ""
    adding_a_unique_constraint_blocks = ""
    adding_a_foreign_key_blocks = "writes"
    adding_a_check_blocks = "writes"
    setting_not_null_blocks = ""
    fills_not_null_columns = True
    alter_repeats_the_definition = True
    foreign_keys_need_an_index = True
    unchecked_foreign_key = ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1")
    sql_grammar = "mysql"
    stores_time_zones = False
    online_schema_change = "gh-ost or pt-online-schema-change"

    def keeps_storage(self, old: TypeEngine[Any], new: TypeEngine[Any]) -> bool:
        if isinstance(old, Enum) and isinstance(new, Enum):
            return bool(new.enums[: len(old.enums)] == old.enums)
        if isinstance(old, Enum) or isinstance(new, Enum):
            return False
        if isinstance(old, String) and isinstance(new, String):
            # Up to 63 characters of 4 bytes, the length is stored in one byte.
            before, after = old.length or 0, new.length or 0
            return 0 < before <= after and not before < 64 <= after
        return False

    def is_same_type(
        self, in_database: TypeEngine[Any], in_model: TypeEngine[Any], dialect: Dialect
    ) -> bool | None:
        """Take FLOAT(53) for unchanged, which MySQL calls DOUBLE."""
        precision = re.fullmatch(r"FLOAT\((\d+)\)", in_model.compile(dialect=dialect))
        if precision and int(precision[1]) > 24:
            return "DOUBLE" in in_database.compile(dialect=dialect)
        return None

    temporary = "TEMPORARY"

    def declared_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> dict[str, str]:
        rows = connection.execute(text(TYPES), {"schema": schema, "table": table})
        return {name: type_ for name, type_ in rows}

    def declared_defaults(
        self, connection: Connection, schema: str | None, table: str
    ) -> dict[str, str]:
        """Read them from SHOW CREATE TABLE, as SQLAlchemy stops at the first quote in one."""
        quote = connection.dialect.identifier_preparer.quote
        name = f"{quote(schema)}.{quote(table)}" if schema else quote(table)
        definition = connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1]
        return {
            found["column"].replace("``", "`"): found["default"]
            for line in definition.splitlines()
            if (found := DEFAULT.match(line)) and "(" in found["default"]
        }

    def unescaped(self, literal: str) -> str:
        return re.sub(r"\\(.)", r"\1", super().unescaped(literal), flags=re.DOTALL)


def connect_in_time(dialect: Any, options: dict[str, Any], timeout: float) -> Any:
    """Connect with PyMySQL to a server that greets in time.

    PyMySQL limits only how long the server takes to accept. Its read_timeout would limit the
    greeting, but also each ALTER.

    :param options: those of ``pymysql.connect()``.
    :param timeout: in seconds.
    """
    address = (options.get("host") or "localhost", options.get("port") or 3306)
    error = dialect.loaded_dbapi.OperationalError
    try:
        connected = socket.create_connection(address, timeout)
    except OSError as reason:
        raise error(2003, f"Can't connect to MySQL server on {address[0]!r} ({reason})") from reason
    try:
        connected.recv(1, socket.MSG_PEEK)
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made = dialect.connect(**options, defer_connect=True)
        made.connect(connected)
    except TimeoutError as reason:
        connected.close()
        text = f"no greeting of the server on {address[0]!r} within {timeout:g} s"
        raise error(2003, text) from reason
    except BaseException:
        connected.close()
        raise
    return made


def take_lock(holder: Connection) -> bool:
    """Take the lock of the session.

    :raises CommandError: on a node of a Galera cluster, as other nodes do not see the lock.
    """
    status = holder.execute(text("SHOW STATUS LIKE 'wsrep_cluster_size'")).first()
    if status is not None and int(status[1]) > 0:
        raise CommandError(
            "This server belongs to a Galera cluster, where no lock keeps two migrations apart. "
            "Make sure that only one runs, then add: -x lock=off"
        )
    taken = holder.scalar(text(f"SELECT GET_LOCK({LOCK}, 0)"))
    holder.rollback()  # Alembic begins its own transactions.
    return bool(taken == 1)


DATABASE = MySQL
