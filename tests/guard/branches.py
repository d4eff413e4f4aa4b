"""Migration environments in git repositories, for what lint and rebase say of branches."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from conftest import indent
from environments import MIGRATIONS, Environment
from processes import Run, run_at_once

REVISION = '''"""{revision}

Revises: {parent}
"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision: str | None = {parent!r}


def upgrade() -> None:
{upgrade}


def downgrade() -> None:
    pass
'''
CREATE = 'op.create_table("shops", sa.Column("id", sa.Integer()), sa.Column("x", sa.Text()))'


@dataclass(frozen=True)
class Branches:
    """An environment whose first revision is on the branch main.

    :param environment: around the guard.
    """

    environment: Environment

    @property
    def versions(self) -> Path:
        return self.environment.path / "migrations" / "versions"

    def git(self, *arguments: str, check: bool = True) -> str:
        run = subprocess.run(
            ["git", "-c", "user.name=Owner", "-c", "user.email=owner@example.com", *arguments],
            cwd=self.environment.path,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_EDITOR": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0 or not check, run.stdout + run.stderr
        return run.stdout + run.stderr

    def commit(self, message: str = "x") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def write(
        self, revision: str, upgrade: str = "pass", parent: object = "one", head: bool = True
    ) -> Path:
        """Write a revision, and head.txt as the post-write hook does."""
        from guard.head import head_file, write_head

        path = self.versions / f"{revision}_.py"
        source = REVISION.format(revision=revision, parent=parent, upgrade=indent(upgrade.strip()))
        path.write_text(source)
        if head:
            write_head(head_file(path), revision)
        return path

    def guard(self, *arguments: str, **variables: str) -> Run:
        """Run a command of the guard."""
        settings = {"PYTHONPATH": str(MIGRATIONS), "PYTHONDONTWRITEBYTECODE": "1"}
        unset = {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}
        environment = {**os.environ, **settings, **unset, **variables}
        folder = self.environment.path
        (run,) = run_at_once(("guard", *arguments), folder=folder, environment=environment)
        return run

    def lint(self, *arguments: str, **variables: str) -> Run:
        return self.guard("lint", *arguments, **variables)


def begin(environment: Environment) -> Branches:
    """Commit the environment, with one revision, on the branch main."""
    branches = Branches(environment)
    branches.git("init", "--quiet", "--initial-branch=main")
    branches.write("one", CREATE, parent=None)
    branches.commit("First")
    return branches
