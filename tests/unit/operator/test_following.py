from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator import following
from carbonzeus_operator.following import Course
from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import PlanStep
from carbonzeus_operator.plan.standstill import lacking_s
from carbonzeus_operator.world.snapshot import ActivePlan, JobView, Measured
from tests.unit.operator import world
from tests.unit.operator.test_decide import decide
from tests.unit.operator.world import NOON, RULES

MARGIN_S = RULES.curve_error * RULES.replan.total_seconds()


def view_with(credit_s: float, slowdown: float = 0.03) -> JobView:
    """A job that was measured up to now and has this credit."""
    elapsed_s = 10_000.0
    work_s = credit_s - RULES.grace_s + elapsed_s / (1 + slowdown)
    return JobView(world.job(), (), Measured(elapsed_s, work_s, NOON))


@pytest.mark.parametrize(
    ("credit", "planned"), [(3.0, 2.0), (1.0, 0.0), (0.9, 0.0), (0.5, 0.0), (0.4, -0.6), (-1.0, -2.0)]
)
def test_a_margin_is_kept_and_repaid_only_when_half_of_it_is_gone(credit, planned):
    """In margins: what is above may be spent, a little below holds the pace, far below is repaid."""
    view = view_with(credit * MARGIN_S)
    assert following.credit_now(view.active, view.measured, 0.03, RULES, NOON) == pytest.approx(
        planned * MARGIN_S, abs=1e-6
    )


def test_credit_is_carried_on_at_the_pace_of_the_limits_in_force():
    """Measurements are minutes old; what was planned since is counted."""
    active = decide(world.cluster()).active
    assert active is not None
    steps = (
        PlanStep(NOON - timedelta(hours=1), {"NVIDIA A40": 300.0}, 1.0),
        PlanStep(NOON + timedelta(seconds=60), {"NVIDIA A40": 200.0}, 0.9),
    )
    view = replace(view_with(50.0), active=replace(active, timeline=steps))
    later = NOON + timedelta(seconds=160)
    expected = 50.0 + 60 * (1 - 1 / 1.03) + 100 * (0.9 - 1 / 1.03)
    margin_s = RULES.curve_error * (RULES.replan.total_seconds() + 160)
    assert following.credit_now(view.active, view.measured, 0.03, RULES, later) == pytest.approx(expected - margin_s)


@pytest.mark.parametrize("credit", [0.4, 1.0, 1.5, 3.0, 10.0])
def test_what_is_followed_relies_on_nothing_that_a_standing_job_would_not_earn(credit):
    """Clean minutes first, then dirty ones: until the next measurement no more is spent than was measured."""
    forecast = world.grid().forecast
    assert forecast is not None
    forecast = replace(
        forecast,
        intervals=tuple(
            Interval(
                NOON + timedelta(minutes=2 * n), NOON + timedelta(minutes=2 * n + 2), 20.0 if n % 2 == 0 else 900.0
            )
            for n in range(200)
        ),
    )
    fleet = {"NVIDIA A40": Group(Curve.from_points([Point(150, 150, 0.6), Point(300, 240, 1.0)], 300), 1)}
    course = Course(fleet, 0.25)
    measured = view_with(credit * MARGIN_S, 0.25).measured
    plan = following.follow(None, measured, course, forecast, RULES, NOON, fresh=True).plan
    lacking = lacking_s(
        plan.steps,
        credit_s=credit * MARGIN_S,
        floor_r=1 / 1.25,
        start=plan.made_at,
        end=plan.made_at + RULES.unseen,
        r_error=RULES.curve_error,
    )
    assert lacking == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=6), st.integers(0, 400), st.integers(0, 400))
def test_carried_credit_adds_up_over_time(paces, first, second):
    """Carrying on to one instant and from there to another is carrying on at once."""
    steps = tuple(PlanStep(NOON + timedelta(seconds=50 * index), {}, r) for index, r in enumerate(paces))
    start, middle = NOON - timedelta(seconds=30), NOON + timedelta(seconds=first)
    end = middle + timedelta(seconds=second)
    whole = following.carried(steps, 0.03, start, end)
    parts = following.carried(steps, 0.03, start, middle) + following.carried(steps, 0.03, middle, end)
    assert whole == pytest.approx(parts, abs=1e-9)


def test_pushed_steps_reach_as_far_as_any_lease():
    """An agent that is not heard from again follows the plan to the end of its lease, never beyond the pushed steps."""
    active = decide(world.cluster()).active
    assert active is not None
    pushed = following.pushed_steps(active, "NVIDIA A40", RULES)
    end = active.plan.made_at + RULES.replan + 2 * RULES.lease
    missing = [step for step in active.plan.steps if step.at < end and step.limits_w["NVIDIA A40"] not in
               {one.limit_watts for one in pushed}]  # fmt: skip
    assert not missing
    assert all(one.limit_watts != other.limit_watts for one, other in pairwise(pushed))


def test_history_before_the_last_measurement_is_forgotten():
    """The timeline keeps the step in force at the last measurement, and what came after it."""
    active = decide(world.cluster()).active
    assert active is not None
    old = tuple(PlanStep(NOON - timedelta(minutes=minute), {}, 0.9) for minute in (30, 20, 10))
    kept = following.continued(
        ActivePlan(active.plan, None, old), active.plan, None, NOON - timedelta(minutes=15)
    ).timeline
    assert [step.at for step in kept[:2]] == [NOON - timedelta(minutes=20), NOON - timedelta(minutes=10)]
    assert kept[2:] == active.plan.steps
