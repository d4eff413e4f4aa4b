"""Promises about projects whose models have another base: their migrations and tests work, too."""

import pytest
from conftest import Bake, Project

FLASK = """
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


db = SQLAlchemy(model_class=Base)
"""
BASES = {
    "SQLModel": (
        """
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = NAMING_CONVENTION


class Base(SQLModel):
    pass
""",
        """
from sqlmodel import Field

from my_shop.models.base import Base


class Team(Base, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50, unique=True)
""",
    ),
    "Flask-SQLAlchemy": (
        FLASK,
        """
from sqlalchemy.orm import Mapped, mapped_column

from my_shop.models.base import db


class Team(db.Model):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
""",
    ),
    "advanced-alchemy": (
        """
from advanced_alchemy.base import UUIDAuditBase as Base
""",
        """
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from my_shop.models.base import Base


class Team(Base):
    __tablename__ = "team"
    name: Mapped[str] = mapped_column(String(50), unique=True)
""",
    ),
    "MappedAsDataclass": (
        """
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass


class Base(MappedAsDataclass, DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
""",
        """
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from my_shop.models.base import Base


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str] = mapped_column(String(50), unique=True)
""",
    ),
}
CONVENTION = """NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}
"""


def project_with(bake: Bake, name: str) -> Project:
    """Return a project whose base and only model are those of another library."""
    project = bake(example_models=False, package_name="my_shop", project_slug="my-shop")
    base, model = BASES[name]
    models = project.path / "src" / "my_shop" / "models"
    (models / "base.py").write_text(CONVENTION + base)
    (models / "team.py").write_text(model)
    return project


# Two in the default run, as each generates, migrates and tests a whole project; all with -m slow.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if number > 1 else [])
        for number, name in enumerate(BASES)
    ],
)
def test_the_tests_of_a_project_pass_with_another_base(bake: Bake, name: str) -> None:
    project = project_with(bake, name)
    project.succeed("alembic", "upgrade", "head")
    project.succeed("alembic", "revision", "--autogenerate", "-m", "team")
    text = max(project.versions.glob("*team*.py")).read_text()
    assert "my_shop" not in text
    project.succeed("alembic", "upgrade", "head")
    project.succeed("alembic", "check")
    run = project.run("pytest", "-q", "-p", "no:cacheprovider", "tests/test_migrations.py")
    assert run.returncode == 0, run.stdout + run.stderr
