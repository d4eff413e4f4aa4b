"""Tests of the documents of a generated project: what they show is what happens.

They are read as the transcript of a session and run in order, in a new project:

- ``console`` blocks: ``$`` stands before a command; what it prints is compared.
- ``python`` blocks: a file, named in the first line; or what takes the place of everything from
  ``def upgrade`` on in the newest revision.
- ``diff`` blocks: the lines to replace, in the model that was written last.
- Blocks without a language: commands without their output, or a picture that is only looked at.
- In ``README.md``, also commands of Alembic in the text.

Where databases share a history, what is printed for each of them is compared once.
``…`` stands for any text in a line, ``...`` for any lines. Ids of revisions, times and paths are
taken from what really happens when they first come up, and hold from then on.
``uv`` is one that runs the programs beside this Python, and does nothing else: no network is needed.
``docker compose`` creates and drops nothing: the servers of these tests are there.
"""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import (
    QUESTIONS,
    USES_MYPY,
    Answers,
    Bake,
    NewDatabase,
    Project,
    Urls,
    name_of,
    query,
    tables_of,
    with_driver,
)
from sqlalchemy import URL, make_url

PROGRAMS = Path(sys.executable).parent
UV = f"""#!/bin/sh
case "$1" in
    run) shift; test "$1" != --with || shift 2
         program="$1"; shift; exec "{PROGRAMS}/$program" "$@" ;;
    sync) ;;
    *) echo "uv $1 is not expected here"; exit 1 ;;
esac
"""
DOCKER = "#!/bin/sh\n"

BLOCK = re.compile(
    r"^```(\w*)\n(.*?)^```$|`((?:uv run )?alembic [^`…]+)`", re.MULTILINE | re.DOTALL
)
HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
# The first revision of the examples has the same id in each project.
FIRST = "4f1c2a7be930"
IDENTIFIER = re.compile(r"(?<![0-9a-z])[0-9a-f]{12}(?![0-9a-z])")
TIME = re.compile(r"(?<!\d)\d{4}_\d\d_\d\d_\d{6}(?!\d)")

FACTS = QUESTIONS["_database_facts"]

# What a walk from model to production has to show.
COMMANDS = [
    "check", "revision --autogenerate", "revision -m", "upgrade head", "upgrade +1", "upgrade",
    "downgrade -1", "downgrade", "current", "merge heads", "stamp --purge", "--sql",
]  # fmt: skip

# What people have before they come to us. No model shows the view.
OLD = """
CREATE TABLE readers (
    id {number} NOT NULL, name {text} NOT NULL, email {text} NOT NULL,
    CONSTRAINT readers_pkey PRIMARY KEY (id), CONSTRAINT readers_email_key UNIQUE (email));
CREATE TABLE loans (
    id {number} NOT NULL, reader_id {number} NOT NULL, title {text},
    CONSTRAINT loans_pkey PRIMARY KEY (id),
    CONSTRAINT loans_reader FOREIGN KEY (reader_id) REFERENCES readers (id));
CREATE INDEX loans_reader_id ON loans (reader_id);
CREATE VIEW borrowers AS SELECT name FROM readers;
INSERT INTO readers VALUES (1, 'Ada', 'ada@example.com');
INSERT INTO loans VALUES (7, 1, 'Notes')
"""


def blocks(markdown: str) -> list[tuple[str, str]]:
    """Return the language and the text of each block, in order; ``command`` is a language, too."""
    return [
        ("command", found[3]) if found[3] else (found[1], found[2])
        for found in BLOCK.finditer(markdown)
    ]


def sections(markdown: str) -> dict[str, str]:
    """Return the text below each heading of a Markdown file."""
    _, *parts = HEADING.split(markdown)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def steps(transcript: str) -> list[tuple[str, str]]:
    """Return each command of a transcript, and what is shown below it."""
    _, *parts = re.split(r"^\$ (.*)\n", transcript, flags=re.MULTILINE)
    return list(zip(parts[::2], parts[1::2], strict=True))


def without_blank_lines(output: str) -> str:
    """Return what was printed, with what differs from run to run in no other way left out."""
    return "".join(f"{line.rstrip()}\n" for line in output.splitlines() if line.strip())


def of_one_database(output: str) -> str:
    """Return what was printed, with what is repeated for each database only once."""
    lines = re.sub(r"^(Database \w+|Committing .*)\n", "", output, flags=re.MULTILINE)
    lines = re.sub(r"took [\d.]+ s$", "took 0 s", lines, flags=re.MULTILINE)
    return re.sub(r"((?:.*\n){1,8}?)\1", r"\1", lines)


@dataclass
class Session:
    """Somebody who follows a README to the letter."""

    project: Project
    urls: URL | Mapping[str, URL]
    replaced: dict[str, str]
    """What the README calls something, and what it is really called."""
    tools: Path
    model: Path | None = None
    last: str = ""
    printed: dict[str, str] = field(default_factory=dict)
    """What each command has printed."""

    @property
    def readme(self) -> str:
        return (self.project.versions.parent / "README.md").read_text(encoding="utf-8")

    @property
    def main(self) -> URL:
        """The database, or the one that is called main."""
        return self.urls if isinstance(self.urls, URL) else self.urls["main"]

    def follow(self, markdown: str, *, text_too: bool = False) -> None:
        """Do what each block says, and compare what is shown with what happens.

        :param text_too: run the commands in the text, too.
        """
        for language, block in blocks(markdown):
            if language != "command" or text_too:
                getattr(self, f"do_{language or 'shell'}")(block)

    def do_console(self, transcript: str) -> None:
        for command, shown in steps(transcript):
            self.compare(
                shown, self.run(command, may_fail="FAILED" in shown or "CONFLICT" in shown)
            )

    def do_command(self, command: str) -> None:
        self.run(f"uv run {command.removeprefix('uv run ')}")

    def do_shell(self, script: str) -> None:
        for line in script.splitlines():
            if re.match(r"(uv|docker|git|rm) ", script):
                self.run(line)

    def do_python(self, code: str) -> None:
        code = self.really(code)
        if named := re.match(r"# (\S+\.py)\n", code):
            path = self.project.path / named[1]
            path.write_text(code, encoding="utf-8")
            self.model = path if "models" in named[1] else self.model
            self.project.succeed("ruff", "check", "--no-cache", str(path))
            self.project.succeed("ruff", "format", "--check", "--no-cache", str(path))
        else:
            newest = max(
                self.project.versions.glob("*.py"), key=lambda path: path.stat().st_mtime_ns
            )
            text = newest.read_text(encoding="utf-8")
            name = re.match(r"def \w+\(", code)
            assert name is not None, code
            newest.write_text(text[: text.index(name[0])] + code, encoding="utf-8")

    def do_diff(self, difference: str) -> None:
        lines = difference.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line.startswith("-"))
        new = "".join(line[1:] for line in lines if line.startswith("+"))
        assert self.model is not None
        text = self.model.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{self.model.name} has no such lines:\n{old}"
        text = text.replace(old, new)
        if "mapped_column" in new and "mapped_column" not in text.split("class ")[0]:
            pytest.fail("the import is missing")
        self.model.write_text(text, encoding="utf-8")

    def run(self, command: str, *, may_fail: bool = False) -> str:
        """Run a command of the README in a shell, and return all that it prints, in its order."""
        command = TIME.sub("*", self.really(command))
        environment = self.project.environment(self.urls)
        environment["PATH"] = f"{self.tools}{os.pathsep}{environment['PATH']}"
        environment["PYTHONUNBUFFERED"] = "1"
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": "Ada", f"GIT_{role}_EMAIL": "ada@example.com"}
        # What uv sync does: it installs the project.
        environment["PYTHONPATH"] = str(self.project.path / "src")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.project.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.last = command
        self.printed[command.removeprefix("uv run ")] = done.stdout
        if written := re.search(r" --outfile (\S+)", command):
            self.model = self.project.path / written[1]
        assert may_fail == (done.returncode != 0), f"$ {command}\n{done.stdout}"
        return done.stdout

    def really(self, text: str) -> str:
        """Return a text of the README with the names that things really have."""
        for shown, real in self.replaced.items():
            text = text.replace(shown, real)
        return text

    def compare(self, shown: str, printed: str) -> None:
        """Compare what is shown with what was printed, and learn the ids that are new."""
        shown, printed = without_blank_lines(shown), without_blank_lines(printed)
        if self.project.answers.get("databases") == "shared_history":
            shown, printed = of_one_database(shown), of_one_database(printed)
        lines = [
            "(?:.*\n)*?" if line == "...\n" else re.escape(line).replace("…", ".*")
            for line in self.really(shown).splitlines(keepends=True)
        ]
        pattern = "".join(lines)
        pattern = TIME.sub(lambda _: r"\d{4}_\d\d_\d\d_\d{6}", pattern)
        new: list[str] = []

        def group(found: re.Match[str]) -> str:
            identifier = found[0]
            if identifier in {FIRST, *self.replaced.values()}:
                return identifier
            if identifier in new:
                return f"(?P=id_{identifier})"
            new.append(identifier)
            return f"(?P<id_{identifier}>[0-9a-f]{{12}})"

        pattern = IDENTIFIER.sub(group, pattern)
        found = re.fullmatch(pattern, printed)
        assert found is not None, (
            f"$ {self.last}\nshown:\n{self.really(shown)}\nprinted:\n{printed}"
        )
        for identifier in new:
            self.replaced[identifier] = found[f"id_{identifier}"]


Begin = Callable[..., Session]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the programs that a README calls and this machine need not have."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, script in {"uv": UV, "docker": DOCKER}.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def begin(
    bake: Bake, tools: Path, new_database: NewDatabase, new_databases: Callable[[Project], Urls]
) -> Begin:
    """A function that begins a session in a new project: ``begin(database="postgresql")``."""

    def start(**answers: str | bool) -> Session:
        project = bake(**answers)
        urls = new_databases(project)
        assert urls is not None
        kind = str(project.answers["database"])
        # The databases that the README makes have names of their own here.
        replaced = {
            url_in_documents(kind, name): text_of(new_database(kind))
            for name in ("empty_analytics", "empty", "old")
            if not FACTS[kind]["embedded"]
        }
        return Session(project, urls, replaced, tools)

    return start


def url_in_documents(kind: str, name: str) -> str:
    """Return the URL that the documents show for a database of this name."""
    facts = FACTS[kind]
    if facts["embedded"]:
        return f"sqlite:///{name}.db"
    return f"{facts['sync']['driver']}://{facts['user']}@127.0.0.1:{facts['port']}/{name}"


def text_of(url: URL) -> str:
    return with_driver(url).render_as_string(hide_password=False)


def git(project: Project, *arguments: str) -> None:
    """Run git in a project, as somebody."""
    subprocess.run(["git", *arguments], cwd=project.path, check=True, capture_output=True)


def become_repository(project: Project) -> None:
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "config", "user.name", "Ada")
    git(project, "config", "user.email", "ada@example.com")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=Begin")


def branch_off(project: Project, urls: Urls) -> None:
    """Commit a revision to a new branch, on which we stay, and another one to main."""
    for name in ("ours", "main"):
        if name != "main":
            git(project, "switch", "--create", name)
        else:
            git(project, "switch", name)
        project.succeed("alembic", *project.histories[0], "revision", "-m", name, url=urls)
        git(project, "add", ".")
        git(project, "commit", "--quiet", f"--message={name}")
    git(project, "switch", "ours")


ANSWERS: list[Answers] = [
    {"database": kind, "databases": databases, "example_models": examples}
    for kind, databases, examples in itertools.product(
        QUESTIONS["database"], QUESTIONS["databases"], [True, False]
    )
] + [
    {"database": kind, "driver": "async", "migrations_directory": "src/my_shop/revisions"}
    for kind in QUESTIONS["database"]
]


def answers_with(*quick: str) -> pytest.MarkDecorator:
    """Return answers as parameters; all but the usual project on these databases are slow."""
    usual = [{"database": kind, "databases": "one", "example_models": True} for kind in quick]
    return pytest.mark.parametrize(
        "answers",
        [
            pytest.param(
                answers,
                id=name_of(answers).replace("/", "_"),
                marks=[] if answers in usual else [pytest.mark.slow],
            )
            for answers in ANSWERS
        ],
    )


@pytest.mark.machine
@answers_with("sqlite", "postgresql")
def test_migrations_readme_is_the_transcript_of_a_session(answers: Answers, begin: Begin) -> None:
    session = begin(**answers)
    for history in session.project.histories:
        session.project.succeed("alembic", *history, "upgrade", "head", url=session.urls)
    for heading, text in sections(session.readme).items():
        if heading == "Data migrations":
            query(session.main, "INSERT INTO invoices (number, total) VALUES (' 7 ', 100)")
        if heading == "Two branches":
            become_repository(session.project)
            branch_off(session.project, session.urls)
        session.follow(text)
    assert query(session.main, "SELECT number, cents FROM invoices") == [("7", 100)]
    for command in COMMANDS:
        assert any(f" {command} " in f"{run} " for run in session.printed), command
    # Its head is the one that the document on squashing calls so.
    session.follow(sections(session.project.read("docs/baseline.md"))["Squashing"])
    assert query(session.main, "SELECT number, cents FROM invoices") == [("7", 100)]


@pytest.mark.machine
@answers_with("sqlite", "postgresql")
def test_an_existing_database_is_adopted_with_its_rows(answers: Answers, begin: Begin) -> None:
    session = begin(**answers)
    names = {"number": "INTEGER", "text": "VARCHAR(100)"}
    for statement in OLD.format(**names).split(";"):
        query(session.main, statement)
    old = url_in_documents(str(answers["database"]), "old")
    session.replaced[old] = text_of(session.main)
    if answers.get("example_models", True):
        remove_the_examples(session, 0)
    session.follow(sections(session.project.read("docs/baseline.md"))["An existing database"])
    (compared,) = (text for run, text in session.printed.items() if "compare.py" in run)
    assert re.search("^old .*borrowers", compared, re.MULTILINE), compared
    assert query(session.main, "SELECT id, name, email FROM readers") == [
        (1, "Ada", "ada@example.com")
    ]
    assert query(session.main, "SELECT id, reader_id, title FROM loans") == [(7, 1, "Notes")]


@pytest.mark.machine
@pytest.mark.xdist_group(USES_MYPY)
@answers_with("sqlite", "postgresql")
def test_the_commands_of_the_readme_work_in_their_order(answers: Answers, begin: Begin) -> None:
    session = begin(**answers)
    parts = sections(session.project.read("README.md"))
    assert next(iter(parts)) == "Set up"
    session.follow(parts["Set up"])
    session.follow(parts["Every day"])
    (model,) = (block for _, block in blocks(session.readme) if re.match(r"# \S*models", block))
    session.do_python(model)
    session.follow(parts["Add a table"], text_too=True)
    session.follow(parts["Deploy"], text_too=True)
    assert query(session.main, "SELECT count(*) FROM invoices") == [(0,)]


def remove_the_examples(session: Session, way: int) -> None:
    """Follow the README: 0 is before the first upgrade, 1 is after it."""
    section = sections(session.project.read("README.md"))["Your own models"]
    ways = [block for language, block in blocks(section) if not language]
    assert len(ways) == 2
    session.do_shell(ways[way])


@pytest.mark.machine
@pytest.mark.parametrize("way", [0, 1], ids=["before_the_first_upgrade", "after_it"])
@pytest.mark.parametrize(
    ("database", "databases"),
    [
        ("sqlite", "one"),
        ("postgresql", "one"),
        pytest.param("mysql", "shared_history", marks=pytest.mark.slow),
        pytest.param("postgresql", "several", marks=pytest.mark.slow),
    ],
)
def test_the_examples_can_be_removed_at_any_time(
    begin: Begin, database: str, databases: str, way: int
) -> None:
    session = begin(database=database, databases=databases)
    histories = session.project.histories
    if way == 1:
        for history in histories:
            session.project.succeed("alembic", *history, "upgrade", "head", url=session.urls)
    remove_the_examples(session, way)
    for history in histories:
        session.project.succeed("alembic", *history, "upgrade", "head", url=session.urls)
        session.project.succeed("alembic", *history, "check", url=session.urls)
    assert tables_of(session.main) <= {"alembic_version"}
    session.project.succeed("pytest", "-q", "tests/test_migrations.py", url=session.urls)


def test_the_urls_of_the_readme_lead_to_another_kind_of_database(
    bake: Bake, new_database: NewDatabase
) -> None:
    project = bake()
    section = sections(project.read("README.md"))["Use another database"]
    shown = [make_url(url) for url in re.findall(r"^DATABASE_URL=(.*)$", section, re.MULTILINE)]
    assert {url.get_backend_name() for url in shown} == {"postgresql", "mysql"}
    for url in shown:
        real = new_database(url.get_backend_name()).set(drivername=url.drivername)
        text = real.render_as_string(hide_password=False)
        (project.path / ".env").write_text(f"DATABASE_URL={text}\n", encoding="utf-8")
        project.succeed("alembic", "upgrade", "head")
        assert "customers" in tables_of(real)


def test_markdown_is_whole(project: Project) -> None:
    assert len(project.read("README.md").splitlines()) <= 110
    folder = project.answers.get("migrations_directory", "migrations")
    assert len(project.read(f"{folder}/README.md").splitlines()) <= 200
    for name in (
        "README.md",
        "docs/baseline.md",
        f"{folder}/README.md",
        f"{folder}/guard/README.md",
    ):
        text = re.sub(r"^```.*?^```$", "", project.read(name), flags=re.MULTILINE | re.DOTALL)
        for paragraph in text.split("\n\n"):
            assert paragraph.count("`") % 2 == 0, paragraph
            rows = [line for line in paragraph.splitlines() if line.startswith("|")]
            cells = {re.sub(r"`[^`]*`", "", row).count("|") for row in rows}
            assert len(cells) <= 1, paragraph
            assert not rows or len(rows) == len(paragraph.strip().splitlines()), paragraph
