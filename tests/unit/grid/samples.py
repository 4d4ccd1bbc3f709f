"""Files, series and a source to test the grid room with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st

from carbonzeus_operator.grid.csvfile import parse
from carbonzeus_operator.grid.recording import Recording
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal

examples = settings(max_examples=1000 if os.environ.get("CARBONZEUS_THOROUGH") else 60, deadline=None)
"""How many examples a property is tried with."""

T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ZONE = "US-CAL-CISO"
KEY = (ZONE, Signal.AVERAGE)


def at(hours: float) -> datetime:
    """So many hours after noon."""
    return T0 + hours * HOUR


def stamp(instant: datetime) -> str:
    """As files write it."""
    return instant.isoformat().replace("+00:00", "Z")


def plain(values: dict[float, float]) -> str:
    """A file of intensities by hours after noon."""
    rows = [f"{stamp(at(hours))},{value}" for hours, value in values.items()]
    return "\n".join(["start_utc,gco2_per_kwh", *rows]) + "\n"


def issues(*rows: tuple[float, float, object, object]) -> str:
    """A file of forecasts: (issued, start [hours after noon], forecast, actual) rows."""
    written = [
        f"{stamp(at(issued))},{stamp(at(start))},{forecast},{actual}" for issued, start, forecast, actual in rows
    ]
    return "\n".join(["issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh", *written]) + "\n"


def read(text: str) -> Recording:
    """A file as it is read."""
    return parse("X.csv", text.splitlines(keepends=True))


def intervals(values: dict[float, float], step: timedelta = HOUR) -> tuple[Interval, ...]:
    """Intensities by hours after noon."""
    return tuple(Interval(at(hours), at(hours) + step, value) for hours, value in values.items())


def series(
    found: Iterable[Interval] = (), *, issued: datetime = T0, zone: str = ZONE, signal: Signal = Signal.AVERAGE
) -> Series:
    """Of the zone that tests are about."""
    return Series(zone, signal, Factor.LIFECYCLE, "Sample", issued, tuple(found))


@st.composite
def interval_lists(draw: st.DrawFn) -> tuple[Interval, ...]:
    """In time order, without overlap, with gaps, of minutes."""
    lengths = draw(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 120)), max_size=12))
    made: list[Interval] = []
    minute = 0
    for gap, length in lengths:
        start = T0 + timedelta(minutes=minute + gap)
        made.append(Interval(start, start + timedelta(minutes=length), float(len(made))))
        minute += gap + length
    return tuple(made)


@dataclass(slots=True)
class Watch:
    """The present, as a test says."""

    now: datetime = T0

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Source:
    """A provider that does what a test says, and notes what it was asked."""

    watch: Watch
    asked: list[tuple[str, str, Signal]] = field(default_factory=list)
    """(forecast or actual, zone, signal)"""
    spans: list[tuple[datetime, datetime]] = field(default_factory=list)
    """For which time actuals were asked."""
    failing: dict[str, Exception] = field(default_factory=dict)
    """What a forecast or an actual ends with, instead of data."""
    hanging: set[str] = field(default_factory=set)
    """The zones that do not answer until `released`."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    answering: Sequence[Interval] = ()
    """The data; empty: one interval that holds the present."""
    issued_ahead_s: float = 0.0
    """By how much its clock is ahead."""

    async def forecast(self, zone: str, signal: Signal) -> Series:
        return await self._answer("forecast", zone, signal)

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        self.spans.append((start, end))
        return await self._answer("actual", zone, signal)

    async def _answer(self, kind: str, zone: str, signal: Signal) -> Series:
        self.asked.append((kind, zone, signal))
        if zone in self.hanging:
            await self.released.wait()
        if kind in self.failing:
            raise self.failing[kind]
        now = self.watch()
        found = self.answering or (Interval(now - HOUR, now + HOUR, 100.0),)
        issued = now + timedelta(seconds=self.issued_ahead_s)
        return Series(zone, signal, Factor.LIFECYCLE, "Sample", issued, tuple(found))
