"""The settings of the guard: the section ``[guard]`` of alembic.ini, and ``alembic -x name=value``.

Every room reads its settings here, and only here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from alembic.config import Config
from alembic.util import CommandError

SECTION = "guard"

# Each setting with its default, which also holds without an ini. README.md explains them.
DEFAULTS = {
    "wait": "0",
    "lock": "on",
    "lock_wait": "60",
    "lock_timeout": "5",
    "retry_for": "300",
    "connect_timeout": "10",
    "record": "yes",
    "unmanaged": "ignore",
    "external_tables": "",
    "remarks": "",
    "dialects": "",
    "show_values": "off",
    "own_arguments": "",
}

# What is a choice, what is a number of seconds, and what cannot be given for one call only.
CHOICES = {
    "lock": ("on", "off"),
    "record": ("yes", "no"),
    "show_values": ("on", "off"),
    "unmanaged": ("ignore", "compare"),
}
SECONDS = ("wait", "lock_wait", "lock_timeout", "retry_for", "connect_timeout")
ONLY_IN_INI = ("own_arguments",)


@dataclass(frozen=True)
class Settings:
    """The settings that hold for one command.

    :param wait: how long to wait for a server that does not answer yet, in seconds.
    :param lock: whether migrations of a database run one at a time.
    :param lock_wait: how long to wait for another migration, in seconds.
    :param lock_timeout: how long a statement waits for a locked table, in seconds.
    :param retry_for: how long a revision that locks or conflicts stop is tried again, in seconds.
    :param connect_timeout: how long a server may take to accept a connection, in seconds.
    :param record: whether what is applied is recorded in a table beside Alembic's.
    :param unmanaged: whether objects that neither a model nor a revision knows are compared.
    :param external_tables: patterns of the tables that belong to others: ``name``, ``schema.*``.
    :param dialects: names of the databases that revisions are for, besides the connected one.
    :param show_values: whether messages may contain values of rows.
    :param disabled_remarks: names of the rules that are switched off.
    """

    wait: float
    lock: bool
    lock_wait: float
    lock_timeout: float
    retry_for: float
    connect_timeout: float
    record: bool
    unmanaged: bool
    external_tables: tuple[str, ...]
    disabled_remarks: frozenset[str]
    dialects: tuple[str, ...] = ()
    show_values: bool = False

    def is_external(self, table: str, schema: str | None) -> bool:
        """Return whether ``external_tables`` lists a table."""
        name = f"{schema}.{table}" if schema else table
        return any(fnmatchcase(name, pattern) for pattern in self.external_tables)


def read(config: Config) -> Settings:
    """Return the settings for this command.

    :raises CommandError: for a name or a value that ``[guard]`` cannot have.
    """
    given = arguments(config)
    in_ini = section(config)
    for name in in_ini:
        if name not in DEFAULTS:
            raise CommandError(
                f"Unknown setting {name!r} in [{SECTION}] of alembic.ini. "
                f"Known are: {', '.join(DEFAULTS)}"
            )
    values: dict[str, str] = {**DEFAULTS, **in_ini}
    sources = dict.fromkeys(values, f"[{SECTION}] ")
    for name in DEFAULTS:
        if name in given and name not in ONLY_IN_INI:
            values[name], sources[name] = given[name], "-x "
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            raise CommandError(
                f"{sources[name]}{name} is {' or '.join(choices)}, not {values[name]!r}."
            )
    for name in SECONDS:
        if not re.fullmatch(r"\d+(\.\d+)?", values[name]):
            raise CommandError(
                f"{sources[name]}{name} is a number of seconds, like {DEFAULTS[name]}, "
                f"not {values[name]!r}."
            )
    return Settings(
        wait=float(values["wait"]),
        lock=values["lock"] == "on",
        lock_wait=float(values["lock_wait"]),
        lock_timeout=float(values["lock_timeout"]),
        retry_for=float(values["retry_for"]),
        connect_timeout=float(values["connect_timeout"]),
        record=values["record"] == "yes",
        unmanaged=values["unmanaged"] == "compare",
        external_tables=tuple(words(values["external_tables"])),
        disabled_remarks=frozenset(disabled(values["remarks"])),
        dialects=tuple(words(values["dialects"])),
        show_values=values["show_values"] == "on",
    )


def refuse_unknown_arguments(config: Config, accepted: Iterable[str]) -> None:
    """Refuse a name that ``-x`` does not have, as a mistyped one would change nothing.

    :param accepted: the names beside those of the settings, like ``url``.
    :raises CommandError: for a name that neither is known nor stands in ``own_arguments``.
    """
    known = [*accepted, *(name for name in DEFAULTS if name not in ONLY_IN_INI)]
    known += words(section(config).get("own_arguments", ""))
    for name in arguments(config):
        if name not in known:
            raise CommandError(f"Unknown argument -x {name}. Known are: {', '.join(known)}")


def section(config: Config) -> Mapping[str, str]:
    """Return what ``[guard]`` of alembic.ini says itself, without the section ``[DEFAULT]``."""
    if not config.file_config.has_section(SECTION):
        return {}
    inherited = config.file_config.defaults()
    return {
        name: value for name, value in config.file_config.items(SECTION) if name not in inherited
    }


def arguments(config: Config) -> dict[str, str]:
    """Return what ``alembic -x name=value`` was given; a program gives nothing.

    https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.environment.EnvironmentContext.get_x_argument
    """
    given = getattr(config.cmd_opts, "x", None) or []
    return {name: value for name, _, value in (argument.partition("=") for argument in given)}


def words(value: str) -> list[str]:
    """Return the words of a list that is separated by commas, spaces or lines."""
    return re.findall(r"[^\s,]+", value)


def disabled(value: str) -> list[str]:
    """Return the names in a list like ``-index_locks_writers, -drops_data``.

    :raises CommandError: when a name has no minus, as every rule is on already.
    """
    names = words(value)
    for name in names:
        if not name.startswith("-"):
            raise CommandError(
                f"remarks lists rules to switch off, each with a minus: remarks = -{name}"
            )
    return [name.removeprefix("-") for name in names]
