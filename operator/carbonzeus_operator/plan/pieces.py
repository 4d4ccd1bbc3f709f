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


@dataclass(frozen=True, slots=True)
class Piece:
    """Throughput r over [start, end), in seconds from now."""

    start_s: float
    end_s: float
    r: float


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
    upper = np.clip(np.searchsorted(hull_r, r - _SAME), 0, len(hull_r) - 1)
    lower = np.maximum(upper - 1, 0)
    fast, slow = hull_r[upper], hull_r[lower]
    mixed = (r > slow + _SAME) & (r < fast - _SAME)
    straight = np.append(True, curve.straight)[upper]
    before = np.append(np.inf, r[:-1])
    after = np.append(r[1:], -np.inf)
    passing = (before >= fast - _SAME) & (after <= slow + _SAME)
    split = may_split & mixed & (passing | ~straight)
    first_s = np.where(split, seconds * (r - slow) / np.where(split, fast - slow, 1.0), 0.0)
    at = np.flatnonzero(split)
    starts = np.insert(start_s, at + 1, start_s[at] + first_s[at])
    speeds = np.insert(np.where(split, fast, r), at + 1, slow[at])
    return starts, speeds


def joined(starts: Floats, r: Floats, end_s: float) -> list[Piece]:
    """Pieces of one throughput each, neighbours of the same throughput made one."""
    if not len(starts):
        return []
    kept = np.append(True, np.abs(np.diff(r)) > _SAME)
    begins = starts[kept]
    ends = np.append(begins[1:], end_s)
    return [
        Piece(start, end, speed)
        for start, end, speed in zip(begins.tolist(), ends.tolist(), r[kept].tolist(), strict=True)
        if end > start
    ]


def lengthen(pieces: list[Piece], minimum_s: float) -> list[Piece]:
    """No piece shorter than minimum_s but the last, which is held on.

    A short piece with a faster neighbour takes that neighbour's throughput (the slower of two). One faster than its
    neighbours goes on at the cost of the piece behind it.
    """
    waiting = pieces[::-1]
    done: list[Piece] = []
    while waiting:
        piece = waiting.pop()
        if piece.end_s - piece.start_s >= minimum_s - _SAME or not waiting:
            _append(done, piece)
            continue
        following = waiting.pop()
        faster = [other for other in (*done[-1:], following) if other.r >= piece.r]
        if not faster:
            end_s = min(piece.start_s + minimum_s, following.end_s)
            if end_s < following.end_s:
                waiting.append(Piece(end_s, following.end_s, following.r))
            waiting.append(Piece(piece.start_s, end_s, piece.r))
            continue
        nearest = min(faster, key=lambda other: other.r)
        if nearest is following:
            waiting.append(Piece(piece.start_s, following.end_s, following.r))
        else:
            waiting.append(following)
            _append(done, Piece(piece.start_s, piece.end_s, nearest.r))
    return done


def _append(done: list[Piece], piece: Piece) -> None:
    if done and abs(done[-1].r - piece.r) <= _SAME:
        done[-1] = Piece(done[-1].start_s, piece.end_s, done[-1].r)
    else:
        done.append(piece)
