"""Checks the new project, sets up its environment, proves its migrations, says what is next.

A promise that is not kept ends with exit status 1, and Cookiecutter removes the project.
"""

import ast
import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from xml.etree import ElementTree

COOKIECUTTER = json.loads(r"""{{ cookiecutter | tojson }}""")
PROJECT = Path.cwd()
PROOF = "tests/test_migrations.py"

# Folders that are not from the template, in a project that was there before.
FOREIGN_FOLDERS = {".git", ".tox", ".venv", "node_modules", "venv"}

# What pytest's report says, in the words of a promise.
OUTCOMES = {"failure": "BROKEN", "error": "BROKEN", "skipped": "not proven"}

# Settings of the person's other projects, which would lead the proof astray.
FOREIGN_SETTINGS = {"VIRTUAL_ENV", "DATABASE_URL", "PYTEST_ADDOPTS", "CI"}
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in FOREIGN_SETTINGS}


def main() -> None:
    remove_unwanted_folders()
    check_structure()
    proven = False
    if COOKIECUTTER["set_up_now"]:
        command, problem = set_up()
        if command:
            proven = prove(command)
        else:
            print(f"\nThe migrations are not proven: {problem}.")
    say_what_is_next(proven)


def remove_unwanted_folders() -> None:
    """Remove folders that the answers did not ask for; see cookiecutter.json."""
    for folder in PROJECT.rglob("DELETE-ME-*"):
        shutil.rmtree(folder)


def check_structure() -> None:
    """Check what needs nothing but Python: that the files are whole and plain.

    :raises SystemExit: with one sentence, when they are not.
    """
    for path in sorted(PROJECT.rglob("*")):
        if path.is_dir() or FOREIGN_FOLDERS & set(path.relative_to(PROJECT).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if re.search(r"\{\{\s*cookiecutter\.", text):
            sys.exit(f"FAILED: {path.name} has template code left in it.")
        try:
            if path.suffix == ".py":
                ast.parse(text)
            elif path.suffix == ".toml":
                tomllib.loads(text)
        except (SyntaxError, tomllib.TOMLDecodeError) as error:
            sys.exit(f"FAILED: {path.name} cannot be read: {error}.")
    ini = configparser.ConfigParser({"here": str(PROJECT).replace("%", "%%")})
    ini.read(PROJECT / "alembic.ini", encoding="utf-8")
    for section in (
        ("main", "analytics") if COOKIECUTTER["databases"] == "several" else ("alembic",)
    ):
        package = ini.get(section, "script_location", fallback="?").rstrip(":")
        versions = ini.get(section, "version_locations", fallback="versions")
        roots = ini.get(section, "prepend_sys_path", fallback="").split("\n")
        places = [Path(root, *package.split(".")) for root in roots if root]
        for name in ("README.md", "env.py", "script.py.mako", versions):
            if not any((place / name).exists() for place in places):
                sys.exit(f"FAILED: alembic.ini points at {package}, where {name} is missing.")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project, and keep what it prints."""
    return subprocess.run(
        command,
        check=False,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


def set_up() -> tuple[list[str] | None, str]:
    """Install the project, or find that its dependencies are there already.

    :return: the command that runs Python with them, or None and the reason.
    """
    if uv := shutil.which("uv"):
        print("\nInstalling with uv ...", flush=True)
        for offline in ([], ["--offline"]):
            sync = run(uv, "sync", "--quiet", *offline)
            if sync.returncode == 0:
                return [uv, "run", "--no-sync", "python"], ""
        return None, f"uv could not install the dependencies.\n{sync.stderr.strip()}"
    missing = [name for name in required_modules() if importlib.util.find_spec(name) is None]
    if not missing:
        return [sys.executable], ""
    return None, f"there is no uv, and this Python lacks {', '.join(missing)}"


def required_modules() -> list[str]:
    """Return what the project and its tests import, as far as it is not the project's own."""
    own = {COOKIECUTTER["package_name"], COOKIECUTTER["__migrations_package"], "tests", "pysqlite"}
    facts = COOKIECUTTER["_database_facts"][COOKIECUTTER["database"]]
    driver = facts[COOKIECUTTER["driver"]]["driver"].partition("+")[2]
    found = {"pytest", driver}
    for path in PROJECT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return sorted(found - own - set(sys.stdlib_module_names))


def prove(python: list[str]) -> bool:
    """Run the project's own proof and show each promise.

    :return: whether every promise was proven; those that need a server may not have been.
    :raises SystemExit: when one is not kept.
    """
    print("\nProving the migrations ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", PROOF]
        proof = run(*python, *pytest)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    outcomes: dict[str, str] = {}
    remarks: dict[str, str] = {}
    for case in cases:
        promise = case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ")
        result = next((child for child in case if child.tag in OUTCOMES), None)
        outcome = "kept" if result is None else OUTCOMES[result.tag]
        if outcomes.get(promise, "kept") == "kept":
            outcomes[promise] = outcome
            remarks[promise] = "" if result is None else result.get("message", "")
    for promise, outcome in outcomes.items():
        print(f"  {outcome:10}  {promise}")
    broken = [promise for promise in outcomes if outcomes[promise] == "BROKEN"]
    if broken or proof.returncode != 0:
        print(*(f"\n{promise}:\n{remarks[promise]}" for promise in broken), sep="\n")
        sys.exit("\nFAILED: a promise is broken." if broken else f"\n{proof.stdout}{proof.stderr}")
    for remark in sorted({remarks[promise] for promise in outcomes} - {""}):
        print(f"\nNot proven: {remark}")
    return set(outcomes.values()) == {"kept"}


def say_what_is_next(proven: bool) -> None:
    steps = [f"cd {COOKIECUTTER['project_slug']}"]
    if not shutil.which("uv"):
        steps.append("pipx install uv")
    if (PROJECT / "compose.yaml").exists():
        steps.append("docker compose up --wait")
    if not proven:
        steps.append(f"uv run pytest {PROOF}")
    steps += ["uv run alembic upgrade head", "uv run pytest"]
    print("\nNext:", *steps, sep="\n  ")


main()
