"""What to measure next while a job trains, and when it pays: from the reference limit down, within the credit there is. Pure.

`next_window` is asked whenever a plan is due. A window is a step of the job's plan like any other: all workers take it at the same instant,
and the reference limit follows it, so that nobody is left at a low limit when the operator goes away (`as_plan`).

Levels are measured once, briefly: those that plans use go on being measured by the plans. What plans do not measure is the reference
limit, and all r are relative to it: it is measured again where that pays, best while the grid is clean.

A window below the slowdown's floor is afforded beforehand, at the lowest throughput that is possible: the any-time bound holds
while it is measured, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.estimator import CONFIDENCE, USABLE, WARM_UP_S, Learner, Level
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import Plan, PlanStep, SlowdownKnob, reference_plan

SHORTEST_S = 20.0
"""A window is no shorter, unless the credit allows no more."""
BRIEFEST_S = 15.0
"""Where the credit does not allow this, nothing is measured."""
PRECISION = 1 / 6
"""A level is measured until r is known to this share of the slowdown, or of how far it lies below the floor (a standard deviation)."""
LONGEST_S = 600.0
"""Then it is looked at again."""
FIRST_REFERENCE_S = 60.0
"""The reference limit is measured at least so long before anything else."""
NEXT_REFERENCE_S = 120.0
"""And in the next run of a workload."""
REFINING_S = (120.0, 300.0, 600.0, 900.0)
"""For how long the reference limit may be measured to make the curve more certain."""
CHECK_S = 60.0
"""So long is the reference limit measured again, to see whether the job has changed."""
CHECK_EVERY_S = 12 * 3600.0
"""And so often at least;"""
CHECK_SHARE = 0.5
"""in the beginning more often: whenever it was not measured for this share of the job's time. How a job's speed wanders is seen by that."""
DAY = timedelta(days=1)
PATIENCE_S = 1800.0
"""Between two windows at the reference limit that only make the curve more certain."""
CHEAPEST = 0.1
"""A second at the reference limit is never taken to cost less than this share of the slowdown."""
WORTH = 0.2
"""Of the credit that a better curve gives, so much is spent before the job ends."""
AROUND = 0.01
"""So far from the floor [r] credit is spent, or missed."""
DIRTIER = 1.1
"""Credit is spent in hours that are so much dirtier than the mean."""
LEAST_CREDIT = 0.02
"""A second of credit is worth at least this share of the energy for a second of work."""
RESERVE_S = 2.0
"""What may be wrong [s of work] beside what is doubted, in any job,"""
RESERVE_PER_NOISE_S = 2000.0
"""more for each unit of noise (of ln rate, in a window of a minute), since it may be taken for smaller than it is: 10 s at 0.5 %,"""
RESERVE_GRAINS = 4.0
"""and so many times what the counter's grain takes: it moves by fits and starts."""
SPREAD = 2.0
"""How much dirtier the dirtiest hours are than the mean: so much less may a lower limit save for each second of delay."""


class Why(StrEnum):
    """What a window is for."""

    WARM_UP = "WarmUp"
    REFERENCE = "Reference"
    LEVEL = "Level"
    CHECK = "Check"


@dataclass(frozen=True, slots=True)
class Window:
    """Hold `limit_w` for so long."""

    limit_w: float
    seconds: float
    why: Why
    cost_s: float = 0.0
    """The credit it may take [s of work], at most; it is less than there is."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the job can afford."""

    slowdown: float
    credit_s: float
    """Measured with `Learner.work_s`, less what is held back [s of work]."""
    remaining_s: float
    """For how long the job is expected to run on [s]."""
    spread: float = SPREAD
    """The largest intensity of the forecast over its mean."""
    intensity: float = 1.0
    """That of now over the mean of the next day: where the grid is clean, full speed costs little."""

    @property
    def floor_r(self) -> float:
        """The throughput at which the credit stays as it is."""
        return 1 / (1 + self.slowdown)


def learned_grace_s(grace_s: float, learner: Learner, timelapse: float = 1.0) -> float:
    """What plans of a learned job may spend of the grace [s of work]. timelapse: seconds of training for each that passes.

    The rest is kept in reserve. It has nothing to do with the doubt that is taken off the work, so both add up as squares do.
    """
    grain_s = learner.grain / learner.rate if learner.known else 0.0
    reserve_s = RESERVE_S + RESERVE_PER_NOISE_S * learner.noise.one_minute + RESERVE_GRAINS * grain_s
    beyond_s = math.hypot(reserve_s, learner.doubt_s) - learner.doubt_s
    return max(grace_s - beyond_s / timelapse, grace_s / 2)


def relative_intensity(forecast: Sequence[Interval], now: datetime) -> float:
    """The intensity of now over the mean of the next day; 1 where the forecast does not tell. forecast: rising in time."""
    ahead = [each for each in forecast if each.end > now and each.start < now + DAY]
    if not ahead or ahead[0].start > now:
        return 1.0
    seconds = [(min(each.end, now + DAY) - max(each.start, now)).total_seconds() for each in ahead]
    mean = math.fsum(s * each.gco2_per_kwh for s, each in zip(seconds, ahead, strict=True)) / sum(seconds)
    return max(ahead[0].gco2_per_kwh / mean, 0.0) if mean > 0 else 1.0


def next_window(learner: Learner, means: Means) -> Window | None:
    """The next thing to measure; None: nothing that pays (or can be paid), follow the plan."""
    reference_w = learner.prior.reference_limit_w
    begun_s = learner.elapsed_s - learner.begun_s
    if begun_s < WARM_UP_S:
        # An earlier run of the workload told what may be planned with; whether it still holds can be seen when it is warm.
        return None if learner.known else Window(reference_w, WARM_UP_S - begun_s, Why.WARM_UP)
    first_s = _first_reference_s(learner, means)
    if first_s > 0:
        return Window(reference_w, first_s, Why.REFERENCE)
    if learner.is_too_noisy:
        return None
    below = _next_level(learner, means)
    if below is not None:
        window = _comparing(learner, means, below) or _afforded(learner, means, below)
        if window is not None:
            return window
    refinement = _refinement(learner, means)
    if refinement is not None:
        return refinement
    since_s = learner.elapsed_s - (learner.referred_at_s or 0.0)
    # A job that ends before it is as long again has little to lose.
    is_young = since_s >= CHECK_SHARE * begun_s and means.remaining_s > since_s
    return Window(reference_w, CHECK_S, Why.CHECK) if is_young or since_s >= CHECK_EVERY_S else None


def as_plan(window: Window, fleet: Mapping[str, Group], now: datetime, knob: SlowdownKnob, lowest_r: float) -> Plan:
    """A plan that holds the window and then the reference limit, for a job of one GPU product.

    lowest_r: what the throughput is at least; so the credit carried on through the window is never too much.
    """
    plan = reference_plan(now=now, fleet=fleet, knob=knob)
    (product,) = fleet
    low = PlanStep(now, {product: window.limit_w}, lowest_r)
    full = plan.steps[0]._replace(at=now + timedelta(seconds=window.seconds))
    return replace(plan, steps=(low, full))


def _first_reference_s(learner: Learner, means: Means) -> float:
    """How long to hold the reference limit before any level [s]; 0: it is known as well as the first level has to be.

    A level is told by comparing, and until then nobody needs to be slow.
    """
    if learner.referred_at_s is None:
        return NEXT_REFERENCE_S if learner.known else FIRST_REFERENCE_S
    if learner.known or learner.is_too_noisy:
        return 0.0
    at_reference = learner.levels.get(learner.prior.reference_limit_w, Level())
    lacking_s = _needed_s(learner, means, 0) - at_reference.seconds
    return float(math.ceil(max(min(lacking_s, FIRST_REFERENCE_S), SHORTEST_S))) if lacking_s > 0 else 0.0


def _next_level(learner: Learner, means: Means) -> int | None:
    """The index of the highest level that is not known and may pay."""
    known = len(learner.known)
    if known == len(learner.prior.limits_w) or not _may_pay(learner, means):
        return None
    return known


def _may_pay(learner: Learner, means: Means) -> bool:
    """Whether the level below the known ones can be of use: even if it is as fast as a concave curve allows.

    It is not where it takes more energy and more time at any intensity of the forecast, or saves less for each second of delay than
    what the slowdown is used for, even in the dirtiest hours: no plan within the bound goes there.
    """
    if len(learner.known) < 2:
        return True
    assert learner.curve is not None
    limits_w, watts, r = learner.curve.columns
    next_w = learner.prior.limits_w[len(learner.known)]
    slope = (r[1] - r[0]) / (limits_w[1] - limits_w[0])
    slower = slope * (limits_w[0] - next_w)
    # A board that draws less than its limit is not held by it yet; below, it draws no less than half of what it lost on the way.
    saved_w = watts[0] - min(watts[0], next_w * min(watts[0] / limits_w[0], 1.0))
    if slower <= 0:
        return True
    if saved_w * means.spread < slower * float(np.min(watts / r)):
        return False
    above = r[1:] > means.floor_r
    if above.all():
        return True
    at_floor = int(np.argmax(above)) if above.any() else len(r) - 2
    usual = (watts[at_floor + 1] - watts[at_floor]) / max(r[at_floor + 1] - r[at_floor], 1e-9)
    return bool(saved_w / slower * means.spread >= usual)


def _afforded(learner: Learner, means: Means, index: int) -> Window | None:
    """A window at a level, as long as its uncertainty needs and the credit allows."""
    limit_w = learner.prior.limits_w[index]
    needed_s = _needed_s(learner, means, index)
    costs = max(means.floor_r - learner.lowest_r[limit_w], 0.0)
    affordable_s = means.credit_s / costs if costs > 0 else math.inf
    seconds = math.floor(min(needed_s, affordable_s))
    if seconds < BRIEFEST_S:
        return None
    return Window(limit_w, float(seconds), Why.LEVEL, seconds * costs)


def _comparing(learner: Learner, means: Means, index: int) -> Window | None:
    """The reference limit, where a level was measured and a window at that tells more of its r than another one at the level would."""
    limit_w, reference_w, seconds = learner.prior.limits_w[index], learner.prior.reference_limit_w, SHORTEST_S
    if not learner.is_measured(limit_w):
        return None
    belief, rate = learner.belief, learner.rate
    variance = learner.noise.variance(seconds, rate * seconds, learner.grain)
    doubts = {
        each: float(belief.told(each, belief.expected(each)[0], variance).deviations[index])
        for each in (limit_w, reference_w)
    }
    if doubts[limit_w] <= doubts[reference_w]:
        return None
    return Window(reference_w, _needed_s(learner, means, index), Why.REFERENCE)


def _needed_s(learner: Learner, means: Means, index: int) -> float:
    """For how long a level has to be measured [s]."""
    # Near the floor a level is used most of the time, and has to be known well; far below a little.
    wanted = PRECISION * max(means.slowdown, means.floor_r - math.exp(float(learner.belief.mean[1 + index])))
    needed_s = learner.noise.needed_s(min(wanted, USABLE / CONFIDENCE / 1.5), learner.rate, learner.grain)
    return min(max(needed_s, SHORTEST_S), LONGEST_S)


def _refinement(learner: Learner, means: Means) -> Window | None:
    """How long to hold the reference limit to make the curve more certain; None where that costs more than it saves.

    The other side of the comparison is for nothing: the plan holds the levels anyway.
    """
    if learner.curve is None or learner.elapsed_s - (learner.referred_at_s or 0.0) < PATIENCE_S:
        return None
    if learner.lowest_r[learner.curve.hull[0].limit_w] >= means.floor_r:
        return None  # the slowest limit that plans use earns credit for sure: there is nothing to gain
    reference_w, belief = learner.prior.reference_limit_w, learner.belief
    usual = _usual(learner.curve, means)
    work = np.array([usual.shares.get(limit_w, 0.0) for limit_w in learner.prior.limits_w]) * belief.r
    expected, rate = belief.expected(reference_w)[0], learner.rate
    best, most_s = None, 0.0
    for seconds in REFINING_S:
        after = belief.told(reference_w, expected, learner.noise.variance(seconds, rate * seconds, learner.grain))
        before_r, after_r = (
            math.sqrt(max(float(work @ each.covariance[1:, 1:] @ work), 0.0)) for each in (belief, after)
        )
        gained_s = WORTH * CONFIDENCE * (before_r - after_r) * (means.remaining_s - seconds)
        worth_s = gained_s - seconds * usual.reference_price
        if worth_s > most_s:
            best, most_s = Window(reference_w, seconds, Why.REFERENCE), worth_s
    return best


@dataclass(frozen=True, slots=True)
class _Usual:
    """What a plan holds most of the time."""

    shares: Mapping[float, float]
    """By limit [W]: of the time."""
    reference_price: float
    """What a second at the reference limit costs now beyond what it earns, as seconds of credit."""


def _usual(curve: Curve, means: Means) -> _Usual:
    """The mix that keeps the credit as it is, and what it costs to leave it.

    A second at limit k burns P_k at the intensity of now, does work r_k that the mix would do for P / r each, and earns r_k less the floor of
    credit. A second of credit is worth what it saves by a lower limit, less the work that is then left to do. The price is what
    the reference limit costs beyond the limit that costs least.
    """
    limits_w, watts, r = np.array([(each.limit_w, each.average_w, each.r) for each in curve.hull]).T
    if len(r) < 2:
        return _Usual({}, math.inf)
    floor_r = float(np.clip(means.floor_r, r[0], r[-1]))
    above = int(np.clip(np.searchsorted(r, floor_r), 1, len(r) - 1))
    share = (floor_r - float(r[above - 1])) / float(r[above] - r[above - 1])
    mixed = float(np.interp(floor_r, r, watts)) / floor_r
    lower_r, higher_r = max(floor_r - AROUND, float(r[0])), min(floor_r + AROUND, float(r[-1]))
    slope = float(np.interp(higher_r, r, watts) - np.interp(lower_r, r, watts)) / (higher_r - lower_r)
    credit = max(slope * DIRTIER - mixed, LEAST_CREDIT * mixed)
    costs = (watts * means.intensity - mixed * r) / credit - (r - floor_r)
    full = (curve.highest.average_w * means.intensity - mixed) / credit - (1 - floor_r)
    shares = {float(limits_w[above]): share, float(limits_w[above - 1]): 1 - share}
    return _Usual(shares, max(full - float(costs.min()), CHEAPEST * means.slowdown))
