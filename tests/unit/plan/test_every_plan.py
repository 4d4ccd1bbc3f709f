"""What holds of every plan, whatever the curve, the forecast, the credit and the length."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.plan.mixed import Group, Overhead
from carbonzeus_operator.plan.schedule import Plan, SlowdownKnob, make_plan, static_plan
from carbonzeus_operator.plan.survival import Known, Length, Unknown
from tests.unit.plan.strategies import MIDNIGHT, Board, Parts, boards, forecasts, laid_out

TOLERANCE_S = 1e-4
"""Steps begin at whole microseconds."""
slowdowns = st.sampled_from([0.0, 0.01, 0.03, 0.1, 0.5])
credits_s = st.sampled_from([0.0, 60.0]) | st.floats(-2_000, 5_000)
lengths = st.builds(Known, st.floats(0, 4e5)) | st.builds(Unknown, st.sampled_from([3_600.0, 86_400.0]))
dwells_s = st.sampled_from([0.0, 60.0, 900.0])
overheads = st.builds(Overhead, st.sampled_from([0.0, 300.0]))


def credit_path(plan: Plan) -> list[float]:
    """The credit at every switch and long after the last: it is linear in between."""
    instants = [step.at for step in plan.steps] + [plan.steps[-1].at + timedelta(days=30)]
    return [credit for instant in instants if (credit := plan.credit_after(instant)) is not None]


@given(
    board=boards(),
    parts=forecasts(),
    slowdown=slowdowns,
    credit_s=credits_s,
    length=lengths,
    dwell_s=dwells_s,
    offset_s=st.sampled_from([0.0, 700.0]),
    overhead=overheads,
)
def test_the_bound_holds_at_every_moment(
    board: Board,
    parts: Parts,
    slowdown: float,
    credit_s: float,
    length: Length,
    dwell_s: float,
    offset_s: float,
    overhead: Overhead,
) -> None:
    """Inside intervals too; debts only shrink; no limit is held too short or lies outside the range; it ends safe."""
    curve = board.curve
    plan = make_plan(
        now=MIDNIGHT,
        forecast=laid_out(parts, offset_s=offset_s),
        fleet={"GPU": Group(curve, 3)},
        knob=SlowdownKnob(slowdown, credit_s),
        length=length,
        overhead=overhead,
        minimum_dwell=timedelta(seconds=dwell_s),
    )
    path = credit_path(plan)
    assert len(path) == len(plan.steps) + 1
    for before, after in pairwise(path):
        assert after >= min(before, 0.0) - TOLERANCE_S
    assert plan.steps[-1].r >= 1 / (1 + slowdown) - 1e-9
    assert plan.steps[0].at == MIDNIGHT
    for earlier, later in pairwise(plan.steps):
        assert later.at - earlier.at >= timedelta(seconds=dwell_s) - timedelta(microseconds=2)
        assert later.limits_w != earlier.limits_w
    for step in plan.steps:
        assert curve.lowest.limit_w <= step.limits_w["GPU"] <= curve.highest.limit_w
        assert step.r == pytest.approx(curve.at(step.limits_w["GPU"])[1])


@given(
    board=boards(),
    parts=forecasts(),
    slowdown=slowdowns,
    debt_s=st.sampled_from([1e-3, 60.0]) | st.floats(0.0, 5_000, exclude_min=True),
    length=lengths,
    dwell_s=dwells_s,
)
def test_a_debt_is_repaid_as_fast_as_can_be(
    board: Board, parts: Parts, slowdown: float, debt_s: float, length: Length, dwell_s: float
) -> None:
    """At the reference limit until there is none, however dirty it is. One that is repaid sooner than a limit may change
    again is repaid in just that time.
    """
    fleet, knob, dwell = {"GPU": Group(board.curve, 1)}, SlowdownKnob(slowdown, -debt_s), timedelta(seconds=dwell_s)
    forecast = laid_out(parts)
    earning = board.curve.highest.r - knob.floor_r
    repaid_s = debt_s / earning if earning > 0 else math.inf
    for plan in (
        make_plan(now=MIDNIGHT, forecast=forecast, fleet=fleet, knob=knob, length=length, minimum_dwell=dwell),
        static_plan(now=MIDNIGHT, forecast=forecast, fleet=fleet, knob=knob, minimum_dwell=dwell),
    ):
        if math.isinf(repaid_s):
            assert [step.limits_w["GPU"] for step in plan.steps] == [board.curve.highest.limit_w]
            continue
        repaid = MIDNIGHT + timedelta(seconds=max(repaid_s, dwell_s))
        left_s = plan.credit_after(repaid)
        assert left_s is not None
        assert left_s >= -TOLERANCE_S
        if repaid_s >= dwell_s:
            until_then = [step for step in plan.steps if step.at < repaid - timedelta(milliseconds=2)]
            assert {step.limits_w["GPU"] for step in until_then} <= {board.curve.highest.limit_w}


@given(board=boards(["useless"]), parts=forecasts(), slowdown=slowdowns, credit_s=credits_s, length=lengths)
def test_nothing_is_slowed_where_nothing_is_saved(
    board: Board, parts: Parts, slowdown: float, credit_s: float, length: Length
) -> None:
    """A curve that draws the same at every limit is run at full speed."""
    fleet, knob = {"GPU": Group(board.curve, 1)}, SlowdownKnob(slowdown, credit_s)
    plan = make_plan(now=MIDNIGHT, forecast=laid_out(parts), fleet=fleet, knob=knob, length=length)
    assert all(step.r == pytest.approx(1.0) for step in plan.steps)
    assert plan.planned.grams == pytest.approx(plan.planned.reference_grams)


@given(board=boards(["free"]), parts=forecasts(), slowdown=slowdowns, length=lengths)
def test_what_costs_no_time_is_always_saved(board: Board, parts: Parts, slowdown: float, length: Length) -> None:
    """A curve as fast at every limit is held at the lowest, whatever the bound."""
    fleet, knob = {"GPU": Group(board.curve, 1)}, SlowdownKnob(slowdown, 0.0)
    plan = make_plan(now=MIDNIGHT, forecast=laid_out(parts), fleet=fleet, knob=knob, length=length)
    assert [step.limits_w["GPU"] for step in plan.steps] == [math.ceil(board.curve.lowest.limit_w - 1e-6)]


@given(board=boards(["pinned"]), parts=forecasts(), slowdown=slowdowns, credit_s=credits_s, length=lengths)
def test_a_curve_of_one_point_is_held(
    board: Board, parts: Parts, slowdown: float, credit_s: float, length: Length
) -> None:
    """There is nothing to plan."""
    fleet, knob = {"GPU": Group(board.curve, 1)}, SlowdownKnob(slowdown, credit_s)
    plan = make_plan(now=MIDNIGHT, forecast=laid_out(parts), fleet=fleet, knob=knob, length=length)
    assert [step.limits_w["GPU"] for step in plan.steps] == [300]


@given(board=boards(), parts=forecasts(), slowdown=slowdowns, credit_s=credits_s, length=lengths)
def test_intervals_of_no_length_change_nothing(
    board: Board, parts: Parts, slowdown: float, credit_s: float, length: Length
) -> None:
    """A provider may send them."""
    fleet, knob, forecast = {"GPU": Group(board.curve, 1)}, SlowdownKnob(slowdown, credit_s), laid_out(parts)
    some = [interval for interval in forecast if interval.end > interval.start]
    plan = make_plan(now=MIDNIGHT, forecast=forecast, fleet=fleet, knob=knob, length=length)
    assert plan == make_plan(now=MIDNIGHT, forecast=some, fleet=fleet, knob=knob, length=length)
