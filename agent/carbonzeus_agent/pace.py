"""Pure: when a counter moved, as far as looks at it tell, and how long it takes for a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median_low

RECENT = 6
"""The pace of late is that of so many ticks: slow to be misled, quick enough to follow a change of the limit."""
FEWEST = 3
"""Of two ticks, one of which came after a pause, nobody can tell the pause from the pace."""
PAUSE = 2.0
"""What takes so many times as long as usual is a pause."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The counter had risen to a sum of `total` at the look `at`, and not yet `gap_s` before."""

    at: datetime
    total: float
    gap_s: float = 0.0
    """0: an instant of the line, no movement that was seen."""
    within_s: float = 0.0
    """How uncertain the instants of the looks are themselves."""

    def width_s(self, step_s: float) -> float:
        """The time within which it moved, for steps of `step_s`."""
        return min(self.gap_s, step_s) + self.within_s

    def placed(self, step_s: float) -> datetime:
        """When it moved, in the middle of that; 0: at the look, for what has no pace."""
        return self.at - timedelta(seconds=min(self.gap_s, step_s) / 2)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a counter moves of late: by `step` in `step_s`, as a mean."""

    step: float
    step_s: float
    within_s: float
    """By how much `step_s` may be off, for want of looks."""
    scatter_s: float
    """Standard deviation of a step's time, beyond what looks make of it."""

    @classmethod
    def of(cls, ticks: Sequence[Tick], step: float) -> Pace | None:
        """The mean over `ticks`, pauses left out; None of fewer than `FEWEST`.

        `step` divides all rises. Where a look before the rise found the counter still, it does not move by less than it then
        does: a counter of tokens whose last batch was a smaller one.
        """
        if len(ticks) < FEWEST:
            return None
        moves = [(before, after, after.total - before.total) for before, after in pairwise(ticks)]
        jumps = [rise for before, after, rise in moves if before.at < after.at - timedelta(seconds=after.gap_s)]
        if 2 * len(jumps) > len(moves):
            step = max(step, median_low(jumps))
        usual_s = step * median_low((after.at - before.at).total_seconds() / rise for before, after, rise in moves)
        ordinary: list[tuple[float, float]] = []
        for before, after, rise in moves:
            took_s = (after.placed(usual_s) - before.placed(usual_s)).total_seconds()
            if took_s <= PAUSE * usual_s * rise / step + min(after.gap_s, usual_s):
                ordinary.append((took_s, rise / step))
        steps = sum(count for _, count in ordinary)
        step_s = sum(took_s for took_s, _ in ordinary) / steps if steps else 0.0
        if step_s <= 0:
            return None
        width_s = max(tick.width_s(usual_s) for tick in ticks)
        off = sum((took_s - count * step_s) ** 2 for took_s, count in ordinary)
        seen = len(ordinary) * width_s**2 / 6  # what two ends, each anywhere within a width, do to the square
        freedom = len(ordinary) / max(1, len(ordinary) - 1)
        return cls(step, step_s, width_s / steps, math.sqrt(max(0.0, off - seen) / steps * freedom))

    def width_s(self, tick_width_s: float, passed_s: float) -> float:
        """How uncertain the time is that the step under way has come to, `passed_s` after a tick of `tick_width_s`."""
        part = min(1.0, passed_s / self.step_s)
        return math.hypot(tick_width_s + self.within_s * part, math.sqrt(12) * self.scatter_s * part)
