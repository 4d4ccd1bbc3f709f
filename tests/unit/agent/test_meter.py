"""From samples to the ledger, whatever the disk and the end of the process do in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from carbonzeus_agent.driver import Reading
from carbonzeus_agent.ledger import Ledger
from carbonzeus_agent.meter import Meter
from carbonzeus_agent.owners import Owners
from carbonzeus_agent.records import Owner, Sample
from carbonzeus_agent.scraper import Look, ScrapeFailed
from carbonzeus_agent.settings import Settings
from carbonzeus_wire import EnergyPage, EnergyRecord, PodPlan, ProgressSource
from tests.unit.agent.samples import BOARD

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock

ALICE = Owner("team/alice", "uid-alice")
PLAN = PodPlan(
    pod_uid="uid-alice",
    pod="team/alice",
    job="team/alice",
    progress=ProgressSource(port=9100, metric="steps_total"),
    pod_ip="10.0.0.1",
)


class FakeScraper:
    """Counts up by 10 steps a second, in whole ones and each in its time if it is told so."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.answers = True
        self.step_s: float | None = None
        self.gate: asyncio.Event | None = None
        """Answers come only once it is set."""
        self.looks = 0

    async def count(self, pod_ip: str, source: ProgressSource) -> Look:
        self.looks += 1
        if self.gate is not None:
            await self.gate.wait()
        if not self.answers:
            raise ScrapeFailed("silent")
        boot_s = self.clock.boot_s()
        steps = 10 * boot_s + 0.5 if self.step_s is None else (boot_s + 0.5) // self.step_s
        return Look(self.clock.utc(), 7_000 + steps, 0.0)


class Rig:
    """A meter on a real ledger, and one GPU that draws 200 W."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.scraper = FakeScraper(clock)
        self.ledger = Ledger(folder / "ledger.db", timedelta(days=35_000), 10**9)
        settings = Settings(node_name="node", pod_ip="127.0.0.1", state_dir=folder, record_seconds=10, sample_seconds=1)
        self.meter = Meter(self.ledger, self.scraper, clock, settings)  # type: ignore[arg-type]

    async def seconds(self, count: int) -> None:
        """Let time pass, with a sample and a tick each second."""
        for _ in range(count):
            self.clock.advance(1)
            energy_mj = round(self.clock.boot * 200_000)
            reading = Reading(energy_mj, 200.0, 1400.0, 7000.0, 1.0)
            self.meter.take(BOARD, Sample(self.clock.utc(), self.clock.boot_s(), 300.0, reading))
            self.meter.tick()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def records(self) -> list[EnergyRecord]:
        return list(EnergyPage.model_validate_json(await self.ledger.page(0, 1000)).records)


@pytest.fixture
async def make_rig(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Callable[[], Rig]]:
    rigs: list[Rig] = []

    def make() -> Rig:
        rigs.append(Rig(tmp_path, clock))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.ledger._thread.shutdown()
        if rig.ledger._connection is not None:
            rig.ledger._connection.close()


@pytest.fixture
async def rig(make_rig: Callable[[], Rig]) -> Rig:
    rig = make_rig()
    await rig.meter.open()
    return rig


async def test_energy_and_progress_meet_in_the_record(rig: Rig) -> None:
    """Of each record: what the GPU drew, and by how much the counter of its pod rose."""
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(31)
    await rig.meter.commit()
    full = (await rig.records())[-2:]
    assert [it.energy_millijoules for it in full] == [2_000_000] * 2
    assert [it.progress for it in full] == pytest.approx([100, 100])


async def test_long_steps_are_looked_at_each_sample(rig: Rig) -> None:
    """Then a record of 10 s is known to a part of a step of 4 s, and tells to which."""
    rig.scraper.step_s = 4.0
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(20)
    before = rig.scraper.looks
    await rig.seconds(21)
    assert rig.scraper.looks - before >= 21
    await rig.meter.commit()
    full = (await rig.records())[-2:]
    assert [it.progress for it in full] == pytest.approx([2.5, 2.5])
    assert [it.progress_grain for it in full] == pytest.approx([0.25, 0.25], abs=0.1)


@pytest.mark.parametrize("step_s", [None, 0.3])
async def test_quick_counters_are_looked_at_now_and_then(rig: Rig, step_s: float | None) -> None:
    """As are those that tell parts of steps: looks in between tell nothing."""
    rig.scraper.step_s = step_s
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(20)
    before = rig.scraper.looks
    await rig.seconds(20)
    assert rig.scraper.looks - before <= 20 / 5 + 2
    await rig.meter.commit()
    assert (await rig.records())[-1].progress_grain == (0 if step_s is None else 1)


async def test_slow_answers_do_not_pile_up(rig: Rig) -> None:
    """While one is on its way there is no second one, and after it one more at most."""
    rig.scraper.step_s = 4.0
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(20)
    before, rig.scraper.gate = rig.scraper.looks, asyncio.Event()
    await rig.seconds(30)
    assert rig.scraper.looks == before + 1
    rig.scraper.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.scraper.looks <= before + 2


async def test_silent_pod_is_not_asked_more_often(rig: Rig) -> None:
    """However long its steps were while it answered."""
    rig.scraper.step_s = 4.0
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(20)
    rig.scraper.answers = False
    await rig.seconds(2)
    before = rig.scraper.looks
    await rig.seconds(20)
    assert rig.scraper.looks - before <= 20 / 5 + 2


async def test_unfinished_record_tells_its_grain(rig: Rig, make_rig: Callable[[], Rig]) -> None:
    """Who comes after a killed agent finds the progress so far, and how exact it is."""
    rig.scraper.step_s = 4.0
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(36)
    await rig.meter.commit()
    closed = len(await rig.records())
    successor = make_rig()
    await successor.meter.open()
    unfinished = (await successor.records())[closed:]
    assert [it.progress for it in unfinished] == pytest.approx([6 / 4], abs=0.3)
    assert [it.progress_grain for it in unfinished] == pytest.approx([0.25], abs=0.1)


async def test_records_are_shorter_while_a_plan_asks_for_it(rig: Rig) -> None:
    """Of the pod that it is for; then they are as they were. None is longer than the agent is set to."""
    rig.meter.own(BOARD, ALICE)
    owners = Owners.of([("team/alice", "GPU-1")])
    rig.meter.follow([PLAN.model_copy(update={"record_seconds": 2.0})], owners)
    await rig.seconds(20)
    rig.meter.follow([PLAN.model_copy(update={"record_seconds": 300.0})], owners)
    await rig.seconds(31)
    await rig.meter.commit()
    lengths = [round((it.end - it.start).total_seconds()) for it in await rig.records()]
    assert lengths.count(2) >= 8
    assert lengths[-2:] == [10, 10]


async def test_last_record_of_a_pod_that_went_has_its_progress(rig: Rig) -> None:
    """The plan goes with the pod, and only then its last record ends."""
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(25)
    rig.meter.own(BOARD, Owner())
    rig.meter.follow([], Owners())
    await rig.seconds(10)
    await rig.meter.commit()
    last = [it for it in await rig.records() if it.pod_uid == "uid-alice"][-1]
    assert last.progress is not None
    assert last.progress > 0


async def test_silent_endpoint_does_not_hold_energy_back(rig: Rig) -> None:
    """Records go out without progress, and the meter says which pod is silent."""
    rig.scraper.answers = False
    rig.meter.own(BOARD, ALICE)
    rig.meter.follow([PLAN], Owners.of([("team/alice", "GPU-1")]))
    await rig.seconds(25)
    await rig.meter.commit()
    assert [it.progress for it in await rig.records()] == [None, None]
    assert rig.meter.scrape_failures() == {"uid-alice": "silent"}


async def test_commit_cut_off_by_the_end_is_not_made_twice(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is cancelled while the disk works; the final commit waits for it, and repeats nothing."""
    gate = threading.Event()
    commit = rig.ledger._commit

    def slow(*rows: object) -> None:
        gate.wait()
        commit(*rows)  # type: ignore[arg-type]

    await rig.seconds(15)
    monkeypatch.setattr(rig.ledger, "_commit", slow)
    loop = asyncio.create_task(rig.meter.commit())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    last = asyncio.create_task(rig.meter.commit(final=True))
    rig.clock.advance(11)
    assert "has not come back" in (rig.meter.failure or "")
    gate.set()
    await last
    records = await rig.records()
    assert sum(it.energy_millijoules for it in records) == 14 * 200_000
    assert rig.meter.failure is None


async def test_records_wait_for_a_ledger_that_fails(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is said, and nothing is lost while there is memory."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    await rig.seconds(15)
    with monkeypatch.context() as patch:
        patch.setattr(rig.ledger, "_commit", full)
        await rig.meter.commit()
        assert "No space left" in (rig.meter.failure or "")
    await rig.seconds(10)
    await rig.meter.commit()
    assert rig.meter.failure is None
    assert [it.energy_millijoules for it in await rig.records()] == [1_800_000, 2_000_000]


async def test_successor_goes_on_where_the_ledger_ends(make_rig: Callable[[], Rig], clock: FakeClock) -> None:
    """The downtime is a Gap of the pod that held the GPU before and after; nothing overlaps and nothing is missing."""
    killed = make_rig()
    await killed.meter.open()
    killed.meter.own(BOARD, ALICE)
    await killed.seconds(15)
    await killed.meter.commit()
    clock.advance(3)
    successor = make_rig()
    await successor.meter.open()
    successor.meter.own(BOARD, Owner("team/alice"))
    await successor.seconds(20)
    await successor.meter.commit()
    records = await successor.records()
    assert all(earlier.end == later.start for earlier, later in pairwise(records))
    gaps = [it for it in records if it.quality == "Gap"]
    assert {(it.pod, it.pod_uid) for it in gaps} == {("team/alice", "uid-alice")}
    assert sum((it.end - it.start).total_seconds() for it in gaps) == 4


async def test_downtime_is_nobodys_when_the_pod_is_another(make_rig: Callable[[], Rig], clock: FakeClock) -> None:
    """Nobody knows when they changed places."""
    killed = make_rig()
    await killed.meter.open()
    killed.meter.own(BOARD, ALICE)
    await killed.seconds(5)
    await killed.meter.commit()
    clock.advance(3)
    successor = make_rig()
    await successor.meter.open()
    successor.meter.own(BOARD, Owner("team/bob"))
    await successor.seconds(20)
    await successor.meter.commit()
    assert {it.pod for it in await successor.records() if it.quality == "Gap"} == {None}
