"""What is in a database, as lines of text that can be compared."""

import re
from functools import cache

from sqlalchemy import Connection, text

SQLITE = """
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

# What SQLite keeps only in the text of CREATE TABLE.
WRITTEN = re.compile(
    r"CONSTRAINT\s+\S+|CHECK\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|AS\s*\(.*?\)\s*(?=STORED|VIRTUAL|,)"
    r"|COLLATE\s+[\w\"`]+|ON\s+CONFLICT\s+\w+|AUTOINCREMENT|WITHOUT\s+ROWID|STRICT\s*$|DEFERRABLE[\w\s]*",
    re.IGNORECASE,
)

POSTGRESQL = """
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$'),
relations AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours))
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
UNION ALL
SELECT concat_ws(' ', 'policy', schemaname, tablename, policyname, cmd, roles, qual, with_check)
FROM pg_policies
UNION ALL
SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description)
FROM pg_description JOIN relations ON relations.oid = objoid WHERE classoid = 'pg_class'::regclass
"""

MYSQL = """
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


def schema(connection: Connection) -> set[str]:
    """Return a line for each table, column, constraint, index, type, view, trigger and so on.

    The order of columns does not count, as a column that comes back comes last.
    """
    dialect = connection.dialect.name
    query = text({"sqlite": SQLITE, "postgresql": POSTGRESQL}.get(dialect, MYSQL))
    lines = {normalised(line) for line in connection.scalars(query)}
    if dialect == "sqlite":
        query = text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        for table, definition in connection.execute(query):
            lines |= {normalised(f"{table}: {part}") for part in WRITTEN.findall(definition)}
    return lines


# PostgreSQL casts a list as a whole or each member, depending on the types that a column had.
CASTS = [
    re.compile(r"\(('(?:[^']|'')*'::character varying)\)::text"),
    re.compile(r"\((ARRAY\[.*?\])\)::text\[\]"),
]


@cache
def normalised(line: str) -> str:
    """Return a line without what does not count: quotes around names, casts, and how it is broken."""
    for cast in CASTS:
        line = cast.sub(r"\1", line)
    return " ".join(line.replace('"', "").replace("`", "").split())
