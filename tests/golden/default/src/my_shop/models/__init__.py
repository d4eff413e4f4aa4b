"""Every model of the application.

Each module in this folder, at any depth, is imported here, so that Alembic sees its
tables: a new file needs no mention anywhere.
"""

from importlib import import_module
from pathlib import Path

from my_shop.models.base import Base

__all__ = ["Base"]

FOLDER = Path(__file__).parent

for path in sorted(FOLDER.rglob("*.py")):
    names = path.relative_to(FOLDER).with_suffix("").parts
    if names[-1] == "__init__":
        names = names[:-1]
    if names and all(name.isidentifier() for name in names):
        import_module(".".join((__name__, *names)))
