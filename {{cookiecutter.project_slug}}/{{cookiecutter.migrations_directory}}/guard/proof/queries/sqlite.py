"""SQLite: files beside each other, and the schema as sqlite_master and the pragmas have it."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event, text

from .base import Queries

SCHEMA = """
SELECT printf('%s %s', type, name) FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'
UNION ALL
SELECT sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL
UNION ALL
SELECT printf('column %s.%s %s%s%s%s', t.name, c.name, upper(c.type),
    iif(c."notnull", ' NOT NULL', ''), ' DEFAULT ' || c.dflt_value, iif(c.pk, ' KEY ' || c.pk, ''))
FROM sqlite_master t JOIN pragma_table_xinfo(t.name) c WHERE t.type = 'table'
UNION ALL
SELECT printf('unique %s (%s)', tbl_name, (SELECT group_concat(name) FROM pragma_index_info(i.name)))
FROM sqlite_master i WHERE type = 'index' AND sql IS NULL
UNION ALL
SELECT printf('foreign key %s (%s) to %s (%s) update %s delete %s', t.name,
    group_concat(f."from"), f."table", group_concat(f."to"), f.on_update, f.on_delete)
FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'
GROUP BY t.name, f.id
"""

TABLES = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"

# What SQLite keeps only in the text of CREATE TABLE.
WRITTEN = re.compile(
    r"CONSTRAINT\s+\S+|CHECK\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|AS\s*\(.*?\)\s*(?=STORED|VIRTUAL|,)"
    r"|COLLATE\s+[\w\"`]+|ON\s+CONFLICT\s+\w+|AUTOINCREMENT|WITHOUT\s+ROWID|STRICT\s*$|DEFERRABLE[\w\s]*",
    re.IGNORECASE,
)


class SQLiteQueries(Queries):
    copies_everything = True

    def schema(self, connection: Connection) -> Iterator[str]:
        yield from connection.scalars(text(SCHEMA))
        for table, definition in connection.execute(text(TABLES)):
            yield from (f"{table}: {part}" for part in WRITTEN.findall(definition))

    @contextmanager
    def scratch_database(
        self, url: URL, folder: Path, prefix: str, name: str, template: URL | None
    ) -> Iterator[URL]:
        if not event.contains(Engine, "connect", do_not_wait_for_the_disk):
            event.listen(Engine, "connect", do_not_wait_for_the_disk)
        path = folder / f"{name}.db"
        if template is not None:
            shutil.copyfile(str(template.database), path)
        yield url.set(database=str(path))


def do_not_wait_for_the_disk(connection: Any, _: object) -> None:
    """Let SQLite write a scratch database, which need not survive a power cut, without fsync.

    https://www.sqlite.org/pragma.html#pragma_synchronous
    """
    if isinstance(connection, sqlite3.Connection):
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if re.search(r"_scratch_[0-9a-f]{12}\.db$", file):
            connection.execute("PRAGMA synchronous = OFF")


QUERIES = SQLiteQueries
