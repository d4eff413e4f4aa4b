"""The table of changes that autogenerate finds, each tried on each database with rows in it.

A change is two states of a model. The database is at the first one when the model gets to the
second: the revision says what has changed, goes up, down and up again, and loses no row.
"""

import textwrap
from dataclasses import dataclass, field

import pytest
from conftest import Bake, NewDatabase, Project, query, skip_without_servers, with_driver

KINDS = ("sqlite", "postgresql", "mysql")

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from my_shop.models.base import Base


class Owner(Base):
    __tablename__ = "owners"

    id: Mapped[int] = mapped_column(primary_key=True)
    other: Mapped[int | None] = mapped_column(unique=True)


class Item(Base):
    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    number: Mapped[int | None]
"""


@dataclass(frozen=True)
class Change:
    """Two states of the class Item, or of what follows it.

    :param expected: what upgrade() has to contain.
    :param unseen: where it is not found, with the words by which migrations/README.md says so.
    :param kinds: the databases that know such a thing at all.
    """

    before: str
    after: str
    expected: str
    unseen: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = KINDS

    def reverse(self, expected: str) -> "Change":
        return Change(self.after, self.before, expected, self.unseen, self.kinds)


def column(*arguments: str) -> str:
    return f"x = mapped_column({', '.join(arguments)})"


def table_arguments(*arguments: str) -> str:
    return f"__table_args__ = ({', '.join(arguments)},)"


NO_COMMENTS = {"sqlite": "comments"}
NO_ENUMS = {"sqlite": "a new value of an enum"}
A_CHECK = dict.fromkeys(KINDS, "the condition of a CHECK")
A_PARTIAL_INDEX = dict.fromkeys(KINDS, "of a partial index")
USING = dict.fromkeys(KINDS, "`USING`")
COMPUTED = dict.fromkeys(KINDS, "the expression of a `Computed` column")

EXTRA = """
class Extra(Base):
    __tablename__ = "extras"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id = mapped_column(sa.ForeignKey("items.id"), index=True)
    amount = mapped_column(sa.Integer, sa.CheckConstraint("amount > 0", name="low"), unique=True)
"""
MORE = """
class More(Base):
    __tablename__ = "a_table"

    id: Mapped[int] = mapped_column(primary_key=True)
"""
EXTRA_ID = '    extra_id = mapped_column(sa.ForeignKey("extras.id"))\n'
MOOD = 'sa.Enum("happy", "sad", name="mood")'
CALM = 'sa.Enum("happy", "sad", "calm", name="mood")'
REQUIRED = ('server_default="happy"', "nullable=False")
KEY = 'sa.ForeignKey("owners.id")'
KEY_TYPE = 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")'
SEVEN = 'server_default="7"'
POSITIVE = 'sa.CheckConstraint("number > 0", name="positive")'
SUM = 'sa.Computed("number + 1", persisted=True)'

new_table = Change("", EXTRA, 'op.create_table(\n        "extras"')
new_column = Change("", column("sa.Integer"), "add_column(")
new_filled_column = Change("", column("sa.Integer", SEVEN, "nullable=False"), "add_column(")
nullability = Change(
    column("sa.Integer", SEVEN), column("sa.Integer", SEVEN, "nullable=False"), "nullable=False"
)
new_default = Change(column("sa.Integer"), column("sa.Integer", SEVEN), SEVEN)
new_index = Change(column("sa.Integer"), column("sa.Integer", "index=True"), "ix_items_x")
new_unique = Change(column("sa.Integer"), column("sa.Integer", "unique=True"), "uq_items_x")
new_key = Change(column(KEY_TYPE, "index=True"), column(KEY, "index=True"), "fk_items_x")
new_key_column = Change("", column(KEY, "index=True"), "fk_items_x")
index_of_a_key = Change(column(KEY), column(KEY, "index=True"), "ix_items_x")
new_check = Change("", table_arguments(POSITIVE), "ck_items_positive")
new_computed_column = Change("", column("sa.Integer", SUM), "sa.Computed(")
new_comment = Change(
    column("sa.Integer"), column("sa.Integer", 'comment="it\'s net"'), "it's net", NO_COMMENTS
)
new_table_comment = Change("", '__table_args__ = {"comment": "it\'s all"}', "it's all", NO_COMMENTS)
new_enum_table = Change("", f"{EXTRA}    mood = mapped_column({MOOD})\n", '"mood"')
new_enum_column = Change("", column(MOOD), '"mood"')
new_enum_array = Change("", column(f"sa.ARRAY({MOOD})"), "sa.ARRAY(", kinds=("postgresql",))
new_enum_value = Change(column(MOOD, *REQUIRED), column(CALM, *REQUIRED), "calm", NO_ENUMS)
text_to_enum = Change(column("sa.String(9)", *REQUIRED), column(MOOD, *REQUIRED), '"mood"')

CHANGES = {
    "new table": new_table,
    "removed table": new_table.reverse('op.drop_table("extras")'),
    "renamed table": Change(EXTRA, EXTRA.replace("extras", "others"), "op.rename_table("),
    "removed tables that refer to each other": Change(EXTRA + MORE + EXTRA_ID, "", "drop_table("),
    "removed table that another one refers to": Change(EXTRA + MORE + EXTRA_ID, MORE, "extras"),
    "new column": new_column,
    "removed column": new_column.reverse("drop_column("),
    "renamed column": Change(
        column("sa.Integer"), "y = mapped_column(sa.Integer)", "new_column_name="
    ),
    "new column with a default": new_filled_column,
    "removed column with a default": new_filled_column.reverse("drop_column("),
    "longer text": Change(column("sa.String(20)"), column("sa.String(40)"), "length=40"),
    "larger number": Change(column("sa.Integer"), column("sa.BigInteger"), "type_=sa.BigInteger()"),
    "more digits": Change(column("sa.Numeric(8, 2)"), column("sa.Numeric(9, 3)"), "precision=9"),
    "number to text": Change(
        column("sa.Integer", SEVEN), column("sa.String(9)", SEVEN), "length=9"
    ),
    "text to number": Change(
        column("sa.String(9)", SEVEN), column("sa.Integer", SEVEN), "Integer()"
    ),
    "text to time": Change(column("sa.String(50)"), column("sa.DateTime"), "type_=sa.DateTime()"),
    "text to boolean": Change(column("sa.String(50)"), column("sa.Boolean"), "type_=sa.Boolean()"),
    "number to boolean": Change(column("sa.Integer"), column("sa.Boolean"), "type_=sa.Boolean()"),
    "text to UUID": Change(column("sa.String(50)"), column("sa.Uuid"), "type_=sa.Uuid()"),
    "text to JSON": Change(column("sa.String(50)"), column("sa.JSON"), "type_=sa.JSON()"),
    "not null": nullability,
    "no longer not null": nullability.reverse("nullable=True"),
    "new default": new_default,
    "changed default": Change(
        column("sa.Integer", SEVEN), column('sa.Integer, server_default="8"'), 'server_default="8"'
    ),
    "removed default": new_default.reverse("server_default=None"),
    "new index": new_index,
    "changed index": Change(
        table_arguments('sa.Index("ix", "number")'),
        table_arguments('sa.Index("ix", "number", "id", unique=True)'),
        '["number", "id"], unique=True',
    ),
    "removed index": new_index.reverse("ix_items_x"),
    "new index on an expression": Change(
        "",
        table_arguments('sa.Index("ix", sa.text("abs(number)"))'),
        "abs(number)",
        {"sqlite": "an index on an expression"},
        kinds=("sqlite", "postgresql"),
    ),
    "condition of an index": Change(
        table_arguments('sa.Index("ix", "number", postgresql_where=sa.text("number > 1"))'),
        table_arguments('sa.Index("ix", "number", postgresql_where=sa.text("number > 2"))'),
        "",
        A_PARTIAL_INDEX,
    ),
    "method of an index": Change(
        table_arguments('sa.Index("ix", "number")'),
        table_arguments('sa.Index("ix", "number", postgresql_using="brin")'),
        "",
        USING,
    ),
    "new unique constraint": new_unique,
    "changed unique constraint": Change(
        table_arguments('sa.UniqueConstraint("number", name="one")'),
        table_arguments('sa.UniqueConstraint("number", "id", name="one")'),
        '["number", "id"]',
    ),
    "removed unique constraint": new_unique.reverse("uq_items_x"),
    "new foreign key": new_key,
    "changed foreign key": Change(
        column(KEY, "index=True"),
        column('sa.ForeignKey("owners.other", ondelete="CASCADE")'),
        'ondelete="CASCADE"',
    ),
    "removed foreign key": new_key.reverse("fk_items_x"),
    "new column with a foreign key": new_key_column,
    "removed column with a foreign key": new_key_column.reverse("fk_items_x"),
    "new index of a foreign key": index_of_a_key,
    "removed index of a foreign key": index_of_a_key.reverse("ix_items_x"),
    "new CHECK": new_check,
    "renamed CHECK": Change(
        table_arguments(POSITIVE),
        table_arguments(POSITIVE.replace("positive", "above_zero")),
        "ck_items_above_zero",
    ),
    "condition of a CHECK": Change(
        table_arguments(POSITIVE), table_arguments(POSITIVE.replace("> 0", "> 1")), "", A_CHECK
    ),
    "removed CHECK": new_check.reverse("ck_items_positive"),
    "new computed column": new_computed_column,
    "expression of a computed column": Change(
        column("sa.Integer", SUM), column("sa.Integer", SUM.replace("+ 1", "+ 2")), "", COMPUTED
    ),
    "removed computed column": new_computed_column.reverse("drop_column("),
    "new comment": new_comment,
    "changed comment": Change(
        column("sa.Integer", 'comment="a"'),
        column("sa.Integer", 'comment="b"'),
        'comment="b"',
        NO_COMMENTS,
    ),
    "removed comment": new_comment.reverse("comment=None"),
    "new comment of a table": new_table_comment,
    "changed comment of a table": Change(
        '__table_args__ = {"comment": "a"}', '__table_args__ = {"comment": "b"}', '"b"', NO_COMMENTS
    ),
    "removed comment of a table": new_table_comment.reverse("drop_table_comment("),
    "new table with an enum": new_enum_table,
    "removed table with an enum": new_enum_table.reverse('op.drop_table("extras")'),
    "new column of an enum": new_enum_column,
    "removed column of an enum": new_enum_column.reverse("drop_column("),
    "new column of an enum that is in use": Change(
        column(MOOD), f"{column(MOOD)}\ny = mapped_column({MOOD})", "add_column("
    ),
    "new array of an enum": new_enum_array,
    "removed array of an enum": new_enum_array.reverse("drop_column("),
    "new value of an enum": new_enum_value,
    "removed value of an enum": new_enum_value.reverse('"sad"'),
    "longer value of an enum without a type": Change(
        column('sa.Enum("happy", "sad", name="mood", native_enum=False)'),
        column('sa.Enum("happy", "sad", "furious", name="mood", native_enum=False)'),
        "furious",
    ),
    "text to enum": text_to_enum,
    "enum to text": text_to_enum.reverse("type_=sa.String(length=9)"),
}

# What neither loses nor locks anything, on any database.
HARMLESS = {
    "new table",
    "new column",
    "new column with a default",
    "longer text",
    "no longer not null",
    "new default",
    "changed default",
    "removed default",
    "removed index",
    "removed unique constraint",
    "removed foreign key",
    "removed CHECK",
    "new comment",
    "changed comment",
    "removed comment",
    "new comment of a table",
    "changed comment of a table",
    "removed comment of a table",
    "new table with an enum",
    "new column of an enum",
    "new column of an enum that is in use",
    "longer value of an enum without a type",
}

# Each cell of the table, or each change on one of the databases in turn where it is not -m slow.
CELLS = [
    pytest.param(
        name, kind, id=f"{name}-{kind}",
        marks=[] if kind == change.kinds[row % len(change.kinds)] else [pytest.mark.slow],
    )
    for row, (name, change) in enumerate(CHANGES.items())
    for kind in change.kinds
]  # fmt: skip

# Run in the project. The first state is migrated in a fork, so that the second finds no trace
# of its models, and Python has to load SQLAlchemy only once.
WALK = """
import os
import sys

from alembic.config import main
from sqlalchemy import create_engine, inspect, text

engine = create_engine(os.environ["DATABASE_URL"])


def schema():
    inspector = inspect(engine)
    parts = ["columns", "indexes", "unique_constraints", "check_constraints", "foreign_keys"]
    found = [
        f"{table} {part} {item}"
        for table in inspector.get_table_names()
        for part in parts
        for item in getattr(inspector, f"get_{part}")(table)
    ]
    if inspector.dialect.supports_comments:
        found += [f"{t} {inspector.get_table_comment(t)}" for t in inspector.get_table_names()]
    if hasattr(inspector, "get_enums"):
        found += [str(enum) for enum in inspector.get_enums()]
    engine.dispose()
    return sorted(found)


child = os.fork()
if child == 0:
    main(["revision", "--autogenerate", "-m", "first"])
    main(["upgrade", "head"])
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
with engine.begin() as connection:
    connection.execute(text("INSERT INTO items (name, number) VALUES ('tea', 3)"))
before = schema()
os.replace("after.py", "src/my_shop/models/items.py")
if sys.argv[1] == "unseen":
    main(["check"])
    sys.exit()
main(["revision", "--autogenerate", "-m", "second"])
for command in ("upgrade head", "check", "downgrade -1"):
    main(command.split())
left = set(before) ^ set(schema())
assert not left, "downgrade() does not bring back: " + ", ".join(sorted(left))
for command in ("upgrade head", "check"):
    main(command.split())
"""


@pytest.fixture
def project(request: pytest.FixtureRequest, bake: Bake) -> Project:
    """A project without models."""
    skip_without_servers(request.param)
    return bake(database=request.param, example_models=False)


def models(state: str) -> str:
    return MODELS + (state if "class " in state else textwrap.indent(state, "    ")) + "\n"


@pytest.mark.parametrize(("name", "project"), CELLS, indirect=["project"])
def test_a_change_is_found_and_goes_up_down_and_up_with_rows(
    project: Project, new_database: NewDatabase, name: str
) -> None:
    change = CHANGES[name]
    kind = str(project.answers["database"])
    url = with_driver(new_database(kind))
    (project.path / "src/my_shop/models/items.py").write_text(models(change.before))
    (project.path / "after.py").write_text(models(change.after))
    (project.path / "walk.py").write_text(WALK)
    project.succeed("walk", "unseen" if kind in change.unseen else "found", url=url)
    if kind in change.unseen:
        readme = project.read("migrations/guard/README.md")
        blind_spots = readme[readme.index("| autogenerate does not detect |") :]
        assert change.unseen[kind] in blind_spots
        return
    (path,) = project.versions.glob("*_second.py")
    upgrade, _ = path.read_text().split("def downgrade")
    assert change.expected in upgrade
    assert name not in HARMLESS or "#" not in upgrade
    project.succeed("ruff", "check", str(path))
    project.succeed("ruff", "format", "--check", str(path))
    assert query(url, "SELECT name, number FROM items") == [("tea", 3)]
