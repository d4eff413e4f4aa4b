"""Runs the benchmarks, and writes what they say into README.md: uv run python benchmarks --help"""

import argparse
import platform
import re
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from measuring import SERVERS, Settings, markdown

README = Path(__file__).with_name("README.md")
PARTS = [
    "generation",
    "command_line",
    "histories",
    "safety",
    "many_tables",
    "proof",
    "clean_database",
    "waiting",
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"all, or some of {PARTS}")
    parser.add_argument("--database", action="append", choices=list(SERVERS), help="all, or some")
    parser.add_argument("--quick", action="store_true", help="the smallest size, only shown")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    settings = Settings(given.database or list(SERVERS), given.quick)
    for part in given.parts or PARTS:
        module = import_module(part)
        rows = [module.HEADER]
        print(f"{part}: {module.__doc__.splitlines()[0]}", file=sys.stderr)
        for row in module.rows(settings):
            rows.append(row)
            print("  ", *row, sep="  ", file=sys.stderr, flush=True)
        if settings.quick or given.database:
            print(markdown(rows))
        else:
            write(part, module.__doc__.strip(), markdown(rows))


def write(part: str, text: str, table: str) -> None:
    """Put what a part is about, and its table, between its marks in README.md."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("alembic", "sqlalchemy"))
    when = f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {versions}"
    new = f"<!-- {part} -->\n{text}\n\n{table}\n\nLast run: {when}\n<!-- end of {part} -->"
    readme, count = re.subn(
        f"<!-- {part} -->.*<!-- end of {part} -->",
        lambda _: new,
        README.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        sys.exit(f"README.md has no place for {part}: <!-- {part} --><!-- end of {part} -->")
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
