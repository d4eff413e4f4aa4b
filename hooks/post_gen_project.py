"""Checks the new project, sets up its environment, tests its migrations, says what is next.

A test that fails ends with exit status 1, and Cookiecutter removes the project.
"""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

COOKIECUTTER = json.loads(r"""{{ cookiecutter | tojson }}""")
SEVERAL = COOKIECUTTER["databases"] == "several"
PROJECT = Path.cwd()
TESTS = "tests/test_migrations.py"

# Left by pre_gen_project.py in a folder that was not there before.
NEW = PROJECT / ".new"

# Cruft compares a project with new ones that it makes for a moment: they are not installed.
MADE_BY_CRUFT = "_commit" in COOKIECUTTER

# What must not be left in a file, unless somebody wrote it in an answer.
TEMPLATE_CODE = r"\{\{\s*cookiecutter\."
TEXTS = ("project_name", "description", "author_name")

# Folders that are not from the template, in a project that was there before.
FOREIGN_FOLDERS = {".git", ".tox", ".venv", "node_modules", "venv"}

# What pytest's report says, in the words of a person.
OUTCOMES = {"failure": "FAILED", "error": "FAILED", "skipped": "skipped"}

# Settings of the person's other projects, which would lead the tests astray, or let each of its
# processes compile SQLAlchemy anew.
FOREIGN_SETTINGS = re.compile(
    r"VIRTUAL_ENV|(.*_)?DATABASE_URL|PYTEST_ADDOPTS|CI|PYTHONDONTWRITEBYTECODE"
)
ENVIRONMENT = {
    key: value for key, value in os.environ.items() if not FOREIGN_SETTINGS.fullmatch(key)
}


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A terminal may lack letters that are in a path or in a message of the database.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    is_new = NEW.exists()
    NEW.unlink(missing_ok=True)
    try:
        check_set_up_and_test()
    except KeyboardInterrupt:
        if not is_new:
            sys.exit("\nInterrupted: the files are written, the migrations are not tested.")
        os.chdir(PROJECT.parent)
        shutil.rmtree(PROJECT)
        sys.exit("\nInterrupted: nothing is left of the project.")


def check_set_up_and_test() -> None:
    remove_unwanted_folders()
    check_structure()
    tested = False
    if COOKIECUTTER["set_up_now"] and not MADE_BY_CRUFT:
        command, problem = set_up()
        if command:
            tested = run_tests(command)
        else:
            print(f"\nThe migrations are not tested: {problem}.")
    say_what_is_next(tested)


def remove_unwanted_folders() -> None:
    """Remove folders that the answers did not ask for; see cookiecutter.json."""
    for folder in PROJECT.rglob("DELETE-ME-*"):
        shutil.rmtree(folder)


def check_structure() -> None:
    """Check what needs nothing but Python: that the files are whole and plain.

    :raises SystemExit: with one sentence, when they are not.
    """
    answers_have_code = any(re.search(TEMPLATE_CODE, str(COOKIECUTTER[name])) for name in TEXTS)
    for path in sorted(PROJECT.rglob("*")):
        if path.is_dir() or FOREIGN_FOLDERS & set(path.relative_to(PROJECT).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if re.search(TEMPLATE_CODE, text) and not answers_have_code:
            sys.exit(f"FAILED: {path.name} has template code left in it.")
        try:
            if path.suffix == ".py":
                compile(text, path.name, "exec")
            elif path.suffix == ".toml":
                tomllib.loads(text)
        except (SyntaxError, tomllib.TOMLDecodeError) as error:
            sys.exit(f"FAILED: {path.name} cannot be read: {error}.")
    ini = configparser.ConfigParser({"here": str(PROJECT).replace("%", "%%")})
    ini.read(PROJECT / "alembic.ini", encoding="utf-8")
    for section in ("main", "analytics") if SEVERAL else ("alembic",):
        migrations = Path(ini.get(section, "script_location", fallback="?"))
        versions = ini.get(section, "version_locations", fallback="versions")
        for name in ("README.md", "env.py", "script.py.mako", "guard", versions):
            if not (migrations / name).exists():
                sys.exit(f"FAILED: alembic.ini points at {migrations}, where {name} is missing.")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project, and keep what it prints.

    When it is interrupted it may tidy up first, as the tests do with their databases.
    """
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            stdout, stderr = process.communicate()
        except KeyboardInterrupt:
            process.communicate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def set_up() -> tuple[list[str] | None, str]:
    """Install the project, or find that its dependencies are there already.

    :return: the command that runs Python with them, or None and the reason.
    """
    missing = missing_packages()
    problem = f"there is no uv, and this Python lacks {', '.join(missing)}"
    if uv := shutil.which("uv"):
        print("\nInstalling with uv ...", flush=True)
        had_environment = (PROJECT / ".venv").exists()
        sync = run(uv, "sync", "--quiet")
        # Without network there may be a cache; where that cannot be written, a network.
        way_out = "--no-cache" if "cache" in sync.stderr else "--offline"
        if sync.returncode == 0 or run(uv, "sync", "--quiet", way_out).returncode == 0:
            return [uv, "run", "--no-sync", "--no-cache", "python"], ""
        if not had_environment:
            shutil.rmtree(PROJECT / ".venv", ignore_errors=True)
        problem = f"uv could not install the dependencies.\n{sync.stderr.strip()}"
        if not missing:
            print(f"\nNot installed: {problem}\nBut this Python has them, too.", flush=True)
    return (None, problem) if missing else ([sys.executable], "")


def missing_packages() -> list[str]:
    """Return what the tests need and the Python that runs this hook does not have."""
    from importlib.metadata import PackageNotFoundError, version  # Takes its time.

    metadata = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = list(metadata["project"]["dependencies"])
    needed += [name for name in metadata["dependency-groups"]["dev"] if name.startswith("pytest")]
    missing = []
    for requirement in needed:
        name, bound = re.split(r"(?:\[.*\])?>=", requirement)
        try:
            enough = numbers(version(name)) >= numbers(bound)
        except PackageNotFoundError:
            enough = False
        if not enough:
            missing.append(requirement)
    facts = COOKIECUTTER["_database_facts"][COOKIECUTTER["database"]]
    module = (
        facts[COOKIECUTTER["driver"]]["driver"].partition("+")[2].replace("pysqlite", "sqlite3")
    )
    # A package may be there without what it needs, as psycopg is without its library.
    modules = f"{module}, greenlet" if COOKIECUTTER["driver"] == "async" else module
    if not missing and run(sys.executable, "-c", f"import {modules}").returncode != 0:
        missing.append(modules)
    return missing


def numbers(release: str) -> list[int]:
    """Return a version such that it can be compared: ``2.1.0rc1`` gives 2, 1, 0, 1."""
    return [int(number) for number in re.findall(r"\d+", release)]


def run_tests(python: list[str]) -> bool:
    """Run the tests of the migrations and show each with its outcome.

    :return: whether every test passed; those that need a server may have been skipped.
    :raises SystemExit: when one failed.
    """
    import tempfile
    from xml.etree import ElementTree

    print("\nTesting the migrations ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", TESTS]
        run_of_tests = run(*python, *pytest)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    outcomes: dict[str, str] = {}
    remarks: dict[str, str] = {}
    for case in cases:
        test = case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ")
        result = next((child for child in case if child.tag in OUTCOMES), None)
        outcome = "passed" if result is None else OUTCOMES[result.tag]
        if outcomes.get(test, "passed") == "passed":
            outcomes[test] = outcome
            remarks[test] = "" if result is None else result.get("message", "")
    for test, outcome in outcomes.items():
        print(f"  {outcome:10}  {test}")
    failed = [test for test in outcomes if outcomes[test] == "FAILED"]
    if failed or run_of_tests.returncode != 0:
        print(*(f"\n{test}:\n{remarks[test]}" for test in failed), sep="\n")
        sys.exit(
            "\nFAILED: a test of the migrations failed."
            if failed
            else f"\n{run_of_tests.stdout}{run_of_tests.stderr}"
        )
    for remark in sorted({remarks[test] for test in outcomes} - {""}):
        print(f"\nSkipped: {remark}")
    return set(outcomes.values()) == {"passed"}


def say_what_is_next(tested: bool) -> None:
    steps = [f"cd {COOKIECUTTER['project_slug']}"]
    if not shutil.which("uv"):
        steps.append("pipx install uv")
    if (PROJECT / "compose.yaml").exists():
        steps.append("docker compose up --wait")
    if not tested:
        steps.append(f"uv run pytest {TESTS}")
    histories = ["--name main ", "--name analytics "] if SEVERAL else [""]
    steps += [f"uv run alembic {history}upgrade head" for history in histories]
    steps.append("uv run pytest")
    print("\nNext:", *steps, sep="\n  ")


main()
