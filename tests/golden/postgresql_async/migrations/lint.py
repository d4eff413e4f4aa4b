"""Checks the SQL of new revisions, which another branch does not have, for what may hurt.

    uv run python -m migrations.lint origin/main

It is checked by squawk: https://squawkhq.com/docs/rules. To accept a finding, write
op.execute("-- squawk-ignore name-of-the-rule") before the operation, and why.
"""

import re
import subprocess
import sys
from pathlib import Path

SQUAWK = str(Path(sys.executable).with_name("squawk"))


def run(*command: str, sql: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, and keep its standard output."""
    return subprocess.run(command, input=sql, stdout=subprocess.PIPE, encoding="utf-8", check=False)


def head_of(branch: str) -> str:
    """Return the revision at which this branch left the other one, or base.

    :raises SystemExit: when git does not know the branch.
    """
    if run("git", "rev-parse", "--quiet", "--verify", "HEAD").returncode != 0:
        return "base"  # Nothing is committed yet.
    common = run("git", "merge-base", "HEAD", branch)
    if common.returncode != 0:
        sys.exit(f"There is no branch {branch} to compare with: name one that git knows.")
    commit = common.stdout.strip()
    file = "./migrations/versions/head.txt"
    if not run("git", "ls-tree", commit, file).stdout:
        return "base"
    return run("git", "show", f"{commit}:{file}").stdout.strip()


def without_noise(sql: str) -> str:
    """Return SQL without what squawk need not see, and with its comments as it wants them."""
    # Alembic's own table is not ours to change.
    sql = re.sub(r"CREATE TABLE alembic_version \(.*?\);\n", "", sql, flags=re.DOTALL)
    return re.sub(r"(-- squawk-ignore [\w ,-]+);\s*", r"\1\n", sql)


def lint(branch: str) -> int:
    """Check the SQL of new revisions, and return an exit status."""
    new = f"{head_of(branch)}:head"
    alembic = [sys.executable, "-m", "alembic"]
    script = run(*alembic, "upgrade", new, "--sql")
    if script.returncode != 0:
        return script.returncode
    found = run(SQUAWK, "--stdin-filepath=upgrade.sql", sql=without_noise(script.stdout))
    print(found.stdout, end="")
    return found.returncode


if __name__ == "__main__":
    branch = sys.argv[1] if len(sys.argv) > 1 else "main"
    sys.exit(lint(branch))
