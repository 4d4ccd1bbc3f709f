"""What a file says, compact, and what of it is known at a moment. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.series import Interval

MAX_ROWS_AHEAD = 10_000
"""How far a forecast reaches at most: beyond any plan, and no more than is worth copying at each refresh."""
MAX_GAPS_NAMED = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Row = tuple[int, float, int]
"""(start [us since 1970], intensity [gCO2eq/kWh], line in the file)"""


def to_us(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(value_us: int) -> datetime:
    """The UTC instant."""
    return _EPOCH + timedelta(microseconds=value_us)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows in time order, as columns: a million take 24 MB, as objects they would take 140."""

    starts_us: array[int]
    values: array[float]
    lines: array[int]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Rows that are in time order."""
        made = cls(array("q"), array("d"), array("q"))
        for row in rows:
            made.append(row)
        return made

    def append(self, row: Row) -> None:
        """A row after all others."""
        start_us, value, line = row
        self.starts_us.append(start_us)
        self.values.append(value)
        self.lines.append(line)

    def overlapping(self, start_us: int, end_us: int, step_us: int) -> range:
        """Which rows' intervals overlap [start, end)."""
        if end_us <= start_us:
            return range(0)
        return range(bisect_right(self.starts_us, start_us - step_us), bisect_left(self.starts_us, end_us))

    def chosen(self, indices: Iterable[int]) -> Iterator[Row]:
        """These rows."""
        return ((self.starts_us[index], self.values[index], self.lines[index]) for index in indices)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording."""

    issued_at: datetime
    intervals: tuple[Interval, ...]
    warnings: tuple[str, ...]
    """Gaps and early ends, by line."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All that a file says."""

    name: str
    """Of the file, for messages."""
    step: timedelta
    """Length of an interval."""
    issues: Mapping[datetime, Rows]
    """Each forecast by its time of issue, in order; empty for a file without forecasts."""
    actuals: Rows

    def forecast(self, now: datetime, behind: timedelta) -> Stretch:
        """What was forecast by `now`, for the time from `behind` ago on. Unavailable where nothing was.

        The newest issue; what it leaves out comes from the newest issue that covers the present where it does not (a day-ahead
        forecast issued at noon says nothing of the afternoon), and the forecast is then as old as that one.

        A file without issues is its own forecast, as old as the row that holds the present: it goes stale when its rows
        end. A row that is long (a daily mean) does not make it old: it is said anew every hour.
        """
        now_us = to_us(now)
        if not self.issues:
            return self._plain_forecast(now_us, behind)
        issues = list(self.issues)
        known = bisect_right(issues, now)
        if not known:
            raise Unavailable(f"{self.name}: the first forecast is of {issues[0].isoformat()}, later than now")
        issued = issues[known - 1]
        newest = self.issues[issued]
        rows = list(newest.chosen(self._window(newest, now_us, behind)))
        if not self._holding(newest, now_us):
            issued = next((at for at in reversed(issues[: known - 1]) if self._adds(at, newest, now_us)), issued)
            older = self.issues[issued]
            rows = sorted([*rows, *older.chosen(self._free(older, newest, self._window(older, now_us, behind)))])
        return self._stretch(issued, rows, now_us)

    def actual(self, start: datetime, end: datetime, now: datetime, lag: timedelta) -> Stretch:
        """The rows that overlap [start, end) and were over `lag` before now."""
        low_us, high_us = to_us(start), to_us(end)
        chosen = self.actuals.overlapping(low_us, high_us, self._step_us)
        published = bisect_right(self.actuals.starts_us, to_us(now) - lag // _MICROSECOND - self._step_us)
        rows = list(self.actuals.chosen(range(chosen.start, min(chosen.stop, published))))
        return self._stretch(now, rows, None)

    @property
    def _step_us(self) -> int:
        return self.step // _MICROSECOND

    def _plain_forecast(self, now_us: int, behind: timedelta) -> Stretch:
        known = bisect_right(self.actuals.starts_us, now_us)
        if not known:
            first = from_us(self.actuals.starts_us[0])
            raise Unavailable(f"{self.name}: the rows begin at {first.isoformat()}, later than now")
        issued_us = self.actuals.starts_us[known - 1]
        if now_us < issued_us + self._step_us:
            issued_us = max(issued_us, now_us - now_us % (timedelta(hours=1) // _MICROSECOND))
        rows = list(self.actuals.chosen(self._window(self.actuals, now_us, behind)))
        return self._stretch(from_us(issued_us), rows, now_us)

    def _holding(self, rows: Rows, instant_us: int) -> range:
        """The row whose interval holds the instant, if there is one."""
        return rows.overlapping(instant_us, instant_us + 1, self._step_us)

    def _adds(self, issued: datetime, newest: Rows, now_us: int) -> bool:
        """Whether an older issue says of the present what the newest leaves out."""
        older = self.issues[issued]
        return any(True for _ in self._free(older, newest, self._holding(older, now_us)))

    def _window(self, rows: Rows, now_us: int, behind: timedelta) -> range:
        """From `behind` ago on; at least the last row, so that there is something to say when it ended."""
        low_us = now_us - behind // _MICROSECOND
        low = min(bisect_right(rows.starts_us, low_us - self._step_us), len(rows.starts_us) - 1)
        return range(low, len(rows.starts_us))[: bisect_left(rows.starts_us, now_us) - low + MAX_ROWS_AHEAD]

    def _free(self, older: Rows, newest: Rows, chosen: range) -> Iterator[int]:
        """The older rows of whose time the newest issue says nothing."""
        for index in chosen:
            start_us = older.starts_us[index]
            if not newest.overlapping(start_us, start_us + self._step_us, self._step_us):
                yield index

    def _stretch(self, issued_at: datetime, rows: list[Row], now_us: int | None) -> Stretch:
        step_us = self._step_us
        intervals = tuple(Interval(from_us(start), from_us(start + step_us), value) for start, value, _ in rows)
        pairs = pairwise(rows)
        gaps = [(before[0] + step_us, row[0], row[2]) for before, row in pairs if row[0] > before[0] + step_us]
        if now_us is None:
            return Stretch(issued_at, intervals, self._named(gaps))
        ahead = [gap for gap in gaps if gap[1] > now_us]
        ended = [
            f"{self.name}, line {line}: the rows end at {from_us(start + step_us).isoformat()}"
            for start, _, line in rows[-1:]
            if start + step_us <= now_us
        ]
        return Stretch(issued_at, intervals, (*self._named(ahead), *ended))

    def _named(self, gaps: list[tuple[int, int, int]]) -> tuple[str, ...]:
        named = [
            f"{self.name}, line {line}: nothing is said from {from_us(start).isoformat()} to {from_us(end).isoformat()}"
            for start, end, line in gaps[:MAX_GAPS_NAMED]
        ]
        more = len(gaps) - len(named)
        return (*named, f"{self.name}: {more} more gaps") if more else tuple(named)
