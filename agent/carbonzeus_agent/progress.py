"""Pure: a pod's progress counter over time, and how much of it belongs to which record."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

MAXIMUM_SERIES = 64


class BadExposition(Exception):
    """The endpoint's text does not hold the metric in a form that can be read."""


def counter_in(text: str, metric: str) -> float:
    """The value of `metric` in a Prometheus text; of several series (labels) the largest. Raises `BadExposition`.

    Only the lines of that metric are parsed: the rest may be large, and is none of our business.
    """
    lines = [
        line for line in text.split("\n") if line.startswith(metric) and line[len(metric) :][:1] in ("{", " ", "\t")
    ]
    if not lines:
        raise BadExposition(f"no metric {metric}")
    if len(lines) > MAXIMUM_SERIES:
        raise BadExposition(f"{metric} has {len(lines)} series, more than {MAXIMUM_SERIES}")
    try:
        families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    except (ValueError, KeyError, IndexError) as error:
        raise BadExposition(f"{metric}: {error}") from error
    values = [sample.value for family in families for sample in family.samples if sample.name == metric]
    if not values or not all(0 <= value < float("inf") for value in values):
        raise BadExposition(f"{metric} is not a counter: {values}")
    return max(values)


class ProgressSeries:
    """The rises of one counter. A counter that falls was started anew, from 0.

    What it rose by before the first look is not known and not counted; every rise after that is handed out exactly once.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[datetime, float]] = deque()
        """Instant and sum of all rises up to then."""
        self._first_at: datetime | None = None
        self._value: float | None = None
        self._handed_out: float | None = None

    @property
    def begun(self) -> bool:
        """Whether there was a look at all."""
        return self._first_at is not None

    def observe(self, at: datetime, value: float) -> bool:
        """Take in the counter's value at `at`; returns whether it was the first."""
        if self._first_at is None or self._value is None:
            self._points.append((at, 0.0))
            self._first_at, self._value = at, value
            return True
        rise = value - self._value if value >= self._value else value
        total = self._points[-1][1] + rise
        self._value = value
        while self._points and self._points[-1][0] >= at:
            self._points.pop()  # the clock was set back: these instants come once more
        self._points.append((at, total))
        self._first_at = min(self._first_at, at)
        return False

    def covers(self, at: datetime) -> bool:
        """Whether the counter was seen at or after `at`."""
        return bool(self._points) and self._points[-1][0] >= at

    def take(self, since: datetime, upto: datetime) -> float | None:
        """The rises up to `upto` that were not handed out yet, for a record from `since`; None before the first look.

        What rose before the very first record began belongs to no record.
        """
        total = self._total_at(upto)
        if total is None:
            return None
        if self._handed_out is None:
            self._handed_out = self._total_at(since) or 0.0
        while len(self._points) > 1 and self._points[1][0] <= upto:
            self._points.popleft()
        rise = max(0.0, total - self._handed_out)
        self._handed_out += rise
        return rise

    def fork(self) -> ProgressSeries:
        """A copy to take from, as if."""
        fork = ProgressSeries()
        fork._points = self._points.copy()
        fork._first_at, fork._value, fork._handed_out = self._first_at, self._value, self._handed_out
        return fork

    def _total_at(self, at: datetime) -> float | None:
        """Sum of rises up to `at`, straight lines between looks; beyond the newest look what it showed."""
        if self._first_at is None or at <= self._first_at:
            return None
        before = self._points[0]
        for point in self._points:
            if point[0] >= at:
                span = point[0] - before[0]
                part = (at - before[0]) / span if span else 1.0
                return before[1] + (point[1] - before[1]) * part
            before = point
        return before[1]
