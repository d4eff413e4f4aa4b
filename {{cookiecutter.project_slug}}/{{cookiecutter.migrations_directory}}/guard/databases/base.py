"""The questions that the guard asks about a database, and the cautious answers."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum, auto
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import (
    URL,
    Connection,
    Constraint,
    Dialect,
    Engine,
    Table,
    create_engine,
    pool,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

# Statements that change nothing: settings, and looking into the catalog.
READS = (
    r"\s*(SET|SHOW|PRAGMA|BEGIN|COMMIT|SAVEPOINT|RELEASE|ROLLBACK|EXPLAIN|DESC(RIBE)?)\b"
    r"|\s*SELECT\b.*(pg_catalog|pg_backend_pid|information_schema|sqlite_master|pragma_)"
    r"|\s*SELECT\s+\S*version_num\b"
)

# Takes the lock and returns True, or returns False at once when somebody else has it.
Take = Callable[[], bool]


class Problem(Enum):
    """What a database error means, whatever language the server says it in."""

    UNREACHABLE = auto()
    STARTING = auto()
    LOGIN_REJECTED = auto()
    NO_SUCH_DATABASE = auto()
    CONNECTION_LOST = auto()
    ALREADY_EXISTS = auto()
    TABLE_LOCKED = auto()
    CONFLICT = auto()
    FILE_LOCKED = auto()
    CANNOT_OPEN = auto()
    READ_ONLY = auto()
    NO_SPACE = auto()
    DUPLICATES = auto()


def place_of(connection: Connection) -> tuple[object, ...]:
    """Return where a database is, as its URL says."""
    url = connection.engine.url
    return (url.host, url.port, url.database)


@contextmanager
def only_asked(*connections: Connection) -> Iterator[None]:
    """Leave connections as they were: a question begins a transaction, which a program may not want."""
    idle = [connection for connection in connections if not connection.in_transaction()]
    try:
        yield
    finally:
        for connection in idle:
            connection.rollback()


class Database:
    """A kind of database of which nothing is known. Each module here derives from this class.

    :param dialect: the name of the dialect.
    """

    # The driver for migrations, which need no event loop, as `dialect+driver`.
    synchronous_driver: str | None = None
    default_port: int | None = None
    # What installs the driver, where its package has another name than its module.
    driver_package = ""

    # For `context.configure()`.
    transactional_ddl: bool | None = None
    render_as_batch = False

    # What to add to the message about a revision that failed, where DDL stays.
    cannot_roll_back = ""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    # Running

    # The present time in UTC, as SQL.
    utc_now = "CURRENT_TIMESTAMP"

    def create_engine(self, url: URL, lock_timeout: float, connect_timeout: float = 10) -> Engine:
        """Return an engine for one migration.

        :param lock_timeout: how long a statement waits for a locked table, in seconds.
        :param connect_timeout: how long a server may take to accept a connection, in seconds.
        """
        return create_engine(url, poolclass=pool.NullPool)

    def script_settings(self, lock_timeout: float) -> list[str]:
        """Return the statements with which the output of ``upgrade --sql`` begins."""
        return []

    def passed(self, connection: Connection) -> AbstractContextManager[None]:
        """Migrate on a connection that a program passes; leave it as it was."""
        return nullcontext()

    @contextmanager
    def lock_holder(
        self, connection: Connection, passed: bool
    ) -> Iterator[tuple[Take, Connection]]:
        """Prepare the lock that lets one migration run at a time; release it at the end.

        :param connection: the one that migrates.
        :param passed: whether a program passed it.
        :return: a function that takes the lock, and a connection to ask what is committed.
        :raises CommandError: where there is no lock that all migrations would see.
        """
        raise CommandError(
            f"Migrations on {self.dialect} cannot be serialized: no lock is known for "
            "it. Make sure that only one runs, then add: -x lock=off"
        )
        yield

    def is_same_database(self, one: Connection, other: Connection) -> bool:
        """Ask whether two connections lead to one database, whatever their URLs say.

        Both are to this kind of database, and are left as they were.
        """
        return place_of(one) == place_of(other)

    def schema_of(self, connection: Connection, table: str) -> str | None:
        """Return the schema in which this connection finds a table that is named without one."""
        return None

    def after_revision(self, connection: Connection) -> None:
        """Check what a revision has done, before it is committed.

        :raises CommandError: when it must not be committed.
        """

    def copy(self, url: URL, path: Path) -> URL | None:
        """Copy a database into a new file and return its URL, or None if it cannot be copied."""
        return None

    def traced(self, emit: Callable[[str], object]) -> AbstractContextManager[None]:
        """Pass each statement that changes something to a function, with its values in it."""
        return nullcontext()

    def two_phase_commit(self, connection: Connection) -> bool:
        """Return whether several databases can be committed in two phases."""
        return False

    # The program that checks SQL for what blocks other sessions, if there is one.
    sql_linter = ""

    # Errors

    def how_to_create(self, url: URL) -> str:
        """Return the command that creates a database."""
        return f"CREATE DATABASE {url.database}"

    def problem(self, error: DBAPIError) -> Problem | None:
        """Return what an error means, by its code, or None when the guard has no advice."""
        return None

    def advice(self, cause: str) -> str | None:
        """Return what to do about a statement that this kind of database does not have."""
        return None

    def details(self, error: DBAPIError) -> str:
        """Return what the server says besides the message, without values of rows."""
        return ""

    def details_with_values(self, error: DBAPIError) -> str:
        """Return what the server says besides the message, with values of rows."""
        return self.details(error)

    def without_values(self, message: str) -> str:
        """Return the message of an error without values of rows."""
        return message

    def problem_on_connecting(self, error: DBAPIError, url: URL) -> Problem | None:
        """Return why a connection could not be made."""
        return self.problem(error)

    # Whether the database tells who holds what a session waits for.
    knows_blockers = False

    def session_id(self, connection: Connection) -> int | None:
        """Return the number that the server has for the session of a transaction."""
        return None

    def blockers(self, session: int, witness: Connection) -> Sequence[str]:
        """Return which sessions hold what a session waits for now.

        :param session: from ``session_id()``.
        :param witness: another connection.
        """
        return ()

    def writes(self, statement: str) -> bool:
        """Return whether a statement may change something that a COMMIT would save."""
        return not re.match(READS, statement, re.IGNORECASE | re.DOTALL)

    def commits(self, statement: str) -> bool:
        """Return whether a statement commits what was done before it, and itself."""
        return False

    def invalid_indexes(self, connection: Connection) -> Sequence[str]:
        """Return the indexes that were not built to their end, which nobody uses."""
        return ()

    # What operations do, for the rules. The cautious answer is that they block everybody.

    # What a session cannot do meanwhile, in words; empty when it can do everything.
    rewriting_blocks = "reads and writes"
    building_an_index_blocks = "reads and writes"
    adding_a_unique_constraint_blocks = "reads and writes"
    adding_a_foreign_key_blocks = "reads and writes"
    adding_a_check_blocks = "reads and writes"
    setting_not_null_blocks = "reads and writes"

    # Whether a NOT NULL column without default is filled with '' or 0 instead of failing on rows.
    fills_not_null_columns = False
    # Whether values that do not fit a new type are an error.
    conversion_can_fail = True
    # Whether ALTER forgets what is not repeated: type, nullability, default, comment.
    alter_repeats_the_definition = False
    # Whether an index cannot be dropped while a foreign key needs it.
    foreign_keys_need_an_index = False
    # Ways around what blocks, as keyword arguments of op.create_index and constraints.
    concurrent_index_option = ""
    not_valid_option = ""
    # Statements before and after a new foreign key, so that existing rows are not checked.
    unchecked_foreign_key: tuple[str, ...] = ()
    # Tools that change a large table without blocking it.
    online_schema_change = ""

    # Reading SQL, and what only lint knows

    # The name that sqlglot gives the language of this database; empty for standard SQL.
    sql_grammar = ""
    # Whether a text or number that is too long for its column is an error.
    enforces_lengths = True
    # Whether a time with a time zone and one without are stored in different ways.
    stores_time_zones = True
    # Whether UPDATE after DDL in a transaction keeps the table locked for others.
    ddl_holds_locks = False
    # Whether ALTER TABLE works only inside of op.batch_alter_table().
    alters_by_copying = False
    # Whether one process at a time works with a database, so that nobody has to wait.
    single_process = False
    # The type of JSON that can be compared, where there is another one that cannot.
    comparable_json = ""

    def exclusion(self, name: str, table: tuple[str | None, str]) -> Any:
        """Return the operation that adds an exclusion constraint, where there is such a thing."""
        return None

    def keeps_storage(self, old: TypeEngine[Any], new: TypeEngine[Any]) -> bool:
        """Return whether a column changes its type without the table being rewritten."""
        return False

    # Comparing the database with the models, for autogenerate

    # Whether an enum is a type of its own, which CREATE TYPE makes.
    native_enums = False
    # The keyword argument of op.alter_column for the expression that converts old values.
    using_option = ""

    def conversion(
        self, connection: Connection | None, old: str, new: str, column: str, plain: bool
    ) -> str | None:
        """Return the expression that converts the values of a column to another type.

        :param connection: None where no server can be asked.
        :param old: the type as SQL, as ``new`` is.
        :param column: its quoted name.
        :param plain: whether a cast is written if nothing else is needed.
        :return: None when nothing has to be written.
        :raises LookupError: when the server has no way to convert.
        """
        return None

    def is_partitioned(self, connection: Connection, schema: str | None, table: str) -> bool:
        """Return whether a table consists of partitions, which have fewer ways around locks."""
        return False

    def is_same_type(
        self, in_database: TypeEngine[Any], in_model: TypeEngine[Any], dialect: Dialect
    ) -> bool | None:
        """Return whether two types are one in this database, or None to let Alembic compare."""
        return None

    def is_there_without_name(self, connection: Connection, constraint: Constraint) -> bool:
        """Return whether the database has a constraint of a model, but without a name."""
        return False

    def has_other_name(self, connection: Connection, columns: Sequence[str], model: Table) -> bool:
        """Return whether a foreign key without a name is that of a model, which has one.

        :param columns: those of the table in the database.
        """
        return False

    def unescaped(self, literal: str) -> str:
        """Return the value of a text literal in SQL, given without its outer quotes."""
        return literal.replace("''", "'")

    # The word in DROP TABLE that finds nothing but a temporary table.
    temporary = ""

    def default_needs_parentheses(self, sql: str) -> bool:
        """Return whether a default is only taken in parentheses."""
        return False

    # Types that the dialect reflects as something else than what the column was given.
    guesses_types = False

    def declared_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> dict[str, str]:
        """Return the types of a table's columns as the server writes them, by name."""
        return {}

    def declared_defaults(
        self, connection: Connection, schema: str | None, table: str
    ) -> dict[str, str]:
        """Return the defaults of columns that SQLAlchemy does not reflect as a whole, by name."""
        return {}

    def enum_types(self, connection: Connection) -> dict[tuple[str, str], list[str]]:
        """Return the values of each enum type, by its schema and name."""
        return {}

    def columns_of_enum(
        self, connection: Connection, schema: str, name: str
    ) -> list[tuple[str, str, str, bool, str | None]]:
        """Return schema, table, name, whether it is an array, and default of an enum's columns."""
        return []

    # The dialects that revisions are for, besides that of the connection.
    portable_to: tuple[str, ...] = ()
