"""What to measure next while a job trains, and when it pays: from the reference limit down, within the credit there is. Pure.

`next_window` is asked whenever a plan is due. A window is a step of the job's plan like any other: all workers take it at the same instant,
and the reference limit follows it, so that nobody is left at a low limit when the operator goes away (`as_plan`).

A window below the slowdown's floor is afforded beforehand, at the lowest throughput that is possible: the any-time bound holds
while it is measured, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from carbonzeus_operator.plan.curve import Curve
from carbonzeus_operator.plan.estimator import CONFIDENCE, USABLE, WARM_UP_S, Learner
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import Plan, PlanStep, SlowdownKnob, reference_plan

SHORTEST_S = 60.0
"""A window is no shorter, unless the credit allows no more."""
BRIEFEST_S = 20.0
"""Where the credit does not allow this, nothing is measured."""
PRECISION = 1 / 20
"""A level is measured until r is known to this share of the slowdown, or of how far it lies below the floor (a standard deviation)."""
LONGEST_S = 600.0
"""Then it is looked at again."""
FIRST_REFERENCE_S = 300.0
"""The reference limit is measured at least so long before anything else."""
REFINING_S = (120.0, 300.0, 600.0, 900.0)
"""For how long a limit may be measured to make the curve more certain."""
CHECK_S = 120.0
"""So long is the reference limit measured again, to see whether the job has changed."""
CHECK_EVERY_S = 6 * 3600.0
PATIENCE_S = 900.0
"""Between two windows at the reference limit that only make the curve more certain."""
CHEAPEST_REFERENCE = 2.0
"""A second at the reference limit is never taken to cost less than this share of the slowdown: credit earned in bulk is worth less."""
CHEAPEST = 1.0
"""Nor one at a level."""
NEAR = 3.0
"""Levels down to the throughput of so many times the slowdown are used most."""
MISCHOSEN = 0.03
"""A level whose r is one standard deviation off is used too much or too little: what that loses, as a share of the deviation."""
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

    @property
    def floor_r(self) -> float:
        """The throughput at which the credit stays as it is."""
        return 1 / (1 + self.slowdown)


def next_window(learner: Learner, means: Means) -> Window | None:
    """The next thing to measure; None: nothing that pays (or can be paid), follow the plan."""
    reference_w = learner.prior.reference_limit_w
    begun_s = learner.elapsed_s - learner.begun_s
    if begun_s < WARM_UP_S:
        return Window(reference_w, WARM_UP_S - begun_s, Why.WARM_UP)
    if learner.referred_at_s is None:
        first_s = CHECK_S if learner.known else FIRST_REFERENCE_S
        return Window(reference_w, first_s, Why.REFERENCE)
    if learner.is_too_noisy:
        return None
    below = _next_level(learner, means)
    if below is not None:
        window = _afforded(learner, means, below)
        if window is not None:
            return window
    since_s = learner.elapsed_s - learner.referred_at_s
    if since_s >= CHECK_EVERY_S:
        return Window(reference_w, CHECK_S, Why.CHECK)
    return _refinement(learner, means)


def as_plan(window: Window, fleet: Mapping[str, Group], now: datetime, knob: SlowdownKnob, lowest_r: float) -> Plan:
    """A plan that holds the window and then the reference limit, for a job of one GPU product.

    lowest_r: what the throughput is at least; so the credit carried on through the window is never too much.
    """
    plan = reference_plan(now=now, fleet=fleet, knob=knob)
    (product,) = fleet
    low = PlanStep(now, {product: window.limit_w}, lowest_r)
    full = plan.steps[0]._replace(at=now + timedelta(seconds=window.seconds))
    return replace(plan, steps=(low, full))


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
    # Near the floor a level is used most of the time, and has to be known well; far below a little.
    wanted = PRECISION * max(means.slowdown, means.floor_r - math.exp(float(learner.belief.mean[1 + index])))
    noise = learner.noise.one_second
    needed_s = min(max(noise**2 / min(wanted, USABLE / CONFIDENCE / 1.5) ** 2, SHORTEST_S), LONGEST_S)
    costs = max(means.floor_r - learner.lowest_r[limit_w], 0.0)
    affordable_s = means.credit_s / costs if costs > 0 else math.inf
    seconds = math.floor(min(needed_s, affordable_s))
    if seconds < BRIEFEST_S:
        return None
    return Window(limit_w, float(seconds), Why.LEVEL, seconds * costs)


def _refinement(learner: Learner, means: Means) -> Window | None:
    """The window that makes the curve more certain and saves most beyond what it costs; None where none does."""
    curve = learner.curve
    if curve is None:
        return None
    belief, known = learner.belief, learner.known
    r = np.array([curve.at(limit_w)[1] for limit_w in known])
    usual = min(int(np.sum(r > means.floor_r)), len(known) - 1)
    near = r >= 1 / (1 + NEAR * means.slowdown)
    waiting = learner.elapsed_s - (learner.referred_at_s or 0.0) < PATIENCE_S
    rate = math.exp(float(belief.mean[0]))
    best, most_s = None, 0.0
    for limit_w in (
        learner.prior.reference_limit_w,
        *(limit for limit, is_near in zip(known, near, strict=True) if is_near),
    ):
        at_reference = limit_w == learner.prior.reference_limit_w
        if at_reference and waiting:
            continue
        average_w, speed = curve.at(limit_w)
        price = max(
            _price(curve, means, average_w, speed), (CHEAPEST_REFERENCE if at_reference else CHEAPEST) * means.slowdown
        )
        costs = max(means.floor_r - learner.lowest_r[limit_w], 0.0)
        for seconds in REFINING_S:
            if seconds * costs > means.credit_s:
                continue
            after = belief.told(
                limit_w, belief.expected(limit_w)[0], learner.noise.variance(seconds, rate * speed * seconds)
            )
            narrowed = (belief.deviations - after.deviations)[: len(known)]
            gained = CONFIDENCE * narrowed[usual] + MISCHOSEN * float(np.sum(narrowed[near]))
            worth_s = gained * (means.remaining_s - seconds) - seconds * price
            if worth_s > most_s:
                why = Why.REFERENCE if at_reference else Why.LEVEL
                best, most_s = Window(limit_w, seconds, why, seconds * costs), worth_s
    return best


def _price(curve: Curve, means: Means, average_w: float, speed: float) -> float:
    """What a second at a limit costs beyond what it earns, as seconds of credit.

    It draws more than the usual mix of limits does, and earns credit; what credit is worth is the slope of the hull at the floor.
    """
    r, watts = np.array([(point.r, point.average_w) for point in curve.hull]).T
    if len(r) < 2:
        return math.inf
    floor_r = float(np.clip(means.floor_r, r[0], r[-1]))
    above = int(np.clip(np.searchsorted(r, floor_r), 1, len(r) - 1))
    slope = float((watts[above] - watts[above - 1]) / (r[above] - r[above - 1]))
    return (average_w - float(np.interp(floor_r, r, watts))) / slope - (speed - floor_r)
