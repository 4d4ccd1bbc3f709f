"""Two sources that do what a test says, and what is made of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.fallback import Fallback, Link, Matter
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from tests.unit.grid.samples import HOUR, KEY, Watch

MATTER: Matter = (*KEY, "forecast")
AWAY = Unavailable("it answered with 503")


@dataclass(slots=True)
class Stub:
    """A source that does what a test says."""

    name: str
    watch: Watch
    fails: Exception | None = None
    issued_ago_s: float = 0.0
    values: tuple[float, ...] = (100.0,)
    """By hours, from the present one on."""
    factor: Factor = Factor.LIFECYCLE
    waits: asyncio.Event | None = None
    says: str = ""
    """The zone that it names, instead of the one that it was asked for."""
    zones: list[str] = field(default_factory=list)
    """What it was asked for."""

    @property
    def asked(self) -> int:
        return len(self.zones)

    async def forecast(self, zone: str, signal: Signal) -> Series:
        self.zones.append(zone)
        if self.waits is not None:
            await self.waits.wait()
        if self.fails is not None:
            raise self.fails
        now = self.watch()
        found = (Interval(now + hour * HOUR, now + (hour + 1) * HOUR, value) for hour, value in enumerate(self.values))
        return Series(
            self.says or zone, signal, self.factor, self.name, now - timedelta(seconds=self.issued_ago_s), tuple(found)
        )

    async def actual(self, zone: str, signal: Signal, start: object, end: object) -> Series:
        return await self.forecast(zone, signal)


@dataclass(slots=True)
class Chain:
    """Two sources, and what is made of them."""

    watch: Watch = field(default_factory=Watch)
    one: Stub = field(init=False)
    two: Stub = field(init=False)
    fallback: Fallback = field(init=False)

    def __post_init__(self) -> None:
        self.one, self.two = Stub("One", self.watch), Stub("Two", self.watch)
        links = [Link(stub.name, stub, Factor.LIFECYCLE) for stub in (self.one, self.two)]
        self.fallback = Fallback(links, self.watch, stale_s=6 * 3600)

    async def ask(self) -> Series:
        return await self.fallback.forecast(*KEY)
