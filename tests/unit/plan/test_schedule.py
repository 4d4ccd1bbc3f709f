"""Whole plans: what is held when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.mixed import Group, Overhead
from carbonzeus_operator.plan.outlook import look_ahead
from carbonzeus_operator.plan.schedule import (
    Plan,
    SlowdownKnob,
    WeightKnob,
    make_plan,
    reference_plan,
    static_plan,
)
from carbonzeus_operator.plan.survival import Known, Unknown
from tests.unit.plan.test_every_plan import credit_path

MakeForecast = Callable[..., list[Interval]]
HOUR = timedelta(hours=1)


@pytest.fixture
def fleet(a40: Curve) -> Mapping[str, Group]:
    return {"NVIDIA A40": Group(a40, 2)}


def limits(plan: Plan) -> list[float]:
    """The limits of the only product, in time order."""
    return [next(iter(step.limits_w.values())) for step in plan.steps]


def test_dirty_hours_get_lower_limits(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """The job is slowed when it is dirty and only then."""
    forecast = hourly([100, 100, 100, 500, 100, 100])
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=SlowdownKnob(0.03, 60), length=Known(6 * 3600))
    dirty = plan.step_at(now + 3.5 * HOUR).limits_w["NVIDIA A40"]
    clean = plan.step_at(now + 1.5 * HOUR).limits_w["NVIDIA A40"]
    assert dirty < 225 <= clean


def test_limits_are_whole_watts_at_least_what_is_wanted(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast, a40: Curve
) -> None:
    """Rounding up never costs the job time."""
    plan = make_plan(now=now, forecast=hourly([300] * 24), fleet=fleet, knob=SlowdownKnob(0.03, 0))
    assert all(limit_w == int(limit_w) for limit_w in limits(plan))
    assert limits(plan) == [230]
    assert a40.at(230)[1] >= 1 / 1.03 > a40.at(229)[1]


def test_flat_forecast_is_the_constant_limit(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """Where there is nothing to follow, nothing flaps."""
    knob = SlowdownKnob(0.05, 0)
    plan = make_plan(now=now, forecast=hourly([300] * 48), fleet=fleet, knob=knob, length=Unknown())
    constant = static_plan(now=now, forecast=hourly([300] * 48), fleet=fleet, knob=knob)
    assert plan.steps == constant.steps
    assert plan.planned.grams == pytest.approx(constant.planned.grams)


def test_debt_is_repaid_at_the_reference_limit_first(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast
) -> None:
    """A job that is behind runs at full speed until it is not, in the dirtiest hour too."""
    knob = SlowdownKnob(0.03, -60)
    repaid = now + timedelta(seconds=60 / (1 - 1 / 1.03))
    for plan in (
        make_plan(now=now, forecast=hourly([900, 100, 100]), fleet=fleet, knob=knob),
        static_plan(now=now, forecast=hourly([900, 100, 100]), fleet=fleet, knob=knob),
    ):
        assert plan.steps[0].limits_w == {"NVIDIA A40": 300}
        assert abs(plan.steps[1].at - repaid) < timedelta(milliseconds=1)
        assert plan.credit_after(repaid) == pytest.approx(0, abs=1e-6)
        assert min(credit_path(plan)[1:]) > -1e-6


def test_small_debt_is_repaid_gently(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """A breath of noise below zero is no reason for a minute at full power."""
    plan = make_plan(now=now, forecast=hourly([300] * 4), fleet=fleet, knob=SlowdownKnob(0.03, -0.1))
    assert limits(plan)[0] < 240
    assert plan.credit_after(now + timedelta(seconds=60)) == pytest.approx(0, abs=0.1)


def test_debt_longer_than_the_forecast_is_repaid_after_it(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast
) -> None:
    """The step after the horizon is safe to hold only once the debt is gone."""
    plan = make_plan(now=now, forecast=hourly([300]), fleet=fleet, knob=SlowdownKnob(0.03, -600))
    assert limits(plan) == [300, 230]
    assert plan.steps[1].at > plan.horizon_end


def test_no_slowdown_means_the_reference_limit(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """0 % is a bound like any other."""
    plan = make_plan(now=now, forecast=hourly([100, 500]), fleet=fleet, knob=SlowdownKnob(0, 0))
    assert limits(plan) == [300]


def test_gap_holds_the_constant_limit(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """Nothing is guessed where the forecast says nothing, and credit is kept through it."""
    forecast = hourly([100, 500]) + hourly([100, 500], start=now + 5 * HOUR)
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=SlowdownKnob(0.03, 0), length=Known(7 * 3600))
    inside = plan.step_at(now + 3 * HOUR)
    assert inside.limits_w == {"NVIDIA A40": 230}
    assert plan.step_at(now + 2 * HOUR) == plan.step_at(now + 5 * HOUR - timedelta(seconds=1))


def test_forecast_that_begins_later_is_waited_for(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast
) -> None:
    """The time before the first interval is a gap, too."""
    forecast = hourly([100, 900], start=now + HOUR)
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=SlowdownKnob(0.03, 0))
    assert plan.steps[0].limits_w == {"NVIDIA A40": 230}
    assert len(plan.steps) > 1


def test_without_a_forecast_the_plan_is_the_constant_limit(now: datetime, fleet: Mapping[str, Group]) -> None:
    """A safe plan needs no forecast."""
    plan = make_plan(now=now, forecast=[], fleet=fleet, knob=SlowdownKnob(0.03, 60))
    assert limits(plan) == [230]
    assert plan.horizon_end == now
    assert plan.planned.grams == 0


def test_past_intervals_are_ignored_and_the_running_one_is_cut(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast
) -> None:
    """A plan starts now, in the middle of an interval."""
    later = now + 2.5 * HOUR
    plan = make_plan(now=later, forecast=hourly([9, 9, 300, 400, 200]), fleet=fleet, knob=SlowdownKnob(0.03, 60))
    assert plan.made_at == plan.steps[0].at == later
    assert plan.horizon_end == now + 5 * HOUR


def test_known_length_ends_the_horizon(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """A peak that the job will not see gets no credit."""
    forecast = hourly([200] * 10 + [900] * 10)
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=SlowdownKnob(0.03, 60), length=Known(9 * 3600))
    assert plan.horizon_end == now + timedelta(seconds=1.03 * (9 * 3600 + 60))
    assert plan.planned.slowdown == pytest.approx(0.03, abs=0.003)
    assert plan.planned.grams <= plan.planned.static_grams * 1.0005


def test_unknown_length_keeps_less_for_later(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """A far peak is worth less to a job that may be gone by then."""
    forecast = hourly([200] * 40 + [400] * 8)
    knob = SlowdownKnob(0.03, 60)
    certain = make_plan(now=now, forecast=forecast, fleet=fleet, knob=knob, length=Known(47 * 3600))
    doubtful = make_plan(now=now, forecast=forecast, fleet=fleet, knob=knob, length=Unknown(6 * 3600))
    peak = now + 40 * HOUR
    saved, kept = certain.credit_after(peak), doubtful.credit_after(peak)
    assert saved is not None
    assert kept is not None
    assert saved > kept + 100


def test_last_step_is_safe_to_hold(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """A plan that ends in a dirty hour does not leave the job at its low limit."""
    forecast = hourly([100, 100, 900])
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=SlowdownKnob(0.03, 60), length=Known(3 * 3600))
    assert plan.step_at(now + 2.5 * HOUR).r < 1 / 1.03
    assert plan.steps[-1].r >= 1 / 1.03
    assert plan.steps[-1].at == plan.horizon_end


def test_slowing_below_the_most_efficient_limit_is_left_alone(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast
) -> None:
    """A generous bound is not used up where running slower would burn more for the same work."""
    plan = make_plan(now=now, forecast=hourly([300] * 24), fleet=fleet, knob=SlowdownKnob(0.5, 60))
    assert limits(plan) == [200]
    assert plan.planned.slowdown < 0.07


def test_host_power_makes_slowing_down_pay_less(
    now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast
) -> None:
    """With a host that draws much, the most efficient limit is a higher one."""
    forecast, knob = hourly([300] * 24), SlowdownKnob(0.5, 60)
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=knob, overhead=Overhead(host_w_per_gpu=400, pue=1.2))
    assert limits(plan) == [225]


def test_negative_intensity_runs_at_full_speed(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """Where burning more means less carbon, and where it costs nothing, credit is earned."""
    forecast = hourly([-50, 0, 300, 300])
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=SlowdownKnob(0.03, 60), length=Known(4 * 3600))
    assert plan.step_at(now).limits_w == {"NVIDIA A40": 300}
    assert plan.step_at(now + 1.5 * HOUR).limits_w == {"NVIDIA A40": 300}


def test_ceiling_below_the_bound_is_held_throughout(now: datetime, hourly: MakeForecast) -> None:
    """A policy's maximum that is slower than its bound allows: full speed is the best there is."""
    points = [Point(100, 100, 50), Point(200, 180, 80), Point(300, 280, 100)]
    fleet = {"GPU": Group(Curve.from_points(points, 300, maximum_w=250), 1)}
    for plan in (
        make_plan(now=now, forecast=hourly([100, 900]), fleet=fleet, knob=SlowdownKnob(0.03, -60)),
        make_plan(now=now, forecast=hourly([100, 900]), fleet=fleet, knob=SlowdownKnob(0.03, 60)),
        static_plan(now=now, forecast=hourly([100, 900]), fleet=fleet, knob=SlowdownKnob(0.03, -60)),
    ):
        assert limits(plan) == [250]


def test_curve_of_one_limit_is_held(now: datetime, hourly: MakeForecast) -> None:
    """A pinned limit leaves nothing to plan."""
    points = [Point(100, 100, 50), Point(300, 280, 100)]
    fleet = {"GPU": Group(Curve.from_points(points, 300, minimum_w=300), 1)}
    plan = make_plan(now=now, forecast=hourly([100, 900]), fleet=fleet, knob=SlowdownKnob(0.03, 60))
    assert limits(plan) == [300]


def test_planned_figures_compare_the_same_work(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """On a flat grid: the reference burns more, the constant limit the same as the plan."""
    plan = make_plan(now=now, forecast=hourly([360] * 24), fleet=fleet, knob=SlowdownKnob(0.03, 0))
    work_s = 86_400 * plan.steps[0].r
    assert plan.planned.reference_grams == pytest.approx(work_s * 2 * 244.3 / 3.6e6 * 360)
    assert plan.planned.grams < plan.planned.reference_grams
    assert plan.planned.grams == pytest.approx(plan.planned.static_grams, rel=2e-3)


def test_reference_plan_saves_nothing(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """The baseline is a plan as well."""
    knob = SlowdownKnob(0.03, 0)
    plan = reference_plan(now=now, fleet=fleet, knob=knob, forecast=hourly([300] * 4))
    assert limits(plan) == [300]
    assert plan.planned.grams == plan.planned.reference_grams
    assert reference_plan(now=now, fleet=fleet, knob=knob).planned.grams == 0


def test_same_inputs_make_the_same_plan(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """A plan is a value of its inputs, laid out beforehand or not."""
    forecast = hourly([300, 350, 200, 350, 300, 350, 200] * 7)
    knob = SlowdownKnob(0.03, 60)
    first = make_plan(now=now, forecast=forecast, fleet=fleet, knob=knob)
    assert make_plan(now=now, forecast=list(forecast), fleet=dict(fleet), knob=knob) == first
    assert make_plan(now=now, forecast=look_ahead(forecast, now), fleet=fleet, knob=knob) == first


def test_weight_knob_follows_equation_6(now: datetime, fleet: Mapping[str, Group], hourly: MakeForecast) -> None:
    """Dirty hours are slow, clean ones fast, whatever the slowdown; the horizon is held at the mean intensity."""
    forecast = hourly([100, 500, 300])
    plan = make_plan(now=now, forecast=forecast, fleet=fleet, knob=WeightKnob(0.7))
    assert plan.step_at(now).r > plan.step_at(now + 1.5 * HOUR).r
    assert plan.credit_after(now + HOUR) is None
    assert limits(make_plan(now=now, forecast=forecast, fleet=fleet, knob=WeightKnob(0))) == [300]
    assert limits(static_plan(now=now, forecast=forecast, fleet=fleet, knob=WeightKnob(1))) == [200]
    assert limits(static_plan(now=now, forecast=[], fleet=fleet, knob=WeightKnob(1))) == [200]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: SlowdownKnob(-0.01, 0), "InvalidSlowdown"),
        (lambda: SlowdownKnob(float("nan"), 0), "InvalidSlowdown"),
        (lambda: SlowdownKnob(0.03, float("inf")), "InvalidCredit"),
        (lambda: WeightKnob(1.1), "InvalidWeight"),
        (lambda: Known(-1), "InvalidLength"),
        (lambda: Unknown(0), "InvalidLength"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(make: Callable[[], object], reason: str) -> None:
    """Before they can make a plan that looks reasonable."""
    with pytest.raises(InvalidSpec) as refused:
        make()
    assert refused.value.reason == reason


def test_naive_time_is_refused(fleet: Mapping[str, Group]) -> None:
    """Plans are made in UTC."""
    with pytest.raises(InvalidSpec, match="time zone"):
        make_plan(now=datetime(2026, 1, 1), forecast=[], fleet=fleet, knob=WeightKnob(0.5))  # noqa: DTZ001 on purpose
