"""PostgreSQL: copies from a template, and the schema as the catalogs have it."""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from .base import ServerQueries

# https://www.postgresql.org/docs/current/errcodes-appendix.html
INSUFFICIENT_PRIVILEGE = "42501"

SCHEMA = """
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'),
of_extensions AS (SELECT objid FROM pg_depend WHERE deptype = 'e'),
relations AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
    AND oid NOT IN (SELECT objid FROM of_extensions))
SELECT concat_ws(' ', 'schema', nspname) FROM pg_namespace JOIN ours USING (oid)
UNION ALL SELECT concat_ws(' ', 'extension', extname) FROM pg_extension
UNION ALL
SELECT concat_ws(' ', 'relation', oid::regclass, relkind, relpersistence, reloptions, relacl,
    relrowsecurity, relforcerowsecurity, relreplident, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid))
FROM relations WHERE relkind NOT IN ('i', 'I')
UNION ALL
SELECT concat_ws(' ', 'column', attrelid::regclass || '.' || attname,
    format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END,
    'DEFAULT ' || pg_get_expr(adbin, adrelid), 'IDENTITY ' || nullif(attidentity::text, ''),
    'GENERATED ' || nullif(attgenerated::text, ''), attcollation::regcollation, attacl)
FROM relations JOIN pg_attribute ON attrelid = relations.oid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped AND relkind NOT IN ('i', 'I', 'S')
UNION ALL
SELECT concat_ws(' ', 'constraint', conname, conrelid::regclass, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours) AND contype <> 'n'
UNION ALL
SELECT concat_ws(' ', pg_get_indexdef(indexrelid), CASE WHEN NOT indisvalid THEN 'INVALID' END)
FROM pg_index JOIN relations ON relations.oid = indexrelid
UNION ALL
SELECT concat_ws(' ', 'enum', enumtypid::regtype,
    string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder))
FROM pg_enum GROUP BY enumtypid
UNION ALL
SELECT concat_ws(' ', 'domain', oid::regtype, format_type(typbasetype, typtypmod), typdefault,
    typnotnull)
FROM pg_type WHERE typtype = 'd' AND typnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT concat_ws(' ', 'sequence', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement,
    seqmin, seqmax, seqcache, seqcycle) FROM pg_sequence JOIN relations ON relations.oid = seqrelid
UNION ALL
SELECT concat_ws(' ', 'view', oid::regclass, pg_get_viewdef(oid))
FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT concat_ws(' ', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT definition FROM pg_rules WHERE schemaname !~ '^pg_|^information_schema$'
UNION ALL
SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
UNION ALL
SELECT pg_get_functiondef(oid)
FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours) AND prokind IN ('f', 'p')
    AND oid NOT IN (SELECT objid FROM of_extensions)
UNION ALL
SELECT concat_ws(' ', 'policy', schemaname, tablename, policyname, cmd, roles, qual, with_check)
FROM pg_policies
UNION ALL
SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description)
FROM pg_description JOIN relations ON relations.oid = objoid WHERE classoid = 'pg_class'::regclass
"""

# PostgreSQL casts a list as a whole or each member, depending on the types that a column had.
CASTS = [
    re.compile(r"\(('(?:[^']|'')*'::character varying)\)::text"),
    re.compile(r"\((ARRAY\[.*?\])\)::text\[\]"),
]


class PostgreSQLQueries(ServerQueries):
    copies_everything = True
    maintenance_database = "postgres"
    list_databases = "SELECT datname FROM pg_database"
    take_lock = "SELECT pg_try_advisory_lock(hashtext(:name))"

    def schema(self, connection: Connection) -> Iterator[str]:
        yield from connection.scalars(text(SCHEMA))

    def normalized(self, line: str) -> str:
        for cast in CASTS:
            line = cast.sub(r"\1", line)
        return super().normalized(line)

    def create(self, server: Connection, name: str, template: str | None) -> None:
        source = "template1" if template is None else template
        server.execute(text(f"CREATE DATABASE {name} TEMPLATE {source}"))
        server.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))

    def lacks_privilege(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE

    def grant(self, server: Connection, prefix: str) -> str:
        role = server.scalar(text("SELECT quote_ident(current_user)"))
        return f"ALTER ROLE {role} CREATEDB;"


QUERIES = PostgreSQLQueries
