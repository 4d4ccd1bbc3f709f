"""A job as it really is, and what its energy records say of it: noise, a counter's grain, evaluations, a job that wanders."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.estimator_windows import Observation

USUAL_RECORD_S = 300.0
"""A record ends at least so often."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What makes a job hard to measure."""

    noise: float = 0.001
    """The standard deviation of ln rate in a window of a minute."""
    wander: float = 0.001
    """By how much the job's own speed wanders in an hour, whatever its limit (a standard deviation of ln rate)."""
    memory_s: float = 0.0
    """How long the noise lasts: it is forgotten by a factor of e in so long. 0: at once."""
    steps_per_s: float = 5.0
    """At the reference limit."""
    timed: bool = True
    """Whether the count has the part of the step that is under way, as the SDK's has. Otherwise steps are counted whole."""
    counts: float = 1.0
    """What is counted goes with r to this power: above 1 it is something that bounds the throughput from below, a clock for one."""
    warm_up_s: float = 60.0
    """So long it is slower in the beginning, whatever its limit."""
    evaluates_every_s: float = 3600.0
    evaluates_s: float = 60.0
    """So long it counts no steps; it is slowed by a limit as always."""


@dataclass(slots=True)
class Meter:
    """What is measured of one run. Windows are asked for in order of time, end to end."""

    curve: Curve
    """The truth."""
    traits: Traits
    rng: random.Random
    at_s: float = 0.0
    _log_speed: float = 0.0
    _disturbed: float = field(init=False)
    """How far ln rate is off at this moment, where noise lasts."""
    _steps: float = 0.0
    """Done so far."""
    _phase_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._phase_s = self.rng.uniform(0.3, 1.0) * self.traits.evaluates_every_s
        self._disturbed = self.rng.gauss(0, self._moment) if self.traits.memory_s > 0 else 0.0

    def held(self, seconds: float, limit_w: float, record_s: float = USUAL_RECORD_S) -> Iterator[Observation]:
        """The records of the next seconds at a limit, each of record_s at most."""
        end_s = self.at_s + seconds
        while self.at_s < end_s - 1e-6:
            begin_s = self.at_s
            until_s = min(end_s, (begin_s // record_s + 1) * record_s)
            yield self._record(begin_s, until_s, limit_w)
            self.at_s = until_s

    def _record(self, begin_s: float, end_s: float, limit_w: float) -> Observation:
        traits, seconds = self.traits, end_s - begin_s
        average_w, r = self.curve.at(limit_w)
        self._log_speed += self.rng.gauss(0, traits.wander * math.sqrt(seconds / 3600))
        noise = self._noise(seconds)
        training_s = seconds - self._evaluating_s(begin_s, end_s)
        if begin_s < traits.warm_up_s:
            training_s -= 0.2 * (min(end_s, traits.warm_up_s) - begin_s)
        before = self._counted
        self._steps += traits.steps_per_s * r**traits.counts * math.exp(self._log_speed + noise) * max(training_s, 0.0)
        grain = 0.0 if traits.timed else 1.0
        return Observation(begin_s, seconds, limit_w, average_w, self._counted - before, grain)

    def _noise(self, seconds: float) -> float:
        """Of ln rate, the mean of the next seconds."""
        noise, memory_s = self.traits.noise, self.traits.memory_s
        if memory_s <= 0:
            return self.rng.gauss(0, noise * math.sqrt(60 / max(seconds, 1.0)))
        # An Ornstein-Uhlenbeck process and its integral are normal, given where it begins (Gillespie 1996, Phys. Rev. E 54, 2084).
        left, moment, begin = math.exp(-seconds / memory_s), self._moment, self._disturbed
        change = moment * math.sqrt(1 - left**2) * self.rng.gauss(0, 1)
        self._disturbed = begin * left + change
        if seconds < memory_s / 1000:
            return begin + change / 2
        slope = memory_s * (1 - left) / (1 + left)
        spread = moment**2 * memory_s**2 * (2 * seconds / memory_s - 3 + 4 * left - left**2)
        rest = spread - slope**2 * moment**2 * (1 - left**2)
        integral = memory_s * (1 - left) * begin + slope * change + self.rng.gauss(0, math.sqrt(max(rest, 0.0)))
        return integral / seconds

    @property
    def _moment(self) -> float:
        """The standard deviation of ln rate at any moment that makes that of a minute what it is, where noise lasts."""
        minutes = 60 / self.traits.memory_s
        return self.traits.noise * minutes / math.sqrt(2 * (minutes - 1 + math.exp(-minutes)))

    @property
    def _counted(self) -> float:
        return self._steps if self.traits.timed else float(math.floor(self._steps))

    def _evaluating_s(self, begin_s: float, end_s: float) -> float:
        """How much of [begin, end) the job evaluates."""
        every_s, length_s = self.traits.evaluates_every_s, self.traits.evaluates_s
        if length_s <= 0:
            return 0.0
        first = math.floor((begin_s - self._phase_s - length_s) / every_s)
        total_s = 0.0
        for number in range(first, math.ceil((end_s - self._phase_s) / every_s) + 1):
            start_s = self._phase_s + number * every_s
            total_s += max(min(end_s, start_s + length_s) - max(begin_s, start_s), 0.0)
        return total_s
