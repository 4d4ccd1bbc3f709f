"""Room in the ledger's file: where the next records would not fit, the oldest go first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

SPARE = 0.05
"""So much of the cap is made free at once, so that not every commit has to."""
PARTS = 20
"""The records that go are cut off in slices of one so-manieth."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What had to go."""

    records: int
    upto: datetime
    """The end of the newest of them."""


def make_room(connection: sqlite3.Connection, cap_bytes: int, incoming_bytes: int) -> Dropped | None:
    """Inside a transaction: delete the oldest records until `incoming_bytes` more fit under the cap; None where they do.

    A file does not shrink by it, but the pages that became free are used before it grows.
    """
    if used_bytes(connection) + incoming_bytes <= cap_bytes:
        return None
    records, upto_s = 0, 0.0
    while used_bytes(connection) + incoming_bytes > cap_bytes * (1 - SPARE):
        oldest, newest = connection.execute("SELECT min(seq), max(seq) FROM record").fetchone()
        if oldest is None:
            break
        last = oldest + (newest - oldest) // PARTS
        (end_s,) = connection.execute("SELECT max(end_s) FROM record WHERE seq <= ?", (last,)).fetchone()
        upto_s = max(upto_s, end_s)
        records += connection.execute("DELETE FROM record WHERE seq <= ?", (last,)).rowcount
    return Dropped(records, datetime.fromtimestamp(upto_s, UTC)) if records else None


def file_bytes(connection: sqlite3.Connection) -> int:
    """The size of the database file, when all that is committed has got there."""
    return _pragma(connection, "page_count") * _pragma(connection, "page_size")


def used_bytes(connection: sqlite3.Connection) -> int:
    """What of it is not free."""
    return file_bytes(connection) - _pragma(connection, "freelist_count") * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
