"""MySQL and MariaDB: copies table by table, and the schema as information_schema has it."""

from collections.abc import Iterator

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from .base import ServerQueries

# ER_DBACCESS_DENIED_ERROR:
# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
ACCESS_TO_DATABASE_DENIED = 1044

SCHEMA = """
SELECT CONCAT_WS(' ', 'table', table_name, table_type, engine, table_collation, table_comment,
    create_options)
FROM information_schema.tables WHERE table_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', 'column', CONCAT(table_name, '.', column_name), column_type, is_nullable,
    CONCAT('DEFAULT ', column_default), extra, collation_name, column_comment,
    generation_expression)
FROM information_schema.columns WHERE table_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', 'index', index_name, table_name, non_unique, index_type,
    index_comment, GROUP_CONCAT(CONCAT_WS(' ', column_name, sub_part, collation) ORDER BY seq_in_index))
FROM information_schema.statistics WHERE table_schema = DATABASE()
GROUP BY index_name, table_name, non_unique, index_type, index_comment
UNION ALL
SELECT CONCAT_WS(' ', 'constraint', constraint_name, table_name, constraint_type)
FROM information_schema.table_constraints WHERE table_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', 'foreign key', constraint_name, table_name, referenced_table_name,
    GROUP_CONCAT(CONCAT_WS(' ', column_name, referenced_column_name) ORDER BY ordinal_position),
    (SELECT CONCAT_WS(' ', update_rule, delete_rule)
        FROM information_schema.referential_constraints r
        WHERE r.constraint_schema = DATABASE() AND r.constraint_name = k.constraint_name
        AND r.table_name = k.table_name))
FROM information_schema.key_column_usage k
WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL
GROUP BY constraint_name, table_name, referenced_table_name
UNION ALL
SELECT CONCAT_WS(' ', 'check', constraint_name, check_clause)
FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', 'trigger', trigger_name, event_object_table, action_timing,
    event_manipulation, action_statement)
FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', 'view', table_name, security_type, check_option, view_definition)
FROM information_schema.views WHERE table_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', routine_type, routine_name, routine_definition,
    (SELECT GROUP_CONCAT(CONCAT_WS(' ', parameter_mode, parameter_name, p.dtd_identifier)
        ORDER BY ordinal_position) FROM information_schema.parameters p
        WHERE p.specific_schema = DATABASE() AND p.specific_name = r.specific_name))
FROM information_schema.routines r WHERE routine_schema = DATABASE()
UNION ALL
SELECT CONCAT_WS(' ', 'event', event_name, interval_value, interval_field, event_definition)
FROM information_schema.events WHERE event_schema = DATABASE()
"""

# Which columns of which tables to copy: all but generated ones. And what is not copied at all.
COLUMNS = """
SELECT table_name, GROUP_CONCAT('`', column_name, '`' ORDER BY ordinal_position)
FROM information_schema.columns WHERE table_schema = :source AND extra NOT LIKE '% GENERATED'
GROUP BY table_name
"""
MORE_THAN_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = :source AND table_type <> 'BASE TABLE'
UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = :source
UNION ALL SELECT routine_name FROM information_schema.routines WHERE routine_schema = :source
UNION ALL SELECT event_name FROM information_schema.events WHERE event_schema = :source
"""


class MySQLQueries(ServerQueries):
    list_databases = "SHOW DATABASES"
    take_lock = "SELECT GET_LOCK(:name, 0)"

    def schema(self, connection: Connection) -> Iterator[str]:
        yield from connection.scalars(text(SCHEMA))

    def create(self, server: Connection, name: str, template: str | None) -> None:
        server.execute(text(f"CREATE DATABASE {name}"))
        if template is not None:
            copy_tables(server, template, name)

    def lacks_privilege(self, error: DBAPIError) -> bool:
        return error.orig is not None and error.orig.args[:1] == (ACCESS_TO_DATABASE_DENIED,)

    def grant(self, server: Connection, prefix: str) -> str:
        user, _, host = str(server.scalar(text("SELECT CURRENT_USER()"))).rpartition("@")
        names = prefix.replace("_", r"\_")  # Where any character matches an underscore.
        return f"GRANT ALL ON `{names}%`.* TO '{user}'@'{host}';"


def copy_tables(server: Connection, source: str, target: str) -> None:
    """Copy a database table by table, as the server cannot, unless there is more in it."""
    if server.execute(text(MORE_THAN_TABLES), {"source": source}).first():
        return
    server.exec_driver_sql(f"USE {target}")
    # Tables come in any order, and a row with the id 0 keeps it.
    server.exec_driver_sql("SET foreign_key_checks = 0, group_concat_max_len = 1000000")
    server.exec_driver_sql("SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
    for table, columns in server.execute(text(COLUMNS), {"source": source}).all():
        definition = server.exec_driver_sql(f"SHOW CREATE TABLE {source}.`{table}`").one()[1]
        server.exec_driver_sql(definition.replace("%", "%%"))
        server.exec_driver_sql(
            f"INSERT INTO `{table}` ({columns}) SELECT {columns} FROM {source}.`{table}`"
        )


QUERIES = MySQLQueries
