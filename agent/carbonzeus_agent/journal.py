"""What must not be forgotten when the agent dies: the limit each GPU had before our first write, the newest fence, and which
GPUs are left to somebody else.

An entry is durable before the first write of its GPU, and names every limit that we may write. So a switch needs no disk, and
whoever starts after a kill can tell a limit that we left behind from one that somebody else has set since.

Entries lie in two files, a database and a JSON twin: who loses one of them, to a bad disk or a careless hand, has the other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from carbonzeus_agent.database import Opened, open_database, transaction, upgrade, version
from carbonzeus_agent.plans import BEGINNING
from carbonzeus_wire import Fence

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (gpu TEXT PRIMARY KEY, prior_w REAL NOT NULL, ours_w TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fence (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL, revision INTEGER NOT NULL) STRICT;
"""
UPGRADES = ("CREATE TABLE yielded (gpu TEXT PRIMARY KEY, pod_uid TEXT NOT NULL) STRICT;",)
"""Statements, each ended by a semicolon, that make version 2 of version 1, then 3 of 2, and so on."""
_KEEP = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?)"
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


_TWIN = TypeAdapter(dict[str, Entry])


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
        self._yielded: dict[str, str] = {}
        self._fence = BEGINNING
        self.failure: str | None = None
        """Why the last write failed; None while all is well."""
        self.lost: str | None = None
        """Neither file could be used: a GPU below its default limit may have been left so by us, and nobody knows its prior limit."""
        self._twin = path.with_suffix(".json")
        try:
            with self._lock:
                self._connect()
        except (sqlite3.Error, OSError) as error:
            self.failure = f"{path}: {error}"
            with contextlib.suppress(OSError, ValueError):
                self._entries |= self._read_twin()  # what can be read can be restored

    @property
    def fence(self) -> Fence:
        """The newest fence that any agent on this node has seen."""
        return self._fence

    def entry(self, gpu: str) -> Entry | None:
        return self._entries.get(gpu)

    def gpus(self) -> tuple[str, ...]:
        """The GPUs that may not be at their prior limit."""
        return tuple(self._entries)

    def yielded(self, gpu: str) -> str | None:
        """The UID of the pod under whose plan somebody else has set the limit of a GPU that is left so; None where it is not."""
        return self._yielded.get(gpu)

    def keep(self, gpu: str, prior_w: float, ours_w: Iterable[float]) -> Entry:
        """Make the prior limit of a GPU durable, and that we may write `ours_w`."""
        entry = Entry(prior_w, frozenset(ours_w))
        if self._entries.get(gpu) != entry:
            with self._writing() as connection:
                connection.execute(_KEEP, _row(gpu, entry))
                self._write_twin(self._entries | {gpu: entry})
                self._entries[gpu] = entry
        return entry

    def forget(self, gpu: str) -> None:
        """The GPU is back at its prior limit, or in other hands."""
        if gpu in self._entries:
            with self._writing() as connection:
                connection.execute("DELETE FROM entry WHERE gpu = ?", (gpu,))
                self._write_twin({other: entry for other, entry in self._entries.items() if other != gpu})
                del self._entries[gpu]

    def note_yield(self, gpu: str, pod_uid: str) -> None:
        """The GPU is left to whoever has set its limit under the plan of this pod: there is nothing of ours to restore."""
        if gpu in self._entries or self._yielded.get(gpu) != pod_uid:
            with self._writing() as connection:
                with transaction(connection):
                    connection.execute("DELETE FROM entry WHERE gpu = ?", (gpu,))
                    connection.execute("INSERT OR REPLACE INTO yielded VALUES (?, ?)", (gpu, pod_uid))
                self._write_twin({other: entry for other, entry in self._entries.items() if other != gpu})
                self._entries.pop(gpu, None)
                self._yielded[gpu] = pod_uid

    def end_yield(self, gpu: str) -> None:
        """The plan under which the GPU was left to somebody else has ended."""
        if gpu in self._yielded:
            with self._writing() as connection:
                connection.execute("DELETE FROM yielded WHERE gpu = ?", (gpu,))
                del self._yielded[gpu]

    def raise_fence(self, fence: Fence) -> None:
        """Remember the fence, so that a leader deposed before a restart is still refused after it."""
        if fence != self._fence:
            self._fence = fence
            with self._writing() as connection:
                connection.execute("INSERT OR REPLACE INTO fence VALUES (1, ?, ?)", (fence.term, fence.revision))

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            opened = open_database(self._path, SCHEMA, newest=1 + len(UPGRADES))
            connection = opened.connection
            if not version(connection):
                self._salvage(opened)
            upgrade(connection, UPGRADES)
            for gpu, prior_w, ours_w in connection.execute("SELECT gpu, prior_w, ours_w FROM entry"):
                self._entries.setdefault(gpu, Entry(prior_w, frozenset(json.loads(ours_w))))
            for gpu, pod_uid in connection.execute("SELECT gpu, pod_uid FROM yielded"):
                self._yielded.setdefault(gpu, pod_uid)
            for term, revision in connection.execute("SELECT term, revision FROM fence"):
                self._fence = max(
                    self._fence, Fence(term=term, revision=revision), key=lambda it: (it.term, it.revision)
                )
            self._connection = connection
        return self._connection

    def _salvage(self, opened: Opened) -> None:
        """A new database takes over what the twin holds."""
        try:
            self._entries |= self._read_twin()
        except (OSError, ValueError) as error:
            if opened.set_aside is not None:
                aside = opened.set_aside.name
                self.lost = f"{self._path} could not be used and is set aside as {aside}, and its twin cannot be read"
                log.error("prior limits are lost: %s: %s", self.lost, error)  # noqa: TRY400 - the trace tells nothing more
        if self._entries:
            log.warning("%d prior limits were taken over from %s", len(self._entries), self._twin)
        connection = opened.connection
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_KEEP, [_row(gpu, entry) for gpu, entry in self._entries.items()])
        connection.execute("PRAGMA user_version = 1")
        connection.execute("COMMIT")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One change of the files, durable at the end, by one thread at a time."""
        try:
            with self._lock:
                yield self._connect()
        except (sqlite3.Error, OSError) as error:
            self.failure = f"{self._path}: {error}"
            raise JournalFailed(self.failure) from error
        self.failure = None

    def _read_twin(self) -> dict[str, Entry]:
        """Raises `OSError` or `ValueError` where there is none that makes sense."""
        return _TWIN.validate_json(self._twin.read_bytes())

    def _write_twin(self, entries: Mapping[str, Entry]) -> None:
        draft = self._twin.with_suffix(".json.new")
        with draft.open("wb") as file:
            file.write(_TWIN.dump_json(dict(entries)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._twin)
        folder = os.open(self._twin.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _row(gpu: str, entry: Entry) -> tuple[str, float, str]:
    return gpu, entry.prior_w, json.dumps(sorted(entry.ours_w))
