"""The closed loop against the operator: the same inputs, the same plans."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_cli.simulate import example
from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.feed import Issued, Perfect
from carbonzeus_cli.simulate.history import Forecast, History
from carbonzeus_cli.simulate.job import Bound, Job
from carbonzeus_cli.simulate.loop import Moment, simulate
from carbonzeus_cli.simulate.optimum import optimum
from carbonzeus_cli.simulate.rivals import at_constant, at_default, by_eq6
from carbonzeus_cli.simulate.run import Run, Trace
from carbonzeus_operator.decide import reconcile
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.resources.profile import PowerProfileSpec
from carbonzeus_operator.world.objects import Key
from carbonzeus_operator.world.snapshot import JobView, Rules
from tests.unit.cli.conftest import BEGIN
from tests.unit.operator import world


@pytest.mark.parametrize("known", [True, False])
def test_operator_makes_the_very_plans_of_the_simulator(known):
    """At every moment of a run, the operator's decision from the same measurements and forecast is the same plan."""
    spec = PowerProfileSpec.model_validate(
        {
            "gpuProduct": "NVIDIA A40",
            "points": [
                {
                    "limitWatts": point.limit_w,
                    "averageWatts": f"{point.average_w:.2f}",
                    "throughput": f"{point.throughput * 1e5:.5f}",
                }
                for point in example.points()
            ],
        }
    )
    curve = Curve.from_points([Point(*point) for point in spec.to_points()], 300.0, minimum_w=150.0)
    job = Job(curve, 24 * 3600.0, 0.03, known=known, rules=Rules(replan=timedelta(minutes=30)), product="NVIDIA A40")
    history = History.of(example.recording(), Forecast.GIVEN)
    feed = history.feed(job.rules.horizon)
    (start,) = history.starts(None, None, job.longest)
    moments: list[Moment] = []
    simulate(job, feed, start, moments)
    assert len(moments) > 40
    asked = world.job(expected_duration="24h") if known else world.job()
    policy = world.policy(staleForecast={"afterMinutes": 1440})
    operators = None
    for moment in moments:
        assert moment.before is operators or moment.before == operators
        view = JobView(asked, (world.pod("w-0", "n1"),), moment.measured, operators)
        grid = GridView(feed.at(moment.now), None, None, None)
        snapshot = replace(
            world.cluster(view, policies={"gentle": policy}, profiles={Key("ml", "a40"): spec}),
            now=moment.now,
            grid={("US-CAL-CISO", Signal.AVERAGE): grid},
        )
        (decision,) = reconcile(snapshot, job.rules).jobs
        assert decision.active is not None
        assert decision.active.plan == moment.active.plan
        assert decision.active.timeline == moment.active.timeline
        operators = moment.active


intensities = st.lists(st.floats(0, 900), min_size=30, max_size=30)


@settings(max_examples=60)
@given(intensities, st.sampled_from([0.0, 0.01, 0.03, 0.1]), st.booleans(), st.floats(0, 5000))
def test_bound_holds_on_any_grid_and_nobody_beats_the_optimum(values, slowdown, known, offset_s):
    """Whatever the grid does: equal work, the bound at every moment, and the optima below everything that keeps their bounds."""
    curve = Curve.from_points(example.points(), 300.0, minimum_w=150.0)
    rules = Rules(replan=timedelta(hours=2))
    job = Job(curve, 20 * 3600.0, slowdown, known=known, rules=rules)
    actual = Actual(BEGIN, timedelta(hours=1), np.array(values))
    start = BEGIN + timedelta(seconds=offset_s)
    ours = simulate(job, Perfect(actual, rules.horizon), start)
    traces = {
        "default": at_default(job),
        "static": at_constant(job, job.bound),
        "eq6": by_eq6(job, actual, start, job.bound, anytime=False),
        "eq6_anytime": by_eq6(job, actual, start, job.bound, anytime=True),
        "ours": ours,
        "anytime": optimum(job, actual, start, job.bound, anytime=True),
        "end": optimum(job, actual, start, job.bound, anytime=False),
    }
    for trace in traces.values():
        done = trace.until_done(job.work_s)
        assert float(done.r @ np.diff(done.edges_s)) == pytest.approx(job.work_s)
    runs = {name: Run.of(trace, actual, start, job.work_s, job.bound) for name, trace in traces.items()}
    for name in ("default", "static", "eq6_anytime", "ours", "anytime"):
        assert runs[name].most_behind_s <= rules.grace_s + 1e-3
        assert runs["anytime"].carbon_g <= runs[name].carbon_g * (1 + 1e-6) + 1e-6
    assert runs["end"].carbon_g <= min(runs["eq6"].carbon_g, runs["anytime"].carbon_g) * (1 + 1e-6) + 1e-6


@given(
    st.lists(st.tuples(st.floats(1, 5000), st.floats(0, 300)), min_size=1, max_size=8),
    st.lists(st.floats(1, 9), max_size=5),
)
def test_grams_add_up_over_any_cut(stretches, cuts):
    """Cutting a stretch in two emits the same, in all."""
    actual = Actual(BEGIN, timedelta(minutes=30), np.linspace(50, 500, 100))
    edges_s = np.append(0.0, np.cumsum([seconds for seconds, _ in stretches]))
    watts = np.array([power for _, power in stretches])
    more = np.unique(np.concatenate((edges_s, [edges_s[-1] / cut for cut in cuts])))
    finer = watts[np.clip(np.searchsorted(edges_s, (more[1:] + more[:-1]) / 2) - 1, 0, len(watts) - 1)]
    start = BEGIN + timedelta(minutes=7)
    whole = actual.grams(start, edges_s, watts).sum()
    assert actual.grams(start, more, finer).sum() == pytest.approx(whole)


def test_grams_are_watts_times_hours_times_intensity():
    """100 W for half an hour at 200 and half an hour at 400 g/kWh."""
    actual = Actual(BEGIN, timedelta(hours=1), np.array([200.0, 400.0]))
    grams = actual.grams(BEGIN + timedelta(minutes=30), np.array([0.0, 3600.0]), np.array([100.0]))
    assert grams.tolist() == pytest.approx([0.05 * 200 + 0.05 * 400])


def test_trace_ends_where_its_work_is_done():
    """Within a stretch, at its end, or beyond: as long as the last one takes."""
    trace = Trace(np.array([0.0, 100.0, 200.0]), np.array([1.0, 0.5]), np.array([300.0, 200.0]))
    assert trace.until_done(125.0).edges_s.tolist() == pytest.approx([0, 100, 150])
    assert trace.until_done(100.0).edges_s.tolist() == pytest.approx([0, 100])
    assert trace.until_done(200.0).edges_s.tolist() == pytest.approx([0, 100, 300])


def test_most_behind_is_the_worst_moment_not_the_last():
    """What is caught up later was behind all the same."""
    trace = Trace(np.array([0.0, 100.0, 300.0]), np.array([0.5, 1.0]), np.array([1.0, 1.0]))
    assert trace.most_behind_s(Bound(0.0, 0.0)) == pytest.approx(50)
    assert trace.most_behind_s(Bound(0.25, 0.0)) == pytest.approx(30)


def test_new_forecast_asks_for_a_new_plan(a40: Curve):
    """The loop wakes when an issue comes, not only when a plan is old."""
    job = Job(a40, 30 * 3600.0, 0.03, rules=Rules(replan=timedelta(hours=50)))
    history = History.of(example.recording(), Forecast.GIVEN)
    moments: list[Moment] = []
    simulate(job, Issued(history.recording), history.actual.start, moments)
    assert [moment.now for moment in moments] == [history.actual.start, history.actual.start + timedelta(days=1)]
