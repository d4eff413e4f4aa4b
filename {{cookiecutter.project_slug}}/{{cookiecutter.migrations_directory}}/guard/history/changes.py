"""What is new on this branch, and what it has changed of what another branch has: asks git."""

import ast
import os
import subprocess
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from .. import revisions
from ..revisions import RevisionFile

CHANGED = "changes_applied_revision"

OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True)
class Change:
    """A revision of the other branch that is edited, renamed or deleted here.

    :param path: of the file, as it is here; of one that is deleted, as it was.
    :param words: what happened and what to do instead.
    :param revision: its id.
    """

    path: Path
    words: str
    revision: str


@dataclass
class Comparison:
    """This branch beside another one.

    :param new: the revision files that only this branch has.
    :param changes: the revisions of the other branch that are not as they were.
    :param before: the parents of each revision of the other branch, by its id.
    """

    new: list[RevisionFile]
    changes: list[Change] = field(default_factory=list)
    before: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def ancestors(self, revision: str) -> set[str]:
        """Return the revisions of the other branch that come before one."""
        found: set[str] = set()
        waiting = [revision]
        while waiting:
            for parent in self.before.get(waiting.pop(), ()):
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found


def git(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run git in a folder, and keep what it prints.

    :raises CommandError: when there is no git.
    """
    # In a hook, git names its own files as seen from another folder.
    if not folder.is_dir():
        raise CommandError(f"There is no folder {folder}. Restore it, or create it.")
    environment = {name: text for name, text in os.environ.items() if name not in OF_A_HOOK}
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError("git is not installed, so branches cannot be compared.") from error


class Repository:
    """The git repository that revision files are in.

    :param script: the history.
    """

    def __init__(self, script: ScriptDirectory) -> None:
        self.script = script
        self.folders = [folder.resolve() for folder in revisions.version_folders(script)]
        found = git("rev-parse", "--show-toplevel", folder=self.folders[0])
        self.root = Path(found.stdout.strip()) if found.returncode == 0 else self.folders[0]
        head = git("rev-parse", "--quiet", "--verify", "HEAD", folder=self.folders[0])
        self.has_commits = head.returncode == 0

    def default_branch(self) -> str:
        """Return the branch that the remote calls its head, else ``main``."""
        head = git("rev-parse", "--abbrev-ref", "origin/HEAD", folder=self.root)
        if head.returncode == 0:
            return head.stdout.strip()
        for name in ("main", "origin/main"):
            if git("rev-parse", "--quiet", "--verify", name, folder=self.root).returncode == 0:
                return name
        return "main"

    def commit(self, branch: str) -> str:
        """Return the commit of a branch.

        :raises CommandError: when git does not know it.
        """
        name = f"{branch}^{{commit}}"
        found = git("rev-parse", "--quiet", "--verify", name, folder=self.root)
        if found.returncode != 0:
            raise CommandError(
                f"There is no branch {branch} to compare with: name one that git knows."
            )
        return found.stdout.strip()

    def fork(self, tip: str) -> str | None:
        """Return the commit at which this branch left another one, if they have one in common."""
        found = git("merge-base", "HEAD", tip, folder=self.root)
        return found.stdout.strip() if found.returncode == 0 else None

    def files(self, commit: str) -> set[Path]:
        """Return the revision files of a commit."""
        found = git(
            "ls-tree", "-r", "-z", "--name-only", commit, "--", *self.places(), folder=self.root
        )
        return {self.root / name for name in found.stdout.split("\0") if is_revision(name)}

    def changed(self, commit: str) -> set[Path]:
        """Return the revision files that are not as in a commit; new ones may be left out."""
        options = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-relative")
        found = git("diff", *options, commit, "--", *self.places(), folder=self.root)
        return {self.root / name for name in found.stdout.split("\0") if is_revision(name)}

    def source(self, commit: str, path: Path) -> str:
        """Return the text of a file in a commit."""
        name = path.relative_to(self.root).as_posix()
        return git("show", f"{commit}:{name}", folder=self.root).stdout

    def places(self) -> list[str]:
        return [folder.relative_to(self.root).as_posix() or "." for folder in self.folders]


def is_revision(name: str) -> bool:
    return name.endswith(".py") and not name.endswith("__init__.py")


def compare(repository: Repository, branch: str) -> Comparison:
    """Compare the revision files here with those of a branch.

    :param branch: a branch or commit that git knows.
    :raises CommandError: when git does not know it.
    """
    paths = list(revisions.paths(repository.script))
    folders = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    here = {folders[path.parent] / path.name: path for path in paths}
    if not repository.has_commits:
        return Comparison(read_files(here.values()))
    tip = repository.commit(branch)
    fork = repository.fork(tip) or tip
    there, before = repository.files(tip), repository.files(fork)
    changed = repository.changed(tip)
    changed_since = changed if tip == fork else repository.changed(fork)
    known = there | before
    new = {file.revision: file for file in read_files(here[path] for path in here.keys() - known)}
    comparison = Comparison([])
    gone = sorted(path for path in before & there if path not in here)
    lost = [file for path in gone if (file := read_at(repository, fork, path))]
    if lost or changed:
        kept = read_files(here[path] for path in here.keys() & known)
        comparison.before = {file.revision: file.parents for file in (*kept, *lost)}
    for file in lost:
        renamed = new.pop(file.revision, None)
        same = renamed is not None and same_code(
            repository.source(fork, file.path), text_in(renamed.path)
        )
        comparison.changes.append(change_of(repository, branch, file, renamed, same))
    for path in sorted(changed & set(here)):
        if path in before and path not in changed_since:
            continue  # It is the other branch that has edited it.
        then = repository.source(tip, path)
        now = text_in(here[path])
        file_then = parse(path, then)
        if path in there and file_then and not same_code(then, now):
            comparison.changes.append(change_of(repository, branch, file_then, file_then, False))
    comparison.new = list(new.values())
    return comparison


def change_of(
    repository: Repository, branch: str, then: RevisionFile, now: RevisionFile | None, same: bool
) -> Change:
    """Return what happened to a revision, in words."""
    name = then.path.relative_to(repository.root).as_posix()
    restore = f"git checkout {branch} -- {name}"
    if now is None:
        words = "deleted"
    elif same:
        words, restore = "renamed", f"git mv {now.path.name} {then.path.name}"
    else:
        words = "edited"
    path = then.path if now is None else now.path
    return Change(
        path,
        f"{branch} has this revision, so it may be applied: it is {words} here. Write a new one, "
        f"and restore it:\n{restore}",
        then.revision,
    )


def read_files(paths: Iterable[Path]) -> list[RevisionFile]:
    """Return what revision files say of themselves; one that is not Python is left out."""
    found = []
    for path in sorted(paths):
        if file := parse(path, text_in(path)):
            found.append(file)
    return found


def text_in(path: Path) -> str:
    """Return the text of a Python file, in the encoding that it names; nothing if it cannot be."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return ""  # Loading the revision says what is wrong with it.


def read_at(repository: Repository, commit: str, path: Path) -> RevisionFile | None:
    return parse(path, repository.source(commit, path))


def parse(path: Path, source: str) -> RevisionFile | None:
    """Return what the text of a revision file says of itself."""
    try:
        found = revisions.constants(ast.parse(source))
    except SyntaxError:
        return None
    parents = found.get("down_revision") or ()
    if not isinstance(revision := found.get("revision"), str):
        return None
    several = (parents,) if isinstance(parents, str) else tuple(parents)  # type: ignore[arg-type]
    return RevisionFile(path, revision, several)


def same_code(one: str, other: str) -> bool:
    """Return whether two texts are the same program: formatting and comments do not count."""
    try:
        return program(one) == program(other)
    except SyntaxError:
        return one == other


def program(source: str) -> str:
    tree = ast.parse(source)
    first = tree.body[0] if tree.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        del tree.body[0]  # What the file says of itself is not run.
    return ast.dump(tree)
