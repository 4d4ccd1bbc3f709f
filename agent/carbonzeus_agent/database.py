"""SQLite files that may be found broken: opened, or set aside and made anew."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A database that can be used."""

    connection: sqlite3.Connection
    set_aside: Path | None = None
    """Where the damaged file lies now, if there was one."""


def open_database(path: Path, schema: str) -> Opened:
    """Open or create `path` with `schema` (all `IF NOT EXISTS`), safe against a killed process and a lost power supply.

    A file that SQLite cannot make sense of is kept beside the new one, under a name with the time.
    Raises `sqlite3.Error` or `OSError` where the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return Opened(_open(path, schema))
    except sqlite3.OperationalError:
        raise  # locked, full, read-only: the file itself may be fine
    except sqlite3.DatabaseError as error:
        aside = _set_aside(path)
        log.error("%s is damaged (%s): set aside as %s, starting a new one", path, error, aside)  # noqa: TRY400 - the trace tells nothing more
        return Opened(_open(path, schema), set_aside=aside)


def _open(path: Path, schema: str) -> sqlite3.Connection:
    # Whoever shares a connection between threads holds a lock around it.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        _check(connection)
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        raise sqlite3.DatabaseError(f"quick_check: {found}")


def _set_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return aside
