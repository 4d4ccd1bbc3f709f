"""Pure: a pod's progress counter over time, and how much of it belongs to which record."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

from carbonzeus_agent.pace import PAUSE, RECENT, Pace, Tick

MAXIMUM_SERIES = 64
EXACT = 2.0**53
"""Up to here a float tells every whole number from the next."""
KEPT_ENDS = 64
"""Of so many ends of records it is known how exact they were when they were handed out."""


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

    A counter of whole numbers stands still for a step's time and then moves. A look that finds it moved tells when, up to the
    time since the look before: a tick. The line goes straight from tick to tick, and on from the newest at the pace of late, by
    one step at most. So what is handed out in sum may be ahead of the counter, by the part done of the step under way. A job
    that is killed leaves it so; one that pauses or has ended, while its counter can still be asked, is noticed once its next
    step is late by as much as a step takes: from then on nothing is handed out ahead. Never is it ahead by more than a step.

    A counter that was ever seen between two whole numbers tells the part of the step itself: each look is exact, with straight
    lines between looks. So it is for any counter of which there are not yet three ticks.
    """

    def __init__(self) -> None:
        self._ticks: deque[Tick] = deque()
        self._recent: deque[Tick] = deque(maxlen=RECENT)
        """Of these is the pace."""
        self._pace: Pace | None = None
        self._step: int | None = 0
        """None: the counter has none. 0: it has not moved yet."""
        self._first_at: datetime | None = None
        self._looked: datetime | None = None
        self._within_s = 0.0
        self._value = 0.0
        self._sum = 0.0
        """Of all rises."""
        self._handed_out: float | None = None
        self._grains: dict[datetime, float | None] = {}
        """By the ends up to which something was handed out: by how much that may have been off."""

    @property
    def begun(self) -> bool:
        """Whether there was a look at all."""
        return self._first_at is not None

    @property
    def step(self) -> float:
        """What the counter moves by at once, in its unit; 0: nobody knows, or it has none.

        The greatest common divisor of all rises; and the usual rise, where that is more and the counter stands still in between.
        """
        return self._pace.step if self._pace is not None else float(self._step or 0)

    @property
    def step_s(self) -> float | None:
        """How long a step takes of late [s]; 0 of a counter without steps, None while nobody knows."""
        if self._step is None:
            return 0.0
        return self._pace.step_s if self._pace is not None else None

    def observe(self, at: datetime, value: float, within_s: float = 0.0) -> bool:
        """Take in the counter's value at `at`, give or take `within_s`; returns whether it was the first."""
        if not (float(value).is_integer() and value <= EXACT):
            self._step = self._pace = None
        if self._first_at is None or self._looked is None:
            self._first_at = self._looked = at
            self._value, self._within_s = value, within_s
            self._ticks.append(Tick(at, 0.0))
            return True
        fell = value < self._value
        rise = value if fell else value - self._value
        self._value = value
        self._sum += rise
        if self._step is not None:
            self._step = math.gcd(self._step, int(rise))
        if fell or at <= self._looked:
            self._begin_anew(at)  # started anew, or the clock was set back: these instants come once more
        elif rise > 0:
            self._move(at, rise, within_s)
        self._looked, self._within_s = at, within_s
        self._first_at = min(self._first_at, at)
        return False

    def covers(self, at: datetime) -> bool:
        """Whether the counter was seen at or after `at`."""
        return self._looked is not None and self._looked >= at

    def take(self, since: datetime, upto: datetime) -> float | None:
        """The rises up to `upto` that were not handed out yet, for a record from `since`; None before the first look.

        What rose before the very first record began belongs to no record.
        """
        total = self._total_at(upto)
        if total is None:
            return None
        if self._handed_out is None:
            self._handed_out = self._total_at(since) or 0.0
            self._grains[since] = self.grain_at(since)
        rise = max(0.0, total - self._handed_out)
        self._handed_out += rise
        grain = self.grain_at(upto)
        # What was handed out too early already is missing here.
        self._grains[upto] = min(grain + self._handed_out - total, self.step) if grain is not None else None
        while len(self._grains) > KEPT_ENDS:
            del self._grains[next(iter(self._grains))]
        while len(self._ticks) > 1 and self._ticks[1].placed(self._pace_s) <= upto:
            self._ticks.popleft()
        return rise

    def grain_at(self, at: datetime) -> float | None:
        """By how much the sum at `at` may be off, in the counter's unit, as the width of what it may be: a step at most.

        0 for a counter without steps; None while nobody knows whether it has.
        """
        if not self._step:
            return 0.0 if self._step is None and self.begun else None
        if self._pace is None or self._first_at is None or self._looked is None or at <= self._first_at:
            return self.step
        pace_s = self._pace_s
        at = min(at, self._looked)
        before, after = self._around(at)
        if before is None:
            return self.step
        width_s, since = before.width_s(pace_s), before.placed(pace_s)
        if after is None:
            passed_s = (at - since).total_seconds()
            late_s = max(0.0, passed_s - pace_s - width_s)
            width_s = self._pace.width_s(width_s, passed_s) + late_s
        else:
            passed_s = (after.placed(pace_s) - since).total_seconds()
            usual_s = pace_s * (after.total - before.total) / self.step
            mean_s = (width_s + after.width_s(pace_s)) / 2
            width_s = max(width_s, after.width_s(pace_s)) + max(0.0, passed_s - usual_s - mean_s)
        return self.step * min(1.0, width_s / pace_s)

    def grain_over(self, since: datetime, upto: datetime) -> float | None:
        """The larger grain of both ends of a record, as it was when they were handed out; None while nobody knows."""
        grains = [self._grains[end] if end in self._grains else self.grain_at(end) for end in (since, upto)]
        known = [self.step or None if grain is None else grain for grain in grains]
        return max((grain for grain in known if grain is not None), default=None)

    def fork(self) -> ProgressSeries:
        """A copy to take from, as if."""
        fork = ProgressSeries()
        fork.__dict__ |= self.__dict__
        fork._ticks, fork._recent, fork._grains = self._ticks.copy(), self._recent.copy(), self._grains.copy()
        return fork

    @property
    def _pace_s(self) -> float:
        """Of a step; 0 while there is none, which places all ticks at their looks."""
        return self.step_s or 0.0

    def _begin_anew(self, at: datetime) -> None:
        """The line up to now stays as it is, as far as it lies before `at`; there are no ticks any more."""
        pace_s = self._pace_s
        line = [Tick(tick.placed(pace_s), tick.total, 0.0, tick.width_s(pace_s)) for tick in self._ticks]
        if self._looked is not None and self._looked > line[-1].at:
            line.append(Tick(self._looked, line[-1].total + self._beyond(self._ticks[-1], self._looked)))
        self._ticks = deque(tick for tick in line if tick.at < at)
        self._ticks.append(Tick(at, self._sum))
        self._recent.clear()
        self._pace = None

    def _move(self, at: datetime, rise: float, within_s: float) -> None:
        """The counter moved since the look before."""
        looked, newest = self._looked or at, self._ticks[-1]
        tick = Tick(at, self._sum, (at - looked).total_seconds(), self._within_s + within_s)
        if self._step is not None:
            self._recent.append(tick)
            self._pace = Pace.of(self._recent, self._step)
        if looked > newest.at and (self._pace is None or rise >= 2 * self.step):
            # Several steps, and none of them before that look.
            self._ticks.append(Tick(looked, newest.total + self._beyond(newest, looked), 0.0, self._pace_s))
        self._ticks.append(tick)

    def _around(self, at: datetime) -> tuple[Tick | None, Tick | None]:
        """The ticks between which `at` lies; None where there is none."""
        pace_s, after = self._pace_s, None
        for tick in reversed(self._ticks):
            if tick.placed(pace_s) <= at:
                return tick, after
            after = tick
        return None, after

    def _beyond(self, newest: Tick, at: datetime) -> float:
        """What is done by `at` of the step that is under way after `newest`."""
        pace_s = self._pace_s
        passed_s = (at - newest.placed(pace_s)).total_seconds()
        if not pace_s or passed_s >= PAUSE * pace_s:
            return 0.0
        return self.step * min(1.0, passed_s / pace_s)

    def _total_at(self, at: datetime) -> float | None:
        """Sum of rises up to `at`; beyond the newest look as it was then."""
        if self._first_at is None or self._looked is None or at <= self._first_at:
            return None
        at = min(at, self._looked)
        before, after = self._around(at)
        if before is None:
            return self._ticks[0].total
        if after is None:
            return before.total + self._beyond(before, at)
        since, upto = before.placed(self._pace_s), after.placed(self._pace_s)
        return before.total + (after.total - before.total) * ((at - since) / (upto - since))
