"""What a long history costs: each fourth revision makes a table, the others change it.

Median CPU seconds of whole processes run in turns, the median of their ratios, and how much
more ours takes than with the shortest history.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from measuring import NAME, Project, Settings, cpu_seconds, database, ours, paired, run, stock

HEADER = ["revisions", "database", "command", "stock, CPU s", "ours, CPU s", "ratio", "growth"]
COMMANDS = [
    ("`upgrade head` at head", ["upgrade", "head"]),
    ("`heads`", ["heads"]),
    ("`revision`", ["revision", "-m", "again"]),
]

# Four revisions in turn make a table, a column, an index and another column: how each goes up
# and down, and what it adds to the models.
STEPS = [
    (
        """op.create_table(
        "t{t}",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_t{t}"),
    )""",
        'op.drop_table("t{t}")',
        """

class Table{t}(Base):
    __tablename__ = "t{t}"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(50))
""",
    ),
    (
        'op.add_column("t{t}", sa.Column("a", sa.String(30)))',
        'op.drop_column("t{t}", "a")',
        "    a: Mapped[str | None] = mapped_column(String(30))\n",
    ),
    (
        'op.create_index("ix_t{t}_name", "t{t}", ["name"])',
        'op.drop_index("ix_t{t}_name", "t{t}")',
        '    __table_args__ = (Index("ix_t{t}_name", "name"),)\n',
    ),
    (
        'op.add_column("t{t}", sa.Column("b", sa.String(30)))',
        'op.drop_column("t{t}", "b")',
        "    b: Mapped[str | None] = mapped_column(String(30))\n",
    ),
]
REVISION = """\"\"\"Step {n}\"\"\"

import sqlalchemy as sa
from alembic import op

revision: str = "{n:012x}"
down_revision = {parent!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
"""
IMPORTS = """from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column
"""


def write_history(project: Project, revisions: int) -> None:
    """Write a history, and the models of the tables that it ends with."""
    parent, models = None, IMPORTS
    for n in range(revisions):
        up, down, model = (side.format(t=n // 4) for side in STEPS[n % 4])
        models += model
        text = REVISION.format(n=n, parent=parent, up=up, down=down)
        (project.versions / f"2027_01_01_{n:04d}-{n:012x}_step.py").write_text(text)
        parent = f"{n:012x}"
    (project.versions / "head.txt").write_text(f"{parent}\n")
    project.write_models(models)


def rows(settings: Settings) -> Iterator[list[object]]:
    for kind in settings.kinds:
        shortest: dict[str, float] = {}
        for revisions in settings.sizes(10, 100, 300, 1000):
            for command, before, after, ratio in compare(kind, revisions, settings):
                growth = after / shortest.setdefault(command, after)
                yield [
                    revisions, kind, command, f"{before:.2f}", f"{after:.2f}", f"{ratio:.2f}",
                    f"{growth:.1f}",
                ]  # fmt: skip


def compare(
    kind: str, revisions: int, settings: Settings
) -> Iterator[tuple[str, float, float, float]]:
    with tempfile.TemporaryDirectory() as name, database(kind, Path(name)) as url:
        mine, theirs = ours(Path(name), kind), stock(Path(name), url)
        write_history(mine, revisions)
        write_history(theirs, revisions)
        for project in (mine, theirs):
            run(project, url, "alembic", "heads")

        def from_empty(project: Project) -> float:
            # Its own one, so that what others keep open does not matter.
            with database(kind, Path(name), f"{NAME}_empty") as empty:
                if project is theirs:
                    ini = project.path / "alembic.ini"
                    ini.write_text(ini.read_text().replace(url, empty))
                seconds = cpu_seconds(project, empty, "alembic", "upgrade", "head")
                if project is theirs:
                    ini.write_text(ini.read_text().replace(empty, url))
            return seconds

        def cost(project: Project, command: list[str]) -> float:
            seconds = cpu_seconds(project, url, "alembic", *command)
            for again in project.versions.glob("*again.py"):
                again.unlink()
            return seconds

        yield (
            "`upgrade head` from empty",
            *paired(settings.rounds, lambda: from_empty(theirs), lambda: from_empty(mine)),
        )
        run(mine, url, "alembic", "upgrade", "head")
        for title, command in COMMANDS[-1:] if settings.quick else COMMANDS:
            yield (
                title,
                *paired(
                    settings.rounds,
                    lambda command=command: cost(theirs, command),
                    lambda command=command: cost(mine, command),
                ),
            )
