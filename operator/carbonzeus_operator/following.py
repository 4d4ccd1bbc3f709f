"""How a job follows its plans over time: where its credit stands, when a plan is due, how one plan hands over to the next.

Measurements arrive late (a record closes when its time is up), so the credit now is the measured credit carried on at the
throughput of the limits that were in force since. A new plan begins a little ahead, and what is pushed contains the steps
of the old one up to there: all workers switch at the same instant, with no message at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from carbonzeus_operator.plan import bound
from carbonzeus_operator.plan.schedule import Plan, PlanStep
from carbonzeus_operator.world.snapshot import ActivePlan, JobView, Rules
from carbonzeus_wire import Step

KEPT_STEPS = 256
"""Past steps kept of earlier plans."""
MAX_PUSHED = 4096
"""Steps that the wire carries at most."""


def credit_now(view: JobView, slowdown: float, rules: Rules, at: datetime) -> float:
    """The credit [s of work] to plan with at `at`: what the job has, less what measurement and curve may be wrong by.

    While the margin is being eaten into, but less than half of it, nothing is to be spent and nothing repaid: else every
    breath of noise would send the job to its reference limit and back.
    """
    credit_s, margin_s = _credit(view, slowdown, rules, at), _margin(view, rules, at)
    return 0.0 if margin_s / 2 <= credit_s < margin_s else credit_s - margin_s


def is_urgent(view: JobView, slowdown: float, rules: Rules, now: datetime) -> bool:
    """Whether the bound is at stake before the next plan is due: the margin is half used up."""
    return _credit(view, slowdown, rules, now) < _margin(view, rules, now) / 2


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
    total, at, r = 0.0, start, 1.0
    for step in timeline:
        if step.at >= end:
            break
        if step.at > at:
            total += (r - 1 / (1 + slowdown)) * (step.at - at).total_seconds()
            at = step.at
        r = step.r
    return total + (r - 1 / (1 + slowdown)) * max((end - at).total_seconds(), 0.0)


def _credit(view: JobView, slowdown: float, rules: Rules, at: datetime) -> float:
    measured = view.measured
    credit_s = bound.credit_s(
        elapsed_s=measured.elapsed_s, work_s=measured.work_s, slowdown=slowdown, grace_s=rules.grace_s
    )
    if measured.until is None or view.active is None:
        return credit_s
    return credit_s + carried(view.active.timeline, slowdown, measured.until, at)


def _margin(view: JobView, rules: Rules, at: datetime) -> float:
    unseen_s = rules.replan.total_seconds()
    if view.measured.until is not None:
        unseen_s += max((at - view.measured.until).total_seconds(), 0.0)
    return bound.margin_s(r_error=rules.curve_error, unseen_s=unseen_s)
