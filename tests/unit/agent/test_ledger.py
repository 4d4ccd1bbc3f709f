"""The ledger: every record once, in order, under a number that is never given twice."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_agent.ledger import Entry, Ledger, LedgerFailed
from carbonzeus_agent.records import Closed, Owner
from carbonzeus_wire import EnergyPage, Quality

NOW = datetime.now(UTC).replace(microsecond=0)
ALICE = Owner("team/alice", "uid-alice")


def entry(gpu: str, start_s: float, end_s: float, energy_mj: int = 1000) -> Entry:
    start, end = NOW + timedelta(seconds=start_s), NOW + timedelta(seconds=end_s)
    return Entry(Closed(gpu, ALICE, start, end, 300.0, energy_mj, Quality.COUNTER), progress=2.5)


def damaged(folder: Path) -> list[Path]:
    return list(folder.glob("ledger.db.damaged-*"))


async def page(ledger: Ledger, after: int = 0, limit: int = 100, since: datetime | None = None) -> EnergyPage:
    return EnergyPage.model_validate_json(await ledger.page(after, limit, since))


@pytest.fixture
async def make_ledger(tmp_path: Path) -> AsyncIterator[Callable[..., Ledger]]:
    """Ledgers on one file."""
    ledgers: list[Ledger] = []

    def make(retention: timedelta = timedelta(days=35)) -> Ledger:
        ledgers.append(Ledger(tmp_path / "ledger.db", retention, 10**9))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        with contextlib.suppress(RuntimeError):  # closed by the test
            await ledger.close()


async def test_records_come_back_in_pages(make_ledger: Callable[..., Ledger]) -> None:
    """As they went in, numbered from 1, with the newest number on every page."""
    ledger = make_ledger()
    await ledger.open()
    await ledger.commit([entry("GPU-1", k, k + 1) for k in range(5)], {})
    first, rest = await page(ledger, limit=3), await page(ledger, after=3)
    assert [it.seq for it in first.records + rest.records] == [1, 2, 3, 4, 5]
    assert first.last_seq == 5
    record = rest.records[-1]
    assert (record.gpu_uuid, record.pod, record.pod_uid, record.progress) == ("GPU-1", "team/alice", "uid-alice", 2.5)
    assert (record.start, record.end) == (NOW + timedelta(seconds=4), NOW + timedelta(seconds=5))


async def test_the_first_record_that_ends_after_a_moment_is_found(make_ledger: Callable[..., Ledger]) -> None:
    """So an account that is begun late starts where its job did."""
    ledger = make_ledger()
    await ledger.open()
    await ledger.commit([entry("GPU-1", k, k + 1) for k in range(5)], {})
    found = await page(ledger, limit=1, since=NOW + timedelta(seconds=2.5))
    assert [it.seq for it in found.records] == [3]
    assert (await page(ledger, since=NOW + timedelta(seconds=5))).records == ()


async def test_what_a_killed_agent_left_unfinished_is_recorded(make_ledger: Callable[..., Ledger]) -> None:
    """In order, after what was closed, and where each GPU's records end is told."""
    killed = make_ledger()
    await killed.open()
    await killed.commit([entry("GPU-1", 0, 1)], {"GPU-1": [entry("GPU-1", 1, 2)], "GPU-2": [entry("GPU-2", 0, 2)]})
    await killed.commit([], {"GPU-1": [entry("GPU-1", 1, 2), entry("GPU-1", 2, 3)], "GPU-2": [entry("GPU-2", 0, 3)]})
    successor = make_ledger()
    resumes = await successor.open()
    assert {gpu: (it.upto - NOW).total_seconds() for gpu, it in resumes.items()} == {"GPU-1": 3, "GPU-2": 3}
    assert resumes["GPU-1"].owner == ALICE
    found = await page(successor)
    assert found.ledger_id == (await page(killed)).ledger_id
    assert [(it.gpu_uuid, (it.start - NOW).total_seconds()) for it in found.records] == [
        ("GPU-1", 0),
        ("GPU-1", 1),
        ("GPU-1", 2),
        ("GPU-2", 0),
    ]
    assert await make_ledger().open() == resumes  # nothing is recorded twice


async def test_numbers_outlive_old_records(make_ledger: Callable[..., Ledger]) -> None:
    """Records go after the retention time; their numbers do not come again."""
    ledger = make_ledger(timedelta(days=1))
    await ledger.open()
    await ledger.commit([entry("GPU-1", -200_000, -190_000)], {})
    await ledger.close()
    ledger = make_ledger(timedelta(days=1))
    await ledger.open()
    await ledger.commit([], {})
    assert (await page(ledger)).records == ()
    await ledger.commit([entry("GPU-1", 0, 1)], {})
    assert [it.seq for it in (await page(ledger)).records] == [2]


async def test_failed_commit_changes_nothing(
    make_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a batch or none of it; the error names the file."""
    ledger = make_ledger()
    await ledger.open()
    await ledger.commit([entry("GPU-1", 0, 1)], {"GPU-1": [entry("GPU-1", 1, 2)]})

    def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_sweep", full)
        with pytest.raises(LedgerFailed, match=r"ledger\.db.*full"):
            await ledger.commit([entry("GPU-1", 1, 2)], {})
    assert (await page(ledger)).last_seq == 1
    await ledger.commit([entry("GPU-1", 1, 3)], {})
    assert [it.seq for it in (await page(ledger)).records] == [1, 2]


async def test_damage_found_while_running_starts_a_new_ledger(
    make_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next commit goes to a new file with a new id; the old one is kept."""
    ledger = make_ledger()
    await ledger.open()
    before = ledger.id

    def malformed(_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_sweep", malformed)
        with pytest.raises(LedgerFailed):
            await ledger.commit([entry("GPU-1", 0, 1)], {})
    (tmp_path / "ledger.db").write_bytes(b"no database" * 1000)
    await ledger.commit([entry("GPU-1", 0, 1)], {})
    assert ledger.id != before
    assert [it.seq for it in (await page(ledger)).records] == [1]
    assert damaged(tmp_path)


async def test_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    """The agent asks again later."""
    (tmp_path / "state").write_text("a file")
    ledger = Ledger(tmp_path / "state" / "ledger.db", timedelta(days=1), 10**9)
    with pytest.raises(LedgerFailed, match="state"):
        await ledger.open()
    await ledger.close()
