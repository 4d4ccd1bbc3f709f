"""Carbon intensity as values: typed, UTC, half-open intervals in time order. No I/O here."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Signal(StrEnum):
    """What a gram per kilowatt-hour means: the mix of all plants running, or the plant that follows one's demand."""

    AVERAGE = "Average"
    MARGINAL = "Marginal"


class Factor(StrEnum):
    """Whether the grams cover the burning only, or the plant's whole life."""

    LIFECYCLE = "Lifecycle"
    DIRECT = "Direct"


@dataclass(frozen=True, slots=True)
class Interval:
    """The intensity over [start, end)."""

    start: datetime
    end: datetime
    gco2_per_kwh: float
    estimated: bool = False
    """An actual that its source calls an estimate: a window settled with it is Provisional, not Final."""


@dataclass(frozen=True, slots=True)
class Series:
    """Intervals in time order, without overlap; gaps are allowed and are gaps.

    Of one zone and one signal. `issued_at` is when the source made it: of a forecast the issue, of actuals the retrieval.
    """

    zone: str
    signal: Signal
    factor: Factor
    source: str
    """The provider's name, for conditions and the audit trail."""
    issued_at: datetime
    intervals: tuple[Interval, ...]
    warnings: tuple[str, ...] = ()
    """What people should know of it, where it is: gaps, by line."""
    updated_at: datetime | None = None
    """When its source revised it last, of actuals; None where the source does not say."""
    model: str = ""
    """The model or data set that it comes from, where the source names one, for the audit trail."""
    stands_in: bool = False
    """A provider that comes first in the list does not answer; a warning says which and since when."""

    def at(self, instant: datetime) -> Interval | None:
        """The interval that holds `instant`; None in a gap or outside."""
        index = bisect_right(self.intervals, instant, key=_start) - 1
        if index < 0:
            return None
        interval = self.intervals[index]
        return interval if instant < interval.end else None

    def between(self, start: datetime, end: datetime) -> tuple[Interval, ...]:
        """The intervals that overlap [start, end), uncut; none where that is no time at all."""
        if end <= start:
            return ()
        first = max(bisect_right(self.intervals, start, key=_start) - 1, 0)
        if first < len(self.intervals) and self.intervals[first].end <= start:
            first += 1
        return self.intervals[first : bisect_left(self.intervals, end, lo=first, key=_start)]


def _start(interval: Interval) -> datetime:
    return interval.start
