"""Shows what ``lint`` has found: on the terminal, and in the pull request on GitHub.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """What is wrong with a line of a revision, or what was not read of it.

    :param path: of the revision file.
    :param line: its number, or 1.
    :param rule: the name that accepts it; nothing for what is only said.
    :param text: in words and code, one or a few lines.
    """

    path: Path
    line: int
    rule: str
    text: str


@dataclass(frozen=True)
class Written:
    """The SQL of a new revision.

    :param path: of the revision file.
    :param database: the name of the database, where several share a history.
    """

    path: Path
    database: str | None
    sql: str


def show(
    findings: Sequence[Finding], written: Sequence[Written], count: int, root: Path, branch: str
) -> None:
    """Print findings, and on GitHub also write annotations and the summary of the run.

    :param count: how many revisions are new.
    :param root: the folder of the repository, which paths of annotations begin at.
    """
    for finding in findings:
        head = f"{shown(finding.path, Path.cwd())}:{finding.line}: {finding.rule or 'not checked'}"
        print(head, *(f"    {line}" for line in finding.text.splitlines()), sep="\n")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            print(annotation(replace(finding, path=Path(shown(finding.path, root)))))
    print(result(findings, count, branch))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(in_markdown(findings, written, root, result(findings, count, branch)))


def result(findings: Iterable[Finding], count: int, branch: str) -> str:
    """Return the last line: how many revisions were checked, and what to do."""
    found = sum(1 for finding in findings if finding.rule)
    revisions = f"{count} revision{'' if count == 1 else 's'} that {branch} does not have"
    if not found:
        return f"{revisions}: nothing found."
    plural = "" if found == 1 else "s"
    return (
        f"{revisions}: {found} finding{plural}. Accept one with a line before the operation:\n"
        "    # guard: accept RULE: why"
    )


def shown(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, if it is in it."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return str(path)


def annotation(finding: Finding) -> str:
    """Return the line that lets GitHub show a finding beside the code."""
    kind = "error" if finding.rule else "notice"
    text = finding.text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = finding.path.as_posix().replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    title = finding.rule or "not checked"
    return f"::{kind} file={place},line={finding.line},title={title}::{text}"


def in_markdown(
    findings: Sequence[Finding], written: Sequence[Written], root: Path, last: str
) -> str:
    """Return the findings and the SQL of the new revisions for the summary of a pull request."""
    lines = ["## Migrations", "", last.split("\n")[0], ""]
    for finding in findings:
        text = " ".join(finding.text.split())
        lines.append(
            f"- `{shown(finding.path, root)}:{finding.line}` **{finding.rule or 'not checked'}**: "
            f"{text.replace('<', '&lt;')}"
        )
    for each in written:
        if not each.sql.strip():
            continue
        database = f" ({each.database})" if each.database else ""
        fence = "```"
        while fence in each.sql:
            fence += "`"
        lines += [
            "",
            f"### `{each.path.name}`{database}",
            "",
            f"{fence}sql",
            each.sql.strip(),
            fence,
        ]
    return "\n".join(lines) + "\n\n"
