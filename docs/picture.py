"""Draws docs/picture.svg: what a terminal shows when a project is made.

    uv run python docs/picture.py

runs Cookiecutter in a terminal of its own and answers each question with Enter. Nothing in the
picture is written by hand but the first line, in which a clone would be ``.``.
"""

import os
import pty
import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

TEMPLATE = Path(__file__).resolve().parents[1]
PICTURE = Path(__file__).with_name("picture.svg")
COMMAND = "$ uvx cookiecutter gh:org/template\n"
WIDTH = 96


def recorded(folder: str) -> str:
    """Run Cookiecutter in a terminal, answer each question with Enter, and return what it shows."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        # The picture is of somebody's first project, in a terminal of this width.
        os.environ.update(
            COLUMNS=str(WIDTH), TERM="xterm-256color", COOKIECUTTER_CONFIG=f"{folder}/none.yaml"
        )
        for name in ("NO_COLOR", "CI", "VIRTUAL_ENV"):
            os.environ.pop(name, None)
        os.execvp("cookiecutter", ["cookiecutter", str(TEMPLATE)])
    shown, answered = "", 0
    while True:
        try:
            part = os.read(terminal, 4096).decode()
        except OSError:  # The other side is closed: that is the end, on Linux.
            break
        if not part:
            break
        shown += part
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        if plain.endswith("): ") and len(plain) > answered:
            answered = len(plain)
            os.write(terminal, b"\n")
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"Cookiecutter failed:\n{shown}")
    return shown.replace("\r\n", "\n")


def drawn(shown: str) -> str:
    """Return the picture of a terminal, as SVG, with the fonts of the one who looks at it."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(COMMAND + shown.rstrip()))
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="my-shop", code_format=without_fonts, unique_id="picture")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "none.yaml").write_text("{}\n")
        PICTURE.write_text(drawn(recorded(name)), encoding="utf-8", newline="\n")
