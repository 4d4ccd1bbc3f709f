"""Cutting time into cells: at every quarter of an hour UTC, and wherever the source's intensity may change."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from carbonzeus_operator.grid.series import Series

WINDOW_US = 15 * 60 * 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(value_us: int) -> datetime:
    """The UTC instant."""
    return _EPOCH + timedelta(microseconds=value_us)


def cuts(series: Iterable[Series | None], start: datetime, end: datetime) -> tuple[int, ...]:
    """The instants [us] in [start, end] at which an interval of any of the series begins or ends, rising.

    Uncut ends of the first and last interval are among them, so that a cell has the same ends whoever asks for a part of it.
    """
    found: set[int] = set()
    for one in series:
        if one is not None:
            for interval in one.between(start, end):
                found.add(to_us(interval.start))
                found.add(to_us(interval.end))
    return tuple(sorted(found))


def cells_between(start_us: int, end_us: int, at: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The cells that overlap [start_us, end_us), uncut; `at` holds the cuts beside the quarters of an hour."""
    position = start_us
    while position < end_us:
        window = position - position % WINDOW_US
        right = bisect_right(at, position)
        low = max(window, at[right - 1]) if right else window
        high = min(window + WINDOW_US, at[right]) if right < len(at) else window + WINDOW_US
        yield low, high
        position = high


def overlap_us(start_us: int, end_us: int, spans: Sequence[tuple[int, int]]) -> int:
    """How much of [start_us, end_us) lies in the spans, which are in time order and do not overlap."""
    first = max(bisect_left(spans, (start_us, start_us)) - 1, 0)
    total = 0
    for low, high in spans[first:]:
        if low >= end_us:
            break
        total += max(min(high, end_us) - max(low, start_us), 0)
    return total


def share(total: int, done_us: int, whole_us: int) -> int:
    """The part of `total` that falls to the first `done_us` of `whole_us`, rounded down.

    Differences of it along a record add up to the total exactly, wherever the record is cut.
    """
    return total * done_us // whole_us
