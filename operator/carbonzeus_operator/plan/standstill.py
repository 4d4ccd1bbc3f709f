"""What a plan relies on that a job which stands still would not have earned. Pure.

A container that is started again in its pod, a long checkpoint, a collective that waits: the plan goes on meanwhile. What it
meant to earn is not earned, and what it meant to spend afterwards is spent. Nobody knows of it before the next measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from carbonzeus_operator.plan.schedule import Plan, PlanStep, SlowdownKnob, in_force

ROUNDS = 4
"""So often a plan is made again with less credit. Then the reference limit holds until the next measurement."""
NOTHING_S = 1e-6
"""Less than this is rounding."""


def lacking_s(
    steps: Sequence[PlanStep], *, credit_s: float, floor_r: float, start: datetime, end: datetime, r_error: float
) -> float:
    """The credit [s of work] that is missing at the worst moment of [start, end), if the job stands still at the worst times.

    steps: rising in time; before the first one r = 1. credit_s [s of work]: at `start`, as measured. floor_r: 1 / (1 + slowdown), where the credit stays as it is.
    A second at throughput r brings r - floor_r - r_error at least, and nothing while the job stands still: the worst is
    min(0, r - floor_r - r_error). What would be missing of a job that never stands still is not counted: the margin is for
    that.
    """
    going = standing = worst_going = worst_standing = credit_s
    for begin, until, step in in_force(steps, start, end):
        gained = ((1.0 if step is None else step.r) - floor_r - r_error) * (until - begin).total_seconds()
        going, standing = going + gained, standing + min(gained, 0.0)
        worst_going, worst_standing = min(worst_going, going), min(worst_standing, standing)
    return max(-worst_standing, 0.0) - max(-worst_going, 0.0)


def heedful(
    make: Callable[[SlowdownKnob], Plan],
    knob: SlowdownKnob,
    lacking: Callable[[Plan], float],
    unseen_s: float,
) -> Plan:
    """The plan for which nothing is lacking: made with less credit, until a job that stands still breaks no bound either.

    lacking: what a plan lacks [s of work], as `lacking_s` says. unseen_s [s]: from the plan's begin to the next one.
    """
    plan, credit_s = make(knob), knob.credit_s
    for _ in range(ROUNDS):
        missing_s = lacking(plan)
        if missing_s <= NOTHING_S:
            return plan
        credit_s -= missing_s
        plan = make(SlowdownKnob(knob.slowdown, credit_s))
    if lacking(plan) <= NOTHING_S:
        return plan
    return make(SlowdownKnob(knob.slowdown, min(credit_s, -(1 - knob.floor_r) * unseen_s)))
