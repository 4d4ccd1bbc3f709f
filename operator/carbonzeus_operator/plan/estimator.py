"""A job's curve, learned while it trains: from energy records to a curve to plan with and one to keep the bound with. Pure.

    learner = Learner.begin(Prior.of("NVIDIA A40", 300, 150))
    learner = learner.observe(Observation(at, seconds=60, limit_w=300, average_w=244, steps=1200))
    learner.curve       the likeliest
    learner.careful     what to plan with: as fast as the next second at each level will be counted
    learner.work_s      the work done at least [s at the reference limit]: every second so far, as r is known NOW
    learner.r_error     by how much either may overstate the throughput, until the next measurement

`steps` may be anything whose ratio to the reference limit bounds the throughput from below. For a job that reports no progress that
is the lower of its SM and memory clocks: what does not depend on the clock does not slow down.

What it takes for granted: noise of windows has no memory, and what has one looks like a wandering speed; r is the same in all phases that count steps until it is seen to change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan import estimator_counting as counting
from carbonzeus_operator.plan import estimator_noise
from carbonzeus_operator.plan.curve import Curve, Point, isotonic
from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_gate import CHANGED, Verdict, agree, verdict
from carbonzeus_operator.plan.estimator_memory import Memory
from carbonzeus_operator.plan.estimator_noise import Noise
from carbonzeus_operator.plan.estimator_shape import likeliest
from carbonzeus_operator.plan.estimator_windows import MANY, Observation, check, log_rate, stretch_of, trusted_windows
from carbonzeus_operator.plan.prior import Prior

Floats = NDArray[np.float64]

WARM_UP_S = 120.0
"""What a job does in its first seconds, or after it moved, teaches nothing."""
SHORTEST_S = 5.0
"""Nor does a shorter window: the limit has hardly settled."""
CONFIDENCE = estimator_noise.CONFIDENCE
"""What r is at least, and the work, lie so many standard deviations below what is likeliest."""
USABLE = 0.02
"""A level whose r is known to this share (at `CONFIDENCE`) may be planned with."""
DOUBT = 0.2
"""How much of the prior's doubt comes back when a job has changed."""
NEXT_RUN = 0.0005
"""And for the next run of a workload."""
MEASURED = 0.5
"""A level that is doubted by less than this share of the prior's doubt was measured."""
NOISIEST = 0.0125
"""By so much (of ln rate) a window of a minute may be off, with what the job's speed wanders until it is compared."""
COMPARED_S = 300.0
"""A level is compared with what the reference limit was so long ago, about."""


@dataclass(frozen=True, slots=True)
class Level:
    """What was measured at one level."""

    seconds: float = 0.0
    """Of the windows learned from."""
    joules: float = 0.0

    @property
    def average_w(self) -> float:
        return self.joules / self.seconds if self.seconds > 0 else math.nan


@dataclass(frozen=True)
class Learner:
    """What is known of one job (one workload on one GPU product). `observe` gives the next one."""

    memory: Memory
    levels: Mapping[float, Level] = field(default_factory=dict)
    """By limit [W]: the reference limit and the levels of the prior, as far as there were windows at them."""
    held_s: Mapping[float, float] = field(default_factory=dict)
    """By limit [W], how long it was held since `banked_s` [s]: every second, learned from or not."""
    banked_s: float = 0.0
    """Work of the time before the job last changed [s at the reference limit], at least."""
    last: Observation | None = None
    waiting: tuple[Observation, ...] = ()
    """The first windows at the reference limit, until they agree."""
    strange: tuple[Observation, ...] = ()
    """The last windows in a row that were too far off."""
    changes: int = 0
    begun_s: float = 0.0
    """When the job began to train under these conditions: its warm-up counts from here."""
    referred_at_s: float | None = None
    """When the reference limit was last measured; None: not since the job began, or changed."""

    @classmethod
    def begin(cls, prior: Prior) -> Learner:
        """Nothing was measured yet."""
        return cls(Memory(Belief.before(prior)))

    def next_run(self) -> Learner:
        """For the next job of the same workload: what was learned of r, power and noise stays, and is doubted a little."""
        memory = self.memory.shaken(NEXT_RUN)
        return Learner(replace(memory, at_s=0.0), self.levels)

    def moved(self, prior: Prior) -> Learner:
        """The same job goes on under other conditions: other levels, another GPU product, another number of workers.

        Its time goes on and the work done so far stays done, at the least that it was; all else is learned anew.
        """
        at_s = self.elapsed_s
        memory = Memory(Belief.before(prior), at_s)
        return Learner(memory, banked_s=self.work_s, last=self.last, changes=self.changes, begun_s=at_s)

    @property
    def belief(self) -> Belief:
        return self.memory.belief

    @property
    def noise(self) -> Noise:
        return self.memory.noise

    @property
    def prior(self) -> Prior:
        return self.belief.prior

    @property
    def rate(self) -> float:
        """Steps a second at the reference limit, as is likeliest; says nothing before that was measured."""
        return math.exp(float(self.belief.mean[0]))

    @property
    def grain(self) -> float:
        """Of the last window with steps [steps]; a whole one before there was any."""
        return self.memory.last.grain if self.memory.last is not None else 1.0

    @property
    def elapsed_s(self) -> float:
        """Up to when it was told."""
        return self.last.begin_s + self.last.seconds if self.last is not None else 0.0

    def observe(self, seen: Observation) -> Learner:
        """After one more window; they come in order of time. InvalidSpec for one that cannot be."""
        check(seen, self.elapsed_s)
        held = self.held_s.get(seen.limit_w, 0.0) + seen.seconds
        counted = replace(self, held_s={**self.held_s, seen.limit_w: held}, last=seen)
        if seen.steps is None or seen.steps <= 0 or seen.seconds < SHORTEST_S or self.is_warming(seen):
            return counted
        aged = self.memory.aged(seen.begin_s + seen.seconds)
        counted = replace(counted, memory=aged)
        if self.referred_at_s is None:
            return counted.referring(seen)
        found = verdict(seen, aged.belief, self.noise, self.is_measured)
        if found is Verdict.REFERENCE_WRONG:
            return counted.changed_since((seen,))
        if found is Verdict.STRANGE:
            return wondering(counted, seen)
        if found is Verdict.TEACHES and not self.strange:
            return counted.taught(seen)
        # What made the last windows strange may reach into this one.
        if found is Verdict.SAYS_NOTHING and not self.strange:
            counted = replace(counted, memory=counted.memory.heard(stretch_of(seen)))
        return replace(counted, strange=())

    def referring(self, seen: Observation) -> Learner:
        """After a window that came before the reference limit was measured; its time is counted already."""
        if seen.limit_w < self.prior.reference_limit_w:
            return self
        now, waiting = self, (*self.waiting, seen)
        trusted = trusted_windows(waiting, self.noise if self.known else None)
        for each in trusted:
            now = now.taught(each)
        return replace(now, waiting=() if trusted else waiting)

    def is_warming(self, seen: Observation) -> bool:
        """Whether the job warms up in a window."""
        return seen.begin_s - self.begun_s < WARM_UP_S

    def taught(self, seen: Observation) -> Learner:
        """After learning from a window, strange or not; its time is counted already."""
        memory = self.memory.told(stretch_of(seen))
        levels = self.levels
        if seen.limit_w in (self.prior.reference_limit_w, *self.prior.limits_w):
            old = levels.get(seen.limit_w, Level())
            level = Level(old.seconds + seen.seconds, old.joules + seen.average_w * seen.seconds)
            levels = {**levels, seen.limit_w: level}
        at_reference = seen.limit_w >= self.prior.reference_limit_w
        referred = seen.begin_s + seen.seconds if at_reference else self.referred_at_s
        return replace(self, memory=memory, levels=levels, referred_at_s=referred)

    def changed_since(self, strange: tuple[Observation, ...]) -> Learner:
        """The job is another one since the strange windows began: what was done before stays done; r is doubted from there on."""
        since = {seen.limit_w: 0.0 for seen in strange}
        for seen in strange:
            since[seen.limit_w] += seen.seconds
        before = {limit_w: seconds - since.get(limit_w, 0.0) for limit_w, seconds in self.held_s.items()}
        now = replace(
            self,
            memory=self.memory.shaken(DOUBT, log_rate(strange[-1])),
            held_s=since,
            banked_s=self.banked_s + self._worked_s(before),
            waiting=(),
            strange=(),
            changes=self.changes + 1,
            referred_at_s=None,
        )
        for seen in strange:
            now = now.taught(seen)
        return now

    def is_measured(self, limit_w: float) -> bool:
        """Whether what is believed of a level [W] comes from windows, not from the prior; windows may be forgotten again."""
        index = self.prior.limits_w.index(limit_w)
        return limit_w in self.levels and bool(
            self.belief.deviations[index] ** 2 < MEASURED**2 * self.prior.covariance[index, index]
        )

    @property
    def is_too_noisy(self) -> bool:
        """Whether its windows differ too much for the bound to be kept with what they teach. Then the reference limit holds."""
        return self.differs > NOISIEST

    @property
    def differs(self) -> float:
        """By how much (of ln rate) a window of a minute is off, with what the job's speed wanders until it is compared, as is likely."""
        return self.noise.compared(COMPARED_S)

    @cached_property
    def known(self) -> tuple[float, ...]:
        """The levels that may be planned with [W], falling, below the reference limit; down to the first that is not known."""
        found = []
        if self.prior.reference_limit_w not in self.levels or self.is_too_noisy:
            return ()
        for limit_w, deviation in zip(self.prior.limits_w, self.belief.deviations, strict=True):
            if not self.is_measured(limit_w) or CONFIDENCE * deviation > USABLE:
                break
            found.append(limit_w)
        return tuple(found)

    @cached_property
    def likeliest(self) -> Floats:
        """(known) r at the known levels: rising with the limit, and concave in the power that is drawn unless it clearly is not."""
        limits_w = np.array((self.prior.reference_limit_w, *self.known))
        count = len(self.known)
        return likeliest(limits_w, self._watts[::-1], self.belief.r[:count], self.belief.deviations[:count])

    @cached_property
    def _watts(self) -> Floats:
        """(known + 1) average powers [W], rising, from the lowest known level to the reference limit."""
        limits_w = (*self.known[::-1], self.prior.reference_limit_w)
        return np.array(isotonic([self.levels[limit_w].average_w for limit_w in limits_w]))

    @cached_property
    def lowest_r(self) -> Mapping[float, float]:
        """By level [W], and the reference limit, falling: what r is at least, known or not."""
        limits_w = (self.prior.reference_limit_w, *self.prior.limits_w)
        return dict(zip(limits_w, counting.lowest(self.belief, self._measured).tolist(), strict=True))

    @cached_property
    def curve(self) -> Curve | None:
        """The likeliest, at the known levels. None before there is one; then the reference limit holds."""
        return self._curve(self.likeliest) if self.known else None

    @cached_property
    def careful(self) -> Curve | None:
        """What to plan with: as fast as the next second at each level will be counted; with `curve`, credit would melt away.

        Plans that are made with it hold levels only, and so go on measuring what they use.
        """
        return counting.held_at_points(self._curve(self._next_second_r)) if self.known else None

    @cached_property
    def _next_second_r(self) -> Floats:
        measured_s = {limit_w: level.seconds for limit_w, level in self.levels.items()}
        seconds = counting.at_levels(self.prior, self.held_s) + counting.at_levels(self.prior, measured_s)
        return counting.next_second_r(self.belief, self.likeliest, seconds)

    @cached_property
    def r_error(self) -> float:
        """By how much `curve` and `careful` may overstate the throughput (a share), at most."""
        if not self.known:
            return 0.0
        lowest = np.array([self.lowest_r[limit_w] for limit_w in self.known])
        return max(float(np.max(1 - lowest / np.maximum(self.likeliest, self._next_second_r))), 0.0)

    @cached_property
    def work_s(self) -> float:
        """The work done so far at least [s at the reference limit]. It may rise when more is known of time long past."""
        return self.banked_s + self._worked_s(self.held_s)

    @cached_property
    def doubt_s(self) -> float:
        """What is taken off for doubt from the work since the job last changed [s at the reference limit]."""
        return counting.doubt_s(self.belief, counting.at_levels(self.prior, self.held_s), self._measured)

    def _worked_s(self, held_s: Mapping[float, float]) -> float:
        return counting.worked_s(self.belief, counting.at_levels(self.prior, held_s), self._measured)

    @property
    def _measured(self) -> NDArray[np.bool_]:
        return np.array([self.is_measured(limit_w) for limit_w in self.prior.limits_w])

    def _curve(self, r: Floats) -> Curve:
        reference_w = self.prior.reference_limit_w
        limits_w = (*self.known[::-1], reference_w)
        speeds = np.maximum.accumulate(np.append(r[::-1], 1.0))
        return Curve.from_points(list(map(Point, limits_w, self._watts.tolist(), speeds.tolist())), reference_w)


def wondering(now: Learner, seen: Observation) -> Learner:
    """After a strange window, whose time is counted already."""
    if not now.strange:
        # It may have begun in the window before.
        now = replace(now, memory=now.memory.forgotten())
    strange = (*now.strange, seen)
    off = [log_rate(each) - now.belief.expected(each.limit_w)[0] for each in strange[-CHANGED:]]
    if agree(off):
        return now.changed_since(strange[-CHANGED:])
    if len(strange) < MANY:
        return replace(now, strange=strange)
    for each in strange:
        now = now.taught(each)
    return replace(now, strange=())
