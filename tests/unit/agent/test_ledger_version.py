"""Ledgers of other releases: of earlier ones their records are read, of later ones the file is kept and not touched."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_agent import ledger as module
from carbonzeus_agent.ledger import Entry, Ledger, LedgerFailed
from carbonzeus_agent.records import Closed, Owner
from carbonzeus_wire import EnergyPage, Quality

NOW = datetime.now(UTC).replace(microsecond=0)
FIRST = """
CREATE TABLE record (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, gpu TEXT NOT NULL, end_s REAL NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX record_end ON record (end_s);
CREATE INDEX record_gpu ON record (gpu, seq);
CREATE TABLE unfinished (
  gpu TEXT NOT NULL, place INTEGER NOT NULL, end_s REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (gpu, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (id TEXT NOT NULL) STRICT;
"""
"""As the first releases made it: never to be changed."""


def write(path: Path, version: int) -> None:
    """A ledger of two closed records and an unfinished one, made by hand."""
    bodies = []
    for k in range(3):
        start, end = NOW + timedelta(minutes=k), NOW + timedelta(minutes=k + 1)
        body = {"gpuUUID": "GPU-1", "pod": "team/alice", "podUID": "uid-alice", "energyMillijoules": 1000 + k}
        body |= {"start": start.isoformat(), "end": end.isoformat(), "limitWatts": 300.0, "quality": "Counter"}
        body |= {"progress": 12.5} if k else {}
        bodies.append((end.timestamp(), json.dumps(body)))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(FIRST)
        connection.execute("INSERT INTO ledger VALUES ('the-old-one')")
        connection.executemany("INSERT INTO record (gpu, end_s, body) VALUES ('GPU-1', ?, ?)", bodies[:2])
        connection.execute("INSERT INTO unfinished VALUES ('GPU-1', 0, ?, ?)", bodies[2])
        connection.execute(f"PRAGMA user_version = {version}")


def version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def page(ledger: Ledger) -> EnergyPage:
    return EnergyPage.model_validate_json(await ledger.page(0, 100))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def make_ledger(path: Path) -> AsyncIterator[Callable[[], Ledger]]:
    """Ledgers on that file."""
    ledgers: list[Ledger] = []

    def make() -> Ledger:
        ledgers.append(Ledger(path, timedelta(days=35), 10**9))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        await ledger.close()


@pytest.mark.parametrize("version", [0, 1])
async def test_records_of_a_file_without_a_version_are_read(
    path: Path, make_ledger: Callable[[], Ledger], version: int
) -> None:
    """It is of version 1, and says so from now on; its id, its numbers and what was unfinished live on."""
    write(path, version)
    ledger = make_ledger()
    resumes = await ledger.open()
    found = await page(ledger)
    assert [(it.seq, it.energy_millijoules) for it in found.records] == [(1, 1000), (2, 1001), (3, 1002)]
    assert [(it.progress, it.progress_grain) for it in found.records] == [(None, None), (12.5, None), (12.5, None)]
    assert found.ledger_id == "the-old-one"
    assert resumes["GPU-1"].upto == NOW + timedelta(minutes=3)
    assert version_of(path) == 1
    assert list(path.parent.glob("ledger.db.*-2*")) == []


async def test_file_of_a_later_release_is_kept_and_a_new_one_begun(
    path: Path, make_ledger: Callable[[], Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    """After a downgrade: nothing is read that cannot be understood, and the log says where it is."""
    write(path, 99)
    ledger = make_ledger()
    with caplog.at_level(logging.ERROR):
        assert await ledger.open() == {}
    [aside] = path.parent.glob("ledger.db.newer-*")
    assert [it.getMessage() for it in caplog.records] == [
        f"{path} is of version 99, and this release knows none after 1: set aside as {aside}, starting a new one"
    ]
    assert version_of(aside) == 99
    with contextlib.closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (2,)
    assert ledger.id != "the-old-one"
    start, owner = NOW, Owner("team/alice", "uid-alice")
    closed = Closed("GPU-1", owner, start, start + timedelta(minutes=1), 300.0, 5, Quality.COUNTER)
    await ledger.commit([Entry(closed)], {})
    assert [(it.seq, it.energy_millijoules) for it in (await page(ledger)).records] == [(1, 5)]
    assert version_of(path) == 1


async def test_upgrade_is_made_once(
    path: Path, make_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later schema takes every step from the version that it finds, and keeps the records."""
    write(path, 0)
    monkeypatch.setattr(module, "UPGRADES", ("CREATE TABLE extra (note TEXT) STRICT;",))
    for _ in range(2):
        ledger = make_ledger()
        await ledger.open()
        assert len((await page(ledger)).records) == 3
        assert version_of(path) == 2


async def test_upgrade_that_fails_changes_nothing(
    path: Path, make_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, and the file can be opened by the release before."""
    write(path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(module, "UPGRADES", ("CREATE TABLE extra (note TEXT); CREATE TABLE record (note TEXT);",))
        with pytest.raises(LedgerFailed, match="record already exists"):
            await make_ledger().open()
    ledger = make_ledger()
    await ledger.open()
    assert len((await page(ledger)).records) == 3
    assert version_of(path) == 1
