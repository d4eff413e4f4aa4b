"""Tests of the language: projects, messages, prompts and documents use the words of their field.

The words are those of the documentation of Alembic, SQLAlchemy and the databases, so the phrases
below, which read oddly to somebody new, must not come back. Each has what to write instead.
"""

import json
import re
from pathlib import Path

import pytest
from conftest import QUESTIONS, TEMPLATE, Bake, Project

# What not to write, as a regular expression, and what to write instead.
INSTEAD_OF = {
    # Documents
    "one step up": "upgrades the schema by one step, and can downgrade it again",
    "Before a command stands": "Prefix commands with `uv run` unless …",
    "not once a table was altered": "not possible for migrations that alter a table (batch mode)",
    "take (the last one|everything|it) back": "revert",
    "write down that": "mark the database as up to date without running migrations",
    "finds, names and prints": "Alembic configuration",
    "joins models, database": "Alembic environment script",
    "shape of a new revision": "template for new revisions",
    r"one (file|path) a (line|revision)": "one … per …",
    "a (folder|history) a database": "one … per database",
    "makes migrating safe": "connection, locking, error messages",
    "picture of the (tables|models)": "ER diagram",
    r"draws? (the|it|this|docs)\b": "update the diagram",
    "one after the other:": "merge the two heads",
    "asks another database": "runs once against another database",
    "somebody else applies": "if a DBA applies the changes",
    "take turns": "serializes concurrent migrations",
    "(keep|kept|keeps|keeping) (others|everybody)": "block other sessions",
    "belongs? to somebody else": "external",
    "tables of somebody else": "external tables",
    "seldom": "rarely",
    "as you like": "yes",
    "What is safe": "Guarantees",
    "Changing data": "Data migrations",
    "blind to": "does not detect",
    "functions, rights": "privileges",
    "in a circle": "circular foreign keys",
    "Read on": "Further reading",
    "nothing else to edit": "it is discovered automatically",
    "make databases": "create databases",
    "makes the project once more": "regenerates",
    "No URL stands here": "the URL is not set here",
    "say where your database": "set DATABASE_URL",
    # Prompts
    "for people": "Project name",
    "Name to import it by": "Package name",
    "What it is, in one line": "Short description",
    "talks to it": "Sync or async driver",
    "where it is what you have": "if you already run it",
    # Messages
    "that many revisions to go": "Relative revision … is out of range",
    "Ambiguous walk": "The last revision joins two branches",
    "as said above": "as listed above",
    "Left alone": "Ignoring",
    "no revision has made": "not created by any revision",
    "This fails where": "fails if",
    "deletes all that": "drops … and its data",
    "only renamed": "if this is a rename",
    "put this in the place": "replace … with",
    r"\b[Mm]end(s|ed|ing)?\b": "fix",
    "nobody can": "blocks",
    "written anew": "rewrites the table",
    "in vain": "timed out",
    "does not let this user in": "rejected the login",
    "knows no database or driver": "unknown dialect or driver",
    "is at it": "is at that revision",
    "get that file": "restore that file",
    "Create it first": "create it: createdb NAME",
    "BROKEN": "FAILED",
    r"(not|be|is) proven": "skipped",
    r"\b[Pp]romises?d?\b": "check, test",
    r"\b[Pp]rov(e|es|ed|en|ing)\b": "test",
    "hook 'ruff'": "finish_revision",
}

# Where a phrase is right: Alembic says so, and we recognise it.
QUOTED = ['"Ambiguous walk" in']

PROJECTS = [
    {"database": database, "databases": databases, "driver": driver}
    for database, databases, driver in (
        ("sqlite", "one", "sync"),
        ("postgresql", "several", "async"),
        ("mysql", "shared_history", "sync"),
    )
]


def odd_phrases(text: str) -> list[str]:
    """Return each phrase of a text that should read differently, and what to write."""
    for quoted in QUOTED:
        text = text.replace(quoted, "")
    # Sentences go on in the next line, also in that of a comment.
    text = re.sub(r"\s*\n\s*#?\s*", " ", text)
    return [
        f"{found[0]!r} ({text[max(0, found.start() - 30) : found.end() + 30]}): write {instead!r}"
        for phrase, instead in INSTEAD_OF.items()
        for found in re.finditer(phrase, text)
    ]


def findings(folder: Path, names: set[str]) -> list[str]:
    return [
        f"{name}: {finding}"
        for name in sorted(names)
        for finding in odd_phrases((folder / name).read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("answers", PROJECTS, ids=lambda answers: "-".join(answers.values()))
def test_a_project_uses_the_words_of_its_field(baked: Bake, answers: dict[str, str]) -> None:
    project: Project = baked(**answers)
    assert not (found := findings(project.path, project.files)), "\n".join(found)


def test_the_prompts_use_the_words_of_the_field() -> None:
    prompts = json.dumps(QUESTIONS["__prompts__"], ensure_ascii=False)
    assert not (found := odd_phrases(prompts)), "\n".join(found)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        ".github/CONTRIBUTING.md",
        "hooks/pre_gen_project.py",
        "hooks/post_gen_project.py",
    ],
)
def test_the_template_uses_the_words_of_its_field(name: str) -> None:
    assert not (found := findings(TEMPLATE, {name})), "\n".join(found)


def test_a_phrase_is_found_over_the_end_of_a_line() -> None:
    assert odd_phrases("# Several migrators take\n# turns.")
    assert not odd_phrases("Migrations run one at a time.")
