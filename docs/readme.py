"""What README.md is filled with: the options, and the files of the golden projects.

uv run cog -r -I docs README.md
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).resolve().parents[1]
# The guard, which the golden projects leave out: it is the same in each project.
GUARD = (
    TEMPLATE / "{{cookiecutter.project_slug}}" / "{{cookiecutter.migrations_directory}}" / "guard"
)
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
PROMPTS = QUESTIONS["__prompts__"]
# So that GitHub shows each line whole.
WIDTH = 28
ROOM = 64


def options() -> str:
    """Return a table of all questions, in the words in which they are asked."""
    lines = ["| question | what is asked | answers; the first is the default |", "|---|---|---|"]
    for question, default in QUESTIONS.items():
        if not question.startswith("_"):
            prompt = PROMPTS[question]
            words = prompt["__prompt__"] if isinstance(prompt, dict) else prompt
            lines.append(f"| `{question}` | {words} | {answers(question, default)} |")
    return "\n".join(lines)


def answers(question: str, default: Any) -> str:
    if isinstance(default, list):
        return "<br>".join(f"`{one}`: {PROMPTS[question][one]}" for one in default)
    if isinstance(default, bool):
        return "yes, no" if default else "no, yes"
    derived = re.search(r"cookiecutter\.(\w+)", default)
    return f"follows from `{derived[1]}`" if derived else default


def tree(name: str) -> str:
    """Return the files of a golden project, each with what its first line says."""
    root = TEMPLATE / "tests" / "golden" / name
    lines = ["my-shop/", *branches(root)]
    return "```\n" + "\n".join(lines) + "\n```"


def branches(folder: Path, indent: str = "") -> list[str]:
    lines = []
    found = [path for path in folder.iterdir() if path.name != "guard" and not is_left_over(path)]
    if (folder / "env.py").exists():
        found.append(GUARD)
    entries = sorted(found, key=lambda path: (path.is_file(), path.name))
    for entry in entries:
        last = entry is entries[-1]
        line = f"{indent}{'└── ' if last else '├── '}{short(entry.name)}"
        if entry == GUARD:
            what = first_line(GUARD / "__init__.py").partition(":")[0]
            lines.append(f"{line + '/':<{WIDTH + 12}}{what}")
        elif entry.is_dir():
            lines += [f"{line}/", *branches(entry, indent + ("    " if last else "│   "))]
        else:
            lines.append(f"{line:<{WIDTH + 12}}{first_line(entry)}".rstrip())
    return lines


def is_left_over(path: Path) -> bool:
    """Return whether a tool has left this in a golden project; git does not see it."""
    return path.name.startswith(".") and path.name.endswith("_cache") or path.name in {
        "__pycache__", ".venv", ".git", "uv.lock", ".hypothesis",
    } or path.suffix in {".db", ".pyc"}  # fmt: skip


def short(name: str) -> str:
    """Return the name of a file, with the date of a revision left out."""
    return re.sub(r"^\d{4}_\d\d_\d\d_\d+-[0-9a-f]{12}", "…", name)


def first_line(path: Path) -> str:
    """Return what a file says of itself first: a docstring, a comment or a heading."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return first_sentence((ast.get_docstring(ast.parse(text)) or "").partition("\n")[0])
    if path.suffix in {".ini", ".yaml", ".yml", ".toml"} or path.name in {
        ".env.example", "Dockerfile", ".gitignore", ".gitattributes", ".dockerignore",
    }:  # fmt: skip
        comment = re.match(r"# (.*)", text)
        return first_sentence(comment[1]) if comment else ""
    return ""


def first_sentence(text: str) -> str:
    """Return the first sentence, or as many of its parts as there is room for."""
    sentence = text.partition(". ")[0].rstrip(".")
    while len(sentence) > ROOM and re.search("[,:] ", sentence):
        sentence = re.sub(r"[,:] (?!.*[,:] ).*$", "", sentence)
    return sentence


def more(name: str) -> str:
    """Return the files that another golden project has and the default one has not."""
    files, default = (
        {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        for root in (TEMPLATE / "tests" / "golden" / each for each in (name, "default"))
    )
    new = sorted(
        path for path in files.keys() - default.keys()
        if not any(is_left_over(Path(part)) or part == "guard" for part in Path(path).parts)
    )  # fmt: skip
    lines = [f"{path:<{WIDTH}}{first_line(files[path])}".rstrip() for path in new]
    return "```\n" + "\n".join(lines) + "\n```"
