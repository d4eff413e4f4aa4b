{% set layout = cookiecutter._layout_facts[cookiecutter.databases] %}
"""The pictures in docs/ show what is there."""

import subprocess
import sys

from {{ cookiecutter.package_name }}.settings import ROOT

{% if layout.many %}
DRAW = ["docs/draw.py"]
{% else %}
DRAW = ["inject", "docs/models.md", "{{ cookiecutter.package_name }}.models:Base"]
{% endif %}


def test_the_docs_show_the_models_as_they_are() -> None:
    command = [sys.executable, {{ "*DRAW" if layout.many else '"-m", "paracelsus.cli", *DRAW, "--python-dir=src"' }}, "--check"]
    check = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert check.returncode == 0, f"run: uv run {{ "python" if layout.many else "paracelsus" }} {' '.join(DRAW)}\n{check.stderr}"
