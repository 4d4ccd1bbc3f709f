"""Whole rounds, against an API server of a few dictionaries: what becomes of a report after its job."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from carbonzeus_operator import account as accounts
from carbonzeus_operator import kube
from carbonzeus_operator.account import Account
from carbonzeus_operator.cycle import Cycle
from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.fleet.fleet import Fleet
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.settings import Settings
from carbonzeus_operator.world.picture import Picture
from tests.unit.operator.test_revisions import DAY, ENDED, HOUR, MIDNIGHT, ended


@dataclass
class Server:
    """Objects of each kind by name; every write counts up the version."""

    objects: dict[kube.Kind, dict[str, dict[str, Any]]] = field(default_factory=dict)
    version: int = 10
    writes: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def put(self, kind: kube.Kind, raw: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        stored: dict[str, Any] = json.loads(json.dumps(raw))
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.objects.setdefault(kind, {})[stored["metadata"]["name"]] = stored
        return stored

    async def list(self, kind: kube.Kind, **_: Any) -> kube.Listing:
        return kube.Listing(tuple(self.objects.get(kind, {}).values()), self.version)

    async def replace(self, kind: kube.Kind, body: dict[str, Any], subresource: str) -> dict[str, Any]:
        assert subresource == "status"
        self.writes.append(body)
        return self.put(kind, body)

    async def delete(self, kind: kube.Kind, name: str, namespace: str) -> None:
        del self.objects[kind][name]
        self.deleted.append(name)


@dataclass
class Revising:
    """A source that revises: the older a day, the less it says."""

    now: Callable[[], datetime]
    spans: list[tuple[datetime, datetime]] = field(default_factory=list)
    failing: bool = False

    async def forecast(self, zone: str, signal: Signal) -> Series:
        raise AssertionError("nobody needs a forecast")

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        self.spans.append((start, end))
        if self.failing:
            raise Unavailable("the source is away")
        hours = (end - start) // HOUR
        grams = 100.0 - (self.now() - end) // DAY
        intervals = tuple(Interval(start + n * HOUR, start + (n + 1) * HOUR, grams) for n in range(hours))
        return Series(zone, signal, Factor.LIFECYCLE, "Revising", self.now(), intervals)


@dataclass
class World:
    """An operator, its API server and its source, at a time."""

    now: datetime = ENDED + HOUR
    server: Server = field(default_factory=Server)

    def __post_init__(self) -> None:
        run = ended()
        assert run.report is not None
        self.name = run.key.name
        self.server.put(kube.CARBONREPORT, dict(run.report.raw))
        self.source = Revising(lambda: self.now)
        self.start()

    def start(self) -> None:
        """A new operator, that knows nothing but what the API server has."""
        self.cycle = Cycle(
            settings=Settings(),
            connection=self.server,  # type: ignore[arg-type]
            picture=Picture(),
            fleet=Fleet(None),  # type: ignore[arg-type]
            grid=GridCache(self.source, state_dir=None, refresh_s=300, now=lambda: self.now),
            metrics=Metrics(),
            term=1,
            clock=lambda: self.now,
        )

    async def days(self, until: datetime) -> None:
        """A round every six hours."""
        while self.now < until:
            self.now += 6 * HOUR
            await self.cycle.round()

    @property
    def settlements(self) -> list[tuple[str, int]]:
        status = self.server.objects[kube.CARBONREPORT][self.name]["status"]
        return [(one["at"], one["carbonMicrograms"]) for one in status["settlements"]]


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_report_of_the_past_is_settled_at_each_stage_and_then_deleted(world: World):
    """Through the API server, the cache and a restart before each stage: four writes less one, and no forecast asked for."""
    day_end = MIDNIGHT + DAY
    await world.days(day_end + 7 * DAY - 6 * HOUR)
    assert (world.server.writes, world.source.spans) == ([], [])
    for age in (7, 30, 95):
        world.start()
        await world.days(day_end + timedelta(days=age) + DAY)
    assert world.settlements == [
        ("First", 30_000_000),
        ("7d", 30_000_000 * 93 // 100),
        ("30d", 30_000_000 * 70 // 100),
        ("95d", 30_000_000 * 5 // 100),
    ]
    assert len(world.server.writes) == 3
    assert world.source.spans == [(MIDNIGHT, day_end)] * 3
    await world.days(ENDED + timedelta(seconds=Settings().retention_seconds) + DAY)
    assert (world.server.deleted, len(world.server.writes)) == ([world.name], 3)


async def test_a_source_that_is_away_delays_a_stage_and_nothing_else(world: World):
    """The report stands as it is; when the source is back within the month, it is the same stage."""
    world.source.failing = True
    await world.days(MIDNIGHT + 12 * DAY)
    assert world.server.writes == []
    assert world.cycle.completed_at == world.now
    world.source.failing = False
    await world.days(MIDNIGHT + 14 * DAY)
    assert [at for at, _ in world.settlements] == ["First", "7d"]


async def test_a_round_does_not_look_at_closed_reports_for_long(world: World, monkeypatch: pytest.MonkeyPatch):
    """Between two stages their accounts are neither written out nor read again."""
    await world.days(MIDNIGHT + 10 * DAY)
    calls: list[Account] = []
    encode: Callable[[Account], object] = accounts.encode

    def counted(account: Account) -> object:
        calls.append(account)
        return encode(account)

    monkeypatch.setattr(accounts, "encode", counted)
    await world.days(MIDNIGHT + 20 * DAY)
    assert calls == []
