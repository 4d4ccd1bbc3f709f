"""The energy ledger: closed records in order, each with a number that is never given twice.

It is its own thread's business: a slow disk delays records, and nothing else. Beside the closed records it keeps, for every GPU,
what would be closed if the agent died now; whoever opens the ledger next finds these as ordinary records.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from carbonzeus_agent.database import open_database, transaction, upgrade
from carbonzeus_agent.records import Closed, Owner
from carbonzeus_agent.room import Dropped, file_bytes, make_room
from carbonzeus_wire import EnergyRecord

log = logging.getLogger(__name__)
T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, gpu TEXT NOT NULL, end_s REAL NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS record_end ON record (end_s);
CREATE INDEX IF NOT EXISTS record_gpu ON record (gpu, seq);
CREATE TABLE IF NOT EXISTS unfinished (
  gpu TEXT NOT NULL, place INTEGER NOT NULL, end_s REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (gpu, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (id TEXT NOT NULL) STRICT;
"""
"""Version 1; files of the first releases bear no version, and are the same."""
UPGRADES: tuple[str, ...] = ()
"""Statements, each ended by a semicolon, that make version 2 of version 1, then 3 of 2, and so on."""
_ADD = "INSERT INTO record (gpu, end_s, body) VALUES (?, ?, ?)"
_ROW_BYTES = 200
"""What a row takes beside its text, in the table and both indices."""
_PAGES_BYTES = 16 * 4096
"""What a commit takes beside its rows, where pages have to be split."""


class LedgerFailed(Exception):
    """The ledger cannot be written or read now; what was handed in is kept and tried again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, with the progress that belongs to it."""

    closed: Closed
    progress: float | None = None
    progress_grain: float | None = None

    def row(self) -> tuple[str, float, str]:
        """As it is stored: the record as it goes over the wire, without its number."""
        closed = self.closed
        record = EnergyRecord(
            seq=1,
            gpu_uuid=closed.gpu,
            pod_uid=closed.owner.pod_uid,
            pod=closed.owner.pod,
            start=closed.start,
            end=closed.end,
            limit_watts=closed.limit_w,
            energy_millijoules=closed.energy_mj,
            progress=self.progress,
            progress_grain=self.progress_grain,
            mean_sm_clock_mhz=closed.mean_sm_clock_mhz,
            mean_memory_clock_mhz=closed.mean_memory_clock_mhz,
            mean_utilization=closed.mean_utilization,
            quality=closed.quality,
        )
        body = record.model_dump_json(by_alias=True, exclude_none=True, exclude={"seq"})
        return closed.gpu, closed.end.timestamp(), body


@dataclass(frozen=True, slots=True)
class Resume:
    """Up to when the ledger knows a GPU, and who held it then."""

    upto: datetime
    owner: Owner


class Ledger:
    """The ledger of one node. `open` first; all methods are for the event loop."""

    def __init__(self, path: Path, retention: timedelta, cap_bytes: int) -> None:
        self._path = path
        self._retention = retention
        self._cap_bytes = cap_bytes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._connection: sqlite3.Connection | None = None
        self._swept_s = 0.0
        self.id = ""
        self.last_seq = 0
        self.dropped = 0
        """How many records this process has given up before their time, for want of room."""

    async def open(self) -> dict[str, Resume]:
        """Open, take over what a killed agent left unfinished, and say where each GPU's records end."""
        return await self._run(self._open)

    async def commit(self, entries: Iterable[Entry], unfinished: Mapping[str, Iterable[Entry]]) -> None:
        """Append `entries`, and replace what is unfinished by GPU, in one transaction."""
        rows = [entry.row() for entry in entries]
        open_rows = [
            (gpu, place, *entry.row()[1:]) for gpu, items in unfinished.items() for place, entry in enumerate(items)
        ]
        await self._run(lambda: self._commit(rows, open_rows))

    async def page(self, after: int, limit: int, since: datetime | None = None) -> str:
        """The `limit` records after number `after`, as the JSON of an `EnergyPage`; with `since` those that end later."""
        since_s = since.timestamp() if since is not None else float("-inf")
        return await self._run(lambda: self._page(after, limit, since_s))

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, job: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        except (sqlite3.Error, OSError) as error:
            raise LedgerFailed(f"{self._path}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = open_database(self._path, SCHEMA, newest=1 + len(UPGRADES)).connection
            upgrade(connection, UPGRADES)
            found = connection.execute("SELECT id FROM ledger").fetchone()
            self.id = found[0] if found else str(uuid.uuid4())
            if not found:
                connection.execute("INSERT INTO ledger VALUES (?)", (self.id,))
            self._connection = connection
            self.last_seq = self._newest(connection)
        return self._connection

    def _open(self) -> dict[str, Resume]:
        connection = self._connect()
        with transaction(connection):
            connection.execute(
                "INSERT INTO record (gpu, end_s, body) SELECT gpu, end_s, body FROM unfinished ORDER BY gpu, place"
            )
            connection.execute("DELETE FROM unfinished")
            dropped = make_room(connection, self._cap_bytes, 0)
        self._say(dropped)
        self._shrink(connection)
        self.last_seq = self._newest(connection)
        newest = connection.execute("SELECT body FROM record WHERE seq IN (SELECT max(seq) FROM record GROUP BY gpu)")
        records = [EnergyRecord.model_validate_json('{"seq":1,' + body[1:]) for (body,) in newest]
        return {record.gpu_uuid: Resume(record.end, Owner(record.pod, record.pod_uid)) for record in records}

    def _commit(self, rows: list[tuple[str, float, str]], open_rows: list[tuple[str, int, float, str]]) -> None:
        connection = self._connect()
        # Numbers that the operator has seen must outlive a lost power supply; what is unfinished need only outlive us.
        connection.execute(f"PRAGMA synchronous={'FULL' if rows else 'NORMAL'}")
        texts = [row[2] for row in rows] + [row[3] for row in open_rows]
        incoming_bytes = _PAGES_BYTES + sum(len(text) + _ROW_BYTES for text in texts)
        try:
            with transaction(connection):
                dropped = make_room(connection, self._cap_bytes, incoming_bytes)
                connection.executemany(_ADD, rows)
                connection.execute("DELETE FROM unfinished")
                connection.executemany("INSERT INTO unfinished VALUES (?, ?, ?, ?)", open_rows)
                self._sweep(connection)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            connection.close()
            self._connection = None  # damaged: opened anew, and set aside, at the next try
            raise
        self._say(dropped)
        if rows:
            self.last_seq = self._newest(connection)

    def _sweep(self, connection: sqlite3.Connection) -> None:
        now_s = datetime.now(UTC).timestamp()
        if abs(now_s - self._swept_s) >= 3600:
            self._swept_s = now_s
            connection.execute("DELETE FROM record WHERE end_s < ?", (now_s - self._retention.total_seconds(),))

    def _say(self, dropped: Dropped | None) -> None:
        if dropped is not None:
            self.dropped += dropped.records
            log.warning(
                "%s has reached its cap of %g MB: the %d oldest records are gone, which end by %s",
                *(self._path, self._cap_bytes / 1e6, dropped.records, dropped.upto.isoformat()),
            )

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """A cap that was lowered holds for the file as well."""
        if file_bytes(connection) > self._cap_bytes:
            try:
                connection.execute("VACUUM")
            except sqlite3.OperationalError as error:  # no room for the copy: it stays as large, and grows no more
                log.warning("%s is larger than its cap and cannot be made smaller: %s", self._path, error)

    def _page(self, after: int, limit: int, since_s: float) -> str:
        connection = self._connect()
        rows = connection.execute(
            "SELECT seq, body FROM record WHERE seq > ? AND end_s > ? ORDER BY seq LIMIT ?", (after, since_s, limit)
        )
        records = ",".join(f'{{"seq":{seq},{body[1:]}' for seq, body in rows)
        return f'{{"ledgerId":"{self.id}","records":[{records}],"lastSeq":{self.last_seq}}}'

    @staticmethod
    def _newest(connection: sqlite3.Connection) -> int:
        # The counter outlives the records that the sweep deletes.
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
        return int(found[0]) if found else 0

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
