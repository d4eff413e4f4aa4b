"""Tests of the guard's README.md, its reference: it names what there is, as it is."""

import ast
import re
from pathlib import Path

import guard
import pytest
from guard import commands, settings
from guard.rules import RULES
from guard.rules.deployment import CONTRACTIONS, RULE_NAMES

FOLDER = Path(guard.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")
TEMPLATE = Path(__file__).resolve().parents[2]


def section(heading: str) -> str:
    """Return the text below a heading."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def first_column(text: str) -> list[str]:
    """Return the first cell of each row of the tables in a text, without their headings."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [row.strip() for row in rows]


def sentences() -> list[str]:
    """Return each text of the guard's code, with an ellipsis where a value is filled in."""
    texts = []
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "…" for part in node.values
                ]
                texts.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{\w+\}|%[gs]", "…", node.value))
    return texts


def test_each_setting_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)` )?\|", section("Settings"), re.MULTILINE)
    assert {
        name: default for name, default in rows if name in settings.DEFAULTS
    } == settings.DEFAULTS


def test_each_rule_is_explained_in_their_order() -> None:
    assert first_column(section("Remarks in new revisions")) == [f"`{name}`" for name in RULES]


def test_each_rule_of_lint_is_explained_in_their_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|$", section("Lint"), re.MULTILINE)
    assert [*RULES, *rows] == list(RULE_NAMES)


def test_the_contractions_are_marked() -> None:
    marked = set(re.findall(r"^\| `(\w+)` \| C: ", section("Lint"), re.MULTILINE))
    named = re.search(r"of which (.*?) are contractions", section("Lint"), re.DOTALL)
    assert named is not None
    assert marked | set(re.findall(r"`(\w+)`", named[1])) == CONTRACTIONS


def test_each_rule_that_strong_migrations_is_compared_with_is_one_that_there_is() -> None:
    text = section("Lint").partition("### Beside strong_migrations")[2].partition("### In CI")[0]
    rules = set(re.findall(r"`(\w+)`", text)) - {"renames_table"}
    assert rules <= set(RULE_NAMES)
    assert len(re.findall(r"^\| \w", text, re.MULTILINE)) == 26  # And the heading.


def test_each_command_is_explained() -> None:
    explained = {cell.strip("`").split()[0] for cell in first_column(section("Commands"))}
    (known,) = re.findall(r"\{([\w,]+)\}", commands.parser().format_usage())
    assert explained == {*known.split(","), "finish"}


def test_each_room_is_explained() -> None:
    rooms = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert {cell.strip("`") for cell in first_column(section("Rooms"))} == rooms


def test_each_test_and_fixture_is_explained() -> None:
    proof = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / "proof").glob("*.py"))
    tests = re.findall(r"^(?:async )?def (test_\w+)", proof, re.MULTILINE)
    explained = re.findall(r"`(test_\w+)`", section("Tests"))
    assert explained == tests
    for fixture in (
        "session",
        "engine",
        "engines",
        "own_engine",
        "own_engines",
        "config",
        "configs",
    ):
        assert re.search(rf"def {fixture}\(", proof), fixture
        assert re.search(rf"`{fixture}[`\[]", section("Tests")), fixture


@pytest.mark.parametrize(
    "message", re.findall(r"`([^`]+)`", "\n".join(first_column(section("Messages"))))
)
def test_each_message_is_one_that_there_is(message: str) -> None:
    pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
    found = any(re.search(pattern, text, re.DOTALL) for text in sentences())
    project = TEMPLATE / "{{cookiecutter.project_slug}}"
    in_project = (
        path.read_text(encoding="utf-8")
        for name in ("settings.py", "script.py.mako")
        for path in project.glob(f"*/*{name}*")
    )
    of_alembic = message.startswith("No 'script_location'")
    found = found or of_alembic
    assert found or any(re.search(pattern, text) for text in in_project), pattern


def test_the_code_is_python() -> None:
    for code in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        compile(code, "README.md", "exec")


def test_there_is_not_one_tag() -> None:
    assert not re.search(r"\{\{|\{%|\{#", README)
