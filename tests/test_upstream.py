"""Promises about Alembic's own templates: what is new in them is noticed here, by name.

When a test fails, read Alembic's changelog, decide what our files should do about it, and write
the new state down here.
"""

import ast
import re
from pathlib import Path

import alembic
import pytest
from conftest import Project

UPSTREAM = Path(alembic.__file__).parent / "templates" / "generic"

# Every setting of Alembic's alembic.ini, set or only shown there, with its value.
SETTINGS = {
    "alembic.file_template": (
        "%%(year)d/%%(month).2d/%%(day).2d_%%(hour).2d%%(minute).2d_%%(second).2d_%%(rev)s_%%(slug)s"
    ),
    "alembic.output_encoding": "utf-8",
    "alembic.path_separator": "os",
    "alembic.prepend_sys_path": ".",
    "alembic.recursive_version_locations": "false",
    "alembic.revision_environment": "false",
    "alembic.script_location": "${script_location}",
    "alembic.sourceless": "false",
    "alembic.sqlalchemy.url": "driver://user:pass@localhost/dbname",
    "alembic.timezone": "",
    "alembic.truncate_slug_length": "40",
    "alembic.version_locations": "%(here)s/bar:%(here)s/bat:%(here)s/alembic/versions",
    "formatter_generic.datefmt": "%H:%M:%S",
    "formatter_generic.format": "%(levelname)-5.5s [%(name)s] %(message)s",
    "formatters.keys": "generic",
    "handler_console.args": "(sys.stderr,)",
    "handler_console.class": "StreamHandler",
    "handler_console.formatter": "generic",
    "handler_console.level": "NOTSET",
    "handlers.keys": "console",
    "logger_alembic.handlers": "",
    "logger_alembic.level": "INFO",
    "logger_alembic.qualname": "alembic",
    "logger_root.handlers": "console",
    "logger_root.level": "WARNING",
    "logger_root.qualname": "",
    "logger_sqlalchemy.handlers": "",
    "logger_sqlalchemy.level": "WARNING",
    "logger_sqlalchemy.qualname": "sqlalchemy.engine",
    "loggers.keys": "root,sqlalchemy,alembic",
    "post_write_hooks.black.entrypoint": "black",
    "post_write_hooks.black.options": "-l 79 REVISION_SCRIPT_FILENAME",
    "post_write_hooks.black.type": "console_scripts",
    "post_write_hooks.hooks": "ruff",
    "post_write_hooks.ruff.executable": "ruff",
    "post_write_hooks.ruff.module": "ruff",
    "post_write_hooks.ruff.options": "check --fix REVISION_SCRIPT_FILENAME",
    "post_write_hooks.ruff.type": "exec",
}

# Those whose default is what we want; Alembic's readers know them, ours need not.
LEFT_ALONE = {
    "alembic.output_encoding",
    "alembic.recursive_version_locations",
    "alembic.revision_environment",
    "alembic.sourceless",
    "alembic.truncate_slug_length",
    "alembic.version_locations",
}
# The URL is never in the ini: see settings.py.
NOT_OURS = {"alembic.sqlalchemy.url"}

# What Alembic's env.py calls and hands over.
ENV_WORDS = {
    "config.config_file_name",
    "config.config_ini_section",
    "config.get_main_option",
    "config.get_section",
    "context.begin_transaction",
    "context.config",
    "context.configure",
    "context.configure(connection)",
    "context.configure(dialect_opts)",
    "context.configure(literal_binds)",
    "context.configure(target_metadata)",
    "context.configure(url)",
    "context.is_offline_mode",
    "context.run_migrations",
    "pool.NullPool",
}
# What the guard does in the place of ours: the engine is made of a URL.
CONNECTION_WORDS = {
    "config.config_ini_section",
    "config.get_main_option",
    "config.get_section",
    "pool.NullPool",
}
# Databases that share a history begin one after the other, and end together.
TOGETHER_WORDS = {"context.begin_transaction", "context.run_migrations"}

SCRIPT_WORDS = {
    "branch_labels",
    "create_date",
    "depends_on",
    "down_revision",
    "downgrades",
    "imports",
    "message",
    "up_revision",
    "upgrades",
}


def differences(known: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return a line for each name that is new, gone or has another value."""
    lines = [f"new: {name} = {found[name]}" for name in found if name not in known]
    lines += [f"gone: {name}" for name in known if name not in found]
    lines += [
        f"changed: {name} = {found[name]}, was {value}"
        for name, value in known.items()
        if found.get(name, value) != value
    ]
    return sorted(lines)


def settings_of(ini: str) -> dict[str, str]:
    """Return the settings of an alembic.ini, also those that are only shown in a comment."""
    settings, section = {}, ""
    for line in ini.splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif setting := re.fullmatch(r"(# )?([a-z_.]+) ?=(?: (.+))?", line):
            name, value = f"{section}.{setting[2]}", setting[3] or ""
            if not (setting[1] and name == "alembic.path_separator"):
                settings[name] = value
    return settings


def words_of(source: str) -> dict[str, str]:
    """Return the attributes of Alembic's objects that an env.py uses, and what it configures."""
    words = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            words[f"{node.value.id}.{node.attr}"] = ""
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "context.configure":
            words |= {f"context.configure({word.arg})": "" for word in node.keywords if word.arg}
    return {
        word: "" for word in words if word.split(".")[0] in {"alembic", "config", "context", "pool"}
    }


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"a": "1", "b": "2", "c": "3"}, "new: c = 3"),
        ({"a": "1"}, "gone: b"),
        ({"a": "1", "b": "9"}, "changed: b = 9, was 2"),
    ],
)
def test_a_difference_is_reported_by_name(found: dict[str, str], line: str) -> None:
    assert differences({"a": "1", "b": "2"}, found) == [line]
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == []


def test_ini_of_alembic_has_no_setting_that_we_do_not_know() -> None:
    ini = (UPSTREAM / "alembic.ini.mako").read_text(encoding="utf-8")
    assert differences(SETTINGS, settings_of(ini)) == []


def test_env_of_alembic_does_nothing_that_we_do_not_know() -> None:
    env = (UPSTREAM / "env.py").read_text(encoding="utf-8")
    assert differences(dict.fromkeys(ENV_WORDS, ""), words_of(env)) == []


def test_script_of_alembic_has_no_part_that_we_do_not_know() -> None:
    script = (UPSTREAM / "script.py.mako").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z_]{6,}", " ".join(re.findall(r"\$\{(.*?)\}", script)))) == (
        SCRIPT_WORDS
    )


def test_our_files_have_all_that_those_of_alembic_have(project: Project) -> None:
    ini = project.read("alembic.ini").replace("[DEFAULT]", "[alembic]")
    ours = settings_of(ini)
    sections = {name.split(".")[0] for name in ours}
    wanted = {name for name in SETTINGS if name.startswith("alembic.")} - LEFT_ALONE - NOT_OURS
    assert wanted <= set(ours)
    assert not LEFT_ALONE & set(ours)
    assert {"loggers", "handlers", "formatters", "logger_root", "handler_console"} <= sections

    env = words_of(project.read("migrations/env.py"))
    wanted = ENV_WORDS - CONNECTION_WORDS
    if project.answers["databases"] == "shared_history":
        together = project.read("migrations/guard/running/together.py")
        assert all(f".{word.partition('.')[2]}(" in together for word in TOGETHER_WORDS)
        wanted -= TOGETHER_WORDS
    assert wanted <= set(env)
    guard = "".join(
        project.read(f"migrations/guard/{name}.py")
        for name in ("running/connection", "running/together", "messages", "databases/base")
    )
    assert {word for word in CONNECTION_WORDS if word.partition(".")[2] not in guard} == set()

    script = project.read("migrations/script.py.mako")
    assert {word for word in SCRIPT_WORDS if word not in script} == set()
