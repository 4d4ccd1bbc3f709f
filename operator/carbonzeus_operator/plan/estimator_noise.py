"""How noisy a job's windows are, and how much its own speed wanders, learned from pairs of windows at the same limit. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import fmean

FIRST_NOISE = 0.005 * math.sqrt(60.0)
"""Before anything is measured: 0.5 % in a window of a minute."""
FIRST_WANDER = 0.001
LEAST_WANDER = 0.0001
"""Nothing keeps its speed better than this."""
TRUST = 3
"""So many pairs' worth is what was thought before."""
KEPT = 48
"""So many of the last pairs are kept."""
SHARE = 0.5
"""The smaller so many of the squares count: the others may be anything."""
MEAN_OF_SMALLER = 0.1426
"""The mean of those, of squares of a standard normal."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A standard deviation, from the squares of differences that it is behind."""

    first: float
    """What was thought before."""
    squares: tuple[float, ...] = ()
    """The last ones."""
    pairs: int = 0
    """How many there were in all."""

    @property
    def value(self) -> float:
        """Made of what was measured and what was thought before."""
        if not self.squares:
            return self.first
        smaller = sorted(self.squares)[: max(int(SHARE * len(self.squares)), 1)]
        measured = max(fmean(smaller), 0.0) / MEAN_OF_SMALLER
        return math.sqrt((TRUST * self.first**2 + self.pairs * measured) / (TRUST + self.pairs))

    def with_square(self, square: float) -> Scale:
        """After one more."""
        return replace(self, squares=(*self.squares, square)[-KEPT:], pairs=self.pairs + 1)


@dataclass(frozen=True, slots=True)
class Noise:
    """What makes windows at one limit differ."""

    windows: Scale = field(default_factory=lambda: Scale(FIRST_NOISE))
    """Of ln rate in a window of one second; it falls with the root of the length."""
    wanders: Scale = field(default_factory=lambda: Scale(FIRST_WANDER))
    """Of ln rate over one hour; it grows with the root of the time."""

    @property
    def one_second(self) -> float:
        return self.windows.value

    @property
    def wander(self) -> float:
        return max(self.wanders.value, LEAST_WANDER)

    def variance(self, seconds: float, steps: float) -> float:
        """Of ln rate, of a window of so many seconds in which the counter rose by so many steps, cut off at both ends."""
        return self.one_second**2 / seconds + _grain(steps)

    def with_pair(self, difference: float, seconds: tuple[float, float], steps: tuple[float, float]) -> Noise:
        """After two windows that follow each other at the same limit differed so much in ln rate."""
        # Two windows share an edge, and what the counter did not show in one it shows in the other.
        square = (difference**2 - MEAN_OF_SMALLER * 1.5 * sum(map(_grain, steps))) / (1 / seconds[0] + 1 / seconds[1])
        return replace(self, windows=self.windows.with_square(square))

    def with_distant(self, difference: float, apart_s: float) -> Noise:
        """After two longer windows at the same limit, whose middles are so far apart.

        Their noise is not taken off: a job that is thought to keep its speed better than it does would break the bound.
        """
        return replace(self, wanders=self.wanders.with_square(difference**2 * 3600 / apart_s))

    def unlike(self, other: Noise, factor: float) -> bool:
        """Whether either is larger or smaller by a factor."""
        ratios = (self.one_second / other.one_second, self.wander / other.wander)
        return not all(1 / factor <= ratio <= factor for ratio in ratios)


def _grain(steps: float) -> float:
    return 1 / (6 * steps**2)
