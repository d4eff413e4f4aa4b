"""What public issues report, tried here: each with where it was reported."""

import pytest
from conftest import query
from environments import NewEnvironment
from test_differences import things
from test_enums import change, goes_up_and_down, succeed
from test_writing import ALL, upgraded

IMPORTS = "from sqlalchemy.dialects import postgresql, mysql\n"

MODELS = {
    "google/adk-python#3497: a decorator around PickleType": (
        ALL,
        "class Dynamic(sa.TypeDecorator):\n    impl = sa.PickleType\n    cache_ok = True\n"
        + things("sa.Column('actions', Dynamic())", "sa.Column('plain', sa.PickleType())"),
    ),
    "miguelgrinberg/Flask-Migrate#282: a decorator whose constructor wants a class": (
        ALL,
        "import enum\nclass Roles(enum.IntEnum):\n    user = 0\n"
        "class IntEnum(sa.TypeDecorator):\n    impl = sa.Integer\n    cache_ok = True\n"
        "    def __init__(self, enumtype, *args, **kwargs):\n"
        "        super().__init__(*args, **kwargs)\n        self._enumtype = enumtype\n"
        + things("sa.Column('role', IntEnum(Roles))"),
    ),
    "sqlalchemy/alembic#1633: server_default=FetchedValue()": (
        ALL,
        things("sa.Column('at', sa.DateTime, server_default=sa.FetchedValue())"),
    ),
    "sqlalchemy/alembic#1291: NULLS NOT DISTINCT": (
        ["postgresql"],
        things(
            "sa.Column('a', sa.Integer)",
            "sa.UniqueConstraint('a', name='uq_a', postgresql_nulls_not_distinct=True)",
        ),
    ),
    "sqlalchemy/alembic#1240: a unique key of columns out of their order": (
        ALL,
        things(
            "sa.Column('a', sa.Integer, index=True)",
            "sa.Column('b', sa.Integer)",
            "sa.UniqueConstraint('b', 'a', name='uq_b_a')",
        ),
    ),
    "sqlalchemy/alembic#1859: Boolean and Enum with create_constraint": (
        ALL,
        things(
            "sa.Column('a', sa.Boolean(create_constraint=True, name='ck_a'))",
            "sa.Column('b', sa.Enum('x', 'y', name='ck_b', native_enum=False, "
            "create_constraint=True))",
        ),
    ),
    "sqlalchemy/alembic#1445: a schema with the name of the user": (
        ["postgresql"],
        (
            "sa.Table('t', target_metadata, sa.Column('id', sa.BigInteger, sa.Identity(always=True), "
            "primary_key=True), schema='postgres')\n"
        ),
    ),
    "sqlalchemy/alembic#1386: a decorated type in a variant": (
        ALL,
        "class Hash(sa.TypeDecorator):\n    impl = sa.LargeBinary(32)\n    cache_ok = True\n"
        + things("sa.Column('h', sa.String(64).with_variant(Hash(), 'postgresql'))"),
    ),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for name, (kinds, _) in MODELS.items() for kind in kinds]
)
def test_models_of_a_public_issue_are_created_compared_and_dropped(
    new_environment: NewEnvironment, kind: str, name: str
) -> None:
    environment = upgraded(new_environment(kind))
    if "schema with the name" in name:
        query(environment.url, "CREATE SCHEMA postgres")
    text, _ = change(environment, MODELS[name][1], "first")
    assert "env_py" not in text
    goes_up_and_down(environment)
    change(environment, "", "second")
    goes_up_and_down(environment)


def test_arize_phoenix_15039_the_order_of_an_index_survives_a_copy_on_sqlite(
    new_environment: NewEnvironment,
) -> None:
    environment = upgraded(
        new_environment("sqlite"),
        'op.create_table("t", sa.Column("a", sa.Integer), sa.Column("b", sa.String(10)))\n'
        'op.create_index("ix_t", "t", [sa.text("a"), sa.text("b DESC")])',
    )
    environment.add_revision(
        "copied",
        'with op.batch_alter_table("t", recreate="always") as batch:\n'
        '    batch.alter_column("b", type_=sa.String(20))',
    )
    succeed(environment, "upgrade", "head")
    sql = "SELECT sql FROM sqlite_master WHERE name = 'ix_t'"
    assert "DESC" in query(environment.url, sql)[0][0]


def test_sqlalchemy_alembic_1492_an_index_on_a_function_on_mysql_is_refused_or_right(
    new_environment: NewEnvironment,
) -> None:
    environment = upgraded(new_environment("postgresql"))
    index = "    sa.Index('ix_c', 'name', sa.text('coalesce(size, 0)'), unique=True),\n"
    columns = ("sa.Column('name', sa.String(20))", "sa.Column('size', sa.Integer)")
    change(environment, things(*columns, more=index), "first")
    goes_up_and_down(environment)
