"""Every way to name a database means that one, or is refused: it never means another one.

A command line names it with ``-x url=…``, of several databases with ``-x main_url=…``; a program with
``sqlalchemy.url`` on its Config, or with a connection in ``config.attributes``.
"""

from collections.abc import Collection, Mapping

from alembic.config import Config
from alembic.util import CommandError

from .. import revisions, settings
from ..messages import command_line
from .command import Command

URL = "sqlalchemy.url"

# In config.attributes: a connection, or one for each of several databases, by its name; and the
# database that --sql is for, where several share a history.
CONNECTION, CONNECTIONS, DATABASE = "connection", "connections", "database"


def check(command: Command) -> str:
    """Check what names the database, where a history is for one of them.

    :return: the argument of ``-x`` for its URL.
    :raises CommandError: for what would be ignored, with the right form.
    """
    config = command.config
    histories = revisions.histories(config)
    if config.config_ini_section in histories:
        argument = check_one_of_several(config, histories)
    else:
        argument, histories = "url", []
    settings.refuse_unknown_arguments(config, [argument])
    if not command.on_command_line:
        for section in sorted(set_by_program(config) - {config.config_ini_section, *histories}):
            raise CommandError(
                f"sqlalchemy.url was set in [{section}], which names no database here. Write: "
                f'config.set_main_option("sqlalchemy.url", …)'
            )
    attributes = config.attributes
    if CONNECTIONS in attributes and not histories:
        raise CommandError(
            'config.attributes["connections"] is for several databases. '
            'Pass a connection in config.attributes["connection"].'
        )
    refuse_unknown_connections(config, histories)
    if CONNECTION in attributes and config.config_ini_section in attributes.get(CONNECTIONS, ()):
        raise CommandError(
            f'config.attributes["connection"] and ["connections"] both name the database '
            f"{config.config_ini_section}. Pass one of them."
        )
    if DATABASE in attributes:
        raise CommandError(
            'config.attributes["database"] is for databases that share a history. Each has '
            'its own here: Config(…, ini_section="main")'
        )
    return argument


def check_one_of_several(config: Config, histories: Collection[str]) -> str:
    """Check the command line and the ini of a database that has a history of its own."""
    name = config.config_ini_section
    given = settings.arguments(config)
    if "url" in given:
        raise CommandError(f"-x url names no database of several. Write: -x {name}_url=…")
    for other in histories:
        if other != name and f"{other}_url" in given:
            raise CommandError(
                f"{command_line(config)} is for the database {name} only. Remove "
                f"-x {other}_url, or write: alembic --name {other}"
            )
    if URL in config.file_config.defaults():
        raise CommandError(
            f"sqlalchemy.url in [DEFAULT] of alembic.ini would be the same database for "
            f"{' and '.join(histories)}. Write it in the section of each."
        )
    return f"{name}_url"


def connection_of_program(config: Config) -> tuple[object, str]:
    """Return the connection that a program passes, or None, and where it was passed.

    Call ``check()`` first.
    """
    name = config.config_ini_section
    if name in (connections := config.attributes.get(CONNECTIONS, {})):
        return connections[name], f'config.attributes["connections"]["{name}"]'
    return config.attributes.get(CONNECTION), 'config.attributes["connection"]'


def check_all_of_several(command: Command, names: Collection[str], offline: bool) -> None:
    """Check what names the databases that share a history.

    :param names: those of all databases.
    :param offline: whether ``--sql`` is given, for which one of them is named.
    :raises CommandError: for what would be ignored, with the right form.
    """
    config = command.config
    given, attributes = settings.arguments(config), config.attributes
    first = min(names)
    if "url" in given:
        forms = " ".join(f"-x {name}_url=…" for name in names)
        raise CommandError(f"-x url names no database of {len(names)}. Write: {forms}")
    if not offline and (DATABASE in given or DATABASE in attributes):
        named = "-x database" if DATABASE in given else 'config.attributes["database"]'
        raise CommandError(
            f"{named} is for --sql only: a shared history changes all databases together."
        )
    if config.config_ini_section in names:
        raise CommandError(
            f"--name {config.config_ini_section} names no history: one history changes all "
            "databases together. Leave it out."
        )
    settings.refuse_unknown_arguments(config, [*(f"{name}_url" for name in names), DATABASE])
    ini = config.file_config
    for section in ini.sections():
        if section not in names and own_url(config, section):
            raise CommandError(
                f"sqlalchemy.url in [{section}] names no database of several. Set it in the section of "
                f'each: config.set_section_option("{first}", "sqlalchemy.url", …)'
            )
    if CONNECTION in attributes:
        raise CommandError(
            f'config.attributes["connection"] names no database of several. Pass one for each: '
            f'config.attributes["connections"] = {{"{first}": …}}'
        )
    refuse_unknown_connections(config, names)
    if not offline:
        refuse_only_some(command, names)


def refuse_only_some(command: Command, names: Collection[str]) -> None:
    """Where one database is named for this call, the configured ones are not meant.

    :raises CommandError: when another one is not named.
    """
    config = command.config
    given = settings.arguments(config)
    named = {name for name in names if f"{name}_url" in given}
    named |= set(config.attributes.get(CONNECTIONS, ()))
    if not command.on_command_line:
        named |= set_by_program(config)
    missing = [name for name in names if name not in named]
    if not named or not missing:
        return
    forms = " ".join(f"-x {name}_url=…" for name in missing)
    if not command.on_command_line:
        forms = f'config.set_section_option("{missing[0]}", "sqlalchemy.url", …)'
    raise CommandError(
        f"{' and '.join(sorted(named))} is named for this call, but the configured "
        f"{' and '.join(missing)} would be changed, too.\nName all databases: {forms}"
    )


def chosen_for_sql(config: Config, names: Collection[str]) -> str:
    """Return the database that ``--sql`` is for: a script is run in one database.

    :raises CommandError: when none is named, or one that does not exist.
    """
    given = settings.arguments(config).get(DATABASE, config.attributes.get(DATABASE))
    forms = " or ".join(f"-x database={name}" for name in names)
    if given is None:
        raise CommandError(f"--sql writes the SQL of one database. Add: {forms}")
    if given not in names:
        raise CommandError(f"There is no database {given!r}. Write: {forms}")
    return str(given)


def refuse_unknown_connections(config: Config, names: Collection[str]) -> None:
    passed: Mapping[str, object] = config.attributes.get(CONNECTIONS, {})
    for name in sorted(set(passed) - set(names)):
        raise CommandError(
            f'There is no database {name!r} of config.attributes["connections"]. '
            f"There are {', '.join(names)}."
        )


def own_url(config: Config, section: str) -> str | None:
    """Return ``sqlalchemy.url`` as a section itself says, without the section ``[DEFAULT]``."""
    ini = config.file_config
    url = ini.get(section, URL, raw=True, fallback=None)
    return None if url == ini.defaults().get(URL) else url or None


def set_by_program(config: Config) -> set[str]:
    """Return the sections in which a program, and not its ini, says where a database is."""
    in_file = Config(config.config_file_name)
    return {
        section
        for section in config.file_config.sections()
        if (url := own_url(config, section)) and url != own_url(in_file, section)
    }
