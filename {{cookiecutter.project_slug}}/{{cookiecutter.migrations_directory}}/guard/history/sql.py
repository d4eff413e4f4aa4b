"""Reads SQL as the operations that it is, so that the same rules look at it.

sqlglot is imported only when there is SQL to read: https://sqlglot.com
"""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreatePrimaryKeyOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    ExecuteSQLOp,
    MigrateOperation,
    RenameTableOp,
)
from sqlalchemy import (
    Column,
    Computed,
    Delete,
    Dialect,
    Enum,
    ForeignKey,
    Identity,
    Insert,
    TextClause,
    Update,
    text,
    types,
)
from sqlalchemy.sql.elements import ClauseElement

from .. import databases
from ..rules.operations import Key
from ..rules.statements import (
    ChangeEnumOp,
    ChangeRowsOp,
    DropOtherOp,
    DropWithDependentsOp,
    LockTableOp,
    RenameOtherOp,
    RewriteTableOp,
    TransactionOp,
    ValidateConstraintOp,
)
from .recording import IDENTIFIER, NAME, as_text

NOT_INSTALLED = "sqlglot is not installed, so SQL is not read: uv add --dev sqlglot"


@dataclass
class Reading:
    """What SQL does.

    :param unread: the statements that were not understood, or a reason why nothing was.
    """

    operations: list[MigrateOperation] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_operation(operation: MigrateOperation, dialect: Dialect) -> Reading:
    """Return what an operation does: SQL as other operations, and any other one as it is."""
    if not isinstance(operation, ExecuteSQLOp):
        return Reading([operation])
    statement: Any = operation.sqltext
    if isinstance(statement, Update):
        columns = [getattr(each, "name", each) for each in statement._values or ()]
        return Reading([rows_of("UPDATE", statement, bool(statement._where_criteria), columns)])
    if isinstance(statement, Delete):
        return Reading([rows_of("DELETE", statement, bool(statement._where_criteria))])
    if isinstance(statement, Insert):
        return Reading([rows_of("INSERT", statement, reads=statement.select is not None)])
    if isinstance(statement, ClauseElement) and not isinstance(statement, TextClause):
        sql = as_text(statement, dialect)
        return read_sql(sql, dialect) if sql else Reading(unread=[type(statement).__name__])
    return read_sql(str(statement), dialect)


def rows_of(
    kind: Any, statement: Any, chosen: bool = False, columns: Any = (), reads: bool = True
) -> ChangeRowsOp:
    """Return the operation of a statement that SQLAlchemy has made."""
    table = statement.table
    key = (getattr(table, "schema", None), str(getattr(table, "name", table)))
    return ChangeRowsOp(kind, key, [str(each) for each in columns], chosen, reads)


def read_sql(sql: str, dialect: Dialect) -> Reading:
    """Return what SQL does.

    :param sql: one statement or several.
    """
    grammar = databases.of(dialect.name).sql_grammar
    if not without_comments(sql):
        return Reading()
    if not find_spec("sqlglot"):
        return Reading(unread=[NOT_INSTALLED])
    sqlglot: Any = import_module("sqlglot")
    known, rest = read_by_words(sql, dialect)
    if not rest:
        return Reading(known)
    log = logging.getLogger("sqlglot")
    before, log.disabled = log.disabled, True
    try:
        parsed = sqlglot.parse(INDEX_HINTS.sub("", sql), read=grammar or None)
        trees = [tree for tree in parsed if tree is not None]
        reading = Reading()
        for tree in trees:
            written = sql if len(trees) == 1 else tree.sql(dialect=grammar or None)
            Reader(reading, dialect, sqlglot.exp, grammar, written).read(tree)
        return reading
    except (sqlglot.errors.SqlglotError, RecursionError):
        return Reading(unread=[shortened(sql)])
    finally:
        log.disabled = before


# What MySQL accepts at the end of CREATE INDEX and DROP INDEX, and sqlglot does not.
INDEX_HINTS = re.compile(
    r"(?<=\w|\))[\s,]+(?:ALGORITHM|LOCK)\s*=?\s*(?:DEFAULT|COPY|INPLACE|INSTANT|NOCOPY|NONE|SHARED|"
    r"EXCLUSIVE)\b(?=(?:[\s,]+(?:ALGORITHM|LOCK)\s*=?\s*\w+)*\s*;?\s*\Z)",
    re.IGNORECASE,
)


def without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL).strip(" \n\t;")


def shortened(sql: str) -> str:
    """Return the beginning of a statement, for a message."""
    words = " ".join(without_comments(sql).split())
    return words if len(words) <= 60 else f"{words[:57]}..."


# What the parser has no tree for, by its first words

BY_WORDS = [
    (name, re.compile(rf"{pattern}\s*;?\s*\Z", re.IGNORECASE | re.DOTALL))
    for name, pattern in (
        (
            "validate",
            rf"ALTER\s+TABLE\s+(?:ONLY\s+)?({NAME})\s+VALIDATE\s+CONSTRAINT\s+({IDENTIFIER})",
        ),
        (
            "using_index",
            (
                rf"ALTER\s+TABLE\s+({NAME})\s+ADD\s+(?:CONSTRAINT\s+{IDENTIFIER}\s+)?"
                r"(?:UNIQUE|PRIMARY\s+KEY)\s+USING\s+INDEX\s.*"
            ),
        ),
        (
            "add_value",
            rf"ALTER\s+TYPE\s+({NAME})\s+ADD\s+VALUE\s+(?:IF\s+NOT\s+EXISTS\s+)?'([^']*)'.*",
        ),
        ("rename_value", rf"ALTER\s+TYPE\s+({NAME})\s+RENAME\s+VALUE\s+'([^']*)'\s+TO\s+'([^']*)'"),
        (
            "rename_other",
            (
                r"ALTER\s+(SCHEMA|VIEW|MATERIALIZED\s+VIEW|FUNCTION|TYPE|SEQUENCE)\s+"
                rf"({NAME})\s+RENAME\s+TO\s.*"
            ),
        ),
        ("rename_table", rf"RENAME\s+TABLE\s+({NAME})\s+TO\s+({NAME})"),
        ("vacuum", rf"VACUUM\s+(?:FULL|\([^)]*\bFULL\b[^)]*\))\s*({NAME})?.*"),
        ("harmless", r"VACUUM\b.*"),
        ("cluster", rf"CLUSTER\s+({NAME}).*"),
        ("harmless", r"REINDEX\s+(?:\([^)]*\)\s*)?\w+\s+CONCURRENTLY\b.*"),
        ("reindex", rf"REINDEX\s+(?:\([^)]*\)\s*)?(?:TABLE|INDEX|SCHEMA|DATABASE)\s+({NAME}).*"),
        ("harmless", r"REFRESH\s+MATERIALIZED\s+VIEW\s+CONCURRENTLY\b.*"),
        ("refresh", rf"REFRESH\s+MATERIALIZED\s+VIEW\s+({NAME}).*"),
        ("lock", rf"LOCK\s+(?:TABLES?\s+)?({NAME})\b.*"),
        ("logged", rf"ALTER\s+TABLE\s+({NAME})\s+SET\s+(?:UN)?LOGGED"),
        ("tablespace", rf"ALTER\s+TABLE\s+({NAME})\s+SET\s+TABLESPACE\s.*"),
        ("charset", rf"ALTER\s+TABLE\s+({NAME})\s+CONVERT\s+TO\s+CHARACTER\s+SET\s.*"),
        ("engine", rf"ALTER\s+TABLE\s+({NAME})\s+(?:ENGINE\s*=?\s*\w+|FORCE|ORDER\s+BY\s.*)"),
        ("optimize", rf"OPTIMIZE\s+(?:\w+\s+)?TABLE\s+({NAME}).*"),
        (
            "identity",
            (
                rf"ALTER\s+TABLE\s+({NAME})\s+ALTER\s+(?:COLUMN\s+)?{IDENTIFIER}\s+"
                r"(?:ADD\s+GENERATED|SET\s+GENERATED|DROP\s+IDENTITY|SET\s+STATISTICS|"
                r"SET\s+STORAGE|SET\s+COMPRESSION|RESTART)\b.*"
            ),
        ),
        (
            "harmless",
            (
                rf"ALTER\s+TABLE\s+{NAME}\s+(?:ENABLE|DISABLE|FORCE|NO\s+FORCE|OWNER\s+TO|SET\s*\(|"
                r"RESET\s*\(|REPLICA\s+IDENTITY|COMMENT\b|AUTO_INCREMENT\b|ALTER\s+INDEX\b).*"
            ),
        ),
        (
            "harmless",
            (
                r"(?:GRANT|REVOKE|COMMENT\s+ON|ANALYZE|ANALYSE|SET|RESET|PRAGMA|SELECT|SHOW|"
                r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:EXTENSION|SEQUENCE|SCHEMA|TYPE|DOMAIN|VIEW|POLICY|ROLE|"
                r"USER|PUBLICATION|STATISTICS|COLLATION|CAST|AGGREGATE|OPERATOR)|"
                r"ALTER\s+(?:SEQUENCE|EXTENSION|DEFAULT\s+PRIVILEGES|ROLE|USER|DATABASE|FUNCTION|"
                r"INDEX|POLICY|PUBLICATION))\b.*"
            ),
        ),
        (
            "drop_other",
            (
                r"DROP\s+(SCHEMA|DATABASE|MATERIALIZED\s+VIEW|VIEW|TYPE|DOMAIN|SEQUENCE)\s+"
                rf"(?:IF\s+EXISTS\s+)?({NAME})(.*)"
            ),
        ),
        (
            "harmless",
            (
                r"DROP\s+(?:FUNCTION|PROCEDURE|TRIGGER|POLICY|EXTENSION|EVENT|ROLE|USER|RULE|STATISTICS)"
                r"\b(?!.*\bCASCADE\b).*"
            ),
        ),
        (
            "transaction",
            r"(BEGIN|COMMIT|ROLLBACK|START\s+TRANSACTION|END)(?:\s+(?:WORK|TRANSACTION))?",
        ),
        (
            "harmless",
            (
                r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+)?TRIGGER\b.*\bEXECUTE\s+"
                r"(?:FUNCTION|PROCEDURE)\b.*"
            ),
        ),
        ("harmless", r"CREATE\s+(?:TEMP(?:ORARY)?\s+)?TRIGGER\b.*\bEND"),
        (
            "harmless",
            r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b.*(?:LANGUAGE\b.*|\$\w*\$.*|\bEND)",
        ),
    )
]


def key_of(name: str) -> Key:
    """Return the table of a name in SQL."""
    parts = [part.strip('"`') for part in re.findall(IDENTIFIER, name)]
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def read_by_words(sql: str, dialect: Dialect) -> tuple[list[MigrateOperation], bool]:
    """Return what one statement does whose first words say so, and whether to go on reading."""
    sql = without_comments(sql)
    body = re.sub(r"\$(\w*)\$.*?\$\1\$", " ", sql, flags=re.DOTALL)
    is_routine = re.match(
        r"CREATE\s.*?\b(?:TRIGGER|FUNCTION|PROCEDURE)\b", sql, re.IGNORECASE | re.DOTALL
    )
    if ";" in body and not is_routine:
        return [], True
    for name, pattern in BY_WORDS:
        if found := pattern.match(sql):
            return list(operations_by_words(name, found, dialect)), False
    return [], True


def operations_by_words(
    name: str, found: re.Match[str], dialect: Dialect
) -> Iterator[MigrateOperation]:
    blocking = databases.of(dialect.name).rewriting_blocks
    words = " ".join(found[0].split()[:2]).upper()
    groups = found.groups()
    if name == "validate":
        yield ValidateConstraintOp(key_of(groups[0]), groups[1].strip('"`'))
    elif name == "add_value":
        yield ChangeEnumOp(key_of(groups[0])[1], added=[groups[1]])
    elif name == "rename_value":
        yield ChangeEnumOp(key_of(groups[0])[1], added=[groups[2]], gone=[groups[1]])
    elif name == "rename_other":
        yield RenameOtherOp(" ".join(groups[0].upper().split()), groups[1])
    elif name == "rename_table":
        yield RenameTableOp(key_of(groups[0])[1], key_of(groups[1])[1], schema=key_of(groups[0])[0])
    elif name in ("vacuum", "cluster", "logged", "tablespace", "charset", "engine", "optimize"):
        phrase = {"logged": "SET LOGGED", "tablespace": "SET TABLESPACE",
                  "charset": "CONVERT TO CHARACTER SET", "engine": "This ALTER TABLE",
                  "cluster": "CLUSTER"}.get(name, words)  # fmt: skip
        table = key_of(groups[0]) if groups[0] else None
        if blocking:
            yield RewriteTableOp(phrase, table, blocking)
    elif name == "reindex":
        yield RewriteTableOp("REINDEX", key_of(groups[0]), "writes", "REINDEX … CONCURRENTLY")
    elif name == "refresh":
        instead = f"REFRESH MATERIALIZED VIEW CONCURRENTLY {groups[0]}"
        yield RewriteTableOp(
            "REFRESH MATERIALIZED VIEW", key_of(groups[0]), "reads and writes", instead
        )
    elif name == "lock":
        yield LockTableOp(key_of(groups[0]))
    elif name == "drop_other":
        yield DropOtherOp(" ".join(groups[0].upper().split()), groups[1])
        if re.search(r"\bCASCADE\b", groups[2], re.IGNORECASE):
            yield DropWithDependentsOp(f"DROP {groups[0].upper()} {groups[1]}")
    elif name == "transaction":
        yield TransactionOp(" ".join(groups[0].upper().split()))


def targets_of(tree: Any) -> list[Any]:
    """Return what DROP names."""
    return [*(tree.args.get("tables") or [tree.this])]


class Reader:
    """Turns the trees of sqlglot into operations.

    :param reading: what is read so far.
    :param exp: the module of sqlglot with the classes of its trees.
    :param grammar: the name of the dialect of SQL, for sqlglot.
    :param sql: what is read.
    """

    def __init__(
        self, reading: Reading, dialect: Dialect, exp: Any, grammar: str, sql: str
    ) -> None:
        self.reading, self.dialect, self.exp, self.grammar = reading, dialect, exp, grammar
        self.sql = sql

    def read(self, tree: Any) -> None:
        """Note what a statement does, or that it is not understood."""
        known, rest = read_by_words(self.sql, self.dialect)
        try:
            operations = known if not rest else self.operations(tree)
        except (AttributeError, KeyError, TypeError, ValueError):
            operations = None  # Another version of sqlglot has other trees.
        if operations is None:
            self.reading.unread.append(shortened(self.sql))
        else:
            self.reading.operations.extend([*operations, *self.hints(tree)])

    def hints(self, tree: Any) -> list[MigrateOperation]:
        """Return what ALGORITHM=COPY and LOCK=SHARED say of a statement."""
        found = re.search(
            r"\b(ALGORITHM\s*=?\s*COPY|LOCK\s*=?\s*(?:SHARED|EXCLUSIVE))\b", self.sql, re.IGNORECASE
        )
        table = tree.find(self.exp.Table)
        if not found or table is None or not isinstance(tree, self.exp.Alter | self.exp.Create):
            return []
        blocking = "reads and writes" if "EXCLUSIVE" in found[1].upper() else "writes"
        return [RewriteTableOp(found[1].upper(), self.key(table), blocking)]

    def operations(self, tree: Any) -> list[MigrateOperation] | None:
        """Return what a statement does, or None when it is not understood."""
        exp = self.exp
        if isinstance(tree, exp.Alter):
            return self.alter(tree)
        if isinstance(tree, exp.Drop):
            return self.drop(tree)
        if isinstance(tree, exp.Create):
            return self.create(tree)
        if isinstance(tree, exp.TruncateTable):
            found: list[MigrateOperation] = [
                ChangeRowsOp("TRUNCATE", self.key(table)) for table in tree.expressions
            ]
            if tree.args.get("option") == "CASCADE":
                found.append(DropWithDependentsOp("TRUNCATE"))
            return found
        if isinstance(tree, exp.Delete | exp.Update):
            return self.rows(tree)
        if isinstance(tree, exp.Insert):
            key = self.key(tree.find(exp.Table))
            return [ChangeRowsOp("INSERT", key, reads=not isinstance(tree.expression, exp.Values))]
        if isinstance(tree, exp.Merge):
            return [ChangeRowsOp("UPDATE", self.key(tree.this), chosen=True)]
        harmless = (exp.Select, exp.SetOperation, exp.Set, exp.Comment, exp.Grant, exp.Pragma,
                    exp.Analyze, exp.Revoke)  # fmt: skip
        return [] if isinstance(tree, harmless) else None

    def rows(self, tree: Any) -> list[MigrateOperation]:
        exp = self.exp
        is_update = isinstance(tree, exp.Update)
        columns = [each.this.name for each in tree.expressions] if is_update else []
        names = ("where", "limit", "using", "from_", "from")
        chosen = any(tree.args.get(name) for name in names) or tree.find(exp.Join) is not None
        table = tree.this.find(exp.Table) if tree.this else None
        key = self.key(table) if table is not None else (None, "")
        return [ChangeRowsOp("UPDATE" if is_update else "DELETE", key, columns, chosen)]

    def key(self, table: Any) -> Key:
        return (table.text("db") or None), table.name

    def create(self, tree: Any) -> list[MigrateOperation] | None:
        kind, exp = str(tree.args.get("kind") or "").upper(), self.exp
        if kind == "TABLE":
            schema, name = self.key(tree.this.find(exp.Table))
            return [CreateTableOp(name, [], schema=schema)]
        if kind == "INDEX":
            index = tree.this
            schema, table = self.key(index.args["table"])
            parameters = index.args.get("params")
            parts = (parameters.args.get("columns") or []) if parameters is not None else []
            columns: list[Any] = [
                part.name or text(part.sql(dialect=self.grammar or None)) for part in parts
            ]
            options = {}
            if tree.args.get("concurrently"):
                options[databases.of(self.dialect.name).concurrent_index_option] = True
            return [
                CreateIndexOp(index.name or None, table, columns, schema=schema,
                              unique=bool(tree.args.get("unique")), **options)
            ]  # fmt: skip
        return [] if kind in ("VIEW", "SCHEMA", "SEQUENCE", "FUNCTION", "PROCEDURE") else None

    def drop(self, tree: Any) -> list[MigrateOperation] | None:
        kind = str(tree.args.get("kind") or "").upper()
        if tree.args.get("materialized"):
            kind = f"MATERIALIZED {kind}"
        found: list[MigrateOperation] = []
        for target in targets_of(tree):
            table = target.find(self.exp.Table)
            schema, name = (None, target.name) if table is None else self.key(table)
            if kind == "TABLE":
                found.append(DropTableOp(name, schema=schema))
            elif kind == "INDEX":
                options: dict[str, Any] = {}
                if tree.args.get("concurrently"):
                    options[databases.of(self.dialect.name).concurrent_index_option] = True
                found.append(DropIndexOp(name, schema=schema, **options))
            elif kind in ("SCHEMA", "DATABASE", "VIEW", "MATERIALIZED VIEW", "TYPE", "SEQUENCE"):
                found.append(DropOtherOp(kind, name))
            elif kind not in ("FUNCTION", "PROCEDURE", "TRIGGER"):
                return None
        if tree.args.get("cascade"):
            found.append(DropWithDependentsOp(f"DROP {kind}"))
        return found

    def alter(self, tree: Any) -> list[MigrateOperation] | None:
        kind = str(tree.args.get("kind") or "").upper()
        if kind == "INDEX":
            return []
        if kind != "TABLE":
            return None
        table = self.key(tree.this)
        found: list[MigrateOperation] = []
        actions = tree.args.get("actions") or []
        not_valid = bool(tree.args.get("not_valid"))
        options = tree.args.get("options") or []
        renamed = [each.this.name for each in options if type(each).__name__ == "ToTableProperty"]
        if renamed and isinstance(actions[0], self.exp.AlterRename):  # Without the word COLUMN.
            old, (new,) = actions[0].this.name, renamed
            return [AlterColumnOp(table[1], old, schema=table[0], modify_name=new)]
        for action in actions:
            operations = self.action(action, table, not_valid)
            if operations is None:
                return None
            found += operations
        return found if actions else None

    def action(self, action: Any, table: Key, not_valid: bool) -> list[MigrateOperation] | None:
        """Return what one part of ALTER TABLE does."""
        exp = self.exp
        schema, name = table
        if isinstance(action, exp.ColumnDef):
            return [AddColumnOp(name, self.column(action), schema=schema)]
        if isinstance(action, exp.Drop):
            kind = str(action.args.get("kind") or "").upper()
            found: list[MigrateOperation] = []
            if kind == "COLUMN":
                found += [
                    DropColumnOp(name, each.name, schema=schema) for each in targets_of(action)
                ]
            elif kind in ("CONSTRAINT", "FOREIGN KEY", "CHECK", "INDEX", "KEY"):
                found += [DropConstraintOp(e.name, name, schema=schema) for e in targets_of(action)]
            else:
                return None
            if action.args.get("cascade"):
                found.append(DropWithDependentsOp(f"DROP {kind}"))
            return found
        if isinstance(action, exp.DropPrimaryKey):
            return [DropConstraintOp("", name, type_="primary", schema=schema)]
        if isinstance(action, exp.RenameColumn):
            new = action.args["to"].name
            return [AlterColumnOp(name, action.this.name, schema=schema, modify_name=new)]
        if isinstance(action, exp.AlterRename):
            return [RenameTableOp(name, action.this.name, schema=schema)]
        if isinstance(action, exp.AlterColumn):
            return self.alter_column(action, table)
        if isinstance(action, exp.ModifyColumn):
            definition = action.this
            column = self.column(definition)
            old = action.args.get("rename_from")
            change: dict[str, Any] = {"modify_type": column.type}
            if not column.nullable:
                change["modify_nullable"] = False
            if old is not None and old.name != column.name:
                change["modify_name"] = column.name
            return [AlterColumnOp(name, old.name if old is not None else column.name,
                                  schema=schema, **change)]  # fmt: skip
        if isinstance(action, exp.AddConstraint):
            return self.constraints(action, table, not_valid)
        return None

    def alter_column(self, action: Any, table: Key) -> list[MigrateOperation]:
        arguments, change = action.args, dict[str, Any]()
        if (kind := arguments.get("dtype")) is not None:
            change["modify_type"] = self.type_of(kind)
        if arguments.get("allow_null") is not None:
            change["modify_nullable"] = bool(arguments["allow_null"])
        if arguments.get("default") is not None:
            change["modify_server_default"] = text(arguments["default"].sql())
        elif arguments.get("drop") and arguments.get("allow_null") is None:
            change["modify_server_default"] = None
        schema, name = table
        return [AlterColumnOp(name, action.this.name, schema=schema, **change)]

    def constraints(
        self, action: Any, table: Key, not_valid: bool
    ) -> list[MigrateOperation] | None:
        exp = self.exp
        schema, name = table
        found: list[MigrateOperation] = []
        for part in action.expressions:
            label: str | None = None
            kinds = [part]
            if isinstance(part, exp.Constraint):
                label, kinds = part.name, part.expressions
            options: dict[str, Any] = {}
            option = databases.of(self.dialect.name).not_valid_option
            if option and (not_valid or "NOT VALID" in part.sql().upper()):
                options[option] = True
            for kind in kinds:
                columns = [each.name for each in kind.expressions or [] if each.name]
                if isinstance(kind, exp.ForeignKey):
                    target = kind.args["reference"].find(exp.Table)
                    found.append(
                        CreateForeignKeyOp(label, name, target.name, columns, [],
                                           source_schema=schema, **options)
                    )  # fmt: skip
                elif isinstance(kind, exp.CheckColumnConstraint):
                    found.append(
                        CreateCheckConstraintOp(label, name, text(kind.this.sql(self.grammar)),
                                                schema=schema, **options)
                    )  # fmt: skip
                elif isinstance(kind, exp.PrimaryKey):
                    found.append(CreatePrimaryKeyOp(label, name, columns, schema=schema))
                elif isinstance(kind, exp.UniqueColumnConstraint):
                    inner = kind.this
                    columns = [each.name for each in (inner.expressions if inner else [])]
                    found.append(CreateUniqueConstraintOp(label, name, columns, schema=schema))
                elif isinstance(kind, exp.IndexColumnConstraint):
                    found.append(CreateIndexOp(label, name, columns, schema=schema))
                elif isinstance(kind, exp.ExcludeColumnConstraint):
                    operation = databases.of(self.dialect.name).exclusion(label or "", table)
                    if operation is None:
                        return None
                    found.append(operation)
                elif not isinstance(kind, exp.NotNullColumnConstraint):
                    return None
        return found or None

    def column(self, definition: Any) -> Column[Any]:
        """Return the column of a definition."""
        exp = self.exp
        numbered = (exp.GeneratedAsIdentityColumnConstraint, exp.AutoIncrementColumnConstraint)
        parts: list[Any] = []
        options: dict[str, Any] = {}
        kind = definition.args.get("kind")
        if kind is not None and "SERIAL" in kind.sql(self.grammar).upper():
            options["server_default"] = text("nextval('')")
        for constraint in definition.args.get("constraints") or []:
            part = constraint.args.get("kind")
            if isinstance(part, exp.NotNullColumnConstraint):
                options["nullable"] = bool(part.args.get("allow_null"))
            elif isinstance(part, exp.DefaultColumnConstraint):
                if part.this.sql().upper() != "NULL":
                    literal = isinstance(part.this, exp.Literal)
                    sql = part.this.sql(self.grammar)
                    options["server_default"] = part.this.name if literal else text(sql)
            elif isinstance(part, exp.UniqueColumnConstraint):
                options["unique"] = True
            elif isinstance(part, exp.PrimaryKeyColumnConstraint):
                options["primary_key"] = True
            elif isinstance(part, exp.Reference):
                parts.append(ForeignKey(f"{part.find(exp.Table).name}.id"))
            elif isinstance(part, numbered):
                parts.append(Identity())
            elif isinstance(part, exp.ComputedColumnConstraint):
                sql = part.this.sql(self.grammar)
                stored = re.search(r"\b(?:STORED|PERSISTENT)\b", self.sql, re.IGNORECASE)
                parts.append(Computed(sql, persisted=bool(stored)))
        type_ = self.type_of(kind) if kind is not None else types.NULLTYPE
        return Column(definition.name, type_, *parts, **options)

    def type_of(self, kind: Any) -> Any:
        """Return SQLAlchemy's type for one of SQL."""
        sql = kind.sql(dialect=self.grammar or None)
        found = re.match(r"([A-Za-z_ ]+?\w*)\s*(?:\(([\d\s,]+)\))?( WITH TIME ZONE)?$", sql)
        if sql.upper().startswith("ENUM"):
            return Enum(*[each.name for each in kind.expressions])
        names = getattr(self.dialect, "ischema_names", {})
        if not found:
            return types.NULLTYPE
        name = f"{found[1]}{found[3] or ''}".strip()
        made = names.get(name.lower()) or names.get(name.upper())
        made = made or getattr(types, name.upper(), None)
        if made is None:
            return types.NULLTYPE
        numbers = [int(each) for each in (found[2] or "").split(",") if each.strip()]
        for arguments in (numbers, []):
            with suppress(TypeError):
                return made(*arguments)
        return types.NULLTYPE
