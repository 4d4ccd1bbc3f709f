"""Plays recorded grid data back: `wall = wall_start + (recorded - recorded_start) / speed`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Interval, Series, Signal


@dataclass(frozen=True, slots=True)
class Clock:
    """Maps recorded time to wall time and back."""

    recorded_start: datetime
    wall_start: datetime
    speed: float

    def to_wall(self, recorded: datetime) -> datetime:
        """When a recorded moment happens in the replay."""
        return self.wall_start + (recorded - self.recorded_start) / self.speed

    def to_recorded(self, wall: datetime) -> datetime:
        """Which recorded moment happens then."""
        return self.recorded_start + (wall - self.wall_start) * self.speed


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
        wall = self.clock.to_wall
        intervals = tuple(
            Interval(wall(one.start), wall(one.end), one.gco2_per_kwh, one.estimated) for one in series.intervals
        )
        return replace(series, issued_at=wall(series.issued_at), intervals=intervals)
