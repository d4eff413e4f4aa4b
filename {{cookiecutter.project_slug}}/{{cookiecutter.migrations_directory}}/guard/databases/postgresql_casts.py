"""How PostgreSQL converts the values of a column, where it does not do so by itself.

https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-SET-DATA-TYPE
"""

import re
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

WHOLE = {"smallint", "integer", "bigint"}
NUMBER = WHOLE | {"numeric", "float", "real", "double precision"}
TEXT = {"text", "varchar", "char", "character varying", "character"}
MOMENT, ZONED = {"timestamp without time zone"}, {"timestamp with time zone"}
TIME, ZONED_TIME = {"time without time zone"}, {"time with time zone"}
JSON = {"json", "jsonb"}

Convert = Callable[[str, str], str]

# What a cast of the server would do in the time zone of the session, would do wrong, or not at all.
CONVERSIONS: list[tuple[set[str], set[str], Convert]] = [
    (MOMENT, ZONED, lambda c, _: f"{c} AT TIME ZONE 'UTC'"),
    (ZONED, MOMENT, lambda c, _: f"{c} AT TIME ZONE 'UTC'"),
    ({"date"}, ZONED, lambda c, _: f"{c}::timestamp AT TIME ZONE 'UTC'"),
    (ZONED, {"date"} | TIME, lambda c, new: f"({c} AT TIME ZONE 'UTC')::{new}"),
    (TIME, ZONED_TIME, lambda c, new: f"({c}::text || '+00')::{new}"),
    (ZONED_TIME, TIME, lambda c, new: f"({c} AT TIME ZONE 'UTC')::{new}"),
    (
        TEXT,
        ZONED,
        lambda c, new: (
            f"CASE WHEN {c} ~ ':.*[-+A-Za-z]' THEN {c}::{new} "
            f"ELSE {c}::timestamp AT TIME ZONE 'UTC' END"
        ),
    ),
    (NUMBER, {"boolean"}, lambda c, _: f"{c} <> 0"),
    ({"boolean"}, {"integer"}, lambda c, new: f"{c}::{new}"),
    ({"boolean"}, NUMBER, lambda c, new: f"{c}::integer::{new}"),
    (NUMBER, ZONED, lambda c, _: f"to_timestamp({c})"),
    (NUMBER, MOMENT, lambda c, _: f"to_timestamp({c}) AT TIME ZONE 'UTC'"),
    (NUMBER, {"date"}, lambda c, new: f"(to_timestamp({c}) AT TIME ZONE 'UTC')::{new}"),
    (ZONED | MOMENT | {"date", "interval"}, NUMBER, lambda c, new: f"extract(epoch FROM {c})::{new}"),
    (NUMBER, {"interval"}, lambda c, _: f"make_interval(secs => {c})"),
    (TEXT, {"bytea"}, lambda c, _: f"convert_to({c}, 'UTF8')"),
    ({"bytea"}, TEXT, lambda c, _: f"convert_from({c}, 'UTF8')"),
    (JSON, NUMBER | {"boolean"}, lambda c, new: f"({c} #>> '{{}}')::{new}"),
]  # fmt: skip


def kind(type_: str) -> str:
    """Return a type without its length or precision, in the letters of the lists above."""
    return " ".join(re.sub(r"\([^)]*\)", "", type_).lower().split())


def special(old: str, new: str, column: str) -> str | None:
    """Return what converts a column where no plain cast does it right, or None.

    :param old: the type that it has, as SQL.
    :param column: its quoted name.
    """
    before, after = kind(old), kind(new)
    for sources, targets, convert in CONVERSIONS:
        if before in sources and after in targets:
            return convert(column, new)
    is_list, becomes_list = before.endswith("[]"), after.endswith("[]")
    if becomes_list and not is_list and before not in JSON:
        if before in TEXT and after.removesuffix("[]") in TEXT:
            return f"string_to_array({column}, ',')::{new}"
        return f"ARRAY[{column}]::{new}"
    if is_list and after in TEXT:
        return f"array_to_string({column}, ',')"
    if after in JSON and before not in TEXT | JSON:
        return f"to_{after}({column})"
    return None


def has_cast(connection: Connection, old: str, new: str) -> bool:
    """Ask the server whether it casts a type to another: in ``pg_cast``, or through text."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"SELECT NULL::{old}::{new}")
    except DBAPIError:
        return False
    return True
