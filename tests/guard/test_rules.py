"""Promises about the rules: which change gets which remark, and which gets none."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import CommandError
from guard.rules import RULES, Remark, remarks_on, rules_without
from guard.rules.checks import Rule
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite

DIALECTS: dict[str, sa.Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),
    "mysql": mysql.dialect(),
}


def add(*arguments: Any, **options: Any) -> ops.AddColumnOp:
    return ops.AddColumnOp("shops", sa.Column("x", *arguments, **options))


def change_type(old: Any, new: Any) -> ops.AlterColumnOp:
    return ops.AlterColumnOp("shops", "x", existing_type=old, modify_type=new)


NOT_NULL = ops.AlterColumnOp("shops", "x", modify_nullable=False)
KEY = ops.CreateForeignKeyOp("fk", "shops", "towns", ["x"], ["id"])
CHECK = ops.CreateCheckConstraintOp("ck", "shops", "x > 0")
INDEX = ops.CreateIndexOp("ix", "shops", ["x"])
UNIQUE = ops.CreateUniqueConstraintOp("uq", "shops", ["x"])
DROP_COLUMN = ops.DropColumnOp("shops", "x")
DROP_TABLE = ops.DropTableOp("shops")
COMPUTED = add(sa.Integer, sa.Computed("y + 1", persisted=True))
SMALL, LARGE = sa.String(20), sa.String(40)
TWO, THREE = sa.Enum("a", "b", name="e"), sa.Enum("a", "b", "c", name="e")
BOTH, WRITES = "blocks reads and writes of shops", "blocks writes to shops"

# Each rule, an operation, and the words it gets on each database; None is no remark.
TABLE: list[tuple[str, Any, str | None, str | None, str | None]] = [
    # rule, operation, on SQLite, on PostgreSQL, on MySQL
    ("drops_data", DROP_COLUMN, *["Drops shops.x and its data."] * 3),
    ("drops_data", DROP_TABLE, *["Drops shops and its rows."] * 3),
    ("drops_data", INDEX, None, None, None),
    ("not_null_without_default", add(sa.Integer, nullable=False),
     *["Fails if shops already has rows, because x would be NULL"] * 2, "their x becomes '' or 0"),
    ("not_null_without_default", add(sa.Integer), None, None, None),
    ("not_null_without_default", add(sa.Integer, nullable=False, server_default="0"),
     None, None, None),
    ("not_null_on_rows", NOT_NULL, *["UPDATE shops SET x = ... WHERE x IS NULL"] * 3),
    ("conversion_may_fail", change_type(SMALL, sa.Integer()),
     None, "Fails if shops.x is not a valid INTEGER", "Fails if shops.x is not a valid INT"),
    ("conversion_may_fail", change_type(sa.Integer(), SMALL), None, None, None),
    ("conversion_may_fail", change_type(SMALL, TWO),
     None, "not a valid e in", "not a valid ENUM('a','b')"),
    ("assumes_utc", change_type(sa.DateTime(), sa.DateTime(timezone=True)),
     None, "Takes the times of shops.x that have no zone as UTC", None),
    ("assumes_utc", change_type(sa.DateTime(), sa.Date()), None, None, None),
    ("type_rewrites_table", change_type(sa.Integer(), sa.BigInteger()), None, BOTH, WRITES),
    ("type_rewrites_table", change_type(SMALL, LARGE), None, None, None),
    ("type_rewrites_table", change_type(LARGE, SMALL), None, "copy x in", "copy x in"),
    ("type_rewrites_table", change_type(SMALL, sa.Text()), None, None, "copy x in"),
    ("type_rewrites_table", change_type(SMALL, sa.String(90)), None, None, "copy x in"),
    ("type_rewrites_table", change_type(sa.Numeric(8, 2), sa.Numeric(9, 2)),
     None, None, "copy x in"),
    ("type_rewrites_table", change_type(sa.Numeric(8, 2), sa.Numeric(9, 3)),
     None, "copy x in", "copy x in"),
    ("type_rewrites_table", change_type(TWO, THREE), None, "copy x in", None),
    ("type_rewrites_table", change_type(THREE, TWO), None, "copy x in", "copy x in"),
    ("type_rewrites_table", change_type(TWO, SMALL), None, "copy x in", "copy x in"),
    ("not_null_scans_table", NOT_NULL, None, "CHECK (x IS NOT NULL) NOT VALID", None),
    ("new_column_rewrites_table", COMPUTED, None, BOTH, WRITES),
    ("new_column_rewrites_table", add(sa.Integer, sa.Identity()),
     None, "Rewrites the table", "Rewrites the table"),
    ("new_column_rewrites_table", add(sa.Uuid, server_default=sa.func.gen_random_uuid()),
     None, "Rewrites the table", "Rewrites the table"),
    ("new_column_rewrites_table", add(sa.DateTime, server_default=sa.func.now()),
     None, None, None),
    ("new_column_rewrites_table", add(sa.String(9), server_default="(x)"),
     None, None, None),
    ("index_locks_writers", INDEX,
     None, "blocks writes to shops. If it is large, add postgresql_concurrently=True", None),
    ("unique_locks_table", UNIQUE, None, BOTH, None),
    ("constraint_locks_table", KEY, None, WRITES, "SET foreign_key_checks = 0"),
    ("constraint_locks_table", CHECK,
     None, "VALIDATE CONSTRAINT ck", "pt-online-schema-change"),
]  # fmt: skip

CELLS = [
    pytest.param(row[0], row[1], kind, words, id=f"{row[0]}-{number}-{kind}")
    for number, row in enumerate(TABLE)
    for kind, words in zip(DIALECTS, row[2:], strict=True)
]


def remarks(
    operations: list[Any], dialect: sa.Dialect, rules: list[Rule] | None = None
) -> list[str]:
    """Return what is said of some operations, a text for each remark."""
    found = remarks_on(operations, dialect, rules_without(()) if rules is None else rules)
    return [text_of(remark) for _, each in found for remark in each]


def text_of(remark: Remark) -> str:
    return " ".join(line for line in remark.lines if isinstance(line, str))


@pytest.mark.parametrize(("rule", "operation", "kind", "words"), CELLS)
def test_a_rule_says_what_can_hurt_and_only_that(
    rule: str, operation: Any, kind: str, words: str | None
) -> None:
    said = remarks([operation], DIALECTS[kind], [RULES[rule]])
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_every_rule_is_tested() -> None:
    renames = {"renames_column", "renames_table"}  # See below.
    assert set(RULES) == {row[0] for row in TABLE} | renames


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_remark_has_at_most_a_hundred_columns_a_line(kind: str) -> None:
    for _, operation, *_ in TABLE:
        for _, found in remarks_on([operation], DIALECTS[kind], rules_without(())):
            for line in (line for remark in found for line in remark.lines):
                assert not isinstance(line, str) or len(f"    # {line}") <= 100, line


def test_a_database_of_which_nothing_is_known_gets_cautious_remarks_without_code() -> None:
    for operation in (INDEX, UNIQUE, KEY, CHECK, NOT_NULL):
        said = remarks([operation], mssql.dialect())
        assert any(BOTH in each for each in said)
        assert not any("postgresql" in each or "NOT VALID" in each for each in said)


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_column_of_another_type_or_table_is_not_taken_for_renamed(kind: str) -> None:
    new = add(sa.Integer)
    for table, old, renamed in (
        ("shops", sa.BigInteger, True),
        ("shops", sa.String, False),
        ("towns", sa.BigInteger, False),
    ):
        drop = ops.DropColumnOp.from_column_and_tablename(None, table, sa.Column("y", old()))
        said = remarks([new, drop], DIALECTS[kind], [RULES["renames_column"]])
        assert bool(said) is renamed
        assert not said or said[0].startswith("If shops.y is renamed to x, replace add_column/drop")


def test_a_table_with_other_columns_or_in_another_schema_is_not_taken_for_renamed() -> None:
    new = ops.CreateTableOp("towns", [sa.Column("id", sa.Integer)])
    for name, schema, renamed in (("id", None, True), ("key", None, False), ("id", "far", False)):
        table = sa.Table("shops", sa.MetaData(), sa.Column(name, sa.Integer), schema=schema)
        others = [new, ops.DropTableOp.from_table(table)]
        said = remarks(others, DIALECTS["sqlite"], [RULES["renames_table"]])
        assert bool(said) is renamed
        assert not said or 'op.rename_table("shops", "towns")' in said[0]


def test_nothing_is_said_of_a_new_table_but_of_its_namesake_in_another_schema() -> None:
    new = ops.CreateTableOp("shops", [sa.Column("x", sa.Integer)])
    elsewhere = ops.CreateIndexOp("ix", "shops", ["x"], schema="far")
    key = ops.CreateForeignKeyOp("fk", "shops", "towns", ["x"], ["id"], source_schema="far")
    assert remarks([new, INDEX, KEY, UNIQUE, NOT_NULL], DIALECTS["postgresql"]) == []
    said = remarks([new, elsewhere, key], DIALECTS["postgresql"])
    assert [each.count("blocks writes to far.shops") for each in said] == [1, 1]
    assert "ALTER TABLE far.shops VALIDATE" in said[1]


def test_names_that_sql_needs_in_quotes_have_them() -> None:
    change = ops.AlterColumnOp("order", "User", modify_nullable=False)
    said = " ".join(remarks([change], DIALECTS["postgresql"]))
    assert """op.execute('UPDATE "order" SET "User" = ... WHERE "User" IS NULL')""" in said


def test_a_rule_that_is_switched_off_says_nothing() -> None:
    rules = rules_without({"index_locks_writers"})
    assert remarks([INDEX], DIALECTS["postgresql"], rules) == []
    assert len(rules) == len(RULES) - 1


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CommandError, match="Unknown rule 'drop_data'.*index_locks_writers"):
        rules_without({"drop_data"})
