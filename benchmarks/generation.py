"""What generating a project costs, without setting it up.

Million instructions of whole processes (`valgrind --tool=callgrind`), against templates that
render as many files: each with one line, and each with the text that ours has when it is
rendered. No template does less than the first.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import TEMPLATE, Project, Settings, cpu_seconds, instructions, ours

HEADER = ["database", "one line each", "our text", "ours", "ratio to the first", "to the second"]


def floor(folder: Path, project: Project, with_text: bool) -> Path:
    """Make a template without any choice that renders to as many files as a project has."""
    inner = folder / "{{cookiecutter.project_slug}}"
    inner.mkdir(parents=True)
    answers = {"project_name": "My Shop", "project_slug": "my-shop"}
    (folder / "cookiecutter.json").write_text(json.dumps(answers))
    for path in project.path.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            target = inner / path.relative_to(project.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8") if with_text else "line"
            target.write_text(
                "{% raw %}" + text + "{% endraw %}{{ cookiecutter.project_name }}\n",
                encoding="utf-8",
            )
    return folder


def rows(settings: Settings) -> Iterator[list[object]]:
    cost = cpu_seconds if settings.quick else instructions
    for kind in settings.kinds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            mine = ours(folder, kind, example_models=True)
            answers = [f"database={kind}", "set_up_now=False"]
            costs = [
                cost(
                    Project(folder), "", "cookiecutter", str(template), "--no-input",
                    f"--output-dir={folder / str(number)}", *said,
                )
                for number, (template, said) in enumerate([
                    (floor(folder / "lines", mine, False), []),
                    (floor(folder / "text", mine, True), []),
                    (TEMPLATE, answers),
                ])
            ]  # fmt: skip
            lines, text, whole = costs
            yield [
                kind, f"{lines:.0f}", f"{text:.0f}", f"{whole:.0f}", f"{whole / lines:.2f}",
                f"{whole / text:.2f}",
            ]  # fmt: skip
