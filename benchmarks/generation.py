"""What generating a project costs, in million instructions (`valgrind --tool=callgrind`).

- Without the proof: against templates without any choice that render as many files, each with one
  line, and each with the text that ours has when it is rendered. No template does less than the
  first. "Ours without hooks" is what Cookiecutter does with our template.
- With the proof, for the default answers, where uv has everything in its cache. Of it, installing
  (`uv sync`), and what the first `pytest --collect-only` of a new environment takes, which compiles
  and imports pytest, Alembic and SQLAlchemy and proves nothing. No proof in an environment of its
  own does less.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import TEMPLATE, Project, Settings, cpu_seconds, instructions, ours

HEADER = [
    "database", "one line each", "our text", "ours without hooks", "ours", "ratio to the first",
    "with the proof", "of it installing", "of it first imports",
]  # fmt: skip


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
            without_proof = [str(TEMPLATE), f"database={kind}", "set_up_now=False"]
            costs = [
                cookiecutter(cost, folder / str(number), *said)
                for number, said in enumerate([
                    [str(floor(folder / "lines", mine, False))],
                    [str(floor(folder / "text", mine, True))],
                    [*without_proof, "--accept-hooks=no"],
                    without_proof,
                ])
            ]  # fmt: skip
            row = [f"{each:.{2 if settings.quick else 0}f}" for each in costs]
            proven = kind == "sqlite" and not settings.quick
            proof = costs_of_proof(kind, folder) if proven else [""] * 3
            yield [kind, *row, f"{costs[3] / costs[0]:.2f}", *proof]


def costs_of_proof(kind: str, folder: Path) -> list[str]:
    """Return what generating costs with the proof, installing, and the first imports."""
    whole = cookiecutter(instructions, folder / "proven", str(TEMPLATE), f"database={kind}")
    project = Project(folder / "proven" / "my-shop")
    shutil.rmtree(project.path / ".venv")
    (project.path / "uv.lock").unlink()
    installing = instructions(project, "", "uv", "sync", "--quiet")
    collect = ["-q", "-p", "no:cacheprovider", "--collect-only", "tests/test_migrations.py"]
    python = str(project.path / ".venv" / "bin" / "python")
    imports = instructions(project, "", "pytest", *collect, python=python)
    return [f"{cost:.0f}" for cost in (whole, installing, imports)]


def cookiecutter(cost: Callable[..., float], folder: Path, *said: str) -> float:
    """Return what a run of Cookiecutter costs that writes into a folder."""
    folder.mkdir()
    return cost(
        Project(folder), "", "cookiecutter", *said, "--no-input", "--default-config",
        f"--output-dir={folder}",
    )  # fmt: skip
