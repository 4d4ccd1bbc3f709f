"""The belief about a job's speed: at the reference limit, and relative to it at each level. A Kalman filter. Pure.

The state is x = (ln R, ln r_1, ..., ln r_n): the rate at the reference limit, which wanders with the job, and the throughput at n levels,
which hardly does. So what is learned of r comes from windows that lie near each other in time, and a job that slowly gets
faster or slower by itself teaches nothing wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.prior import Prior

Floats = NDArray[np.float64]

UNKNOWN_VARIANCE = 100.0
"""Of ln R before the first window: anything."""
AGEING = 0.00001
"""By how much ln r at a level wanders in an hour (a standard deviation)."""
BETWEEN_LEVELS = 0.001
"""How far r between two levels may lie off the straight line, half-way (a standard deviation of ln r)."""


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """A Gaussian over x."""

    prior: Prior
    mean: Floats
    """(1 + n)."""
    covariance: Floats
    """(1 + n, 1 + n)."""

    @classmethod
    def before(cls, prior: Prior) -> Belief:
        """Nothing was measured yet."""
        count = len(prior.limits_w)
        covariance = np.zeros((count + 1, count + 1))
        covariance[0, 0] = UNKNOWN_VARIANCE
        covariance[1:, 1:] = prior.covariance
        return cls(prior, np.append(0.0, prior.log_r), covariance)

    def aged(self, seconds: float, wander: float) -> Belief:
        """So much later. wander: by how much ln R wanders in an hour (a standard deviation)."""
        hours = max(seconds, 0.0) / 3600
        covariance = self.covariance.copy()
        diagonal = covariance.reshape(-1)[:: len(self.mean) + 1]
        diagonal[0] += wander**2 * hours
        diagonal[1:] += AGEING**2 * hours
        return Belief(self.prior, self.mean, covariance)

    def expected(self, limit_w: float) -> tuple[float, Floats, float]:
        """(ln rate, its gradient in x, variance for lying between two levels) at a limit [W]."""
        limits_w = (self.prior.reference_limit_w, *self.prior.limits_w)
        gradient = np.zeros(len(self.mean))
        gradient[0] = 1.0
        if limit_w >= limits_w[0]:
            return float(self.mean[0]), gradient, 0.0
        below = next((index for index, level_w in enumerate(limits_w) if level_w <= limit_w), len(limits_w) - 1)
        above = below - 1
        share = min((limits_w[above] - limit_w) / (limits_w[above] - limits_w[below]), 1.0)
        upper = (1 - share) * (math.exp(self.mean[above]) if above > 0 else 1.0)
        lower = share * math.exp(self.mean[below])
        if above > 0:
            gradient[above] = upper / (upper + lower)
        gradient[below] = lower / (upper + lower)
        return float(self.mean[0]) + math.log(upper + lower), gradient, (BETWEEN_LEVELS * 4 * share * (1 - share)) ** 2

    def surprise(self, limit_w: float, log_rate: float, variance: float) -> float:
        """By how many standard deviations a measured rate is off. variance: of ln rate, as measured."""
        expected, gradient, between = self.expected(limit_w)
        spread = float(gradient @ self.covariance @ gradient) + between + variance
        return (log_rate - expected) / math.sqrt(spread)

    def told(self, limit_w: float, log_rate: float, variance: float) -> Belief:
        """After a window at limit_w."""
        expected, gradient, between = self.expected(limit_w)
        column = self.covariance @ gradient
        gain = column / (float(gradient @ column) + between + variance)
        left = self.covariance - gain[:, None] * column
        return Belief(self.prior, self.mean + gain * (log_rate - expected), (left + left.T) / 2)

    def shaken(self, doubt: float, log_rate: float) -> Belief:
        """Something changed, and nobody knows what: R is what it may be, r is doubted by a share of what the prior did."""
        mean, covariance = self.mean.copy(), self.covariance.copy()
        mean[0] = log_rate
        covariance[0, :] = covariance[:, 0] = 0.0
        covariance[0, 0] = UNKNOWN_VARIANCE
        covariance[1:, 1:] += doubt**2 * self.prior.covariance
        return replace(self, mean=mean, covariance=covariance)

    @property
    def r(self) -> Floats:
        """(n) the throughput at each level, before it is made a curve."""
        return np.exp(self.mean[1:])

    @property
    def deviations(self) -> Floats:
        """(n) standard deviations of ln r."""
        return np.sqrt(np.maximum(self.covariance.diagonal()[1:], 0.0))
