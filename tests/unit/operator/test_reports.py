"""What is written about a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from carbonzeus_operator.decide import JobDecision, reconcile
from carbonzeus_operator.plan.schedule import SlowdownKnob
from carbonzeus_operator.reports import status_of
from carbonzeus_operator.resources.report import MAX_PLAN_STEPS, JobResult
from carbonzeus_operator.run import Run, report_key
from carbonzeus_operator.world.objects import Job
from carbonzeus_operator.world.snapshot import Snapshot
from tests.unit.operator import world
from tests.unit.operator.world import NOON, RULES


def decided(snapshot: Snapshot) -> tuple[Run, JobDecision]:
    (view,) = snapshot.jobs
    (decision,) = reconcile(snapshot, RULES).jobs
    return Run(view.job, report_key(view.job)), decision


def test_the_limits_to_come_are_told() -> None:
    """From the step in force on, as planned, not more than a few."""
    snapshot = world.cluster()
    run, decision = decided(snapshot)
    assert decision.active is not None
    assert isinstance(decision.active.plan.knob, SlowdownKnob)
    later = replace(snapshot, now=NOON + timedelta(hours=3))
    plan = status_of(run, decision, later, RULES).plan
    assert plan is not None
    steps = [step for step in decision.active.timeline if step.at > later.now]
    in_force = decision.active.timeline[len(decision.active.timeline) - len(steps) - 1]
    told = [(step.at, step.limit) for step in plan.steps]
    assert told == [(step.at, f"{step.limits_w['NVIDIA A40']:.0f} W") for step in (in_force, *steps)][:MAX_PLAN_STEPS]
    assert len(told) == MAX_PLAN_STEPS
    assert plan.made_at == NOON + RULES.switch_lead
    assert float(plan.credit_seconds or "") == pytest.approx(decision.active.plan.knob.credit_s, abs=1e-3)


def test_nothing_is_planned_where_nothing_may_be() -> None:
    """A policy that only observes, a job that ended."""
    run, decision = decided(world.cluster(policies={"gentle": world.policy(mode="Observe")}))
    assert status_of(run, decision, world.cluster(), RULES).plan is None


@pytest.mark.parametrize(
    ("job", "result"),
    [
        (replace(world.job(), finished_at=NOON, succeeded=True), JobResult.SUCCEEDED),
        (replace(world.job(), finished_at=NOON), JobResult.FAILED),
        (replace(world.job(), finished_at=NOON, created_at=None), None),
        (world.job(), None),
    ],
)
def test_how_a_job_ended_is_told_where_it_is_known(job: Job, result: JobResult | None) -> None:
    """A job that was deleted before it ended has no result."""
    snapshot = world.cluster()
    (view,) = snapshot.jobs
    snapshot = replace(snapshot, jobs=(replace(view, job=job),))
    run, decision = decided(snapshot)
    assert status_of(run, decision, snapshot, RULES).result is result
