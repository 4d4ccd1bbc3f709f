"""The ledger's file keeps to its cap, at the expense of the oldest records."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_agent.ledger import Entry, Ledger
from carbonzeus_agent.records import Closed, Owner
from carbonzeus_wire import EnergyPage, Quality

NOW = datetime.now(UTC).replace(microsecond=0)
CAP = 400_000
GPUS = ("GPU-1", "GPU-2", "GPU-3")


def minute(k: int) -> list[Entry]:
    """A record of every GPU."""
    start = NOW + timedelta(minutes=k)
    end = start + timedelta(minutes=1)
    owner = Owner("team/alice", "uid-alice")
    return [Entry(Closed(gpu, owner, start, end, 300.0, 1000, Quality.COUNTER)) for gpu in GPUS]


async def fill(ledger: Ledger, minutes: int) -> None:
    for k in range(minutes):
        await ledger.commit(minute(k), {gpu: [it] for gpu, it in zip(GPUS, minute(k + 1), strict=True)})


async def page(ledger: Ledger, after: int = 0) -> EnergyPage:
    return EnergyPage.model_validate_json(await ledger.page(after, 100_000))


@pytest.fixture
async def make_ledger(tmp_path: Path) -> AsyncIterator[Callable[[int], Ledger]]:
    """Ledgers on one file."""
    ledgers: list[Ledger] = []

    def make(cap_bytes: int) -> Ledger:
        ledgers.append(Ledger(tmp_path / "ledger.db", timedelta(days=35), cap_bytes))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        with contextlib.suppress(RuntimeError):  # closed by the test
            await ledger.close()


async def test_oldest_records_go_where_the_file_would_exceed_its_cap(
    make_ledger: Callable[[int], Ledger], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It never grows beyond; what is left is the newest, without a hole, and what went is counted and said."""
    ledger = make_ledger(CAP)
    await ledger.open()
    with caplog.at_level(logging.WARNING):
        await fill(ledger, 700)
    assert CAP / 2 < (tmp_path / "ledger.db").stat().st_size <= CAP
    found = await page(ledger)
    seqs = [it.seq for it in found.records]
    assert seqs == list(range(seqs[0], 2101))
    assert len(seqs) > 500
    assert (ledger.dropped, found.last_seq) == (seqs[0] - 1, 2100)
    said = [it.getMessage() for it in caplog.records]
    assert all("has reached its cap of 0.4 MB" in it for it in said)
    assert sum(int(it.split("the ")[1].split(" ")[0]) for it in said) == ledger.dropped
    oldest = found.records[0]
    assert any(at.isoformat() in said[-1] for at in (oldest.start, oldest.end))  # of this minute or the one before


async def test_reader_that_comes_too_late_goes_on_at_the_oldest(make_ledger: Callable[[int], Ledger]) -> None:
    """Its next record has a later number than the one after its cursor: so it knows that some are missing."""
    ledger = make_ledger(CAP)
    await ledger.open()
    await fill(ledger, 10)
    cursor = (await page(ledger)).records[-1].seq
    await fill(ledger, 700)
    late = await page(ledger, after=cursor)
    assert late.records[0].seq == ledger.dropped + 1 > cursor + 1
    assert late.ledger_id == ledger.id


async def test_lowered_cap_holds_at_the_next_start(make_ledger: Callable[[int], Ledger], tmp_path: Path) -> None:
    """The file itself becomes smaller, and numbers do not come again."""
    before = make_ledger(10**9)
    await before.open()
    await fill(before, 700)
    await before.close()
    assert (tmp_path / "ledger.db").stat().st_size > CAP
    ledger = make_ledger(CAP)
    resumes = await ledger.open()
    assert set(resumes) == set(GPUS)
    await ledger.commit(minute(800), {})
    assert (await page(ledger)).records[-1].seq == 2106  # three were unfinished
    await ledger.close()
    assert (tmp_path / "ledger.db").stat().st_size <= CAP


async def test_records_under_the_cap_stay(
    make_ledger: Callable[[int], Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing goes, and nothing is said."""
    ledger = make_ledger(CAP)
    await ledger.open()
    await fill(ledger, 50)
    assert (len((await page(ledger)).records), ledger.dropped, caplog.records) == (150, 0, [])


async def test_cap_below_everything_keeps_the_newest(make_ledger: Callable[[int], Ledger]) -> None:
    """What has just been measured is written all the same."""
    ledger = make_ledger(1000)
    await ledger.open()
    await fill(ledger, 3)
    assert [it.seq for it in (await page(ledger)).records] == [7, 8, 9]
