"""Reads CREATE TABLE as SQLite keeps it, so that a table can be compared with its copy.

https://www.sqlite.org/lang_createtable.html
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<word>[^\W\d][\w$]*)
    |(?P<other>\d[\w.]*|.)""",
    re.VERBOSE | re.DOTALL,
)


# With what the constraints of a table begin, and no column.
OF_TABLE = ("constraint", "primary", "unique", "check", "foreign")


class Token(NamedTuple):
    """A word, name, text or sign; words and names are lower-case, as SQLite compares them.

    :param written: with its own upper-case letters.
    """

    text: str
    kind: str
    written: str

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text in words


@dataclass(frozen=True)
class Clause:
    """A part of a definition that a copy must have, too.

    :param kind: ``FOREIGN KEY``, ``COLLATE`` and so on.
    :param columns: which it is about; none for the whole table, and for a CHECK.
    :param words: everything else that counts, without what is the default anyway.
    :param name: of the constraint, if it has one.
    :param written: how its words are written, with upper-case letters; for messages.
    """

    kind: str
    columns: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    name: str | None = None
    written: Mapping[str, str] = field(default_factory=dict, compare=False)

    def is_in(self, others: "Sequence[Clause]") -> bool:
        """Return whether others have this, with its name if it has one."""
        return any(
            replace(other, name=self.name) == self and self.name in (None, other.name)
            for other in others
        )


def tokens(sql: str) -> list[Token]:
    """Return the words, names, texts and signs of SQL."""
    found = []
    for match in TOKEN.finditer(sql):
        kind, text = str(match.lastgroup), match[0]
        if kind == "quoted":
            text = text[1:-1].replace(text[-1] * 2, text[-1])
        if kind != "skip":
            found.append(Token(text if kind == "text" else text.lower(), kind, text))
    return found


def clauses(definition: str) -> list[Clause]:
    """Return what a CREATE TABLE says beside names, types, NOT NULL and defaults of columns."""
    found = tokens(definition)
    start = next((place for place, token in enumerate(found) if token.text == "("), len(found))
    body, rest = inside(found, start)
    result = [
        replace(clause, written={token.text: token.written for token in part})
        for part in split(body)
        for clause in (of_part(part) if part else ())
    ]
    options = " ".join(token.text for token in found[rest:])
    result += [Clause("STRICT")] if "strict" in options else []
    result += [Clause("WITHOUT ROWID")] if "without rowid" in options else []
    return result


def of_part(part: list[Token]) -> Iterator[Clause]:
    """Return the clauses of a column, or of a constraint of the table."""
    if part[0].is_word(*OF_TABLE):
        yield from Reader(part, 0).clauses()
    else:
        yield from Reader(part, 1, part[0].text).clauses()


class Reader:
    """Reads the constraints of a column, or of a table.

    :param column: its name; None for those of the table.
    """

    def __init__(self, part: list[Token], place: int, column: str | None = None) -> None:
        self.part, self.place, self.column = part, place, column

    def accept(self, *words: str) -> bool:
        """Go past some words, if they are next."""
        ahead = self.part[self.place : self.place + len(words)]
        if len(ahead) < len(words) or not all(map(Token.is_word, ahead, words)):
            return False
        self.place += len(words)
        return True

    def next(self) -> str:
        """Go past one token, and return it."""
        self.place += 1
        return self.part[self.place - 1].text if self.place <= len(self.part) else ""

    def parenthesis(self) -> list[Token]:
        """Go past a parenthesis, if it is next, and return what is in it."""
        if self.place >= len(self.part) or self.part[self.place].text != "(":
            return []
        found, self.place = inside(self.part, self.place)
        return found

    def columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the columns of a constraint, and what is said of them: ``DESC``, a collation."""
        parts = [part for part in split(self.parenthesis()) if part]
        if not parts and self.column is not None:
            return (self.column,), ()
        more = [" ".join(token.text for token in part) for part in parts if len(part) > 1]
        return tuple(part[0].text for part in parts), tuple(more)

    def conflict(self) -> tuple[str, ...]:
        if not self.accept("on", "conflict"):
            return ()
        answer = self.next()
        return () if answer == "abort" else ("on conflict", answer)

    def clauses(self) -> Iterator[Clause]:
        name = None
        own = () if self.column is None else (self.column,)
        while self.place < len(self.part):
            if self.accept("constraint"):
                name = self.next()
                continue
            if self.accept("primary", "key"):
                columns, more = self.columns()
                more += ("desc",) if self.accept("desc") else ()
                self.accept("asc")
                yield Clause("PRIMARY KEY", columns, more + self.conflict(), name)
                if self.accept("autoincrement"):
                    yield Clause("AUTOINCREMENT")
            elif self.accept("unique"):
                columns, more = self.columns()
                yield Clause("UNIQUE", columns, more + self.conflict(), name)
            elif self.accept("check"):
                yield Clause("CHECK", (), expression(self.parenthesis()), name)
                self.conflict()
            elif self.accept("foreign", "key"):
                columns, _ = self.columns()
                self.accept("references")
                yield self.foreign_key(columns, name)
            elif self.accept("references"):
                yield self.foreign_key(own, name)
            elif self.accept("not", "null"):
                yield Clause("NOT NULL", own, self.conflict())
            elif self.accept("collate"):
                yield Clause("COLLATE", own, (self.next(),))
            elif self.accept("as"):
                words = expression(self.parenthesis())
                yield Clause(
                    "GENERATED", own, words + (("stored",) if self.accept("stored") else ())
                )
            elif self.accept("default"):
                self.parenthesis() or self.next()
            else:
                self.next()
                continue
            name = None

    def foreign_key(self, columns: tuple[str, ...], name: str | None) -> Clause:
        target = self.next().removeprefix("_alembic_tmp_")
        referred, _ = Reader(self.part, self.place).columns()
        self.parenthesis()
        options: list[str] = []
        while True:
            if self.accept("on"):
                event, action = self.next(), self.next()
                if action in ("set", "no"):
                    action += f" {self.next()}"
                options += [f"on {event} {action}"] if action != "no action" else []
            elif self.accept("match"):
                options += [f"match {kind}"] if (kind := self.next()) != "simple" else []
            elif self.accept("not", "deferrable"):
                if self.accept("initially"):
                    self.next()
            elif self.accept("deferrable"):
                if self.accept("initially") and self.next() == "deferred":
                    options.append("deferrable initially deferred")
            else:
                break
        return Clause("FOREIGN KEY", columns, (target, *referred, *sorted(options)), name)


def inside(found: Sequence[Token], start: int) -> tuple[list[Token], int]:
    """Return what is in the parenthesis that begins at a place, and the place after it."""
    depth = 0
    for place in range(start, len(found)):
        if found[place].kind == "other":
            depth += {"(": 1, ")": -1}.get(found[place].text, 0)
        if depth == 0:
            return list(found[start + 1 : place]), place + 1
    return list(found[start + 1 :]), len(found)


def split(found: Sequence[Token]) -> list[list[Token]]:
    """Return the parts between the commas that are in no parenthesis."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        if token.kind == "other":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token[:2] == (",", "other") and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def expression(found: list[Token]) -> tuple[str, ...]:
    """Return an expression without parentheses around the whole of it."""
    while found and found[0].text == "(" and inside(found, 0)[1] == len(found):
        found = found[1:-1]
    return tuple(token.text for token in found)


def columns_of(definition: str) -> set[str]:
    """Return the names of the columns that a CREATE TABLE has."""
    found = tokens(definition)
    start = next((place for place, token in enumerate(found) if token.text == "("), len(found))
    parts = [part for part in split(inside(found, start)[0]) if part]
    return {part[0].text for part in parts if not part[0].is_word(*OF_TABLE)}


def renamed(
    clause: Clause, table: str, columns: Container[str], names: Mapping[str, str]
) -> Clause | None:
    """Return a clause with the new names of columns, or None when one of them is gone.

    :param table: the name of the table, whose own columns it may refer to.
    :param columns: all columns of the table.
    :param names: the new name of each column that is kept.
    """
    used = clause.words if clause.kind == "CHECK" else clause.columns
    if any(word in columns and word not in names for word in used):
        return None
    words = clause.words
    of_itself = clause.kind == "FOREIGN KEY" and words[0] == table.lower()
    if clause.kind in ("CHECK", "GENERATED") or of_itself:
        words = tuple(names.get(word, word) for word in words)
    return replace(clause, columns=tuple(names[each] for each in clause.columns), words=words)


def copied_columns(insert: str) -> dict[str, str]:
    """Return the new name of each column that ``INSERT INTO … SELECT`` copies, by its old one."""
    found = tokens(insert)
    new, rest = inside(found, next(i for i, token in enumerate(found) if token.text == "("))
    select = found[rest + 1 :]
    names = {}
    for target, source in zip(split(new), split(select), strict=False):
        # CAST(orders.price AS FLOAT) AS price, or orders.price
        dots = [place for place, token in enumerate(source) if token.text == "."]
        if dots and target:
            names[source[dots[0] + 1].text] = target[0].text
    return names
