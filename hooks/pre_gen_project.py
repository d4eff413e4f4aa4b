"""Refuses answers that cannot work, one sentence each, before anything is written."""

import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# The well-known rest: what each project installs, and the Python of this hook may not have.
WELL_KNOWN = {
    "alembic",
    "dotenv",
    "examples",
    "greenlet",
    "mako",
    "markupsafe",
    "mypy",
    "packaging",
    "paracelsus",
    "pluggy",
    "pre_commit",
    "pydantic",
    "pygments",
    "pytest",
    "rich",
    "ruff",
    "typer",
    "typing_extensions",
    "uv",
    "uv_build",
    "yaml",
}
# What env.py binds: an application of that name would be another thing there.
ENV_NAMES = {
    "base_of",
    "config",
    "configure_logging",
    "context",
    "database_url",
    "guard",
    "name",
    "partial",
    "run_migrations_offline",
    "run_migrations_online",
    "settings",
    "target_metadata",
}
PROJECT_FOLDERS = {"dist", "docs", "src", "tests", "versions"}
PACKAGE_MODULES = {"database", "models", "settings"}
DEVICES = {"aux", "con", "nul", "prn"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}
# With longer names, lines of code would be longer than ruff allows.
LONGEST_NAME = 30
LONGEST_PATH = 49


def problem_with_name(name: str) -> str | None:
    """Return why a name cannot be imported, or None when it can."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return "must be lower-case ASCII letters, digits and underscores, and begin with a letter"
    if len(name) > LONGEST_NAME:
        return f"must have at most {LONGEST_NAME} characters"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a word of the Python language"
    if name in sys.stdlib_module_names:
        return "is a module of Python's standard library"
    if name in WELL_KNOWN | named_dependencies() or is_installed(name):
        return "is a package that the project itself needs, or that is installed here"
    if name in ENV_NAMES:
        return "is a name that env.py uses"
    if name in DEVICES:
        return "is the name of a device on Windows"
    return None


@cache
def named_dependencies() -> set[str]:
    """Return the modules of what the dependency lists in cookiecutter.json name."""
    facts = json.dumps([ANSWERS.get("_database_facts"), ANSWERS.get("_driver_facts")])
    names = re.findall(r'"([a-z][\w-]*)(?:\[\w+\])?>=', facts)
    return {name.replace("-", "_") for name in names}


def is_installed(name: str) -> bool:
    """Return whether this Python imports something of that name, but for the project itself."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return True
    with suppress(PackageNotFoundError):
        return bool(spec is None and distribution(name)) or is_elsewhere(spec)
    return is_elsewhere(spec)


def is_elsewhere(spec: ModuleSpec | None) -> bool:
    """Return whether a module that was found is another one than that of this project."""
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    here = Path.cwd().resolve() / "src"
    return any(place and here not in Path(place).resolve().parents for place in places)


def problem_with_slug(slug: str) -> str | None:
    """Return why a name cannot be that of a folder and a distribution, or None."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", slug):
        return "must be lower-case ASCII words of letters and digits, joined by hyphens"
    problem = problem_with_name(slug.replace("-", "_"))
    return None if problem and "standard library" in problem else problem


def problem_with_package(package: str) -> str | None:
    """Return why a name cannot be that of the package, or None."""
    if package in PROJECT_FOLDERS:
        return "is the name of another folder of the project"
    return problem_with_name(package)


def problem_with_migrations(directory: str, package: str) -> str | None:
    """Return why a folder cannot be that of the migrations, or None."""
    beside = "/" not in directory
    folder = directory if beside else directory.removeprefix(f"src/{package}/")
    if folder in (PROJECT_FOLDERS | {package} if beside else PACKAGE_MODULES):
        return "is the name of another folder of the project"
    if "/" in folder:
        return f"must be the name of a folder, or of one below src/{package}"
    if len(directory) > LONGEST_PATH:
        return f"must have at most {LONGEST_PATH} characters"
    return problem_with_name(folder)


def problem_with_text(text: str) -> str | None:
    """Return why a text cannot stand in the files of the project, or None."""
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        return "must be one line without control characters"
    if "\ufffe" in text or "\uffff" in text:
        return "must be without the characters U+FFFE and U+FFFF, which are none"
    return None


def problem_with_email(email: str) -> str | None:
    """Return why a text cannot be an e-mail address, or None."""
    if not re.fullmatch(r"[^\s@\"\\<>]+@[^\s@\"\\<>]+", email):
        return "is not an e-mail address"
    return problem_with_text(email)


def similar(name: str, problem_with: Callable[[str], str | None], joiner: str) -> str | None:
    """Return a name that works and resembles the given one, or None."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = joiner.join(re.findall("[a-z0-9]+", plain))[: LONGEST_NAME - 4].strip(joiner)
    candidates = (base, f"{base}{joiner}app", f"app{joiner}{base}")
    return next((name for name in candidates if base and not problem_with(name)), None)


def problems(answers: dict[str, str], folder: Path) -> list[str]:
    """Return one sentence for each answer that cannot work.

    :param folder: where the project would be written.
    """
    found = []

    def refuse(question: str, problem: str | None, way_out: str) -> None:
        if problem:
            found.append(f"{question} {answers[question]!r} {problem}: {way_out}.")

    package, slug = answers["package_name"], answers["__asked_slug"]
    answers = answers | {"project_slug": slug}

    def problem_with_directory(directory: str) -> str | None:
        return problem_with_migrations(directory, package)

    suggestion = similar(slug, problem_with_slug, "-") or "my-shop"
    refuse("project_slug", problem_with_slug(slug), f"try {suggestion!r}")
    suggestion = similar(package, problem_with_package, "_") or "my_shop"
    refuse("package_name", problem_with_package(package), f"try {suggestion!r}")
    migrations = answers["migrations_directory"]
    suggestion = similar(migrations.rpartition("/")[2], problem_with_directory, "_") or "migrations"
    refuse("migrations_directory", problem_with_directory(migrations), f"try {suggestion!r}")
    for question in ("project_name", "description", "author_name"):
        refuse(question, problem_with_text(answers[question]), "write it without")
    email = answers["author_email"]
    refuse("author_email", problem_with_email(email), "try 'you@example.com'")
    if "%" in str(folder):
        # Alembic reads %(here)s in alembic.ini, where another % has a meaning of its own.
        found.append(f"The folder {folder.parent} has a % in its path: choose another one.")
    if re.search(r"[{][%#{]", str(folder)):
        # Cookiecutter takes the path of a folder that it makes for a template.
        found.append(f"The folder {folder.parent} has a brace in its path: choose another one.")
    return found


if __name__ == "__main__" and (found := problems(ANSWERS, Path.cwd())):
    print("\nNothing was generated:", *found, sep="\n  ", file=sys.stderr)
    print("\nWhat follows is how Cookiecutter reports that.", file=sys.stderr)
    sys.exit(1)

if __name__ == "__main__" and not any(Path.cwd().iterdir()):
    # For post_gen_project.py, which removes a new folder when it is interrupted.
    Path(".new").touch()
