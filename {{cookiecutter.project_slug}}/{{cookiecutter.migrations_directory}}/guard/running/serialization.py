"""Migrations of a database run one at a time, and count as done when the database says so."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, String, column, select, table
from sqlalchemy.exc import DBAPIError

from .. import databases, revisions
from ..messages import command_line
from . import steps
from .command import Command
from .connection import name_of
from .record import Record

log = logging.getLogger("alembic.runtime.migration")

# What a revision has left behind: the heads of the database after it.
Heads = set[str]


def only_reads(migration: MigrationContext) -> bool:
    """Return whether the command applies nothing, as current, check and revision."""
    return bool(migration.opts.get("dont_mutate")) or "revision_context" in migration.opts


@contextmanager
def one_at_a_time(
    command: Command, migration: MigrationContext, passed: bool
) -> Iterator[list[Heads]]:
    """Migrate while nobody else does, and check afterwards that the database agrees.

    A program that passes a connection in a transaction commits it itself, and sees to it
    that it is alone.

    :param passed: whether a program passed the connection.
    :return: the heads after each revision that has run so far.
    :raises CommandError: when another migration does not end within ``lock_wait`` seconds,
        when a table stays locked, and when the database is not where it should be.
    """
    connection = connection_of(migration)
    database = databases.of(connection.dialect.name)
    applied: list[Heads] = []
    migration.opts["guard.external_transaction"] = connection.in_transaction()
    if migration.script is not None:
        revisions.refuse_copies(migration.script)
    if only_reads(migration):
        # They need not wait, nor create the version table.
        migration.opts["dont_mutate"] = True
        with explained_difference(command, migration):
            yield applied
        return

    def after_each_revision(heads: Heads, **_: object) -> None:
        applied.append(heads)
        database.after_revision(connection)

    migration.on_version_apply_callbacks = (
        *migration.on_version_apply_callbacks,
        after_each_revision,
    )
    prepare_record(command, migration)
    if connection.in_transaction():
        if not passed:
            raise CommandError(
                "env.py ran a statement before the migrations, which Alembic takes for a "
                "transaction of the caller, and would save nothing: commit it first."
            )
        yield applied
        return
    with lock(command, connection, passed) as witness:
        yield applied
        if applied:
            connection.rollback()
            same = witness is connection and not passed
            with connection.engine.connect() if same else nullcontext(witness) as fresh:
                saved = saved_heads(migration, fresh)
            if saved != applied[-1]:
                raise CommandError(
                    f"The migrations ended at {sorted(applied[-1])}, but they were not saved: "
                    f"the database is at {sorted(saved)}."
                )


def prepare_record(command: Command, migration: MigrationContext) -> None:
    """Let each step be timed, and recorded unless ``record`` is off."""
    if (found := steps.of(migration)) is not None:
        command.progress.append(found)
        if command.settings.record:
            found.record = Record(migration)
        migration.on_version_apply_callbacks = (
            *migration.on_version_apply_callbacks,
            found.applied,
        )


def connection_of(migration: MigrationContext) -> Connection:
    """Return the connection of a migration that is not offline."""
    assert migration.connection is not None
    return migration.connection


def saved_heads(migration: MigrationContext, witness: Connection) -> Heads:
    """Return where the database is, as others see it.

    It looks where the migration wrote: env.py may have set ``search_path``, or a
    ``schema_translate_map``, for one tenant of many.
    """
    connection = connection_of(migration)
    options = connection.get_execution_options()
    place = migration.version_table_schema
    if translated := options.get("schema_translate_map"):
        place = translated.get(place, place)
    if place is None:
        known = databases.of(connection.dialect.name)
        place = known.schema_of(connection, migration.version_table)
        connection.rollback()
    versions = table(migration.version_table, column("version_num", String()), schema=place)
    try:
        return set(witness.scalars(select(versions.c.version_num)))
    except DBAPIError:
        return set()  # There is no such table.


@contextmanager
def explained_difference(command: Command, migration: MigrationContext) -> Iterator[None]:
    """Say what "Target database is not up to date" means, and which command fixes it."""
    try:
        yield
    except CommandError as error:
        if "not up to date" not in str(error) or migration.script is None:
            raise
        current = ", ".join(migration.get_current_heads()) or "no revision"
        head, *others = migration.script.get_heads()
        if others:
            raise CommandError("Multiple head revisions are present") from error
        raise CommandError(
            f"{name_of(connection_of(migration).engine.url)} is at {current}, but the head is "
            f"{head}. Upgrade it with: {command_line(command.config)} upgrade head"
        ) from error


@contextmanager
def lock(command: Command, connection: Connection, passed: bool) -> Iterator[Connection]:
    """Hold the lock that lets migrations of this database run one at a time.

    A process that is killed leaves no lock behind: it belongs to a connection.

    :return: a connection to ask what is committed, and who holds a table.
    """
    if not command.settings.lock:
        with connection.engine.connect() as witness:
            yield witness
        return
    database = databases.of(connection.dialect.name)
    with database.lock_holder(connection, passed) as (take, witness):
        wait_for(take, command.settings.lock_wait, name_of(connection.engine.url))
        yield witness


def wait_for(take: Callable[[], bool], patience: float, database: str) -> None:
    """Take a lock, or say once what is waited for and try again until the time is over.

    :param patience: in seconds.
    """
    deadline = time.monotonic() + patience
    said = False
    while not take():
        if time.monotonic() >= deadline:
            raise CommandError(
                f"Timed out after {patience:g} s waiting for another migration of {database}. "
                "Let it end and try again, or wait longer with -x lock_wait=SECONDS."
            )
        if not said:
            log.info("Waiting up to %g s for another migration of %s", patience, database)
            said = True
        time.sleep(0.1)
