"""The forecast that the planner would have had at any moment of a run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_operator.grid.recording import Recording
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal

DAY = timedelta(days=1)


class Feed(Protocol):
    """A source of forecasts, over recorded time."""

    def at(self, now: datetime) -> Series:
        """The newest forecast at `now`."""

    def next_issue(self, now: datetime) -> datetime | None:
        """When the next one comes; None: never."""


@dataclass(frozen=True, slots=True)
class Perfect:
    """Everything is known as far as the recording goes."""

    actual: Actual
    horizon: timedelta

    def at(self, now: datetime) -> Series:
        return _series("Perfect", self.actual.start, self.actual.intervals(now, now + self.horizon))

    def next_issue(self, now: datetime) -> datetime | None:  # noqa: ARG002 - never changes its mind
        return None


@dataclass(frozen=True, slots=True)
class Issued:
    """The forecasts of a recording, as they were issued."""

    recording: Recording

    def at(self, now: datetime) -> Series:
        stretch = self.recording.forecast(now, timedelta(0))
        return _series("Issued", stretch.issued_at, stretch.intervals)

    def next_issue(self, now: datetime) -> datetime | None:
        issues = list(self.recording.issues)
        following = bisect_right(issues, now)
        return issues[following] if following < len(issues) else None

    def uncovered(self, start: datetime, end: datetime) -> tuple[datetime, datetime] | None:
        """(time of issue, instant) where the forecasts in force from `start` to `end` first say nothing of the present."""
        now: datetime | None = start
        while now is not None and now < end:
            following = self.next_issue(now)
            until = min(following or end, end)
            reached = _reach(self.at(now).intervals, now)
            if reached < until:
                newest = list(self.recording.issues)[bisect_right(list(self.recording.issues), now) - 1]
                return newest, reached
            now = following
        return None


@dataclass(frozen=True, slots=True)
class Yesterday:
    """No forecast at all: every day to come is like the last 24 hours, told anew with every so many slots."""

    actual: Actual
    horizon: timedelta
    slots: int = 1

    def at(self, now: datetime) -> Series:
        issued = self._told(now)
        return _series("Yesterday", issued, tuple(self._intervals(issued, now + self.horizon)))

    def next_issue(self, now: datetime) -> datetime | None:
        return self._told(now) + self.actual.step * self.slots

    def _told(self, now: datetime) -> datetime:
        every = self.actual.step * self.slots
        return self.actual.start + (now - self.actual.start) // every * every

    def _intervals(self, issued: datetime, end: datetime) -> Iterator[Interval]:
        day = self.actual.intervals(issued - DAY, issued)
        shift = DAY
        while issued + shift - DAY < end:
            for slot in day:
                yield Interval(slot.start + shift, slot.end + shift, slot.gco2_per_kwh)
            shift += DAY


def _series(source: str, issued_at: datetime, intervals: tuple[Interval, ...]) -> Series:
    return Series("simulated", Signal.AVERAGE, Factor.LIFECYCLE, source, issued_at, intervals)


def _reach(intervals: Iterable[Interval], now: datetime) -> datetime:
    """Up to when the intervals say something, without a gap, from `now` on."""
    reached = now
    for interval in intervals:
        if interval.start > reached:
            break
        reached = max(reached, interval.end)
    return reached
