"""How a job follows its plans over time: where its credit stands, when a plan is due, how one plan hands over to the next.

Measurements arrive late (a record closes when its time is up), so the credit now is the measured credit carried on at the
throughput of the limits that were in force since. A new plan begins a little ahead, and what is pushed contains the steps
of the old one up to there: all workers switch at the same instant, with no message at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from carbonzeus_operator.grid.series import Series
from carbonzeus_operator.plan import bound
from carbonzeus_operator.plan.mixed import Group, Overhead
from carbonzeus_operator.plan.schedule import (
    NO_OVERHEAD,
    Knob,
    Plan,
    PlanStep,
    SlowdownKnob,
    WeightKnob,
    in_force,
    make_plan,
    reference_plan,
    static_plan,
)
from carbonzeus_operator.plan.standstill import heedful, lacking_s
from carbonzeus_operator.plan.survival import Known, Length, Unknown
from carbonzeus_operator.resources.policy import WhenStale
from carbonzeus_operator.world.snapshot import ActivePlan, Measured, Rules
from carbonzeus_wire import Step

KEPT_STEPS = 256
"""Past steps kept of earlier plans."""
MAX_PUSHED = 4096
"""Steps that the wire carries at most."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a job's plans are made from beside the time, the forecast and the measured credit."""

    fleet: Mapping[str, Group]
    slowdown: float | None
    """The bound as a share; None: `eta` counts instead."""
    eta: float = 0.0
    overhead: Overhead = NO_OVERHEAD
    expected_work_s: float | None = None
    """The whole job's work [s at the reference limit], where it is known."""
    past_work_s: tuple[float, ...] = ()
    """That of earlier runs of the same workload: what to expect where it is not."""
    when_stale: WhenStale = WhenStale.HOLD_STATIC
    pods: tuple[str, ...] = ()
    """UIDs. A worker that came anew asks for a new plan."""


def follow(
    active: ActivePlan | None,
    measured: Measured,
    course: Course,
    forecast: Series | None,
    rules: Rules,
    now: datetime,
    *,
    fresh: bool,
    held: PlanStep | None = None,
) -> ActivePlan:
    """The plan the job follows: the one it has, or a new one. fresh: whether the forecast may be followed.

    held: where the job has no plan yet, the limits that an earlier leader's plan holds its GPUs at.
    """
    issue = (forecast.zone, forecast.signal, forecast.source, forecast.issued_at) if forecast and fresh else None
    basis = (fresh, issue, course)
    urgent = course.slowdown is not None and is_urgent(active, measured, course.slowdown, rules, now)
    if active is not None and not is_due(active, basis, rules, now, urgent=urgent):
        return active
    begin = now + rules.switch_lead
    intervals = forecast.intervals if forecast is not None else ()

    def made(knob: Knob) -> Plan:
        if fresh:
            return make_plan(
                now=begin,
                forecast=intervals,
                fleet=course.fleet,
                knob=knob,
                length=_length(course, measured, rules),
                overhead=course.overhead,
                minimum_dwell=rules.minimum_dwell,
                horizon=rules.horizon,
            )
        if course.when_stale is WhenStale.RESTORE:
            return reference_plan(now=begin, fleet=course.fleet, knob=knob)
        return static_plan(now=begin, forecast=intervals, fleet=course.fleet, knob=knob, overhead=course.overhead)

    def followed(plan: Plan) -> ActivePlan:
        if active is None and held is not None:
            return ActivePlan(plan=plan, basis=basis, timeline=(held, *plan.steps))
        return continued(active, plan, basis, measured.until)

    if course.slowdown is None:
        return followed(made(WeightKnob(course.eta)))
    credit_s = credit_now(active, measured, course.slowdown, rules, begin)
    if active is None and held is not None:
        credit_s += carried((held,), course.slowdown, held.at, begin)
    knob = SlowdownKnob(course.slowdown, credit_s)
    seen = measured.until if measured.until is not None and active is not None else begin
    known_s = _measured_credit(measured, course.slowdown, rules)

    def lacking(plan: Plan) -> float:
        return lacking_s(
            followed(plan).timeline,
            credit_s=known_s,
            floor_r=knob.floor_r,
            start=seen,
            end=begin + rules.unseen,
            r_error=rules.curve_error,
        )

    return followed(heedful(made, knob, lacking, rules.unseen.total_seconds()))


def credit_now(active: ActivePlan | None, measured: Measured, slowdown: float, rules: Rules, at: datetime) -> float:
    """The credit [s of work] to plan with at `at`: what the job has, less what measurement and curve may be wrong by.

    While the margin is being eaten into, but less than half of it, nothing is to be spent and nothing repaid: else every
    breath of noise would send the job to its reference limit and back.
    """
    credit_s, margin_s = _credit(active, measured, slowdown, rules, at), _margin(measured, rules, at)
    return 0.0 if margin_s / 2 <= credit_s < margin_s else credit_s - margin_s


def is_urgent(active: ActivePlan | None, measured: Measured, slowdown: float, rules: Rules, now: datetime) -> bool:
    """Whether the bound is at stake before the next plan is due: the margin is half used up."""
    return _credit(active, measured, slowdown, rules, now) < _margin(measured, rules, now) / 2


def is_due(active: ActivePlan, basis: object, rules: Rules, now: datetime, *, urgent: bool) -> bool:
    """Whether a new plan is needed: other inputs, age, or a bound at stake while the job runs below full speed."""
    if active.basis != basis or now - active.plan.made_at >= rules.replan:
        return True
    return urgent and now >= active.plan.made_at and active.plan.step_at(now).r < 1.0


def continued(active: ActivePlan | None, plan: Plan, basis: object, measured_until: datetime | None) -> ActivePlan:
    """`plan` after `active`: the old steps hold until the new plan begins."""
    old = [step for step in active.timeline if step.at < plan.made_at] if active is not None else []
    if measured_until is not None:
        later = next((index for index, step in enumerate(old) if step.at > measured_until), len(old))
        old = old[max(later - 1, 0) :]
    return ActivePlan(plan=plan, basis=basis, timeline=(*old[-KEPT_STEPS:], *plan.steps))


def pushed_steps(active: ActivePlan, product: str, rules: Rules) -> tuple[Step, ...]:
    """The steps for one product's GPUs, as far as any lease on this plan can reach."""
    end = active.plan.made_at + rules.replan + 2 * rules.lease
    steps: list[Step] = []
    for step in active.timeline:
        limit_w = step.limits_w.get(product)
        if limit_w is None or step.at >= end:
            continue
        if not steps or steps[-1].limit_watts != limit_w:
            steps.append(Step(at=step.at, limit_watts=limit_w))
    return tuple(steps[:MAX_PUSHED])


def carried(timeline: Sequence[PlanStep], slowdown: float, start: datetime, end: datetime) -> float:
    """The credit [s of work] earned (or, negative, spent) over [start, end). Before the first step r = 1."""
    return sum(
        ((1.0 if step is None else step.r) - 1 / (1 + slowdown)) * (until - begin).total_seconds()
        for begin, until, step in in_force(timeline, start, end)
    )


def _length(course: Course, measured: Measured, rules: Rules) -> Length:
    expected_s = course.expected_work_s
    if expected_s is None or measured.work_s >= expected_s:
        return Unknown(rules.survival_s, measured.work_s, course.past_work_s)
    return Known(expected_s - measured.work_s)


def _measured_credit(measured: Measured, slowdown: float, rules: Rules) -> float:
    return bound.credit_s(
        elapsed_s=measured.elapsed_s, work_s=measured.work_s, slowdown=slowdown, grace_s=rules.grace_s
    )


def _credit(active: ActivePlan | None, measured: Measured, slowdown: float, rules: Rules, at: datetime) -> float:
    credit_s = _measured_credit(measured, slowdown, rules)
    if measured.until is None or active is None:
        return credit_s
    return credit_s + carried(active.timeline, slowdown, measured.until, at)


def _margin(measured: Measured, rules: Rules, at: datetime) -> float:
    unseen_s = rules.unseen.total_seconds()
    if measured.until is not None:
        unseen_s += max((at - measured.until).total_seconds(), 0.0)
    return bound.margin_s(r_error=rules.curve_error, unseen_s=unseen_s)
