"""What a project tells the tests of its migrations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO, TypeVar

import pytest
from alembic.config import Config
from sqlalchemy import URL

AnyEngine = TypeVar("AnyEngine")


class Layout(Enum):
    """How many databases there are, and how many histories of revisions."""

    ONE = auto()
    SEVERAL = auto()  # A history for each database: alembic --name main
    SHARED_HISTORY = auto()  # One history: upgrade_main(), upgrade_analytics()


@dataclass(frozen=True)
class Application:
    """What the project tells the proof; return it from a fixture ``application``.

    :param ini: the path of alembic.ini.
    :param models: the module or package of the models.
    :param database_url: returns the URL of the database; with several, its name comes first. The
        keyword ``given`` is a URL that counts before all others.
    :param make_engine: returns the application's engine for a URL.
    :param bases: with several databases, the declarative base of each by its name.
    """

    ini: Path
    models: ModuleType
    database_url: Callable[..., URL]
    make_engine: Callable[[URL], Any]
    bases: Mapping[str, type] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """How many databases and histories there are, as alembic.ini says."""
        file = Config(self.ini).file_config
        inherited = file.defaults()
        if any(
            "version_locations" in set(file.options(section)) - set(inherited)
            for section in file.sections()
            if section != "alembic"
        ):
            return Layout.SEVERAL
        return Layout.SHARED_HISTORY if self.bases else Layout.ONE

    @property
    def databases(self) -> list[str]:
        """The names of the databases; that of a single one is empty."""
        return list(self.bases) or [""]

    @property
    def package(self) -> str:
        """The name of the application's outermost package."""
        return self.models.__name__.partition(".")[0]

    def databases_of(self, history: str) -> list[str]:
        """Return the names of the databases that go through a history."""
        return [history] if self.layout is Layout.SEVERAL else self.databases

    def url(self, database: str, given: str | None = None) -> URL:
        """Return the URL of a database, as the application's settings say.

        :param given: a URL that counts before all others.
        :raises ValueError: when the one that counts is not a URL.
        """
        name = [database] if database else []
        return self.database_url(*name) if given is None else self.database_url(*name, given=given)

    def config(self, history: str = "", output: TextIO | None = None) -> Config:
        """Return the project's Alembic configuration, as it is.

        :param history: the name of the database, where each has a history.
        :param output: where the SQL of offline mode is written, if not to stdout.
        """
        section = history if self.layout is Layout.SEVERAL else "alembic"
        return Config(self.ini, ini_section=section, output_buffer=output)

    def only(self, engines: Mapping[str, AnyEngine], fixture: str) -> AnyEngine:
        """Return the engine of the only database; with several, fail the test.

        :param fixture: the name of the fixture that has all engines.
        """
        if list(engines) != [""]:
            pytest.fail(
                f"There are several databases: use {fixture}[{min(engines)!r}].", pytrace=False
            )
        return engines[""]
