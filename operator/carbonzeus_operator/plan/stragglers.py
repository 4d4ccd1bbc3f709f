"""Workers that wait for a slower one: how much of their speed they need, so that they may go lower at no cost in time. Pure.

All workers of a job step together. Where one is slow by itself (a hot board, a poor one, a bigger share of the batch), the others
wait for it at every step. `Waiting` watches the windows of a job and says for each pod which share of its own speed is enough;
`limit_for` makes a limit of that. It goes down in small steps, each confirmed by a window, and back up in one.

Nothing of it outlives the operator: a new leader begins with everybody at the plan's limits, and learns anew within a few windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.stragglers_signs import BUSY, WATT, Shown, Sight, hardest, waits_for
from carbonzeus_operator.plan.stragglers_spread import Spread

WINDOWS = 3
"""So many in a row must agree before a pod goes lower."""
LEAST_S = 20.0
"""A shorter window says nothing."""
SAFETY = 0.02
"""A pod keeps this share of its speed above what it needs, at least."""
SURE = 2.5
"""And so many standard deviations of what it was seen to need."""
STEP = 0.05
"""A pod goes lower by no more than this share of its speed at a time."""
WORTH = 0.01
"""A smaller gain is not worth a change."""
FALL = 0.02
"""The pace-setter's power, or the job's steps, that are lower by this share after a pod went lower: it did cost time."""
REST = 3
"""Windows before another try, after the first that failed; twice as many after each further one."""
LONGEST_REST = 96
FORGIVEN = 8
"""A pod that stayed lower for so many times its last rest begins anew with the first one."""
KEPT = 12
"""Windows of the pace-setter that are remembered, from when nobody was lower."""


@dataclass(frozen=True, slots=True)
class Need:
    """How much of its speed a pod needs, safety included."""

    share: float = 1.0
    """In (0, 1]; 1: all of it."""
    seen_r: float = 1.0
    """The lowest throughput that the plan asked for while this was seen."""

    @property
    def is_lower(self) -> bool:
        return self.share < 1.0

    def r(self, planned_r: float) -> float:
        """The throughput the pod needs where the plan asks for `planned_r`.

        Below what was seen, the slow worker may be as slow as ever (a poor board) or just not get any slower (a hot one, whose clock
        is capped): what needs more counts.
        """
        return min(planned_r, self.share * max(planned_r, self.seen_r))


@dataclass(frozen=True, slots=True)
class Worker:
    """What is known of one pod."""

    need: Need = Need()
    seen: tuple[Need, ...] = ()
    """What it needed in the last windows in which it waited, without safety."""
    rest: int = 0
    """Windows until it may go lower."""
    last_rest: int = 0
    calm: int = 0
    """Windows since it went lower."""

    def back(self) -> Worker:
        """At the plan's limit, nobody's fault."""
        return replace(self, need=Need(), seen=(), calm=0)

    def failed(self) -> Worker:
        """At the plan's limit, and for longer than the last time."""
        forgiven = self.last_rest == 0 or self.calm >= FORGIVEN * self.last_rest
        rest = REST if forgiven else min(2 * self.last_rest, LONGEST_REST)
        return replace(self.back(), rest=rest, last_rest=rest)

    def rested(self) -> Worker:
        """A window later."""
        return replace(self, rest=max(self.rest - 1, 0))

    def waited(self, needed: Need, margin: float, *, took: bool) -> Worker:
        """After a window in which it waited. took: whether it was as low as it may be, so that it may go lower."""
        seen = (*self.seen, needed)[-WINDOWS:]
        calm = self.calm + 1 if self.need.is_lower and took else self.calm
        now = replace(self, seen=seen, calm=calm)
        if len(seen) < WINDOWS:
            return now
        target = Need(min(max(each.share for each in seen) + margin, 1.0), min(each.seen_r for each in seen))
        if target.share > self.need.share + WORTH / 2:
            return replace(now, need=target)
        if took and self.rest == 0 and target.share < self.need.share - WORTH:
            share = max(target.share, self.need.share - STEP)
            return replace(now, need=replace(target, share=share), calm=0)
        return replace(now, need=replace(target, share=self.need.share))


@dataclass(frozen=True, slots=True)
class Pace:
    """A window of the pod that sets the pace."""

    pod: str
    sight: Sight
    steps_per_s: float | None

    def fell_from(self, before: Sequence[Pace]) -> bool:
        """Whether it waits more, or the job is slower, than at the same limit before. What has no like says nothing."""
        like = [pace for pace in before if abs(pace.sight.limit_w - self.sight.limit_w) <= WATT]
        watts = [pace.sight.average_w for pace in like if pace.pod == self.pod]
        steps = [pace.steps_per_s for pace in like if pace.steps_per_s is not None]
        return _fell(self.sight.average_w, watts) or _fell(self.steps_per_s, steps)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Which pods of a job wait, as far as its windows told."""

    workers: Mapping[str, Worker] = field(default_factory=dict)
    """By pod UID."""
    spread: Spread = field(default_factory=Spread)
    """Of what pods are seen to need."""
    last: Mapping[str, float] = field(default_factory=dict)
    """What each pod was seen to need in the last window, relative to the pace-setter."""
    before: tuple[Pace, ...] = ()
    """The last windows in which nobody was lower than the plan."""

    @property
    def needs(self) -> dict[str, Need]:
        """What each pod needs from now on, by UID."""
        return {pod: worker.need for pod, worker in self.workers.items()}

    def observe(
        self, shown: Mapping[str, Sequence[Shown]], curves: Mapping[str, Curve], *, steps_per_s: float | None = None
    ) -> Waiting:
        """After a window of the whole job, in which all of its workers ran.

        shown: by pod UID, one for each of its GPUs; all of about the same time. Empty, or with figures missing: nothing is known of
        the pod. curves: by product. steps_per_s: of the job in this window, where it counts them.
        """
        if shown.keys() != self.workers.keys():
            return Waiting({pod: Worker() for pod in shown}).observe(shown, curves, steps_per_s=steps_per_s)
        if any(each.seconds < LEAST_S for gpus in shown.values() for each in gpus):
            return self
        found = {pod: hardest(gpus, curves) for pod, gpus in shown.items()}
        sights = {pod: sight for pod, sight in found.items() if sight is not None}
        candidates = [pod for pod in sights if not self.workers[pod].need.is_lower]
        if len(sights) < len(found) or not candidates:
            return self._all_back()
        setter = max(candidates, key=lambda pod: sights[pod].utilization)
        return self._paced(sights, Pace(setter, sights[setter], steps_per_s))

    def _paced(self, sights: Mapping[str, Sight], pace: Pace) -> Waiting:
        needed = {pod: sight.effort / pace.sight.effort for pod, sight in sights.items()}
        now = replace(self, spread=self._spread_after(needed), last=needed)
        took = {pod: _took(self.workers[pod].need, sight, pace.sight) for pod, sight in sights.items()}
        on_trial = any(took[pod] and each.need.is_lower and each.calm == 0 for pod, each in self.workers.items())
        cost_time = on_trial and pace.fell_from(self.before)
        margin = max(SAFETY, SURE * now.spread.deviation)
        workers = {}
        for pod, worker in self.workers.items():
            rested, is_lower = worker.rested(), worker.need.is_lower
            if is_lower and (cost_time or needed[pod] >= worker.need.share):
                workers[pod] = rested.failed()
            elif pace.sight.utilization >= BUSY and (is_lower or waits_for(sights[pod], pace.sight)):
                workers[pod] = rested.waited(Need(needed[pod], pace.sight.r), margin, took=took[pod])
            else:
                workers[pod] = rested.back()
        hindered = any(sight.r < (1.0 - STEP / 2) * pace.sight.r for sight in sights.values())
        before = self.before if hindered or pace.sight.utilization < BUSY else (*self.before, pace)[-KEPT:]
        return replace(now, workers=workers, before=before)

    def _all_back(self) -> Waiting:
        """Who sets the pace cannot be told."""
        return replace(self, workers={pod: worker.rested().back() for pod, worker in self.workers.items()}, last={})

    def _spread_after(self, needed: Mapping[str, float]) -> Spread:
        spread = self.spread
        for pod, share in needed.items():
            before = self.last.get(pod, 1.0)
            if share != 1.0 and before != 1.0:  # the pace-setter's is 1 and has no noise
                spread = spread.with_pair(before, share)
        return spread


def limit_for(planned_w: float, curve: Curve, need: Need) -> float:
    """The limit [W] for a pod where the plan asks for `planned_w`: never more, in whole watts, on the curve."""
    if not need.is_lower:
        return planned_w
    _, planned_r = curve.at(planned_w)
    # A hair above a whole watt is rounding noise, not a wish for the next one.
    return min(planned_w, math.ceil(curve.limit_for(need.r(planned_r)) - 1e-6))


def _took(need: Need, sight: Sight, setter: Sight) -> bool:
    """Whether the GPU was about as slow as it may be: the limit was pushed, and held."""
    return sight.r <= (1.0 + STEP / 2) * need.r(setter.r)


def _fell(value: float | None, before: Sequence[float]) -> bool:
    return value is not None and len(before) > 0 and value < (1.0 - FALL) * sum(before) / len(before)
