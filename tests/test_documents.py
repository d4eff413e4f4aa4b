"""Promises about README.md and the other documents of this repository."""

import ast
import html
import re
import subprocess
import sys

import pytest
from conftest import QUESTIONS, TEMPLATE
from environments import MIGRATIONS

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
PROMISES = MIGRATIONS / "guard" / "proof" / "tests.py"


def text_of_picture() -> str:
    """Return what the terminal in docs/picture.svg shows, in one line."""
    picture = (TEMPLATE / "docs" / "picture.svg").read_text(encoding="utf-8")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    return " ".join(" ".join(html.unescape(text) for text in texts).split())


def expected_texts() -> list[str]:
    """Return what Cookiecutter asks, what the hook tests and what is next, in that order."""
    texts = ["uvx cookiecutter gh:org/template"]
    for prompt in QUESTIONS["__prompts__"].values():
        if isinstance(prompt, dict):
            choices = [words for choice, words in prompt.items() if choice != "__prompt__"]
            texts += [prompt["__prompt__"], *choices]
        else:
            texts.append(prompt)
    names = re.findall(r"^def test_(\w+)", PROMISES.read_text(encoding="utf-8"), re.MULTILINE)
    return [
        *texts,
        "Testing the migrations",
        *(f"passed {name.replace('_', ' ')}" for name in names),
        "Next: cd my-shop uv run alembic upgrade head uv run pytest",
    ]


def test_picture_shows_what_is_asked_and_tested_today() -> None:
    picture, position = text_of_picture(), 0
    for text in expected_texts():
        found = picture.find(" ".join(text.split()), position)
        assert found >= 0, f"not in the picture: {text!r}; run: uv run python docs/picture.py"
        position = found + len(text)
    count = sum(not name.startswith("_") for name in QUESTIONS)
    assert picture.count(f"[{count}/{count}]") == 1
    assert "FAILED" not in picture


def test_readme_has_the_options_and_files_of_today() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "-I", "docs", "README.md"],
        cwd=TEMPLATE, capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert run.returncode == 0, f"{run.stdout}{run.stderr}\nuv run cog -r -I docs README.md"


@pytest.mark.parametrize("name", ["README.md", ".github/CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_to_files_lead_somewhere(name: str) -> None:
    path = TEMPLATE / name
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    for link in links:
        assert (path.parent / link.strip("<>")).exists(), link


def test_places_that_contributing_names_are_there() -> None:
    text = (TEMPLATE / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    facts = {name for name in QUESTIONS if name.startswith("_")}
    for name in re.findall(r"`(_\w+)`", text):
        assert name in facts, name


def test_guarantees_name_a_test_that_is_there() -> None:
    rows = re.findall(r"`uv run pytest (tests/[\w/]+\.py)::(\w+)`", README)
    assert len(rows) > 10
    for file, test in rows:
        tree = ast.parse((TEMPLATE / file).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert test in names, f"{file} has no {test}"


def test_comparison_has_a_row_for_each_thing_that_is_tried() -> None:
    text = (TEMPLATE / "tests" / "test_comparison.py").read_text(encoding="utf-8")
    tests = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    row = r"^\| \[.*\]\(tests/test_comparison.py\)<br>`(\w+)` \|"
    words = re.findall(row, README, re.MULTILINE)
    chosen = [[test for test in tests if word in test] for word in words]
    assert sorted(chosen) == sorted([test] for test in tests)
