"""The arithmetic of slowdown and credit, and the bound itself over whole runs with everything going wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.bound import credit_s, margin_s, slowdown
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import Plan, PlanStep, SlowdownKnob, make_plan
from carbonzeus_operator.plan.standstill import heedful, lacking_s
from carbonzeus_operator.plan.survival import Known, Length, Unknown
from tests.unit.plan.strategies import MIDNIGHT, THOROUGH, Board, boards

GRACE_S = 60.0
CYCLE_S = 300.0
CYCLES = 40
UNSEEN_S = 4 * CYCLE_S
ERROR = 0.1
NOISE_S = 5.0


def test_credit_is_zero_exactly_at_the_bound() -> None:
    """There, elapsed = (1 + s)(work + grace)."""
    assert credit_s(elapsed_s=1.03 * 1060, work_s=1000, slowdown=0.03, grace_s=60) == pytest.approx(0)


def test_margin_is_held_back() -> None:
    """A curve that may be 10 % wrong can cost 10 % of the time until the next measurement, and the counter's grain."""
    margin = margin_s(r_error=0.1, unseen_s=300, resolution_s=2)
    assert margin == pytest.approx(32)
    assert credit_s(elapsed_s=0, work_s=0, slowdown=0.03, grace_s=60, margin_s=margin) == pytest.approx(28)


def test_slowdown_of_a_job_that_has_not_begun() -> None:
    """No time passed is no slowdown; time without work is an infinite one."""
    assert slowdown(elapsed_s=0, work_s=0) == 0
    assert slowdown(elapsed_s=10, work_s=0) == math.inf
    assert slowdown(elapsed_s=103, work_s=100) == pytest.approx(0.03)


class Run:
    """One job with everything going wrong: what is true, and what the operator gets to see.

    The curve is up to `error` wrong, the measured progress up to noise_s [s of work], the forecast has nothing to do with
    anything. The operator is away at times, plans from what it last measured at others, but never for longer than
    UNSEEN_S. Limits may fail to fall; with `stiff` they fail to rise and fall alike, once. The job may be restarted, and with
    `stops` stands still in the middle of a plan.
    """

    def __init__(
        self,
        board: Board,
        seed: int,
        bound: float,
        length: Length,
        *,
        error: float,
        noise_s: float,
        stops: bool,
        stiff: bool,
    ) -> None:
        self.rng = random.Random(seed)
        self.truth = board.curve
        self.believed = board.measured(self.rng, error)
        self.bound = bound
        self.length = length
        self.error = error
        self.noise_s = noise_s
        self.stops = stops
        self.stiff = stiff
        self.now = self.seen_at = MIDNIGHT
        self.seen_s = 0.0
        self.unchecked: list[PlanStep] = []
        self.forecast = self.garbage()
        self.elapsed_s = self.work_s = self.planned_s = 0.0
        self.lowest_s = GRACE_S
        self.worst_error_s = self.stopped_s = self.worst_stop_s = 0.0
        self.held_r = self.truth.highest.r

    def worst_overrun_s(self, margin: float = 0.0, *, heeding: bool = False) -> float:
        """What the job is over its bound with grace [s of work], at the worst moment of its life.

        heeding: plans do not rely on what a job that stands still would not have earned.
        """
        self.see()
        plan, unseen_s = self.planned(self.seen_s - margin, heeding=heeding), 0.0
        for _ in range(CYCLES):
            # At times the operator is away for longer, as long as an agent's lease lets the plan stand.
            away_s = CYCLE_S * (3 if unseen_s == 0 and self.rng.random() < 0.1 else 1)
            self.follow(plan, away_s)
            unseen_s += away_s
            if self.rng.random() < 0.2:
                self.forecast = self.garbage()
            expected_s = plan.credit_after(self.now)
            assert expected_s is not None
            late = unseen_s + CYCLE_S <= UNSEEN_S and self.rng.random() < 0.3
            if not late:
                unseen_s = 0.0
                if self.rng.random() < 0.02:
                    # A restart: neither time nor work counts while the workers do not all run.
                    self.now += timedelta(seconds=self.rng.uniform(1, 600))
                self.see()
                expected_s = self.seen_s - margin
            plan = self.planned(expected_s, heeding=heeding)
        return -self.lowest_s

    def see(self) -> None:
        """Measure: the credit, as far as the progress tells."""
        self.seen_at, self.unchecked, self.stopped_s = self.now, [], 0.0
        self.seen_s = self.credit_s + self.rng.uniform(-self.noise_s, self.noise_s)
        self.planned_s = self.credit_s

    @property
    def credit_s(self) -> float:
        return credit_s(elapsed_s=self.elapsed_s, work_s=self.work_s, slowdown=self.bound, grace_s=GRACE_S)

    def planned(self, credit: float, *, heeding: bool) -> Plan:
        def made(knob: SlowdownKnob) -> Plan:
            return make_plan(
                now=self.now,
                forecast=self.forecast,
                fleet={"GPU": Group(self.believed, 1)},
                knob=knob,
                length=self.length,
            )

        def lacking(plan: Plan) -> float:
            return lacking_s(
                [*self.unchecked, *plan.steps],
                credit_s=self.seen_s - self.noise_s,
                floor_r=knob.floor_r,
                start=self.seen_at,
                end=self.seen_at + timedelta(seconds=UNSEEN_S),
                r_error=self.error,
            )

        knob = SlowdownKnob(self.bound, credit)
        return heedful(made, knob, lacking, UNSEEN_S) if heeding else made(knob)

    def follow(self, plan: Plan, seconds: float) -> None:
        """Hold the plan's limits for so long; or for a part of it none changes, or the job stands still."""
        start, end = self.now, self.now + timedelta(seconds=seconds)
        stuck = self.rng.random() < 0.1 and not (self.stiff and self.worst_error_s > 0)
        stuck_r = self.held_r if self.stiff else self.truth.highest.r
        stop_s = self.rng.uniform(0, seconds) if self.stops and self.rng.random() < 0.2 else 0.0
        stopped = start + timedelta(seconds=self.rng.uniform(0, seconds - stop_s))
        resumed = stopped + timedelta(seconds=stop_s)
        self.unchecked += [step for step in plan.steps if step.at < end]
        edges = sorted({start, stopped, resumed, end, *(step.at for step in plan.steps if start < step.at < end)})
        for begin, until in pairwise(edges):
            if stopped <= begin < resumed:
                continue
            passed_s = (until - begin).total_seconds()
            step = plan.step_at(begin)
            self.held_r = stuck_r if stuck else self.truth.at(step.limits_w["GPU"])[1]
            self.elapsed_s += passed_s
            self.work_s += self.held_r * passed_s
            self.planned_s += (step.r - 1 / (1 + self.bound)) * passed_s
            self.lowest_s = min(self.lowest_s, self.credit_s)
            self.worst_error_s = max(self.worst_error_s, self.planned_s - self.credit_s)
        self.stopped_s += stop_s
        self.worst_stop_s = max(self.worst_stop_s, self.stopped_s)
        self.now = end

    def garbage(self) -> list[Interval]:
        """A forecast that has nothing to do with anything, with gaps."""
        made, start = [], self.now
        for _ in range(self.rng.randint(0, 40)):
            end = start + timedelta(seconds=self.rng.choice([0, 300, 1800, 3600]))
            if self.rng.random() < 0.9:
                made.append(Interval(start, end, self.rng.choice([0, self.rng.uniform(-50, 900)])))
            start = end
        return made


@st.composite
def runs(
    draw: st.DrawFn,
    *,
    errors: Sequence[float] = (0.0,),
    noise_s: float = 0.0,
    stops: bool = False,
    stiff: bool = False,
) -> Run:
    """Any curve under any bound; what goes wrong when follows from the seed."""
    bound = draw(st.sampled_from([0.01, 0.03, 0.05, 0.1]))
    length: Length = draw(
        st.sampled_from([Unknown(), Unknown(3_600.0)]) | st.builds(Known, st.floats(0, 2 * CYCLES * CYCLE_S))
    )
    return Run(
        draw(boards(["any"] * 8 + ["free", "pinned"])),
        draw(st.integers(0, 2**32 - 1)),
        bound,
        length,
        error=draw(st.sampled_from(errors)),
        noise_s=noise_s,
        stops=stops,
        stiff=stiff,
    )


# Five times 2,500 runs: more than the 10,000 that a release is judged by.
many = settings(max_examples=2_500 if THOROUGH else 60)


@many
@given(runs())
def test_bound_holds_with_a_right_curve_and_a_senseless_forecast(run: Run) -> None:
    """The forecast can cost savings, never time; nor can a limit that does not fall, or an operator that is away."""
    assert run.worst_overrun_s() <= 1e-3


@many
@given(runs(errors=[ERROR], noise_s=NOISE_S))
def test_bound_holds_with_a_wrong_curve_but_for_the_time_without_measurement(run: Run) -> None:
    """A curve up to 10 % wrong costs at most 10 % of the longest time without a measurement, once, and its noise."""
    assert run.worst_overrun_s() <= margin_s(r_error=ERROR, unseen_s=UNSEEN_S, resolution_s=NOISE_S)


@many
@given(runs(errors=[0.0, 0.005, 0.02, ERROR], noise_s=NOISE_S, stops=True))
def test_bound_holds_strictly_with_the_margin(run: Run) -> None:
    """Holding back what curve and counter may be wrong by until the next measurement, and relying on nothing that a job
    which stands still would not have earned, leaves no violation at all.
    """
    margin = margin_s(r_error=run.error, unseen_s=UNSEEN_S, resolution_s=NOISE_S)
    assert run.worst_overrun_s(margin, heeding=True) <= 1e-3


@many
@given(runs(stops=True))
def test_job_that_stands_still_inside_a_plan_breaks_no_bound(run: Run) -> None:
    """The plan goes on meanwhile, and spends nothing that was not earned."""
    assert run.worst_overrun_s(heeding=True) <= 1e-3


@many
@given(runs(stiff=True))
def test_limits_that_do_not_take_at_all_cost_what_the_next_measurement_shows(run: Run) -> None:
    """A limit that fails to rise breaks the bound by what the plan went wrong since the last measurement, and no more."""
    assert run.worst_overrun_s() <= run.worst_error_s + 1e-3
