"""Plans that do not rely on what a job which stands still would not have earned."""

from __future__ import annotations

from datetime import timedelta

import pytest

from carbonzeus_operator.plan.curve import Point
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import Plan, PlanStep, SlowdownKnob, make_plan
from carbonzeus_operator.plan.standstill import heedful, lacking_s
from carbonzeus_operator.plan.survival import Known
from tests.unit.plan.strategies import MIDNIGHT, Board, laid_out

FLOOR_R = 1 / 1.25
BOARD = Board((Point(100, 100, 0.6), Point(200, 200, 0.8), Point(300, 300, 1.0)))


def steps(*parts: tuple[float, float]) -> list[PlanStep]:
    """(seconds after midnight, r)."""
    return [PlanStep(MIDNIGHT + timedelta(seconds=at), {}, r) for at, r in parts]


def lacks(*parts: tuple[float, float], credit_s: float, until_s: float = 300, r_error: float = 0.0) -> float:
    """In a plan from midnight on."""
    end = MIDNIGHT + timedelta(seconds=until_s)
    return lacking_s(steps(*parts), credit_s=credit_s, floor_r=FLOOR_R, start=MIDNIGHT, end=end, r_error=r_error)


def test_what_is_earned_first_and_then_spent_is_lacking() -> None:
    """100 s at full speed earn 20 s, the next 100 s at r = 0.6 spend them: who stood still has nothing to spend."""
    assert lacks((0, 1.0), (100, 0.6), (200, FLOOR_R), credit_s=0) == pytest.approx(20)
    assert lacks((0, 1.0), (100, 0.6), (200, FLOOR_R), credit_s=5) == pytest.approx(15)


def test_what_there_is_may_be_spent() -> None:
    """Before or after earning: measured credit is there, whether the job stands still or not."""
    assert lacks((0, 0.6), (100, 1.0), (200, 0.8), credit_s=21) == 0
    assert lacks((0, 1.0), (100, 0.6), (200, 0.8), credit_s=21) == 0


def test_after_the_next_measurement_nothing_is_lacking() -> None:
    """Then a plan is made that knows of it."""
    assert lacks((0, 1.0), (400, 0.6), credit_s=0) == 0
    assert lacks((0, 1.0), (250, 0.6), credit_s=0) == pytest.approx(10)


def test_time_before_the_first_step_earns() -> None:
    """Nobody touched the limit yet."""
    assert lacks((100, 0.6), (200, FLOOR_R), credit_s=0) == pytest.approx(20)


def test_the_margin_is_not_asked_for_twice() -> None:
    """What a wrong curve costs of a job that never stands still is the margin's business."""
    assert lacks((0, FLOOR_R), credit_s=0, r_error=0.1) == 0
    assert lacks((0, 0.85), credit_s=0, r_error=0.1) == 0


def test_a_debt_that_stands_still_is_not_repaid() -> None:
    """100 s at full speed with a debt of 10 s: the rest at the floor costs a wrong curve's share once more."""
    assert lacks((0, 1.0), (100, FLOOR_R), credit_s=-10, r_error=0.05) == pytest.approx(200 * 0.05)


def planned(credit_s: float) -> tuple[Plan, Plan]:
    """A clean minute ahead of dirty ones: the plan as it is, and the heedful one."""
    forecast = laid_out([(0, 120, 10), (0, 480, 500), (0, 3_000, 10)])

    def made(knob: SlowdownKnob) -> Plan:
        return make_plan(
            now=MIDNIGHT, forecast=forecast, fleet={"GPU": Group(BOARD.curve, 1)}, knob=knob, length=Known(3_000)
        )

    knob = SlowdownKnob(0.25, credit_s)
    return made(knob), heedful(made, knob, lambda plan: missing(plan, credit_s), 300)


def missing(plan: Plan, credit_s: float) -> float:
    """Until five minutes past midnight."""
    end = MIDNIGHT + timedelta(seconds=300)
    return lacking_s(plan.steps, credit_s=credit_s, floor_r=FLOOR_R, start=MIDNIGHT, end=end, r_error=0)


@pytest.mark.parametrize("credit_s", [0.0, 5.0])
def test_a_plan_that_relies_on_earning_is_made_with_less(credit_s: float) -> None:
    """Until the next measurement it spends no more than was measured."""
    plain, heeded = planned(credit_s)
    assert missing(plain, credit_s) > 1
    assert missing(heeded, credit_s) <= 1e-6


def test_a_plan_that_needs_no_heed_is_left_alone() -> None:
    """There is credit enough for all that it spends before the next measurement."""
    plain, heeded = planned(200.0)
    assert missing(plain, 200.0) == 0
    assert heeded == plain


def test_where_no_plan_will_do_the_reference_limit_holds() -> None:
    """Until the next measurement."""
    knob = SlowdownKnob(0.25, 0.0)

    def made(knob: SlowdownKnob) -> Plan:
        return make_plan(now=MIDNIGHT, forecast=[], fleet={"GPU": Group(BOARD.curve, 1)}, knob=knob)

    plan = heedful(made, knob, lambda plan: 1.0 if plan.step_at(MIDNIGHT).r < 1 else 0.5, 300)
    assert all(plan.step_at(MIDNIGHT + timedelta(seconds=second)).r == 1.0 for second in range(300))
