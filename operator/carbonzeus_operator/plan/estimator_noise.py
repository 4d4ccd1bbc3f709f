"""How noisy a job's windows are, and how much its own speed wanders: what is likely of both, and what they are at most. Pure.

Both are told by how two stretches at the same limit differ: two windows that follow each other, two pairs of windows, two fours,
and so on, and two visits of a limit that lie hours apart. Short stretches tell of the noise, unless the counter's grain hides it;
long ones of the wander. A speed may come back from where it wandered to within minutes, which others call noise that lasts: then
visits that lie hours apart differ by no more than neighbours, and say nothing of how quickly it wanders between these. Each
difference makes every (return, noise, wander) of a grid more or less likely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.estimator_stretch import Stretch

Floats = NDArray[np.float64]

NOISES = np.geomspace(3e-5, 0.1, 24) * math.sqrt(60.0)
"""What the noise may be: of ln rate in a window of one second. From 0.003 % to 10 % in a window of a minute."""
WANDERS = np.geomspace(1e-4, 0.4096, 13)
"""What the wander may be: of ln rate over one hour, if it did not return."""
RETURNS_S = np.array([np.inf, 200.0])
"""In how long the speed comes back from where it wandered to, by a factor of e: never, or in minutes."""
USUAL_NOISE, NOISE_WIDTH = 0.001 * math.sqrt(60.0), 1.5
"""Before anything is measured: the likeliest, and by how many natural logarithms it may be off (a standard deviation)."""
USUAL_WANDERS, WANDER_WIDTHS = np.array([0.0004, 0.006]), np.array([0.7, 1.5])
"""The same of a speed that never comes back, and of one that does: that one is off by 0.1 %."""
ODDS = np.array([0.0, -3.0])
"""How much likelier either is, before anything is measured (natural logarithms)."""
CONFIDENCE = 3.0
"""What is taken to be the noise is so large that being off by so many of it is no likelier than if the noise were known."""
STALLS, STALLED = 0.03, 0.3
"""The share of differences that are none of both, and how large those are."""
KEPT = 1000.0
"""A difference is forgotten after so many more."""
TELLING_S = 60.0
"""Stretches that are shorter tell less of longer ones: noise may last for seconds."""
FLOOR = -30.0
"""What is less likely than this (a logarithm) may come back."""
FINER = 5
"""So many steps are read between two values of the grid."""
_GRAIN = 1 / 12
"""A counter is cut off somewhere within its grain, at each end (a variance)."""


class _Grid:
    """Values a constant factor apart, and how to read between them."""

    def __init__(self, values: Floats) -> None:
        count = len(values)
        self._logs = np.interp(np.linspace(0, count - 1, (count - 1) * FINER + 1), np.arange(count), np.log(values))
        ratios = np.exp(np.subtract.outer(self._logs, self._logs))
        self._beyond = np.vectorize(_beyond)(CONFIDENCE * ratios)
        self._between = np.array([_smooth(unit, FINER) for unit in np.eye(count)]).T

    def effective(self, weight: Floats) -> float:
        """The standard deviation of which CONFIDENCE is passed as seldom as that of the true one. weight: of the values, up to a factor."""
        likely = np.exp(self._between @ np.log(np.maximum(weight, math.exp(FLOOR))))
        passed = np.log(self._beyond @ (likely / likely.sum()))
        return math.exp(float(np.interp(-math.log(_beyond(CONFIDENCE)), -passed, self._logs)))


def _beyond(deviations: float) -> float:
    """How likely a normal variable is to lie beyond so many standard deviations."""
    return max(math.erfc(deviations / math.sqrt(2)), 1e-300)


def _smooth(values: Floats, finer: int) -> Floats:
    """Cubics through the values (Catmull and Rom, 1974)."""
    position = np.linspace(0, len(values) - 1, (len(values) - 1) * finer + 1)
    left = np.minimum(position.astype(int), len(values) - 2)
    t = position - left
    ends = np.concatenate(([2 * values[0] - values[1]], values, [2 * values[-1] - values[-2]]))
    a, b, c, d = (ends[left + offset] for offset in range(4))
    found: Floats = b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))) / 2
    return found


_NOISE, _WANDER = _Grid(NOISES), _Grid(WANDERS)


def apart_s(one: Stretch, other: Stretch) -> Floats:
    """(returns) how long a speed has to wander [s] to differ by as much as it does between two stretches, the earlier one first.

    Of a walk that is the gap and a third of each stretch; of one that returns (an Ornstein-Uhlenbeck process), less.
    """
    gap_s, each_s = max(other.begin_s - one.end_s, 0.0), (one.seconds, other.seconds)
    found = [gap_s + sum(each_s) / 3]
    for return_s in RETURNS_S[1:]:
        first, second = (-math.expm1(-seconds / return_s) * return_s / seconds for seconds in each_s)
        within = (1 - first) / one.seconds + (1 - second) / other.seconds
        found.append(return_s * (return_s * within - first * second * math.exp(-gap_s / return_s)))
    return np.array(found)


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What makes windows at one limit differ."""

    likely: Floats = field(
        default_factory=lambda: (
            ODDS[:, None, None]
            - (np.log(NOISES / USUAL_NOISE) / NOISE_WIDTH)[:, None] ** 2 / 2
            - (np.log(WANDERS / USUAL_WANDERS[:, None]) / WANDER_WIDTHS[:, None])[:, None] ** 2 / 2
        )
    )
    """(returns, noises, wanders) logarithms of the likelihood, up to a constant."""
    one_second: float = field(init=False)
    """The standard deviation of ln rate in a window of one second, at most; it falls with the root of the length."""
    wander: float = field(init=False)
    """That of ln rate over one hour, at most, as it grows over minutes; it is taken to grow on with the root of the time."""

    def __post_init__(self) -> None:
        share = self._shares()
        object.__setattr__(self, "one_second", _NOISE.effective(share.sum(axis=(0, 2))))
        object.__setattr__(self, "wander", _WANDER.effective(share.sum(axis=(0, 1))))

    @property
    def one_minute(self) -> float:
        """That of ln rate in a window of a minute, at most."""
        return self.one_second / math.sqrt(60.0)

    def compared(self, seconds: float) -> float:
        """By how much (of ln rate) a window of a minute is off, with what the speed wanders in so many seconds, in the mean over what is likely."""
        share, squares = self._shares(), np.add.outer(NOISES**2 / 60, WANDERS**2 * seconds / 3600)
        return math.sqrt(float((share * squares).sum() / share.sum()))

    def _shares(self) -> Floats:
        """(returns, noises, wanders) how likely each is, relative to the likeliest."""
        found: Floats = np.exp(self.likely - self.likely.max())
        return found

    def variance(self, seconds: float, steps: float, grain: float) -> float:
        """Of ln rate, of a window of so many seconds in which the counter rose by so many steps, known to a grain at both ends."""
        return self.one_second**2 / seconds + 2 * _GRAIN * (grain / steps) ** 2

    def needed_s(self, deviation: float, rate: float, grain: float) -> float:
        """How long a window has to be [s] for ln rate to be known to a standard deviation. rate [steps/s], grain [steps]."""
        by_noise, by_grain = self.one_second**2, 2 * _GRAIN * (grain / rate) ** 2
        return (by_noise + math.sqrt(by_noise**2 + 4 * deviation**2 * by_grain)) / (2 * deviation**2)

    def told(self, one: Stretch, other: Stretch) -> Noise:
        """After two stretches at the same limit, the earlier one first."""
        cut, next_cut = one.grain / one.steps, other.grain / other.steps
        cuts = cut**2 + next_cut**2
        shared = (cut + next_cut) ** 2 if other.begin_s - one.end_s < 1e-6 else cuts
        variance = (
            NOISES[:, None] ** 2 * (1 / one.seconds + 1 / other.seconds)
            + WANDERS**2 * apart_s(one, other)[:, None, None] / 3600
            + _GRAIN * (cuts + shared)
        )  # fmt: skip
        square = (other.log_rate - one.log_rate) ** 2
        fits = (1 - STALLS) * np.exp(-square / variance / 2) / np.sqrt(variance)
        stalls = STALLS * math.exp(-square / STALLED**2 / 2) / STALLED
        weight = min(one.seconds / TELLING_S, other.seconds / TELLING_S, 1.0)
        likely = self.likely * (1 - 1 / KEPT) + weight * np.log(fits + stalls)
        return Noise(np.maximum(likely - likely.max(), FLOOR))

    def unlike(self, other: Noise, factor: float) -> bool:
        """Whether either is larger or smaller by a factor."""
        ratios = (self.one_second / other.one_second, self.wander / other.wander)
        return not all(1 / factor <= ratio <= factor for ratio in ratios)
