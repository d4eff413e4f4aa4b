"""``python -m migrations.guard COMMAND``: what Alembic itself has no command for.

    lint [BRANCH]    check the revisions that BRANCH does not have, and that those it has stay
    rebase [BRANCH]  put the revisions that BRANCH does not have behind its head
    ready            exit 0 when the database is at this code's head or beyond; --wait SECONDS
    plan             the revisions that would run here, oldest first; --sql prints their SQL
    finish PATH      format a new revision and note it in head.txt; the post-write hook

BRANCH is the head of the remote by default, or main. Options as those of alembic: -c PATH, --name SECTION, -x name=value.
"""

import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Run a command; a post-write hook must not wait for Alembic and SQLAlchemy."""
    # Alembic puts the path first, unless the options of the hook say where it belongs.
    if len(arguments) == 2 and arguments[0] == "finish":
        from .writing.finish import finish

        finish(Path(arguments[1]))
    else:
        from .commands import run

        sys.exit(run(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
