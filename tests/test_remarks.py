"""Promises about the remarks in revisions: which change gets which, and which gets none."""

import importlib.util
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import ops
from conftest import TEMPLATE
from sqlalchemy.dialects import mysql, postgresql, sqlite

PATH = TEMPLATE / "{{cookiecutter.project_slug}}/{{cookiecutter.migrations_directory}}/remarks.py"
DIALECTS = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),
    "mysql": mysql.dialect(),
}


@pytest.fixture(scope="module")
def remarks() -> Any:
    spec = importlib.util.spec_from_file_location("remarks", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

# Each rule, an operation, and the words it gets on each database; None is no remark.
TABLE: list[tuple[str, Any, str | None, str | None, str | None]] = [
    # rule, operation, on SQLite, on PostgreSQL, on MySQL
    ("data_that_is_lost", DROP_COLUMN, *["This deletes all that is stored in shops.x."] * 3),
    ("data_that_is_lost", DROP_TABLE, *["This deletes table shops with all its rows."] * 3),
    ("data_that_is_lost", INDEX, None, None, None),
    ("new_column_that_rows_cannot_fill", add(sa.Integer, nullable=False),
     "fails where shops has rows", "fails where shops has rows", "puts an empty value or a zero"),
    ("new_column_that_rows_cannot_fill", add(sa.Integer), None, None, None),
    ("new_column_that_rows_cannot_fill", add(sa.Integer, nullable=False, server_default="0"),
     None, None, None),
    ("column_that_may_hold_null", NOT_NULL, *["UPDATE shops SET x = ... WHERE x IS NULL"] * 3),
    ("value_that_cannot_be_converted", change_type(SMALL, sa.Integer()),
     None, "fails where shops.x is not a valid INTEGER", "fails where shops.x is not a valid INT"),
    ("value_that_cannot_be_converted", change_type(sa.Integer(), SMALL), None, None, None),
    ("value_that_cannot_be_converted", change_type(SMALL, TWO),
     None, "not a valid e.", "not a valid ENUM('a','b')"),
    ("type_that_rewrites_the_table", change_type(sa.Integer(), sa.BigInteger()),
     None, "nobody can read or write shops", "nobody can write to shops"),
    ("type_that_rewrites_the_table", change_type(SMALL, LARGE), None, None, None),
    ("type_that_rewrites_the_table", change_type(LARGE, SMALL), None, "copy x in", "copy x in"),
    ("type_that_rewrites_the_table", change_type(SMALL, sa.Text()), None, None, "copy x in"),
    ("type_that_rewrites_the_table", change_type(SMALL, sa.String(90)), None, None, "copy x in"),
    ("type_that_rewrites_the_table", change_type(sa.Numeric(8, 2), sa.Numeric(9, 2)),
     None, None, "copy x in"),
    ("type_that_rewrites_the_table", change_type(sa.Numeric(8, 2), sa.Numeric(9, 3)),
     None, "copy x in", "copy x in"),
    ("type_that_rewrites_the_table", change_type(TWO, THREE), None, "copy x in", None),
    ("type_that_rewrites_the_table", change_type(THREE, TWO), None, "copy x in", "copy x in"),
    ("type_that_rewrites_the_table", change_type(TWO, SMALL), None, "copy x in", "copy x in"),
    ("not_null_that_locks_others_out", NOT_NULL, None, "CHECK (x IS NOT NULL) NOT VALID", None),
    ("new_column_that_rewrites_the_table", COMPUTED,
     None, "nobody can read or write shops", "nobody can write to shops"),
    ("new_column_that_rewrites_the_table", add(sa.Integer, sa.Identity()),
     None, "While each row gets its x", "While each row gets its x"),
    ("new_column_that_rewrites_the_table", add(sa.Uuid, server_default=sa.func.gen_random_uuid()),
     None, "While each row gets its x", "While each row gets its x"),
    ("new_column_that_rewrites_the_table", add(sa.DateTime, server_default=sa.func.now()),
     None, None, None),
    ("new_column_that_rewrites_the_table", add(sa.String(9), server_default="(x)"),
     None, None, None),
    ("index_that_locks_writers_out", INDEX, None, "postgresql_concurrently=True", None),
    ("unique_constraint_that_locks_others_out", UNIQUE, None, "nobody can read or write", None),
    ("constraint_that_locks_others_out", KEY,
     None, "nobody can write to shops", "SET foreign_key_checks = 0"),
    ("constraint_that_locks_others_out", CHECK,
     None, "VALIDATE CONSTRAINT ck", "pt-online-schema-change"),
]  # fmt: skip

CELLS = [
    pytest.param(row[0], row[1], kind, words, id=f"{row[0]}-{number}-{kind}")
    for number, row in enumerate(TABLE)
    for kind, words in zip(DIALECTS, row[2:], strict=True)
]


@pytest.mark.parametrize(("rule", "operation", "kind", "words"), CELLS)
def test_a_rule_says_what_can_hurt_and_only_that(
    remarks: Any, rule: str, operation: Any, kind: str, words: str | None
) -> None:
    remark = getattr(remarks, rule)(operation, [operation], DIALECTS[kind])
    if words is None:
        assert remark is None
    else:
        assert words in " ".join(remark.lines)


def test_every_rule_is_in_use_and_tested(remarks: Any) -> None:
    renames = {"column_that_may_be_renamed", "table_that_may_be_renamed"}  # With a real database.
    assert {rule.__name__ for rule in remarks.RULES} == {row[0] for row in TABLE} | renames


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_column_of_another_type_is_not_taken_for_renamed(remarks: Any, kind: str) -> None:
    new = add(sa.Integer)
    for old, renamed in ((sa.BigInteger, True), (sa.String, False)):
        drop = ops.DropColumnOp.from_column_and_tablename(None, "shops", sa.Column("y", old()))
        remark = remarks.column_that_may_be_renamed(new, [new, drop], DIALECTS[kind])
        assert (remark is not None) is renamed


def test_a_table_with_other_columns_is_not_taken_for_renamed(remarks: Any) -> None:
    new = ops.CreateTableOp("towns", [sa.Column("id", sa.Integer)])
    for name, renamed in (("id", True), ("key", False)):
        table = sa.Table("shops", sa.MetaData(), sa.Column(name, sa.Integer))
        others = [new, ops.DropTableOp.from_table(table)]
        remark = remarks.table_that_may_be_renamed(new, others, DIALECTS["sqlite"])
        assert (remark is not None) is renamed
