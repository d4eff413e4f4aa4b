"""Writes a type into a revision as what the database gets, so that it needs no application.

What is written is evaluated, and has to give the same DDL: a file that cannot be run would block
every other command of Alembic.
https://alembic.sqlalchemy.org/en/latest/autogenerate.html#affecting-the-rendering-of-types-themselves
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import AlterColumnOp
from alembic.util import CommandError
from sqlalchemy import Dialect, Enum, TypeDecorator, create_mock_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import ExternalType, TypeEngine

from ..rules.types import (
    INNER,
    ddl,
    is_public,
    needs_help,
    public_place,
    resolved,
    variants_of,
    without_variants,
)

# A dialect of MySQL has a name of its own for MariaDB.
SYNONYMS = {"mysql": ("mysql", "mariadb"), "mariadb": ("mysql", "mariadb")}


def render_type(
    type_: TypeEngine[Any],
    context: AutogenContext,
    others: Iterable[str] = (),
    own_enums: bool = False,
) -> str | None:
    """Return the code of a type, or None for one of SQLAlchemy that Alembic writes itself.

    :param others: names of dialects that the revision is for, besides that of the connection.
    :param own_enums: whether enum types are created by operations of their own.
    :raises CommandError: when no code gives what the model says.
    """
    if not needs_help(type_):
        return None
    dialect = context.migration_context.dialect
    if dialect is None:
        return None
    writer = Writer(context, own_enums)
    text = writer.text_for(type_, dialect)
    if text is None:
        raise CommandError(refusal(type_, dialect))
    if dialect.name in variants_of(type_):
        # The model says what others get, too.
        base = writer.text_for(without_variants(type_), dialect)
        if base is not None:
            text = f"{base}.with_variant({text}, {written_names(dialect.name)})"
    mentioned = [*others, *sorted(variants_of(type_))]
    for name in dict.fromkeys(SYNONYMS.get(name, (name,))[0] for name in mentioned):
        if dialect.name in SYNONYMS.get(name, (name,)):
            continue
        other = dialect_of(name)
        variant = None if other is None else writer.text_for(type_, other)
        if other is None or variant is None or same_everywhere(text, variant, other, writer):
            continue
        text += f".with_variant({variant}, {written_names(name)})"
    return text


def written_names(dialect: str) -> str:
    """Return the name of a dialect as arguments of ``with_variant()``."""
    return ", ".join(repr(each) for each in SYNONYMS.get(dialect, (dialect,)))


def same_everywhere(text: str, variant: str, dialect: Dialect, writer: "Writer") -> bool:
    """Return whether what is written already gives another database its type, too."""
    return ddl(writer.evaluated(text), dialect) == ddl(writer.evaluated(variant), dialect)


def refusal(type_: TypeEngine[Any], dialect: Dialect) -> str:
    """Return why a type cannot be written, and what to do."""
    name = type(type_).__name__
    try:
        type_.compile(dialect=dialect)
    except Exception as error:  # noqa: BLE001 - the class may be of anybody
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        return f"{dialect.name} has no type for {name}: {cause[:120]}"
    return (
        f"Type {name} cannot be written into a revision: its class is not importable. "
        "Derive it from TypeDecorator, or write the revision by hand."
    )


def dialect_of(name: str) -> Dialect | None:
    """Return the dialect of a name, or None for one that is not installed."""
    try:
        return create_mock_engine(f"{name}://", None).dialect
    except (SQLAlchemyError, ImportError):
        return None


class Writer:
    """Writes types as code, and adds the imports that they need."""

    def __init__(self, context: AutogenContext, own_enums: bool) -> None:
        self.context = context
        self.own_enums = own_enums

    def text_for(self, type_: TypeEngine[Any], dialect: Dialect) -> str | None:
        """Return code that gives a database the same type, or None when there is none."""
        wanted = ddl(type_, dialect)
        if wanted is None:
            return None
        known = set(self.context.imports)
        for text in self.attempts(resolved(type_, dialect), dialect):
            if self.gives(text, wanted, dialect):
                return text
            self.context.imports.clear()
            self.context.imports.update(known)
        return None

    def attempts(self, type_: TypeEngine[Any], dialect: Dialect) -> Iterator[str]:
        """Return the ways to write a type, the best first."""
        if isinstance(type_, Enum) and type_.native_enum and self.creates_enums(dialect):
            yield self.enum(type_)
        simple = as_public(type_)
        if simple is not None:
            yield self.by_alembic(simple)
        if is_installed(type(type_)):
            yield self.by_import(type_)
        yield self.by_name(ddl(type_, dialect) or "")

    def creates_enums(self, dialect: Dialect) -> bool:
        """Return whether an operation of its own has created an enum type."""
        return self.own_enums and dialect is self.context.migration_context.dialect

    def enum(self, type_: Enum) -> str:
        """Return an enum that is not created together with a table."""
        self.context.imports.add("from sqlalchemy.dialects import postgresql")
        native = postgresql.ENUM(*type_.enums, name=str(type_.name), schema=type_.schema)
        return f"postgresql.{native!r}".removesuffix(")") + ", create_type=False)"

    def by_alembic(self, type_: TypeEngine[Any]) -> str:
        """Return a type of SQLAlchemy as Alembic writes it; what is inside of it as we do."""
        outer, start = repr(type_), 0
        parts = [self.prefix(type(type_))]
        for inner in (getattr(type_, name, None) for name in INNER):
            if isinstance(inner, TypeEngine) and (place := outer.find(repr(inner), start)) >= 0:
                parts += [outer[start:place], next(self.attempts(inner, self.dialect))]
                start = place + len(repr(inner))
        if start:
            return "".join([*parts, outer[start:]])
        # Alembic writes a type only as part of an operation.
        code = render_op_text(self.context, AlterColumnOp("t", "c", modify_type=type_))
        return code[code.index("type_=") + len("type_=") : -1]

    @property
    def dialect(self) -> Dialect:
        dialect = self.context.migration_context.dialect
        assert dialect is not None
        return dialect

    def prefix(self, class_: type) -> str:
        """Return what is written before the name of a class of SQLAlchemy."""
        place = public_place(class_) or "sqlalchemy"
        if place == "sqlalchemy":
            return str(self.context.opts["sqlalchemy_module_prefix"] or "")
        dialect = place.rpartition(".")[2]
        self.context.imports.add(f"from sqlalchemy.dialects import {dialect}")
        return f"{dialect}."

    def by_import(self, type_: TypeEngine[Any]) -> str:
        """Return a type of an installed package, by the shortest name that it exports."""
        class_ = type(type_)
        parts = class_.__module__.split(".")
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            if getattr(sys.modules.get(module), class_.__name__, None) is class_:
                self.context.imports.add(f"import {module}")
                return f"{module}.{type_!r}"
        return ""

    def by_name(self, wanted: str) -> str:
        """Return a type that is nothing but its name in SQL."""
        name = "".join(each if each.isalnum() else " " for each in wanted).split()[:1] or ["Type"]
        return (
            f"type({name[0]!r}, (sa.types.UserDefinedType,), "
            f'{{"cache_ok": True, "get_col_spec": lambda self, **_: {wanted!r}}})()'
        ).replace("sa.", str(self.context.opts["sqlalchemy_module_prefix"] or ""), 1)

    def gives(self, text: str, wanted: str, dialect: Dialect) -> bool:
        """Return whether code runs and gives a database a type."""
        if not text:
            return False
        with suppress(Exception):
            return ddl(self.evaluated(text), dialect) == wanted
        return False

    def evaluated(self, text: str) -> Any:
        """Return the type that code makes, with the imports of the revision."""
        prefix = str(self.context.opts["sqlalchemy_module_prefix"] or "").rstrip(".") or "sa"
        names: dict[str, Any] = {prefix: sqlalchemy}
        exec("\n".join(self.context.imports), names)  # noqa: S102 - as Alembic writes them
        return eval(text, names)


def as_public(type_: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """Return the same type of a class that SQLAlchemy exports: of its own or of a base class."""
    if is_public(type_):
        return type_
    for class_ in type(type_).__mro__[1:]:
        if class_ in (TypeEngine, TypeDecorator, ExternalType):
            break
        if issubclass(class_, TypeEngine) and public_place(class_):
            with suppress(Exception):  # A constructor of the application may want anything.
                return type_.adapt(class_)
    return None


def is_installed(class_: type) -> bool:
    """Return whether a class is of an installed package, and not of the application."""
    root = class_.__module__.partition(".")[0]
    file = getattr(sys.modules.get(class_.__module__), "__file__", None)
    if root in packages_of_models() or file is None:
        return False
    return any(part in ("site-packages", "dist-packages") for part in Path(file).parts)


def packages_of_models() -> set[str]:
    """Return the outermost packages of the guard, and of all models."""
    found = {(__package__ or "").partition(".")[0]}
    for base in DeclarativeBase.__subclasses__():
        found |= {mapper.class_.__module__.partition(".")[0] for mapper in base.registry.mappers}
        found.add(base.__module__.partition(".")[0])
    return found
