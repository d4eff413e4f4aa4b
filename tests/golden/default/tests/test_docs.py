"""The pictures in docs/ show what is there."""

import subprocess
import sys

from my_shop.settings import ROOT

DRAW = ["inject", "docs/models.md", "my_shop.models:Base"]


def test_the_docs_show_the_models_as_they_are() -> None:
    command = [sys.executable, "-m", "paracelsus.cli", *DRAW, "--python-dir=src", "--check"]
    check = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert check.returncode == 0, f"run: uv run paracelsus {' '.join(DRAW)}\n{check.stderr}"
