"""Refuses answers that cannot work, one sentence each, before anything is written."""

import json
import keyword
import re
import sys
import unicodedata
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

DEPENDENCIES = {
    "aiomysql",
    "aiosqlite",
    "alembic",
    "alembic_postgresql_enum",
    "ast_serialize",
    "dotenv",
    "greenlet",
    "iniconfig",
    "librt",
    "mako",
    "markupsafe",
    "mypy",
    "mypy_extensions",
    "packaging",
    "pathspec",
    "pluggy",
    "psycopg",
    "psycopg_binary",
    "pygments",
    "pymysql",
    "pytest",
    "pytest_asyncio",
    "python_dotenv",
    "ruff",
    "sqlalchemy",
    "typing_extensions",
    "tzdata",
    "uv",
    "uv_build",
}
ENV_NAMES = {"config", "connection", "context", "review", "target_metadata"}
PROJECT_FOLDERS = {"dist", "docs", "src", "tests", "versions"}
PACKAGE_MODULES = {"database", "models", "settings"}
DEVICES = {"aux", "con", "nul", "prn"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}
LONGEST_NAME = 40


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
    if name in DEPENDENCIES:
        return "is a package that the project itself needs"
    if name in ENV_NAMES:
        return "is a name that env.py uses"
    if name in DEVICES:
        return "is the name of a device on Windows"
    return None


def problem_with_slug(slug: str) -> str | None:
    """Return why a name cannot be that of a folder and a distribution, or None."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", slug):
        return "must be lower-case ASCII words of letters and digits, joined by hyphens"
    problem = problem_with_name(slug.replace("-", "_"))
    return None if problem and "standard library" in problem else problem


def problem_with_text(text: str) -> str | None:
    """Return why a text cannot stand in the files of the project, or None."""
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        return "must be one line without control characters"
    return None


def problems() -> list[str]:
    """Return one sentence for each answer that cannot work."""
    found = []

    def refuse(question: str, problem: str | None, suggestion: str) -> None:
        if problem:
            found.append(f"{question} {ANSWERS[question]!r} {problem}: {suggestion}")

    package, migrations = ANSWERS["package_name"], ANSWERS["migrations_directory"]
    refuse("project_slug", problem_with_slug(ANSWERS["project_slug"]), "try 'my-shop'.")
    problem = problem_with_name(package)
    if package in PROJECT_FOLDERS:
        problem = "is the name of another folder of the project"
    refuse("package_name", problem, "try 'my_shop'.")
    in_package, folder = migrations.startswith(f"src/{package}/"), migrations.rpartition("/")[2]
    problem = problem_with_name(folder if in_package and migrations.count("/") == 2 else migrations)
    if folder in (PACKAGE_MODULES if in_package else PROJECT_FOLDERS | {package}):
        problem = "is the name of another folder of the project"
    refuse("migrations_directory", problem, "try 'migrations'.")
    for question in ("project_name", "description", "author_name"):
        refuse(question, problem_with_text(ANSWERS[question]), "write it without.")
    if not re.fullmatch(r"[^\s@\"\\<>]+@[^\s@\"\\<>]+", ANSWERS["author_email"]):
        refuse("author_email", "is not an e-mail address", "try 'you@example.com'.")
    if "%" in str(Path.cwd()):
        # Alembic reads %(here)s in alembic.ini, where another % has a meaning of its own.
        found.append(f"The folder {Path.cwd().parent} has a % in its path: choose another one.")
    return found


if found := problems():
    print("\nNothing was generated:", *found, sep="\n  ", file=sys.stderr)
    sys.exit(1)
