"""The models of the database main."""

from typing import ClassVar

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from {{ cookiecutter.package_name }}.models.base import COLUMN_TYPES, NAMING_CONVENTION


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar = COLUMN_TYPES
