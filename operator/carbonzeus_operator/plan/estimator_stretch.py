"""Stretches of time at one limit, and which of them are compared to tell a job's noise. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_JOIN_S = 1e-6


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window that was learned from, or several end to end."""

    begin_s: float
    """Since the job began."""
    seconds: float
    limit_w: float
    steps: float
    grain: float = 1.0
    """The width [steps] of what they may be off by at either end."""
    windows: int = 1

    @property
    def end_s(self) -> float:
        return self.begin_s + self.seconds

    @property
    def log_rate(self) -> float:
        return math.log(self.steps / self.seconds)

    def is_next_to(self, later: Stretch) -> bool:
        """Whether the other begins where this one ends, at the same limit."""
        return later.limit_w == self.limit_w and abs(later.begin_s - self.end_s) <= _JOIN_S

    def and_then(self, later: Stretch) -> Stretch:
        """Both as one."""
        return replace(
            self,
            seconds=self.seconds + later.seconds,
            steps=self.steps + later.steps,
            grain=max(self.grain, later.grain),
            windows=self.windows + later.windows,
        )


Pair = tuple[Stretch, Stretch]


@dataclass(frozen=True, slots=True)
class Stretches:
    """The stretch that goes on now, in parts of 1, 2, 4, ... windows, and the last one at each limit."""

    parts: tuple[Stretch, ...] = ()
    """The longer the earlier."""
    last: tuple[Stretch, ...] = ()

    def told(self, window: Stretch) -> tuple[Stretches, list[Pair]]:
        """After one more window; and the pairs that may be compared now: n windows at a limit are n - 1 of them."""
        pairs: list[Pair] = []
        parts, last = self.parts, self.last
        if parts and not parts[-1].is_next_to(window):
            last, parts = _closed(parts, last, pairs), ()
        parts = (*parts, window)
        while len(parts) > 1 and parts[-2].windows == parts[-1].windows:
            parts = (*parts[:-2], _joined(parts[-2], parts[-1], pairs))
        return Stretches(parts, last), pairs


def _joined(one: Stretch, other: Stretch, pairs: list[Pair]) -> Stretch:
    pairs.append((one, other))
    return one.and_then(other)


def _closed(parts: tuple[Stretch, ...], last: tuple[Stretch, ...], pairs: list[Pair]) -> tuple[Stretch, ...]:
    """The last stretch at each limit, now that this one is over."""
    whole = parts[-1]
    for part in parts[-2::-1]:
        whole = _joined(part, whole, pairs)
    pairs += [(before, whole) for before in last if before.limit_w == whole.limit_w]
    return (*(each for each in last if each.limit_w != whole.limit_w), whole)
