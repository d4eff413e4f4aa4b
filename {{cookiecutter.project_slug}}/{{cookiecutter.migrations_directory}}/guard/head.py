"""``head.txt`` beside the revisions, which makes git stop where two branches both add one.

The post-write hook uses it, so it imports neither SQLAlchemy nor Alembic.
"""

from pathlib import Path

# What somebody reads at the moment of the conflict.
HEADER = """\
# A conflict here? Both branches have added a revision. Put yours behind theirs:
#     python -m {package} rebase
# or join the two heads: alembic merge heads -m "join". Either writes this file.
"""


def head_file(revision: Path) -> Path:
    """Return the ``head.txt`` of a revision file."""
    return revision.with_name("head.txt")


def write_head(path: Path, revision: str) -> None:
    """Write the id of the last revision."""
    header = HEADER.format(package=__package__)
    path.write_text(f"{header}{revision}\n", encoding="utf-8", newline="\n")


def head_in(text: str) -> str:
    """Return the id in the text of a ``head.txt``, which has comments above it."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(line for line in lines if line)
