"""Changes that are right, and faults: what ``lint`` must not complain of, and what it must find.

In each, the tables shops (id, x, town_id), towns (id) and old (id) are there and have rows.
"""

from dataclasses import dataclass

ALL = ("sqlite", "postgresql", "mysql")
SERVERS = ("postgresql", "mysql")
PG, MY, LITE = ("postgresql",), ("mysql",), ("sqlite",)


@dataclass(frozen=True)
class Case:
    """A branch: its revisions, each the body of ``upgrade()``.

    :param name: what it does, in words.
    :param kinds: the databases where it holds.
    :param revisions: of the branch, in their order.
    :param rule: that finds it; nothing for a change that is right.
    """

    name: str
    kinds: tuple[str, ...]
    revisions: tuple[str, ...]
    rule: str = ""


def right(name: str, kinds: tuple[str, ...], *revisions: str) -> Case:
    return Case(name, kinds, revisions)


def wrong(rule: str, name: str, kinds: tuple[str, ...], *revisions: str) -> Case:
    return Case(name, kinds, revisions, rule)


NEW_TABLE = """
op.create_table(
    "new",
    sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
    sa.Column("shop_id", sa.BigInteger(), nullable=False),
    sa.Column("name", sa.Text(), nullable=False),
)
"""

RIGHT = [
    # New tables
    right("a new table", ALL, NEW_TABLE),
    right("a new table with an index", ALL, f'{NEW_TABLE}\nop.create_index("ix", "new", ["shop_id"])'),
    right("a new table with a foreign key to one that is there", ALL, """
op.create_table("new", sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
    sa.Column("shop_id", sa.BigInteger(), sa.ForeignKey("shops.id")))
"""),
    right("a new table whose constraints are created after it", SERVERS, f"""
{NEW_TABLE}
op.create_unique_constraint("uq", "new", ["shop_id"])
op.create_foreign_key("fk", "new", "shops", ["shop_id"], ["id"])
op.create_check_constraint("ck", "new", "shop_id > 0")
"""),
    right("a new table with rows", ALL, """
new = op.create_table("new", sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True))
op.bulk_insert(new, [{"id": 1}, {"id": 2}])
"""),
    right("a new table that is filled from another one", ALL,
          f'{NEW_TABLE}\nop.execute("INSERT INTO new (shop_id, name) SELECT id, x FROM shops")'),
    right("a new table that a later revision of the branch changes", ALL, NEW_TABLE, """
with op.batch_alter_table("new") as batch_op:
    batch_op.add_column(sa.Column("y", sa.BigInteger(), nullable=False))
    batch_op.alter_column("name", existing_type=sa.Text(), type_=sa.BigInteger(), nullable=False)
    batch_op.create_index("ix", ["y"], unique=True)
    batch_op.drop_column("shop_id")
"""),
    right("a new table that the branch renames", ALL, NEW_TABLE, 'op.rename_table("new", "newer")',
          'op.drop_column("newer", "name")'),
    right("a new table that the branch drops again", ALL, NEW_TABLE, 'op.drop_table("new")'),
    right("a new table in SQL", ALL,
          'op.execute("CREATE TABLE IF NOT EXISTS new (id BIGINT PRIMARY KEY, name TEXT NOT NULL)")'),
    # New columns
    right("a nullable column", ALL, 'op.add_column("shops", sa.Column("y", sa.Text()))'),
    right("a column with a constant default", ALL,
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), server_default="0"))'),
    right("a NOT NULL column with a constant default", ALL,
          'op.add_column("shops", sa.Column("y", sa.Boolean(), server_default=sa.false(), nullable=False))'),
    right("a column with the time of the migration", SERVERS,
          'op.add_column("shops", sa.Column("y", sa.DateTime(True), server_default=sa.func.now(), nullable=False))'),
    right("a column with the time of the migration, by copying", LITE, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.add_column(sa.Column("y", sa.DateTime(), server_default=sa.func.now(), nullable=False))
"""),
    right("columns of two tables", ALL,
          'op.add_column("shops", sa.Column("y", sa.Text()))\nop.add_column("towns", sa.Column("y", sa.Text()))'),
    right("columns in a loop", ALL,
          'for table in ("shops", "towns"):\n    op.add_column(table, sa.Column("y", sa.Text()))'),
    right("a column in SQL", ALL, 'op.execute("ALTER TABLE shops ADD COLUMN y BIGINT")'),
    right("a column of jsonb", PG,
          'from sqlalchemy.dialects import postgresql\nop.add_column("shops", sa.Column("y", postgresql.JSONB()))'),
    right("a column of JSON", ("sqlite", "mysql"), 'op.add_column("shops", sa.Column("y", sa.JSON()))'),
    right("a column of an array", PG, 'op.add_column("shops", sa.Column("y", sa.ARRAY(sa.Text())))'),
    right("a column of UUID", ALL, 'op.add_column("shops", sa.Column("y", sa.Uuid()))'),
    right("a column that is computed when it is read", ("sqlite", "mysql"),
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), sa.Computed("id + 1", persisted=False)))'),
    right("a column of a new enum", PG, """
mood = sa.Enum("good", "bad", name="mood")
mood.create(op.get_bind(), checkfirst=False)
op.add_column("shops", sa.Column("y", mood))
"""),
    right("a column at once, as MySQL can", MY,
          'op.execute("ALTER TABLE shops ADD COLUMN y BIGINT, ALGORITHM=INSTANT")'),
    right("a column that a later revision fills", ALL,
          'op.add_column("shops", sa.Column("y", sa.BigInteger()))', 'op.execute("UPDATE shops SET y = id")'),
    right("a column that a later revision renames and drops", ALL,
          'op.add_column("shops", sa.Column("y", sa.BigInteger()))',
          'op.alter_column("shops", "y", new_column_name="z", existing_type=sa.BigInteger())'),
    right("an index as MySQL builds it beside the work of others", MY,
          'op.execute("ALTER TABLE shops ADD INDEX ix (x), ALGORITHM=INPLACE, LOCK=NONE")'),
    # Indexes
    right("an index that blocks nobody", PG, """
with op.get_context().autocommit_block():
    op.create_index("ix", "shops", ["x"], postgresql_concurrently=True, if_not_exists=True)
"""),
    right("an index", ("sqlite", "mysql"), 'op.create_index("ix", "shops", ["x"])'),
    right("an index on an expression", PG, """
with op.get_context().autocommit_block():
    op.create_index("ix", "shops", [sa.text("lower(x)")], postgresql_concurrently=True, if_not_exists=True)
"""),
    right("an index in SQL", PG, """
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON shops (x)")
"""),
    right("an index that is dropped", ("sqlite", "mysql"), 'op.drop_index("ix", "shops")'),
    right("an index that is dropped and blocks nobody", PG, """
with op.get_context().autocommit_block():
    op.drop_index("ix", "shops", postgresql_concurrently=True, if_exists=True)
"""),
    right("a unique index without duplicates", ALL, """
with op.get_context().autocommit_block():
    # guard: accept unique_on_rows: looked, there are none
    op.create_index("ux", "shops", ["x"], unique=True, postgresql_concurrently=True, if_not_exists=True)
"""),
    right("a unique index on a new column", ALL, 'op.add_column("shops", sa.Column("y", sa.Text()))', """
with op.get_context().autocommit_block():
    op.create_index("ux", "shops", ["y"], unique=True, postgresql_concurrently=True, if_not_exists=True)
"""),
    right("a unique constraint after its index", PG, """
with op.get_context().autocommit_block():
    # guard: accept unique_on_rows: looked, there are none
    op.create_index("ux", "shops", ["x"], unique=True, postgresql_concurrently=True, if_not_exists=True)
""", 'op.execute("ALTER TABLE shops ADD CONSTRAINT ux UNIQUE USING INDEX ux")'),
    # Constraints
    right("a foreign key that is checked later", PG,
          'op.create_foreign_key("fk", "shops", "towns", ["town_id"], ["id"], postgresql_not_valid=True)',
          'op.execute("ALTER TABLE shops VALIDATE CONSTRAINT fk")'),
    right("a foreign key, by copying", LITE, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.create_foreign_key("fk", "towns", ["town_id"], ["id"])
"""),
    right("a CHECK that is checked later", PG,
          'op.create_check_constraint("ck", "shops", "id > 0", postgresql_not_valid=True)',
          'op.execute("ALTER TABLE shops VALIDATE CONSTRAINT ck")'),
    right("a CHECK that is checked later, in SQL", PG,
          'op.execute("ALTER TABLE shops ADD CONSTRAINT ck CHECK (id > 0) NOT VALID")',
          'op.execute("ALTER TABLE shops VALIDATE CONSTRAINT ck")'),
    right("a constraint that is dropped", SERVERS, 'op.drop_constraint("ck", "shops", type_="check")'),
    right("a constraint that is dropped, by copying", LITE,
          'with op.batch_alter_table("shops") as batch_op:\n    batch_op.drop_constraint("ck", type_="check")'),
    right("NOT NULL without reading all rows under the lock", PG,
          'op.create_check_constraint("filled", "shops", "x IS NOT NULL", postgresql_not_valid=True)',
          "op.execute(\"UPDATE shops SET x = '' WHERE x IS NULL\")",
          'op.execute("ALTER TABLE shops VALIDATE CONSTRAINT filled")', """
# guard: accept requires_value: the code writes it since release 7
op.alter_column("shops", "x", nullable=False)
op.drop_constraint("filled", "shops", type_="check")
"""),
    right("NOT NULL on a column that has a default", ("sqlite", "mysql"),
          "op.execute(\"UPDATE shops SET x = '' WHERE x IS NULL\")", """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), existing_server_default="", nullable=False)
"""),
    right("a column that may be NULL from now on", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), nullable=True)
"""),
    # Types and defaults
    right("a longer text", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.String(20), type_=sa.String(40))
"""),
    right("a text without a limit", ("sqlite", "postgresql"), """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.String(20), type_=sa.Text())
"""),
    right("a larger number", ("sqlite", "postgresql"), """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Numeric(8, 2), type_=sa.Numeric(10, 2))
"""),
    right("a larger integer, by copying", LITE, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Integer(), type_=sa.BigInteger())
"""),
    right("a new default", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), server_default="none")
"""),
    right("a default that is dropped where NULL may be", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), existing_nullable=True, server_default=None)
"""),
    right("a new value of an enum", PG, """
with op.get_context().autocommit_block():
    op.execute("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'fine' AFTER 'good'")
"""),
    right("a new value at the end of an enum", MY, """
op.alter_column("shops", "x", existing_type=sa.Enum("a", "b"), type_=sa.Enum("a", "b", "c"))
"""),
    # Rows
    right("rows that need it are changed", ALL, "op.execute(\"UPDATE shops SET x = trim(x) WHERE x <> trim(x)\")"),
    right("rows that need it are changed, by SQLAlchemy", ALL, """
shops = sa.table("shops", sa.column("x", sa.Text))
op.execute(shops.update().where(shops.c.x == "").values(x=None))
"""),
    right("rows are deleted that nobody needs", ALL, "op.execute(\"DELETE FROM shops WHERE x = 'closed'\")"),
    right("rows that are written in the revision", ALL,
          'op.bulk_insert(sa.table("towns", sa.column("id", sa.BigInteger)), [{"id": 1}])'),
    right("a column is added beside rows that are written", ALL,
          'op.add_column("towns", sa.Column("y", sa.Text()))\nop.execute("INSERT INTO towns (id) VALUES (1)")'),
    right("rows of another table are changed after DDL", ALL,
          'op.add_column("shops", sa.Column("y", sa.Text()))\nop.execute("UPDATE towns SET id = 2 WHERE id = 1")'),
    # What is accepted
    right("a column that no code uses any more", ALL,
          '# guard: accept drops_data: nothing reads it since release 7\nop.drop_column("shops", "x")'),
    right("a table that no code uses any more", ALL,
          'op.drop_table("old")  # guard: accept drops_data: nothing reads it since release 7'),
    right("a column that is renamed in a maintenance window", ALL, """
# guard: accept renames_in_use: the application is stopped for this release
op.alter_column("shops", "x", new_column_name="y", existing_type=sa.Text())
"""),
    right("a table that is renamed, with a view in its place", ALL, """
# guard: accept renames_in_use: the view serves the code that is running
op.rename_table("old", "archive")
op.execute("CREATE VIEW old AS SELECT * FROM archive")
"""),
    right("a block of which all is accepted", ALL, """
# guard: accept drops_data: nothing reads them since release 7
with op.batch_alter_table("shops") as batch_op:
    batch_op.drop_column("x")
    batch_op.drop_column("y")
"""),
    # What is neither table nor row
    right("nothing", ALL, "pass"),
    right("a view", ALL, 'op.execute("CREATE VIEW v AS SELECT id FROM shops")'),
    right("a view that is replaced", SERVERS, 'op.execute("CREATE OR REPLACE VIEW v AS SELECT id FROM shops")'),
    right("a comment", SERVERS, 'op.create_table_comment("shops", "where things are sold")'),
    right("an extension", PG, 'op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")'),
    right("a function and a trigger", PG, '''
op.execute("""
CREATE FUNCTION touch() RETURNS trigger AS $$
BEGIN
    DELETE FROM old; UPDATE towns SET id = id;
    RETURN new;
END $$ LANGUAGE plpgsql
""")
op.execute("CREATE TRIGGER t BEFORE UPDATE ON shops FOR EACH ROW EXECUTE FUNCTION touch()")
'''),
    right("a trigger", ("sqlite",), 'op.execute("CREATE TRIGGER t AFTER INSERT ON shops BEGIN DELETE FROM old; END")'),
    right("a sequence", PG, 'op.execute("CREATE SEQUENCE numbers")\nop.execute("SELECT setval(\'numbers\', 7)")'),
    right("privileges", SERVERS, 'op.execute("GRANT SELECT ON shops TO reader")'),
    right("statistics", PG, 'op.execute("ANALYZE shops")'),
    right("settings of the session", PG, "op.execute(\"SET LOCAL work_mem = '64MB'\")"),
    right("a policy", PG, 'op.execute("ALTER TABLE shops ENABLE ROW LEVEL SECURITY")\n'
          'op.execute("CREATE POLICY mine ON shops USING (true)")'),
]  # fmt: skip

# From: strong_migrations, django-migration-linter, squawk and Atlas (their rules' documentation);
# the documentation of PostgreSQL, MySQL and SQLite; and incidents: a foreign key that waited
# (GoCardless 2015), NOT NULL with a default that rewrote (WeWork 2015), DELETE without WHERE,
# TRUNCATE … CASCADE, int to bigint of a large table (Basecamp 2018), a drop that old code used.
WRONG = [
    wrong("drops_data", "a column is dropped", ALL, 'op.drop_column("shops", "x")'),
    wrong("drops_data", "a column is dropped in a batch", ALL,
          'with op.batch_alter_table("shops") as batch_op:\n    batch_op.drop_column("x")'),
    wrong("drops_data", "a column is dropped in SQL", ALL, 'op.execute("ALTER TABLE shops DROP COLUMN x")'),
    wrong("drops_data", "the second of two statements drops a column", ALL,
          'op.execute("UPDATE towns SET id = 2 WHERE id = 1; ALTER TABLE shops DROP COLUMN x")'),
    wrong("drops_data", "a table is dropped", ALL, 'op.drop_table("old")'),
    wrong("drops_data", "a table is dropped in SQL", ALL, 'op.execute("DROP TABLE IF EXISTS old")'),
    wrong("drops_data", "a table is dropped through the connection", ALL,
          'op.get_bind().execute(sa.text("DROP TABLE old"))'),
    wrong("drops_data", "a table is dropped before an answer is needed", ALL,
          'op.drop_table("old")\nop.get_bind().execute(sa.text("SELECT 1")).all()'),
    wrong("drops_data", "tables are dropped in a loop", ALL,
          'for table in ("old", "older"):\n    op.drop_table(table)'),
    wrong("drops_data", "a table is dropped and created again", ALL, f'op.drop_table("new")\n{NEW_TABLE}'),
    wrong("renames_column", "a rename is written as dropping and adding", ALL,
          'op.add_column("shops", sa.Column("y", sa.Text()))\n'
          'op.drop_column("shops", "x", existing_type=sa.Text())'),
    wrong("renames_in_use", "a column is renamed", ALL,
          'op.alter_column("shops", "x", new_column_name="y", existing_type=sa.Text())'),
    wrong("renames_in_use", "a column is renamed in SQL", ALL, 'op.execute("ALTER TABLE shops RENAME COLUMN x TO y")'),
    wrong("renames_in_use", "a column is renamed by CHANGE", MY, 'op.execute("ALTER TABLE shops CHANGE x y TEXT")'),
    wrong("renames_in_use", "a table is renamed", ALL, 'op.rename_table("shops", "stores")'),
    wrong("renames_in_use", "a table is renamed in SQL", ALL, 'op.execute("ALTER TABLE shops RENAME TO stores")'),
    wrong("renames_in_use", "a table is renamed by RENAME TABLE", MY, 'op.execute("RENAME TABLE shops TO stores")'),
    wrong("renames_in_use", "a schema is renamed", PG, 'op.execute("ALTER SCHEMA sales RENAME TO orders")'),
    wrong("not_null_without_default", "a NOT NULL column without default", ALL,
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), nullable=False))'),
    wrong("not_null_without_default", "a NOT NULL column without default in SQL", ALL,
          'op.execute("ALTER TABLE shops ADD COLUMN y BIGINT NOT NULL")'),
    wrong("not_null_on_rows", "NOT NULL on rows", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), nullable=False)
"""),
    wrong("not_null_on_rows", "NOT NULL on rows in SQL", PG, 'op.execute("ALTER TABLE shops ALTER COLUMN x SET NOT NULL")'),
    wrong("not_null_on_rows", "NOT NULL on rows by MODIFY", MY, 'op.execute("ALTER TABLE shops MODIFY x TEXT NOT NULL")'),
    wrong("not_null_scans_table", "NOT NULL reads all rows under the lock", PG,
          'op.alter_column("shops", "x", nullable=False)'),
    wrong("requires_value", "NOT NULL on rows that are filled, while old code writes", ALL,
          "op.execute(\"UPDATE shops SET x = '' WHERE x IS NULL\")", """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), nullable=False)
"""),
    wrong("drops_default", "the default of a NOT NULL column is dropped", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), existing_nullable=False, server_default=None)
"""),
    wrong("assumes_utc", "a time gets a zone", PG,
          'op.alter_column("shops", "x", existing_type=sa.DateTime(), type_=sa.DateTime(timezone=True))'),
    wrong("type_rewrites_table", "int becomes bigint", SERVERS,
          'op.alter_column("shops", "x", existing_type=sa.Integer(), type_=sa.BigInteger())'),
    wrong("type_rewrites_table", "int becomes bigint in SQL", PG,
          'op.execute("ALTER TABLE shops ALTER COLUMN x TYPE bigint")'),
    wrong("type_rewrites_table", "int becomes bigint by MODIFY", MY, 'op.execute("ALTER TABLE shops MODIFY x BIGINT")'),
    wrong("narrows_type", "a shorter text", SERVERS,
          'op.alter_column("shops", "x", existing_type=sa.String(40), type_=sa.String(20))'),
    wrong("narrows_type", "a text gets a limit", SERVERS,
          'op.alter_column("shops", "x", existing_type=sa.Text(), type_=sa.String(20))'),
    wrong("narrows_type", "a smaller integer", SERVERS,
          'op.alter_column("shops", "x", existing_type=sa.BigInteger(), type_=sa.Integer())'),
    wrong("narrows_type", "a decimal becomes an integer", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Numeric(8, 2), type_=sa.Integer())
"""),
    wrong("narrows_type", "a decimal becomes a float", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Numeric(8, 2), type_=sa.Float())
"""),
    wrong("narrows_type", "fewer decimal places", SERVERS,
          'op.alter_column("shops", "x", existing_type=sa.Numeric(8, 4), type_=sa.Numeric(8, 2))'),
    wrong("narrows_type", "a time becomes a date", ALL, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.DateTime(), type_=sa.Date())
"""),
    wrong("narrows_type", "a time loses its zone", PG,
          'op.alter_column("shops", "x", existing_type=sa.DateTime(True), type_=sa.DateTime())'),
    wrong("narrows_type", "a text becomes a number without a word", LITE, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Text(), type_=sa.Integer())
"""),
    wrong("conversion_may_fail", "a text becomes a number", SERVERS,
          'op.alter_column("shops", "x", existing_type=sa.Text(), type_=sa.BigInteger(), postgresql_using="x::bigint")'),
    wrong("removes_enum_value", "a value of an enum is removed", MY,
          'op.alter_column("shops", "x", existing_type=sa.Enum("a", "b"), type_=sa.Enum("a"))'),
    wrong("removes_enum_value", "a value of an enum in a CHECK is removed", LITE, """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("x", existing_type=sa.Enum("a", "b", name="e"), type_=sa.Enum("a", name="e"))
"""),
    wrong("removes_enum_value", "a value of an enum type is removed", PG,
          'op.sync_enum_values(enum_schema="public", enum_name="mood", new_values=["good", "sad"], '
          'affected_columns=[], enum_values_to_rename=[("bad", "sad")])'),
    wrong("removes_enum_value", "a value of an enum is renamed", PG,
          "op.execute(\"ALTER TYPE mood RENAME VALUE 'bad' TO 'sad'\")"),
    wrong("new_enum_value_in_transaction", "a new value is used in its transaction", PG, """
op.execute("ALTER TYPE mood ADD VALUE 'fine'")
op.alter_column("shops", "x", server_default="fine")
"""),
    wrong("new_enum_value_in_transaction", "a new value is used in its transaction in SQL", PG, """
op.execute("ALTER TYPE mood ADD VALUE 'fine'")
op.execute("UPDATE shops SET x = 'fine' WHERE x = 'good'")
"""),
    wrong("drops_object", "a view is dropped", ALL, 'op.execute("DROP VIEW v")'),
    wrong("drops_object", "a schema is dropped", PG, 'op.execute("DROP SCHEMA sales")'),
    wrong("expands_and_contracts", "a branch adds a column and drops another one", ALL, """
op.add_column("shops", sa.Column("y", sa.BigInteger()))
# guard: accept drops_data: it is copied
op.drop_column("shops", "x", existing_type=sa.Text())
"""),
    wrong("expands_and_contracts", "two revisions of a branch do that", ALL,
          'op.add_column("shops", sa.Column("y", sa.BigInteger()))',
          '# guard: accept drops_data: it is copied\nop.execute("ALTER TABLE shops DROP COLUMN x")'),
    wrong("expands_and_contracts", "a new column becomes NOT NULL in the same branch", ALL,
          'op.add_column("shops", sa.Column("y", sa.BigInteger()))', 'op.execute("UPDATE shops SET y = id")', """
with op.batch_alter_table("shops") as batch_op:
    batch_op.alter_column("y", existing_type=sa.BigInteger(), nullable=False)
"""),
    wrong("unique_on_rows", "UNIQUE on rows", SERVERS, 'op.create_unique_constraint("uq", "shops", ["x"])'),
    wrong("unique_on_rows", "a unique index on rows", ALL, 'op.create_index("ux", "shops", ["x"], unique=True)'),
    wrong("unique_on_rows", "a unique index on rows in SQL", ALL, 'op.execute("CREATE UNIQUE INDEX ux ON shops (x)")'),
    wrong("concurrently_in_transaction", "CONCURRENTLY in a transaction", PG,
          'op.create_index("ix", "shops", ["x"], postgresql_concurrently=True)'),
    wrong("concurrently_in_transaction", "CONCURRENTLY in a transaction in SQL", PG,
          'op.execute("CREATE INDEX CONCURRENTLY ix ON shops (x)")'),
    wrong("concurrently_in_transaction", "DROP CONCURRENTLY in a transaction", PG,
          'op.drop_index("ix", "shops", postgresql_concurrently=True)'),
    wrong("needs_batch", "SQLite cannot alter a column", LITE,
          'op.alter_column("shops", "x", existing_type=sa.Text(), nullable=True)'),
    wrong("needs_batch", "SQLite cannot add a constraint", LITE, 'op.create_unique_constraint("uq", "shops", ["x"])'),
    wrong("needs_batch", "SQLite adds no column with the time", LITE,
          'op.add_column("shops", sa.Column("y", sa.DateTime(), server_default=sa.func.now()))'),
    wrong("ends_transaction", "COMMIT in a revision", ALL, 'op.execute("COMMIT")'),
    wrong("changes_every_row", "UPDATE without WHERE", ALL, 'op.execute("UPDATE shops SET x = NULL")'),
    wrong("changes_every_row", "DELETE without WHERE", ALL, 'op.execute("DELETE FROM shops")'),
    wrong("changes_every_row", "update() without where()", ALL,
          'op.execute(sa.table("shops", sa.column("x")).update().values(x=None))'),
    wrong("changes_every_row", "delete() without where()", ALL,
          'op.execute(sa.table("shops").delete())'),
    wrong("changes_every_row", "UPDATE without WHERE through the connection", ALL,
          'op.get_bind().execute(sa.text("UPDATE shops SET x = NULL"))'),
    wrong("truncates", "TRUNCATE", SERVERS, 'op.execute("TRUNCATE TABLE shops")'),
    wrong("drops_dependents", "TRUNCATE … CASCADE", PG, 'op.execute("TRUNCATE towns CASCADE")'),
    wrong("drops_dependents", "DROP TABLE … CASCADE", PG, 'op.execute("DROP TABLE towns CASCADE")'),
    wrong("drops_dependents", "DROP COLUMN … CASCADE", PG, 'op.execute("ALTER TABLE towns DROP COLUMN id CASCADE")'),
    wrong("backfill_with_ddl", "rows are changed under the lock of DDL", SERVERS, """
op.add_column("shops", sa.Column("y", sa.BigInteger()))
op.execute("UPDATE shops SET y = id")
"""),
    wrong("backfill_with_ddl", "rows are changed under the lock of DDL, by SQLAlchemy", SERVERS, """
op.add_column("shops", sa.Column("y", sa.BigInteger()))
shops = sa.table("shops", sa.column("id"), sa.column("y"))
op.execute(shops.update().where(shops.c.y.is_(None)).values(y=shops.c.id))
"""),
    wrong("new_column_rewrites_table", "a volatile default", SERVERS,
          'op.add_column("shops", sa.Column("y", sa.Uuid(), server_default=sa.text("(gen_random_uuid())")))'),
    wrong("new_column_rewrites_table", "a volatile default in SQL", PG,
          'op.execute("ALTER TABLE shops ADD COLUMN y uuid DEFAULT gen_random_uuid()")'),
    wrong("new_column_rewrites_table", "a numbered column", SERVERS,
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), sa.Identity()))'),
    wrong("new_column_rewrites_table", "serial", PG, 'op.execute("ALTER TABLE shops ADD COLUMN y bigserial")'),
    wrong("new_column_rewrites_table", "AUTO_INCREMENT", MY,
          'op.execute("ALTER TABLE shops ADD COLUMN y BIGINT NOT NULL AUTO_INCREMENT UNIQUE")'),
    wrong("new_column_rewrites_table", "a stored computed column", SERVERS,
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), sa.Computed("id + 1", persisted=True)))'),
    wrong("new_column_rewrites_table", "a stored computed column in SQL", SERVERS,
          'op.execute("ALTER TABLE shops ADD COLUMN y BIGINT GENERATED ALWAYS AS (id + 1) STORED")'),
    wrong("index_locks_writers", "an index", PG, 'op.create_index("ix", "shops", ["x"])'),
    wrong("index_locks_writers", "an index in SQL", PG, 'op.execute("CREATE INDEX ix ON shops (x)")'),
    wrong("unique_locks_table", "a unique constraint", PG, 'op.create_unique_constraint("uq", "shops", ["x"])'),
    wrong("unique_locks_table", "a unique constraint in SQL", PG,
          'op.execute("ALTER TABLE shops ADD CONSTRAINT uq UNIQUE (x)")'),
    wrong("constraint_locks_table", "a foreign key", SERVERS,
          'op.create_foreign_key("fk", "shops", "towns", ["town_id"], ["id"])'),
    wrong("constraint_locks_table", "a foreign key in SQL", SERVERS,
          'op.execute("ALTER TABLE shops ADD CONSTRAINT fk FOREIGN KEY (town_id) REFERENCES towns (id)")'),
    wrong("constraint_locks_table", "a CHECK", SERVERS, 'op.create_check_constraint("ck", "shops", "id > 0")'),
    wrong("constraint_with_column", "a column with its foreign key", SERVERS,
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), sa.ForeignKey("towns.id")))'),
    wrong("constraint_with_column", "a column with its unique index", PG,
          'op.add_column("shops", sa.Column("y", sa.BigInteger(), unique=True))'),
    wrong("exclusion_locks_table", "an exclusion constraint", PG,
          'op.create_exclude_constraint("ex", "shops", ("x", "="), using="gist")'),
    wrong("exclusion_locks_table", "an exclusion constraint in SQL", PG,
          'op.execute("ALTER TABLE shops ADD CONSTRAINT ex EXCLUDE USING gist (x WITH =)")'),
    wrong("primary_key_rebuilds_table", "a primary key", SERVERS, 'op.create_primary_key("pk", "shops", ["id"])'),
    wrong("primary_key_rebuilds_table", "a primary key is dropped", MY,
          'op.drop_constraint("pk", "shops", type_="primary")'),
    wrong("rewrites_table", "VACUUM FULL", PG, 'op.execute("VACUUM FULL shops")'),
    wrong("rewrites_table", "CLUSTER", PG, 'op.execute("CLUSTER shops USING ix")'),
    wrong("rewrites_table", "REINDEX", PG, 'op.execute("REINDEX TABLE shops")'),
    wrong("rewrites_table", "a materialized view is refreshed", PG, 'op.execute("REFRESH MATERIALIZED VIEW v")'),
    wrong("rewrites_table", "SET LOGGED", PG, 'op.execute("ALTER TABLE shops SET LOGGED")'),
    wrong("rewrites_table", "another character set", MY,
          'op.execute("ALTER TABLE shops CONVERT TO CHARACTER SET utf8mb4")'),
    wrong("rewrites_table", "ALGORITHM=COPY", MY, 'op.execute("ALTER TABLE shops ADD COLUMN y INT, ALGORITHM=COPY")'),
    wrong("rewrites_table", "LOCK=SHARED", MY, 'op.execute("CREATE INDEX ix ON shops (x) LOCK=SHARED")'),
    wrong("rewrites_table", "LOCK=EXCLUSIVE", MY,
          'op.execute("ALTER TABLE shops ADD INDEX ix (x), LOCK=EXCLUSIVE")'),
    wrong("new_column_rewrites_table", "a default that is an expression", MY,
          'op.add_column("shops", sa.Column("y", sa.String(36), server_default=sa.text("(uuid())")))'),
    wrong("rewrites_table", "another engine", MY, 'op.execute("ALTER TABLE shops ENGINE=InnoDB")'),
    wrong("rewrites_table", "OPTIMIZE TABLE", MY, 'op.execute("OPTIMIZE TABLE shops")'),
    wrong("locks_table", "LOCK TABLE", SERVERS, 'op.execute("LOCK TABLES shops WRITE")'),
    wrong("json_is_not_comparable", "a column of json", PG, 'op.add_column("shops", sa.Column("y", sa.JSON()))'),
]  # fmt: skip
