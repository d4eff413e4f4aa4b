"""Where the revision files are, and what is wrong with one that Alembic cannot read.

Every room may ask here.
"""

import ast
import subprocess
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from alembic import util
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError


@dataclass(frozen=True)
class RevisionFile:
    """What a file says of itself, without running it."""

    path: Path
    revision: str
    parents: tuple[str, ...]


def version_folders(script: ScriptDirectory) -> list[Path]:
    """Return the folders of the revision files, also of an installed package (``package:main``)."""
    places = script.version_locations or [str(Path(script.dir, "versions"))]
    return [Path(util.coerce_resource_to_filename(str(place))) for place in places]


def paths(script: ScriptDirectory) -> list[Path]:
    """Return the paths of all Python files in these folders."""
    return [
        path
        for folder in version_folders(script)
        for path in sorted(folder.glob("**/*.py" if script.recursive_version_locations else "*.py"))
        if path.name != "__init__.py" and not path.name.startswith(".#")
    ]


def read(script: ScriptDirectory) -> Iterator[RevisionFile]:
    """Read what the revision files say of themselves; one that is not Python is left out."""
    for path in paths(script):
        try:
            found = constants(ast.parse(path.read_bytes()))
        except SyntaxError:
            continue
        parents = found.get("down_revision") or ()
        if isinstance(revision := found.get("revision"), str):
            yield RevisionFile(path, revision, (parents,) if isinstance(parents, str) else parents)  # type: ignore[arg-type]


def constants(module: ast.Module) -> dict[str, object]:
    """Return the names to which a module assigns a constant, or a tuple of constants."""
    found: dict[str, object] = {}
    for line in module.body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value is not None:
            for target in line.targets if isinstance(line, ast.Assign) else [line.target]:
                try:
                    found[ast.unparse(target)] = ast.literal_eval(line.value)
                except ValueError:
                    continue
    return found


def files_of(script: ScriptDirectory, revisions: Iterable[str]) -> str:
    """Return the names of the files of some revisions, for a message."""
    wanted = set(revisions)
    return " and ".join(file.path.name for file in read(script) if file.revision in wanted)


def refuse_missing_folders(script: ScriptDirectory) -> None:
    """Alembic takes a folder that is missing for one without revisions.

    :raises CommandError: when a folder of revisions is missing.
    """
    for folder in version_folders(script):
        if folder.is_dir():
            continue
        if not script.version_locations and (names := folders_of_histories(script)):
            raise CommandError(
                f"Which database? There are {', '.join(names)}. Name one, as in "
                f'Config(…, ini_section="{names[0]}"),\nand set its version_locations to the '
                f"folder {names[0]} of the migrations."
            )
        if is_in_git(folder):
            raise CommandError(
                f"The folder {folder} is missing. Restore it: git restore --source=HEAD {folder}"
            )
        raise CommandError(
            f"There is no folder {folder}. For a new history, create it with a file that git "
            f"keeps:\nmkdir {folder} && touch {folder / '.gitkeep'}"
        )


def is_in_git(folder: Path) -> bool:
    """Return whether git has files of a folder, in the commit that is checked out."""
    command = ["git", "ls-tree", "-r", "--name-only", "HEAD", f"{folder.name}/"]
    with suppress(OSError):  # There is no git here, or not even the folder above.
        found = subprocess.run(command, cwd=folder.parent, capture_output=True, check=False)
        return bool(found.stdout.strip())
    return False


def folders_of_histories(script: ScriptDirectory) -> list[str]:
    """Return the folders that have a history each, of a project with several databases."""
    return sorted(file.parent.name for file in Path(script.dir).glob("*/head.txt"))


def refuse_copies(script: ScriptDirectory) -> None:
    """Alembic only warns of a revision that is in two files, and takes one of them.

    :raises CommandError: when two files have the same revision.
    """
    known = sum(1 for _ in script.walk_revisions())
    if len(paths(script)) > known and (sentence := copies(script)):
        raise CommandError(sentence)


def copies(script: ScriptDirectory) -> str:
    """Return a sentence about a revision that is in two files, or nothing."""
    seen: dict[str, Path] = {}
    for file in read(script):
        if first := seen.get(file.revision):
            return (
                f"Revision {file.revision} is in two files: {first.name} and {file.path.name}. "
                "Delete the copy, or give it an id of its own."
            )
        seen[file.revision] = file.path
    return ""


def missing_parent(script: ScriptDirectory) -> str:
    """Return a sentence about a revision whose parent has no file, or nothing."""
    files = list(read(script))
    known = {file.revision for file in files}
    for file in files:
        for parent in file.parents:
            if parent not in known:
                return (
                    f"Revision {parent}, the parent of {file.revision} ({file.path.name}), has no "
                    f"file in {file.path.parent}. Restore it from git, or correct down_revision."
                )
    return ""


def histories(config: Config) -> list[str]:
    """Return the names of the databases that have a history each: sections of alembic.ini."""
    ini = config.file_config
    inherited = ini.defaults().get("version_locations")
    return [
        name
        for name in ini.sections()
        if name != "alembic"
        and ini.get(name, "version_locations", raw=True, fallback=inherited) != inherited
    ]


def of_other_history(revision: str, database: str, config: Config) -> str:
    """Return a sentence about a revision that the history of another database has, or nothing.

    :param database: what the message calls the database that is at this revision.
    """
    for name in histories(config):
        if name != config.config_ini_section and config.config_file_name is not None:
            other = ScriptDirectory.from_config(Config(config.config_file_name, ini_section=name))
            if any(file.revision == revision for file in read(other)):
                return (
                    f"{database} is at revision {revision!r} of the history {name}. Give {name} "
                    f"and {config.config_ini_section} a database each."
                )
    return ""


def refuse_functions_of_no_database(script: ScriptDirectory, names: Collection[str]) -> None:
    """Refuse ``upgrade_analytic()`` where there is no such database: it would never run.

    :param names: those of the databases that share the history.
    :raises CommandError: with the file, and the names that there are.
    """
    for revision in script.walk_revisions():
        for name, value in vars(revision.module).items():
            direction, _, database = name.partition("_")
            if direction not in ("upgrade", "downgrade") or not database or database in names:
                continue
            if getattr(value, "__module__", None) != revision.module.__name__:
                continue  # A constant, or imported.
            raise CommandError(
                f"{Path(revision.path).name}: {name}() never runs, as there is no database "
                f"{database!r}. Rename it: {', '.join(f'{direction}_{each}' for each in names)}"
            )


def is_irreversible(path: Path) -> bool:
    """Return whether a downgrade() says that there is no way back: raise NotImplementedError."""
    return any(
        isinstance(line, ast.Raise) and "NotImplementedError" in ast.unparse(line)
        for function in ast.parse(path.read_bytes()).body
        if isinstance(function, ast.FunctionDef) and function.name.startswith("downgrade")
        for line in function.body
    )


def check_configuration(config: Config) -> None:
    """Refuse an alembic.ini that an older version of the template has made.

    :raises CommandError: with what to change in it.
    """
    location = config.get_main_option("script_location") or ""
    if config.config_file_name is not None and location.endswith(":"):
        folder = location.rstrip(":").replace(".", "/")
        raise CommandError(
            "alembic.ini is of an older project. Change its script_location = "
            f"{location} to: script_location = %(here)s/{folder}"
        )
    hooks = config.get_section("post_write_hooks", {})
    for name in hooks:
        if name.endswith(".type") and hooks[name] == "post_write":
            raise CommandError(
                "alembic.ini is of an older project. Replace its section [post_write_hooks] by "
                "the one in migrations/guard/README.md, Older projects."
            )
