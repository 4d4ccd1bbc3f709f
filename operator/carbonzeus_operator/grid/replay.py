"""Plays recorded grid data back: `wall = wall_start + (recorded - recorded_start) / speed`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Interval, Series, Signal

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """Maps recorded time to wall time and back. Nothing is earlier than `EARLIEST` or later than `LATEST`."""

    recorded_start: datetime
    wall_start: datetime
    speed: float

    def to_wall(self, recorded: datetime) -> datetime:
        """When a recorded moment happens in the replay."""
        return _later(self.wall_start, recorded - self.recorded_start, 1 / self.speed)

    def to_recorded(self, wall: datetime) -> datetime:
        """Which recorded moment happens then."""
        return _later(self.recorded_start, wall - self.wall_start, self.speed)


def _later(origin: datetime, span: timedelta, factor: float) -> datetime:
    """Fast replays reach the ends of the calendar: a day at 400,000 times the speed is a thousand years."""
    try:
        return min(max(origin + span * factor, EARLIEST), LATEST)
    except OverflowError:
        return LATEST if span > timedelta(0) else EARLIEST


@dataclass(frozen=True, slots=True)
class Replay:
    """A provider of recorded data, in wall time. The inner one must take its `now` from the same clock."""

    inner: Provider
    clock: Clock

    async def forecast(self, zone: str, signal: Signal) -> Series:
        """The issue that was the newest at the recorded moment that happens now."""
        return self._played(await self.inner.forecast(zone, signal))

    async def actual(self, zone: str, signal: Signal, start: datetime, end: datetime) -> Series:
        """What was published by the recorded moment that happens now."""
        recorded = self.clock.to_recorded
        return self._played(await self.inner.actual(zone, signal, recorded(start), recorded(end)))

    def _played(self, series: Series) -> Series:
        return replace(series, issued_at=self.clock.to_wall(series.issued_at), intervals=tuple(self._on_wall(series)))

    def _on_wall(self, series: Series) -> Iterator[Interval]:
        """So fast that it takes no microsecond, an interval is left out."""
        for one in series.intervals:
            start, end = self.clock.to_wall(one.start), self.clock.to_wall(one.end)
            if start < end:
                yield replace(one, start=start, end=end)
