"""SQLite files that may be found broken, or made by a later release: opened, or set aside and made anew."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)


class _Newer(Exception):
    """The file is of a version of the schema that this release does not know."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A database that can be used."""

    connection: sqlite3.Connection
    set_aside: Path | None = None
    """Where the file lies now that could not be used, if there was one."""


def open_database(path: Path, schema: str, *, newest: int) -> Opened:
    """Open or create `path`, safe against a killed process and a lost power supply.

    `schema` (all `IF NOT EXISTS`) is version 1, and made where the file bears no version (`PRAGMA user_version`) yet; to write
    one is for the caller, when all is there that belongs to it. `newest` is the latest version that the caller knows.
    A file that SQLite cannot make sense of, or of a later version, is kept beside the new one, under a name with the time.
    Raises `sqlite3.Error` or `OSError` where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return Opened(_open(path, schema, newest))
    except sqlite3.OperationalError:
        raise  # locked, full, read-only: the file itself may be fine
    except _Newer as error:
        aside = _set_aside(path, "newer")
        log.error("%s %s: set aside as %s, starting a new one", path, error, aside)  # noqa: TRY400 - the trace tells nothing more
    except sqlite3.DatabaseError as error:
        aside = _set_aside(path, "damaged")
        log.error("%s is damaged (%s): set aside as %s, starting a new one", path, error, aside)  # noqa: TRY400 - the trace tells nothing more
    return Opened(_open(path, schema, newest), set_aside=aside)


def upgrade(connection: sqlite3.Connection, steps: Iterable[str]) -> None:
    """From the version that the file bears to the newest, one after the other, each whole or not at all.

    `steps` are statements, each ended by a semicolon, that make version 2 of version 1, then 3 of 2, and so on.
    Raises `sqlite3.Error`, and closes the connection, where one fails.
    """
    try:
        for number, step in enumerate(("", *steps), start=1):
            if number > version(connection):
                connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")
    except sqlite3.Error:
        connection.close()  # and with it the transaction
        raise


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def version(connection: sqlite3.Connection) -> int:
    """The version of the schema that the file bears; 0 where nobody has written one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _open(path: Path, schema: str, newest: int) -> sqlite3.Connection:
    # Whoever shares a connection between threads holds a lock around it.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        found = _known(connection, newest)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        _check(connection)
        if not found:
            connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _known(connection: sqlite3.Connection, newest: int) -> int:
    found = version(connection)
    if found > newest:
        raise _Newer(f"is of version {found}, and this release knows none after {newest}")
    return found


def _check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise sqlite3.DatabaseError(f"quick_check: {found}")


def _set_aside(path: Path, why: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return aside
