"""The lines of a revision that accept a finding: ``# guard: accept RULE: why``.

Before an operation, a block or a function, or behind an operation, it is for that. At the
beginning of a line outside of all functions, it is for the whole revision.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field

LINE = re.compile(r"#\s*guard:\s*accept\b\s*(?P<rules>[\w\s,-]*?)\s*(?::\s*(?P<reason>.*))?$")


@dataclass
class Acceptance:
    """One line that accepts findings.

    :param line: its number in the file.
    :param rules: the names of the rules that it accepts.
    :param reason: why.
    :param covers: the lines of code that it is for, or None for the whole revision.
    :param used: the rules that it has accepted so far.
    """

    line: int
    rules: tuple[str, ...]
    reason: str
    covers: range | None
    used: set[str] = field(default_factory=set)


def acceptances(source: str) -> list[Acceptance]:
    """Return the lines of a revision that accept findings.

    :param source: the text of the file.
    """
    if "guard:" not in source:
        return []
    found = []
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []  # Loading the revision says where.
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    comments = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token
    for number, token in comments.items():
        match = LINE.match(token.string)
        if match is None:
            continue
        rules = tuple(re.findall(r"[\w-]+", match["rules"]))
        column = token.start[1]
        alone = {line for line, each in comments.items() if each.line.lstrip().startswith("#")}
        covers = None if column == 0 else covered(number, statements, alone)
        found.append(Acceptance(number, rules, (match["reason"] or "").strip(), covers))
    return found


def covered(number: int, statements: Iterable[ast.stmt], alone: set[int]) -> range:
    """Return the lines of the statement that a comment is before or behind.

    :param alone: the lines that are nothing but a comment.
    """
    if number not in alone:
        inside = [each for each in statements if each.lineno <= number <= end_of(each)]
        # The innermost one: a function and the block in it contain the line, too.
        chosen = max(inside, key=lambda each: each.lineno, default=None)
    else:
        while number in alone:
            number += 1
        following = [each for each in statements if each.lineno >= number]
        chosen = min(following, key=lambda each: (each.lineno, -end_of(each)), default=None)
    return range(0) if chosen is None else range(chosen.lineno, end_of(chosen) + 1)


def end_of(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def accepted(
    rule: str, lines: Iterable[int], accepting: Iterable[Acceptance], anywhere: bool = False
) -> Acceptance | None:
    """Return the line that accepts a finding, and note that it is used.

    :param lines: those of the code that the finding is about.
    :param anywhere: whether a line for any part of the revision will do.
    """
    lines = list(lines)
    for each in accepting:
        fits = anywhere or each.covers is None or any(line in each.covers for line in lines)
        if rule in each.rules and each.reason and fits:
            each.used.add(rule)
            return each
    return None
