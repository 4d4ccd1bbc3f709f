"""From wanted throughputs per slot to pieces that can be held: whole-watt limits, not switched too often.

Every change made here raises the throughput at some moments and lowers it at none, so no prefix of the plan has less
credit than the planner gave it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.mixed import JobCurve

Floats = NDArray[np.float64]
_SAME = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """One throughput from each start to the next; the last is held for ever."""

    start_s: Floats
    """Seconds from now, strictly rising."""
    r: Floats

    @classmethod
    def of(cls, *pairs: tuple[float, float]) -> Pieces:
        """From (start, throughput)."""
        return cls(np.array([start for start, _ in pairs]), np.array([r for _, r in pairs]))

    def joined(self) -> Pieces:
        """Neighbours of the same throughput made one."""
        kept = np.append(True, np.abs(np.diff(self.r)) > _SAME)[: len(self.r)]
        return Pieces(self.start_s[kept], self.r[kept])


def split_mixes(
    curve: JobCurve, start_s: Floats, seconds: Floats, r: Floats, may_split: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Starts [s from now] and throughputs, where a slot that mixes two points of the hull may become two pieces.

    The faster piece comes first, so that credit never runs short inside the slot. Where one limit between the points
    is as good as their mix, a slot is split only if the plan passes from the one point to the other there anyway, so
    that limits do not flap.
    """
    if not len(r):
        return start_s, r
    hull_r = curve.r[curve.hull]
    upper = hull_r.searchsorted(r - _SAME)
    fast = hull_r.take(upper, mode="clip")
    at = np.flatnonzero(may_split & (r < fast - _SAME) & (r > hull_r[0] + _SAME))
    fast, slow = fast[at], hull_r[upper[at] - 1]
    before = np.append(np.inf, r)[at]
    after = np.append(r, -np.inf)[at + 1]
    passing = (before >= fast - _SAME) & (after <= slow + _SAME)
    split = passing | ~curve.straight[upper[at] - 1]
    at, fast, slow = at[split], fast[split], slow[split]
    starts = np.insert(start_s, at + 1, start_s[at] + seconds[at] * (r[at] - slow) / (fast - slow))
    speeds = np.insert(r, at + 1, slow)
    speeds[at + np.arange(len(at))] = fast
    return starts, speeds


def lengthen(pieces: Pieces, minimum_s: float) -> Pieces:
    """No piece shorter than minimum_s but the last, which is held on.

    A short piece with a faster neighbour takes that neighbour's throughput (the slower of two). One faster than its
    neighbours goes on at the cost of the piece behind it.
    """
    if not np.any(np.diff(pieces.start_s) < minimum_s - _SAME):
        return pieces
    starts, speeds = pieces.start_s.tolist(), pieces.r.tolist()
    done: list[tuple[float, float]] = []
    index, last = 0, len(starts) - 1
    start, r = starts[0], speeds[0]
    while index < last:
        end, following = starts[index + 1], speeds[index + 1]
        if end - start < minimum_s - _SAME:
            before = done[-1][1] if done else following
            if max(before, following) < r:
                if index + 1 < last and starts[index + 2] <= start + minimum_s:
                    index += 1  # the piece behind ends too soon: all of it
                    continue
                starts[index + 1] = start + minimum_s
            elif following >= r and (before < r or following <= before):
                index, r = index + 1, following
                continue
            else:
                r = before
        _append(done, start, r)
        index += 1
        start, r = starts[index], speeds[index]
    _append(done, start, r)
    return Pieces.of(*done)


def _append(done: list[tuple[float, float]], start: float, r: float) -> None:
    if not done or abs(done[-1][1] - r) > _SAME:
        done.append((start, r))
