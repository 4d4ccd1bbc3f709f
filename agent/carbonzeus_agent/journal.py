"""What must not be forgotten when the agent dies: the limit each GPU had before our first write, and the newest fence.

An entry is durable before the first write of its GPU, and names every limit that we may write. So a switch needs no disk, and
whoever starts after a kill can tell a limit that we left behind from one that somebody else has set since.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from carbonzeus_agent.database import open_database
from carbonzeus_agent.plans import BEGINNING
from carbonzeus_wire import Fence

SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (gpu TEXT PRIMARY KEY, prior_w REAL NOT NULL, ours_w TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fence (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL, revision INTEGER NOT NULL) STRICT;
"""
TOLERANCE_W = 1.0
"""Boards round limits; two that differ by less are the same."""


class JournalFailed(Exception):
    """The journal cannot be written: then nothing may be capped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What we know about a GPU that we may have written."""

    prior_w: float
    """The limit before our first write: the reference limit."""
    ours_w: frozenset[float]
    """Every limit that we may have written."""

    def is_ours(self, limit_w: float) -> bool:
        return any(same(limit_w, ours_w) for ours_w in self.ours_w)


def same(one_w: float, other_w: float) -> bool:
    """Whether two limits are the same up to the rounding of a board."""
    return abs(one_w - other_w) < TOLERANCE_W


class Journal:
    """The journal of one node. Safe to use from the threads of several GPUs. Writing raises `JournalFailed`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._entries: dict[str, Entry] = {}
        self._fence = BEGINNING
        self.failure: str | None = None
        """Why the last write failed; None while all is well."""
        try:
            with self._lock:
                self._connect()
        except (sqlite3.Error, OSError) as error:
            self.failure = f"{path}: {error}"

    @property
    def fence(self) -> Fence:
        """The newest fence that any agent on this node has seen."""
        return self._fence

    def entry(self, gpu: str) -> Entry | None:
        return self._entries.get(gpu)

    def gpus(self) -> tuple[str, ...]:
        """The GPUs that may not be at their prior limit."""
        return tuple(self._entries)

    def keep(self, gpu: str, prior_w: float, ours_w: Iterable[float]) -> Entry:
        """Make the prior limit of a GPU durable, and that we may write `ours_w`."""
        entry = Entry(prior_w, frozenset(ours_w))
        if self._entries.get(gpu) != entry:
            self._write(
                "INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (gpu, entry.prior_w, json.dumps(sorted(entry.ours_w)))
            )
            self._entries[gpu] = entry
        return entry

    def forget(self, gpu: str) -> None:
        """The GPU is back at its prior limit, or in other hands."""
        if gpu in self._entries:
            self._write("DELETE FROM entry WHERE gpu = ?", (gpu,))
            del self._entries[gpu]

    def raise_fence(self, fence: Fence) -> None:
        """Remember the fence, so that a leader deposed before a restart is still refused after it."""
        if fence != self._fence:
            self._fence = fence
            self._write("INSERT OR REPLACE INTO fence VALUES (1, ?, ?)", (fence.term, fence.revision))

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = open_database(self._path, SCHEMA)
            for gpu, prior_w, ours_w in connection.execute("SELECT gpu, prior_w, ours_w FROM entry"):
                self._entries.setdefault(gpu, Entry(prior_w, frozenset(json.loads(ours_w))))
            for term, revision in connection.execute("SELECT term, revision FROM fence"):
                self._fence = max(
                    self._fence, Fence(term=term, revision=revision), key=lambda it: (it.term, it.revision)
                )
            self._connection = connection
        return self._connection

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            with self._lock:
                self._connect().execute(statement, values)
        except (sqlite3.Error, OSError) as error:
            self.failure = f"{self._path}: {error}"
            raise JournalFailed(self.failure) from error
        self.failure = None
