"""Promises about the files of every project that can be generated."""

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from conftest import (
    QUESTIONS,
    TEMPLATE,
    USES_MYPY,
    Bake,
    Project,
    each_combination,
    generate,
    sample,
)

PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
MIGRATIONS = PROJECT / "{{cookiecutter.migrations_directory}}"
GUARD = MIGRATIONS / "guard"

# What Cookiecutter renders, and what it copies.
TEMPLATE_FILES = [
    path for path in PROJECT.rglob("*") if path.is_file() and GUARD not in path.parents
]
GUARD_FILES = [
    path for path in GUARD.rglob("*") if path.is_file() and "__pycache__" not in path.parts
]

# See hooks/pre_gen_project.py, which refuses longer ones.
LONGEST_NAMES = {"project_slug": "s" * 30, "package_name": "p" * 30}
LONGEST_DIRECTORIES = ["m" * 30, f"src/{'p' * 30}/{'m' * 14}"]

TREE = """
.cookiecutter.json
.env.example
.gitattributes
.github/workflows/ci.yml
.gitignore
.pre-commit-config.yaml
README.md
alembic.ini
docs/baseline.md
migrations/README.md
migrations/__init__.py
migrations/env.py
migrations/script.py.mako
pyproject.toml
src/my_shop/__init__.py
src/my_shop/database.py
src/my_shop/models/__init__.py
src/my_shop/models/base.py
src/my_shop/settings.py
tests/conftest.py
tests/test_migrations.py
"""
EXAMPLES = """
migrations/versions/2026_11_23_0900-4f1c2a7be930_create_example_tables.py
migrations/versions/head.txt
src/my_shop/models/example.py
tests/test_example.py
"""
SECOND_DATABASE = """
docs/analytics.md
docs/diagram.py
src/my_shop/models/analytics/__init__.py
src/my_shop/models/main/__init__.py
"""
SECOND_HISTORY = """
migrations/analytics/2026_11_23_0900-9d0b6c51e7f8_create_example_tables.py
migrations/analytics/head.txt
"""


def expected_files(project: Project) -> set[str]:
    """Return the files that a project has by its answers."""
    databases, examples = project.answers["databases"], project.answers["example_models"]
    files = set(TREE.split()) | (set(EXAMPLES.split()) if examples else set())
    if not examples:
        files.add("migrations/versions/.gitkeep")
    facts = QUESTIONS["_database_facts"][project.answers["database"]]
    if not facts["embedded"]:
        files |= {".dockerignore", "Dockerfile", "compose.yaml"}
    if databases == "one":
        return files | {"docs/models.md"}
    files = {name.replace("models/example", "models/main/example") for name in files}
    files |= {"docs/main.md", *SECOND_DATABASE.split()}
    if examples:
        files.add("src/my_shop/models/analytics/example.py")
    if databases == "shared_history":
        return files
    files = {name.replace("migrations/versions/", "migrations/main/") for name in files}
    return files | (set(SECOND_HISTORY.split()) if examples else {"migrations/analytics/.gitkeep"})


def own_files(project: Project) -> set[str]:
    """Return the files of a project that its owner changes: all but the guard."""
    return {name for name in project.files if not name.startswith("migrations/guard/")}


def test_has_exactly_these_files(project: Project) -> None:
    assert own_files(project) == expected_files(project)


def test_the_guard_has_the_same_bytes_in_every_project(project: Project) -> None:
    copied = project.files - own_files(project)
    assert copied == {
        f"migrations/{path.relative_to(MIGRATIONS).as_posix()}" for path in GUARD_FILES
    }
    for name in copied:
        template = MIGRATIONS / name.removeprefix("migrations/")
        assert (project.path / name).read_bytes() == template.read_bytes(), name


def test_leaves_no_template_code(project: Project) -> None:
    for name in project.files:
        assert not re.search(r"cookiecutter\.|\{%|\{#", project.read(name)), name


def test_names_no_option_that_was_not_chosen(project: Project) -> None:
    others = (
        {"asyncio", "AsyncSession"}
        if project.answers["driver"] == "sync"
        else {"Session = sessionmaker"}
    )
    if not project.answers["example_models"]:
        others |= {"example_models", "models.example", "Customer"}
    others |= {
        "one": {"analytics", "BASES", "DEVELOPMENT_URLS"},
        "several": {"upgrade_main", "Together"},
        "shared_history": {"--name main", "without_name"},
    }[str(project.answers["databases"])]
    for name in own_files(project) - {".cookiecutter.json"}:
        for word in others:
            assert not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", project.read(name)), (
                name,
                word,
            )


def test_passes_ruff_check(project: Project) -> None:
    project.succeed("ruff", "check", "--no-cache")


def test_is_formatted(project: Project) -> None:
    project.succeed("ruff", "format", "--check", "--no-cache")


@pytest.mark.machine
@pytest.mark.parametrize("project", each_combination(USES_MYPY), indirect=True)
def test_passes_strict_mypy(project: Project) -> None:
    project.succeed("mypy", "--strict", "src", "migrations", "tests")


def test_file_names_are_legal_on_windows(project: Project) -> None:
    for name in project.files:
        for part in PurePosixPath(name).parts:
            assert not re.search(r'[<>:"|?*\\]|[. ]$', part), name


def test_ini_is_ascii_and_holds_no_url(project: Project) -> None:
    ini = project.read("alembic.ini")
    assert ini.isascii()
    assert "sqlalchemy.url" not in ini
    assert not re.search(r"\w+://[^/\s]*@", ini)


def test_readme_has_at_most_100_lines(project: Project) -> None:
    assert len(project.read("README.md").splitlines()) <= 100


def test_pyproject_holds_the_answers(project: Project) -> None:
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["name"] == "my-shop"
    assert metadata["authors"] == [{"name": "Your Name", "email": "you@example.com"}]


def test_a_new_project_is_short_enough_to_be_read(baked: Bake) -> None:
    project = baked()
    files = own_files(project)
    lines = [line for name in files if name.endswith(".py") for line in lines_of(project, name)]
    assert len(files) <= 30
    assert len(lines) <= 580


def test_env_is_short_enough_to_be_read(project: Project) -> None:
    assert len(lines_of(project, "migrations/env.py")) <= 60


def lines_of(project: Project, name: str) -> list[str]:
    return project.read(name).splitlines()


def conditions_in_expressions(text: str) -> list[str]:
    """Return the expressions in ``{{ }}`` that have an ``if``."""
    expressions = re.findall(r"\{\{(.*?)\}\}", text, re.DOTALL)
    return [expression for expression in expressions if re.search(r"\bif\b", expression)]


def is_long(text: str) -> bool:
    """Return whether a string is a phrase or code, and not a name, a number or a sign."""
    return not re.fullmatch(r"[\w.*,-]*", text)


def test_template_prints_names_and_leaves_choices_to_block_tags() -> None:
    conditions = [
        condition
        for path in TEMPLATE_FILES
        for condition in conditions_in_expressions(path.read_text(encoding="utf-8"))
    ]
    assert len(conditions) <= 12, conditions
    for condition in conditions:
        strings = re.findall(r"\"([^\"]*)\"|'([^']*)'", condition)
        assert not any(map(is_long, itertools.chain(*strings))), condition


@pytest.mark.parametrize("path", TEMPLATE_FILES, ids=lambda path: path.name)
def test_block_tags_of_a_template_file_stand_alone_on_their_lines(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        assert not re.search(r"\{%|%\}", line) or re.fullmatch(r"\{% .* %\}", line), line


@pytest.mark.parametrize("path", TEMPLATE_FILES, ids=lambda path: path.name)
def test_template_file_compares_no_database_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"cookiecutter\.database *(==|!=|in)", text + path.name)


@pytest.mark.parametrize("path", GUARD_FILES, ids=lambda path: path.name)
def test_the_guard_is_plain_and_names_no_project(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\{%|\{#|cookiecutter", text)
    assert "my_shop" not in text or path.name == "README.md"


def test_the_guard_passes_ruff_where_it_lies() -> None:
    # N999: the folder above has a name that only Cookiecutter understands.
    for command in (["check", "--ignore=N999"], ["format", "--check"]):
        options = ["--no-cache", "--isolated", "--line-length=100"]
        subprocess.run(["ruff", *command, *options, GUARD], check=True)


@pytest.mark.machine
@pytest.mark.xdist_group(USES_MYPY)
def test_the_guard_passes_strict_mypy() -> None:
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "-p", "guard"]
    mypy = subprocess.run(command, cwd=MIGRATIONS, capture_output=True, check=False, text=True)
    assert mypy.returncode == 0, mypy.stdout + mypy.stderr


def test_template_paths_are_short_enough_for_windows() -> None:
    for path in [*TEMPLATE_FILES, *GUARD_FILES]:
        name = path.relative_to(TEMPLATE).as_posix()
        assert len(name) <= 180, name
        assert not re.search(r'[<>:"|?*\\]', name), name


@pytest.mark.parametrize("directory", LONGEST_DIRECTORIES)
def test_lines_are_short_enough_for_ruff_whatever_the_names(directory: str, tmp_path: Path) -> None:
    for number, answers in enumerate(sample()):
        names = LONGEST_NAMES | {"migrations_directory": directory}
        generate(tmp_path / str(number), **answers | names)
    for command in (["check"], ["format", "--check"]):
        subprocess.run(["ruff", *command, "--no-cache", "."], cwd=tmp_path, check=True)


@pytest.mark.parametrize("directory", LONGEST_DIRECTORIES)
def test_paths_are_short_enough_for_windows_whatever_the_names(directory: str, bake: Bake) -> None:
    slug = LONGEST_NAMES["project_slug"]
    project = bake(**LONGEST_NAMES, migrations_directory=directory)
    # Windows allows 260, of which some are left for the folder above and for longer messages.
    assert max(len(f"{slug}/{name}") for name in project.files) <= 200


def test_line_endings_are_the_same_on_every_system(project: Project) -> None:
    assert "* text=auto eol=lf" in project.read(".gitattributes").splitlines()
    for name in project.files:
        assert b"\r" not in (project.path / name).read_bytes(), name
    attributes = subprocess.run(
        [
            "git",
            "check-attr",
            "eol",
            "--",
            *TEMPLATE_FILES,
            *GUARD_FILES,
            "hooks/pre_gen_project.py",
        ],
        cwd=TEMPLATE,
        capture_output=True,
        check=True,
        text=True,
    )
    assert {line.rpartition(": ")[2] for line in attributes.stdout.splitlines()} == {"lf"}


@pytest.mark.parametrize("hook", ["pre_gen_project.py", "post_gen_project.py"])
def test_hooks_need_no_shell(hook: str) -> None:
    source = (TEMPLATE / "hooks" / hook).read_text(encoding="utf-8")
    assert not re.search(r"shell *=|os\.(system|popen|path)|bin/", source)


def test_every_question_is_asked_in_words() -> None:
    questions = {question for question in QUESTIONS if not question.startswith("_")}
    assert set(QUESTIONS["__prompts__"]) == questions
    for question, choices in QUESTIONS.items():
        if isinstance(choices, list) and question in questions:
            assert set(QUESTIONS["__prompts__"][question]) == {"__prompt__", *choices}


def test_this_repository_passes_its_own_linter() -> None:
    for command in (["check"], ["format", "--check"]):
        subprocess.run(["ruff", *command, "hooks", "tests"], cwd=TEMPLATE, check=True)
