"""What a database gets of a type that is not one of SQLAlchemy's: without decorators and variants.

https://docs.sqlalchemy.org/en/21/core/custom_types.html
"""

import copy
import sys
from typing import Any

from sqlalchemy import Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import immutabledict

# Types that hold another one, and in which attribute.
INNER = ("item_type", "data_type", "text_type", "astext_type")


def needs_help(type_: Any) -> bool:
    """Return whether Alembic would write a type by a class that is not SQLAlchemy's public one."""
    inner = [getattr(type_, name, None) for name in INNER] if is_public(type_) else []
    if isinstance(type_, DOMAIN) and not needs_help(type_.data_type):
        return False  # Its check and its default are written by Alembic only.
    return (
        not is_public(type_)
        or any(needs_help(each) for each in variants_of(type_).values())
        # Alembic looks for the text of the inner type with a pattern made of it.
        or any(isinstance(each, TypeEngine) for each in inner)
    )


def is_public(type_: Any) -> bool:
    """Return whether the class of a type is one that SQLAlchemy exports."""
    return public_place(type(type_)) is not None


def public_place(class_: type) -> str | None:
    """Return the module of SQLAlchemy from which a class can be imported, or None."""
    parts = class_.__module__.split(".")
    if parts[0] != "sqlalchemy":
        return None
    place = ".".join(parts[:3]) if parts[1:2] == ["dialects"] else "sqlalchemy"
    # alembic-postgresql-enum says of a class of its own that it is in such a module.
    is_there = getattr(sys.modules.get(place), class_.__name__, None) is class_
    return place if is_there or class_.__module__ == place else None


def variants_of(type_: Any) -> dict[str, TypeEngine[Any]]:
    """Return the variants of a type by the names of their dialects."""
    return dict(getattr(type_, "_variant_mapping", {}))


def without_variants(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return a copy of a type that is the same on every database."""
    type_ = copy.copy(type_)
    type_._variant_mapping = immutabledict()
    return type_


def resolved(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return the type that a dialect gives the database: without variants and decorators."""
    for _ in range(20):
        variant = variants_of(type_).get(dialect.name)
        if variant is not None and variant is not type_:
            type_ = variant
        elif isinstance(type_, TypeDecorator) and not is_public(type_):
            type_ = type_.load_dialect_impl(dialect)
        else:
            break
    if variants_of(type_):
        type_ = without_variants(type_)
    for name in INNER:
        inner = getattr(type_, name, None)
        if isinstance(inner, TypeEngine):
            type_ = copy.copy(type_)
            setattr(type_, name, resolved(inner, dialect))
    return type_


def ddl(type_: Any, dialect: Dialect) -> str | None:
    """Return a type as the database writes it, or None when it has none."""
    try:
        return str(type_.compile(dialect=dialect))
    except Exception:  # noqa: BLE001 - the class may be of anybody
        return None
