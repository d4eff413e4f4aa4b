"""Promises about any answer: it is right in every file, or refused in one sentence."""

import ast
import json
import re
import string
import tempfile
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest
import yaml
from conftest import QUESTIONS, TEMPLATE, Bake, Project
from cookiecutter.environment import StrictEnvironment
from cookiecutter.main import cookiecutter
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from jinja2.lexer import get_lexer
from markdown_it import MarkdownIt
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# How many answers each property is tried with: a sample now, the many with -m slow.
ANSWERS = [pytest.param(20, id="sample"), pytest.param(1000, id="many", marks=pytest.mark.slow)]
MANNERS = {"deadline": None, "database": None, "derandomize": True}


def hook() -> ModuleType:
    """Return the hook that looks at the answers, as a module."""
    source = (TEMPLATE / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hook.py"
        rendered = StrictEnvironment().from_string(source).render(cookiecutter=QUESTIONS)
        path.write_text(rendered, encoding="utf-8")
        spec = spec_from_file_location("hook", path)
        assert spec and spec.loader
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


HOOK = hook()
TEXTS = ["project_name", "description", "author_name"]
NAMES = ["project_slug", "package_name", "migrations_directory"]
QUOTES = ["'", '"', "'''", '"""', "\\", "\\n", "\\u00e4", "\\x00", "`", "```", "~~~"]
LETTERS = ["ä", "ß", "Ω", "ğ", "🚀", "👩\u200d💻", "שלום", "مرحبا", "\u202e", "\ufeff", "\xa0"]
CODE = ["{{ }}", "{%", "{#", "{{ 1 + 1 }}", "{% raw %}", "{% endraw %}", "{{ cookiecutter.x }}"]
CODE += ["{", "}}", "${x}", "$x$", "%(here)s", "%%", "${{ x }}", "<%", "#{x}"]
MARKUP = ["<b>", "<!--", "&", "&amp;", "[x](y)", "![", "===", "*", "_x_", "|", ":", "@", ",", ";"]
BEGINNINGS = ["# ", "- ", "+ ", "* ", "1. ", "2) ", "> ", "= ", "| a | b |", "    ", "---"]
CONTROLS = ["\t", "\n", "\r", "\x00", "\x1b", "\x85", "\u2028", "\uffff", "\ud83d"]
characters = st.characters(categories=["L", "M", "N", "P", "S", "Zs"])


def texts_of(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(parts, min_size=1, max_size=40).map(lambda parts: "".join(parts)[:500])


kept = texts_of(
    st.sampled_from([*QUOTES, *LETTERS, *CODE, *MARKUP, *BEGINNINGS])
    | st.text(characters, max_size=20)
)
texts = kept | texts_of(st.sampled_from([*QUOTES, *CODE, *CONTROLS]) | st.text(max_size=20))
names = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_]{0,45}", fullmatch=True),
    st.text(string.ascii_letters + string.digits + "-_./\\ äß%{}~", max_size=12),
    st.sampled_from(
        ["class", "match", "logging", "alembic", "config", "con", "com1", "..", "", "-rf", "/etc"]
        + ["tests", "my_shop", "src/my_shop/db", "src/my_shop/models", "src/other/db", "~", "C:\\x"]
    ),
)


def problems(**answers: str) -> list[str]:
    """Return what the hook says about answers, with the defaults for the others."""
    slug = answers.get("project_slug", "my-shop")
    defaults = {**QUESTIONS, "project_slug": slug, "package_name": slug.replace("-", "_")}
    asked = {**defaults, **answers}
    return HOOK.problems(asked | {"__asked_slug": slug}, Path("/home/me/my-shop"))


def bake_quickly(folder: str, **answers: str) -> Project:
    """Generate a project without hooks, as those are asked by themselves here."""
    path = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        default_config=True,
        accept_hooks=False,
        output_dir=folder,
        extra_context=answers,
    )
    return Project(Path(path), answers)


def text_of(markdown: str, kind: str) -> str:
    """Return what a reader sees of the first heading or paragraph of a Markdown text."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    position = next(n for n, token in enumerate(tokens) if token.type == f"{kind}_open")
    children = tokens[position + 1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


@pytest.mark.usefixtures("replay_folder", "compile_once")
@pytest.mark.parametrize("examples", ANSWERS)
def test_any_text_is_kept_to_the_letter_or_refused(examples: int, bake: Bake) -> None:
    plain = bake()
    unchanged = plain.files - {"pyproject.toml", "README.md", ".cookiecutter.json"}
    outcomes: list[str] = []

    @settings(max_examples=examples, **MANNERS)
    @given(
        st.fixed_dictionaries({question: kept for question in TEXTS})
        | st.fixed_dictionaries({question: texts for question in TEXTS})
    )
    def holds(answers: dict[str, str]) -> None:
        refusals = problems(**answers)
        for sentence in refusals:
            assert re.fullmatch(r"(\w+) .* must be (one line )?without .*\.", sentence), sentence
        outcomes.append("refused" if refusals else "kept")
        if refusals:
            return
        with tempfile.TemporaryDirectory() as folder:
            project = bake_quickly(folder, project_slug="my-shop", **answers)
            metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
            assert metadata["description"] == answers["description"]
            assert metadata["authors"][0]["name"] == answers["author_name"]
            remembered = project.read(".cookiecutter.json")
            for read in (json.loads, yaml.safe_load):
                answered = read(remembered)["default_context"]
                assert answered["project_name"] == answers["project_name"]
                assert answered["description"] == answers["description"]
            readme = project.read("README.md")
            for kind, question in (("heading", "project_name"), ("paragraph", "description")):
                if answers[question].strip():
                    assert text_of(readme, kind) == answers[question].strip()
            # Without hooks, the folders that no answer asked for are still there.
            asked = {name for name in project.files if "DELETE-ME" not in name}
            assert asked == plain.files
            for name in unchanged:
                assert project.read(name) == plain.read(name), name

    holds()
    assert min(outcomes.count("kept"), outcomes.count("refused")) >= examples // 10


@pytest.mark.parametrize("examples", ANSWERS)
def test_a_friendly_text_is_never_refused(examples: int) -> None:
    @settings(max_examples=examples, **MANNERS)
    @given(kept | st.text(characters, max_size=500))
    def holds(text: str) -> None:
        assert problems(description=text) == []

    holds()


@pytest.mark.usefixtures("replay_folder", "compile_once")
@pytest.mark.parametrize("examples", ANSWERS)
def test_any_name_works_or_is_refused_with_a_suggestion_that_works(examples: int) -> None:
    @settings(max_examples=examples, **MANNERS)
    @given(st.sampled_from(NAMES), names)
    def holds(question: str, name: str) -> None:
        answers = {"project_slug": "my-shop", "package_name": "my_shop", question: name}
        refusals = [found for found in problems(**answers) if found.startswith(question)]
        if refusals:
            (sentence,) = refusals
            (suggestion,) = re.findall(r": try '([^']*)'\.$", sentence)
            assert problems(**answers | {question: suggestion}) == []
            return
        with tempfile.TemporaryDirectory() as folder:
            project = bake_quickly(folder, **answers)
            assert project.path.parent.samefile(folder)
            for file in project.files:
                assert re.fullmatch(r"[A-Za-z0-9_./-]+", file)
                if file.endswith(".py"):
                    ast.parse(project.read(file))
                if file.endswith(".toml"):
                    tomllib.loads(project.read(file))

    holds()


@pytest.mark.usefixtures("replay_folder", "compile_once")
@pytest.mark.parametrize("examples", ANSWERS)
def test_any_address_is_kept_to_the_letter_or_refused(examples: int) -> None:
    @settings(max_examples=examples, **MANNERS)
    @given(st.emails() | st.sampled_from(CONTROLS + LETTERS + CODE).map("me{}@example.com".format))
    def holds(address: str) -> None:
        if problems(author_email=address):
            return
        with tempfile.TemporaryDirectory() as folder:
            project = bake_quickly(folder, author_email=address)
            metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
            assert metadata["authors"][0]["email"] == address

    holds()


# Looks into each package of this environment.
installed_modules = cache(packages_distributions)


def modules_of(names: set[str]) -> set[str]:
    """Return the distributions that are installed with some others, and what they import as."""
    found: set[str] = set()
    open_questions = [Requirement(name) for name in names]
    while open_questions:
        requirement = open_questions.pop()
        key = f"{canonicalize_name(requirement.name)}{sorted(requirement.extras)}"
        if key in found:
            continue
        found.add(key)
        try:
            needed = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            continue
        for other in map(Requirement, needed):
            extras = requirement.extras or {""}
            if not other.marker or any(other.marker.evaluate({"extra": e}) for e in extras):
                open_questions.append(other)
    distributions = {key.partition("[")[0] for key in found}
    modules = {
        module
        for module, homes in installed_modules().items()
        if distributions & {canonicalize_name(home) for home in homes}
    }
    return modules | {name.replace("-", "_") for name in distributions}


def test_every_package_that_a_project_installs_is_refused_as_a_name(project: Project) -> None:
    metadata = tomllib.loads(project.read("pyproject.toml"))
    needed = {
        *metadata["project"]["dependencies"],
        *metadata["dependency-groups"]["dev"],
        *metadata["build-system"]["requires"],
        "uv",
    }
    installed = {name for name in modules_of(needed) if re.fullmatch("[a-z][a-z0-9_]*", name)}
    assert {"alembic", "mako", "pluggy"} <= installed
    for problem_with in (HOOK.problem_with_package, HOOK.problem_with_slug):
        assert {name for name in installed if not problem_with(name)} == set()


def test_every_name_that_env_binds_is_refused_as_a_name(project: Project) -> None:
    tree = ast.parse(project.read("migrations/env.py"))
    lines = [
        line for node in tree.body for line in (node.body if isinstance(node, ast.With) else [node])
    ]
    bound = {line.name for line in lines if isinstance(line, ast.FunctionDef)}
    for line in lines:
        if isinstance(line, ast.Import | ast.ImportFrom):
            bound |= {alias.name for alias in line.names}
        elif isinstance(line, ast.Assign):
            bound |= {ast.unparse(target) for target in line.targets}
    bound = {name for name in bound if re.fullmatch("[a-z][a-z0-9_]*", name)}
    assert {"config", "guard", "target_metadata"} <= bound
    assert {name for name in bound if not HOOK.problem_with_package(name)} == set()


def test_every_folder_and_module_of_a_project_is_refused_as_a_name(project: Project) -> None:
    for file in project.files:
        folder, *inside = file.split("/")
        if inside and folder.isidentifier() and folder != "migrations":
            assert HOOK.problem_with_package(folder), folder
            assert HOOK.problem_with_migrations(folder, "my_shop"), folder
        if file.startswith("src/my_shop/"):
            name = inside[1].removesuffix(".py")
            assert HOOK.problem_with_migrations(f"src/my_shop/{name}", "my_shop"), name


@pytest.fixture
def compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jinja compiles a file of the template once, and not for each answer."""
    plain, compiled = Environment.compile, {}

    def compile_(environment: Environment, *source: str) -> CodeType:
        key = (get_lexer(environment), *source)
        if key not in compiled:
            compiled[key] = plain(environment, *source)
        return compiled[key]

    monkeypatch.setattr(Environment, "compile", compile_)


@pytest.fixture
def replay_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cookiecutter remembers answers in a folder of this test, not in the home of the tester."""
    config = {"replay_dir": str(tmp_path), "cookiecutters_dir": str(tmp_path)}
    change: Callable[..., dict[str, object]] = lambda **_: {
        **config,
        "default_context": {},
        "abbreviations": {},
    }
    monkeypatch.setattr("cookiecutter.main.get_user_config", change)


def test_every_template_in_the_questions_is_marked_so_that_answers_are_none() -> None:
    text = json.dumps(QUESTIONS)
    start = QUESTIONS["_jinja2_env_vars"]["variable_start_string"]
    assert start == "\0{{"
    switch = QUESTIONS["__from_here_on_files"]
    for found in re.finditer(r"\{[{%#]", text.replace(json.dumps(switch), "")):
        before = text.replace(json.dumps(switch), "")[: found.start()]
        assert before.endswith(r"\u0000"), before[-60:]
