"""The exact planner: where to spend slowdown credit so that it saves most, never owing any at any moment.

Each interval offers segments of its convex curve: so many seconds of delay, each saving so much. Every prefix of the
intervals has a budget: the credit that is there at its end if nothing was spent. The feasible spendings form a
polymatroid, so taking the best segment anywhere first, as far as every later budget allows, is optimal.

Done literally that greedy is slow. Its outcome has a simple form: each interval takes the segments above a price
lambda, and the price never rises with time (credit can be kept but not borrowed). For one price theta, the intervals
whose price is at least theta are the prefix where the demand at theta exceeds the budget most. So all prices are found
by bisection, all intervals at once, in about log2(segments) rounds: exact, and fast in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def budgets(credit_s: float, earned_s: Floats) -> Floats:
    """The most that may be spent up to the end of each interval [s of work].

    credit_s: what is there at the start, negative where the job is behind: then nothing may be spent until the
    debt is repaid. earned_s: what each interval earns when nothing is spent in it.
    """
    kept = credit_s + np.cumsum(earned_s)
    # An interval that cannot earn (a ceiling below the bound) makes everything before it save up for it.
    tightest: Floats = np.minimum.accumulate(kept[::-1])[::-1]
    return np.maximum(tightest, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Spending:
    """The outcome for n intervals."""

    spent_s: Floats
    """[s of work]."""
    price: Floats
    """What a further second of credit would gain in each: not rising with time, 0 where there is enough of it."""


def spend(budget_s: Floats, seconds: Floats, delay: Floats, gain: Floats) -> Spending:
    """How much to spend in each of n intervals [s of work] to maximise the gain.

    budget_s (n), nondecreasing, >= 0: the most that may be spent up to the end of each interval.
    seconds (n): the length that may be slowed down, 0 where nothing may.
    delay (k): credit a second costs in each segment of the curve, from the top down.
    gain (k, n): what a second of delay saves in each segment, not rising with k; segments <= 0 are never taken.
    """
    segments, intervals = gain.shape
    if not intervals or not segments:
        return Spending(np.zeros(intervals), np.zeros(intervals))
    reach = np.zeros(segments + 1)
    np.cumsum(delay, out=reach[1:])
    price = _prices(budget_s, seconds, reach, gain)
    surely = seconds * reach[_count(gain > price)]
    # Segments exactly at the price: any feasible filling is optimal that leaves no budget idle; the earliest is one.
    at_price = np.where(price > 0, seconds * reach[_count(gain >= price)] - surely, 0.0)
    room = np.minimum.accumulate((budget_s - np.cumsum(surely))[::-1])[::-1]
    could = np.cumsum(at_price)
    filled = np.maximum(could + np.minimum(np.minimum.accumulate(room - could), 0.0), 0.0)
    filled[1:] -= filled[:-1].copy()
    return Spending(np.clip(surely + filled, 0.0, seconds * reach[-1]), price)


def _count(taken: NDArray[np.bool_]) -> NDArray[np.int16]:
    """How many segments of each interval are taken; of so many at most that this is enough, and four times as fast."""
    counts: NDArray[np.int16] = np.add.reduce(taken, axis=0, dtype=np.int16)
    return counts


def _prices(budget_s: Floats, seconds: Floats, reach: Floats, gain: Floats) -> Floats:
    """The price of each interval: the smallest optimal dual of its budgets, one of the gains or 0."""
    gains = np.sort(gain[(gain > 0) & (seconds > 0)])
    width = 1 << len(gains).bit_length()
    levels = np.concatenate(([0.0], gains, np.full(width - 1 - len(gains), np.inf)))
    # Blocks of intervals, end to end, whose price is known to lie in levels[low : low + width].
    starts, lengths, low = np.array([0]), np.array([len(seconds)]), np.array([0])
    while width > 1:
        width //= 2
        middle = low + width
        demand = seconds * reach[_count(gain >= levels[middle].repeat(lengths))]
        left = budget_s - demand.cumsum()
        before = left[starts - 1]
        before[0] = 0.0
        tightest = np.minimum.reduceat(left, starts)
        holders = (left == tightest.repeat(lengths)).nonzero()[0]
        first = holders[holders.searchsorted(starts)]
        # Dearer than the middle up to and with the tightest interval; nowhere, if the budget is never short.
        dearer = np.where(tightest < before, first + 1 - starts, 0)
        # Each block becomes two: of the upper half of its levels, and after it of the lower.
        parts = np.array([dearer, lengths - dearer]).T.ravel()
        halves = np.array([middle, low]).T.ravel()
        kept = parts > 0
        lengths, low = parts[kept], halves[kept]
        starts = lengths.cumsum() - lengths
    price: Floats = levels[low].repeat(lengths)
    return price
