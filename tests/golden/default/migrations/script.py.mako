<%!
    import sys

    def literal(value):
        return repr(value).replace("'", '"')

    def body(operations):
        lines = [line for line in operations.splitlines() if "# ###" not in line]
        return "\n".join(lines).strip()
%>\
<%
    if len(up_revision) > 32:
        print("A revision id has at most 32 characters: choose a shorter one.", file=sys.stderr)
        raise ValueError(up_revision)
%>\
"""${message.replace("\\", "\\\\").replace('"', '\\"')}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
"""

from collections.abc import Sequence

% if not upgrades or "sa." in upgrades + downgrades:
import sqlalchemy as sa
% endif
from alembic import op
% if imports:
${imports}
% endif

revision: str = ${literal(up_revision)}
down_revision: str | Sequence[str] | None = ${literal(down_revision)}
branch_labels: str | Sequence[str] | None = ${literal(branch_labels)}
depends_on: str | Sequence[str] | None = ${literal(depends_on)}


def upgrade() -> None:
% if upgrades:
    ${body(upgrades)}
% else:
    # To change data, describe the table as it is now with sa.table() and sa.column().
    # Do not import the models: they go on changing, this revision must not.
    pass
% endif


def downgrade() -> None:
    ${body(downgrades) if downgrades else "pass"}
