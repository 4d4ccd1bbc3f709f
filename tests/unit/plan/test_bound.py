"""The arithmetic of slowdown and credit, and the bound itself over whole runs with everything going wrong."""

from __future__ import annotations

import math
import random
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.bound import credit_s, margin_s, slowdown
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.schedule import Plan, SlowdownKnob, make_plan
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
    UNSEEN_S. Limits may fail to fall. The job may be restarted, and in `stops` stands still in the middle of a plan.
    """

    def __init__(
        self, board: Board, seed: int, bound: float, length: Length, *, error: float, noise_s: float, stops: bool
    ) -> None:
        self.rng = random.Random(seed)
        self.truth = board.curve
        self.believed = board.measured(self.rng, error)
        self.bound = bound
        self.length = length
        self.noise_s = noise_s
        self.stops = stops
        self.now = MIDNIGHT
        self.forecast = self.garbage()
        self.elapsed_s = self.work_s = 0.0
        self.lowest_s = GRACE_S
        self.stopped_s = self.worst_stop_s = 0.0

    def worst_overrun_s(self, margin: float = 0.0) -> float:
        """What the job is over its bound with grace [s of work], at the worst moment of its life."""
        plan, unseen_s = self.planned(self.measured() - margin), 0.0
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
                expected_s, unseen_s, self.stopped_s = self.measured() - margin, 0.0, 0.0
                if self.rng.random() < 0.02:
                    # A restart: neither time nor work counts while the workers do not all run.
                    self.now += timedelta(seconds=self.rng.uniform(1, 600))
            plan = self.planned(expected_s)
        return -self.lowest_s

    def measured(self) -> float:
        """The credit, as far as the progress tells."""
        return self.credit_s + self.rng.uniform(-self.noise_s, self.noise_s)

    @property
    def credit_s(self) -> float:
        return credit_s(elapsed_s=self.elapsed_s, work_s=self.work_s, slowdown=self.bound, grace_s=GRACE_S)

    def planned(self, seen_s: float) -> Plan:
        return make_plan(
            now=self.now,
            forecast=self.forecast,
            fleet={"GPU": Group(self.believed, 1)},
            knob=SlowdownKnob(self.bound, seen_s),
            length=self.length,
        )

    def follow(self, plan: Plan, seconds: float) -> None:
        """Hold the plan's limits for so long; or for a part of it none falls, or the job stands still."""
        start, end = self.now, self.now + timedelta(seconds=seconds)
        stuck = self.rng.random() < 0.1
        stop_s = self.rng.uniform(0, seconds) if self.stops and self.rng.random() < 0.2 else 0.0
        stopped = start + timedelta(seconds=self.rng.uniform(0, seconds - stop_s))
        resumed = stopped + timedelta(seconds=stop_s)
        edges = sorted({start, stopped, resumed, end, *(step.at for step in plan.steps if start < step.at < end)})
        for begin, until in pairwise(edges):
            if stopped <= begin < resumed:
                continue
            passed_s = (until - begin).total_seconds()
            r = self.truth.highest.r if stuck else self.truth.at(plan.step_at(begin).limits_w["GPU"])[1]
            self.elapsed_s += passed_s
            self.work_s += r * passed_s
            self.lowest_s = min(self.lowest_s, self.credit_s)
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
def runs(draw: st.DrawFn, *, error: float = 0.0, noise_s: float = 0.0, stops: bool = False) -> Run:
    """Any curve under any bound; what goes wrong when follows from the seed."""
    bound = draw(st.sampled_from([0.01, 0.03, 0.05, 0.1]))
    length: Length = draw(
        st.sampled_from([Unknown(), Unknown(3_600.0)]) | st.builds(Known, st.floats(0, 2 * CYCLES * CYCLE_S))
    )
    seed = draw(st.integers(0, 2**32 - 1))
    return Run(
        draw(boards(["any"] * 8 + ["free", "pinned"])), seed, bound, length, error=error, noise_s=noise_s, stops=stops
    )


# Four times 2,500 runs are the 10,000 that a release is judged by.
many = settings(max_examples=2_500 if THOROUGH else 60)


@many
@given(runs())
def test_bound_holds_with_a_right_curve_and_a_senseless_forecast(run: Run) -> None:
    """The forecast can cost savings, never time; nor can a limit that does not fall, or an operator that is away."""
    assert run.worst_overrun_s() <= 1e-3


@many
@given(runs(error=ERROR, noise_s=NOISE_S))
def test_bound_holds_with_a_wrong_curve_but_for_the_time_without_measurement(run: Run) -> None:
    """A curve up to 10 % wrong costs at most 10 % of the longest time without a measurement, once, and its noise."""
    assert run.worst_overrun_s() <= margin_s(r_error=ERROR, unseen_s=UNSEEN_S, resolution_s=NOISE_S)


@many
@given(runs(error=ERROR, noise_s=NOISE_S, stops=True))
def test_bound_holds_strictly_with_the_margin(run: Run) -> None:
    """Holding back what the curve may be wrong by until the next measurement leaves no violation at all."""
    assert run.worst_overrun_s(margin_s(r_error=ERROR, unseen_s=UNSEEN_S, resolution_s=NOISE_S)) <= 1e-3


@many
@given(runs(stops=True))
def test_job_that_stands_still_inside_a_plan_loses_what_it_would_have_earned(run: Run) -> None:
    """The plan goes on meanwhile, and spends what was not earned; until the next measurement, and no more than that."""
    overrun_s = run.worst_overrun_s()
    assert overrun_s <= (1 - 1 / (1 + run.bound)) * run.worst_stop_s + 1e-3
