"""The greedy against a linear program of the same problem, solved by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from carbonzeus_operator.plan.greedy import budgets, spend

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """What `spend` is asked, before the budgets are made."""

    credit_s: float
    earned_s: Floats
    seconds: Floats
    delay: Floats
    gain: Floats

    @property
    def budget_s(self) -> Floats:
        return budgets(self.credit_s, self.earned_s)


def optimum(problem: Problem) -> float:
    """The largest gain, by linear programming: a column for each segment of each interval, a row for each prefix."""
    segments, intervals = problem.gain.shape
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = intervals * segments, intervals
    model.col_cost_ = -problem.gain.T.ravel()
    model.col_lower_ = np.zeros(intervals * segments)
    model.col_upper_ = np.outer(problem.seconds, problem.delay).ravel()
    model.row_lower_, model.row_upper_ = np.full(intervals, -np.inf), problem.budget_s
    rows = [row for interval in range(intervals) for _ in range(segments) for row in range(interval, intervals)]
    heights = [intervals - interval for interval in range(intervals) for _ in range(segments)]
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate(([0], np.cumsum(heights)))
    model.a_matrix_.index_, model.a_matrix_.value_ = np.array(rows), np.ones(len(rows))
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    solver.passModel(model)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(-solver.getInfo().objective_function_value)


def gained(problem: Problem, spent: Floats) -> float:
    """What spending so much in each interval gains, best segments first."""
    total, left = 0.0, spent.copy()
    for delay, gain in zip(problem.delay, problem.gain, strict=True):
        taken = np.minimum(left, problem.seconds * delay)
        total += float(taken @ gain)
        left -= taken
    assert np.all(left < 1e-6)
    return total


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Jobs on grids: flat, noisy, falling, negative; with intervals of no length and in which nothing may be slowed."""
    count = draw(st.integers(1, 24))
    seconds = np.array(
        draw(st.lists(st.sampled_from([0.0, 60.0, 300.0, 1800.0, 3600.0]), min_size=count, max_size=count))
    )
    kind = draw(st.sampled_from(["flat", "free", "falling", "coarse"]))
    value = st.sampled_from([-50.0, 0.0, 100.0, 200.0]) if kind == "coarse" else st.floats(-100, 900)
    intensity = np.array(draw(st.lists(value, min_size=count, max_size=count)))
    if kind == "flat":
        intensity[:] = intensity[0]
    if kind == "falling":
        intensity = np.sort(intensity)[::-1]
    segments = draw(st.integers(1, 5))
    delay = np.array(draw(st.lists(st.floats(0.001, 0.3), min_size=segments, max_size=segments)))
    slope = np.sort(np.array(draw(st.lists(st.floats(0, 800), min_size=segments, max_size=segments))))[::-1]
    fading = np.exp(-np.cumsum(seconds) / draw(st.sampled_from([np.inf, 86_400.0, 7_200.0])))
    work_counts = draw(st.sampled_from([0.0, 2e4]))
    gain = np.outer(slope, np.maximum(intensity, 0.0) * fading) - work_counts * fading
    closed = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count))) & draw(st.booleans())
    earning = draw(st.sampled_from([0.0, 0.01, 0.03, 0.1, -0.02]))
    credit_s = draw(st.sampled_from([0.0, 60.0]) | st.floats(-600, 3_000))
    return Problem(credit_s, earning * seconds, np.where(closed, 0.0, seconds), delay, gain)


@given(problems())
@example(Problem(60.0, np.zeros(1), np.zeros(1), np.array([0.1]), np.array([[5.0]])))
@example(Problem(-5.0, np.full(3, 3.0), np.full(3, 100.0), np.array([0.1, 0.2]), np.full((2, 3), 7.0)))
def test_spending_gains_what_the_linear_program_gains(problem: Problem) -> None:
    """Exact to 1e-6 relative, and never over any budget."""
    spent = spend(problem.budget_s, problem.seconds, problem.delay, problem.gain).spent_s
    assert np.all(spent >= 0)
    assert np.all(np.cumsum(spent) <= problem.budget_s + 1e-6)
    best = optimum(problem)
    assert gained(problem, spent) == pytest.approx(best, rel=1e-6, abs=1e-6)


@given(problems())
def test_segments_that_lose_are_not_taken(problem: Problem) -> None:
    """Credit is left over rather than spent at a loss."""
    spent = spend(problem.budget_s, problem.seconds, problem.delay, problem.gain).spent_s
    worth = (np.where(problem.gain > 0, problem.delay[:, None], 0.0)).sum(axis=0) * problem.seconds
    assert np.all(spent <= worth + 1e-9)


def test_nothing_is_spent_before_a_debt_is_repaid() -> None:
    """With negative credit the intervals that repay it stay at full speed, however dirty they are."""
    earned_s = np.full(4, 10.0)
    budget_s = budgets(-25.0, earned_s)
    assert budget_s.tolist() == [0, 0, 5, 15]
    spent = spend(budget_s, np.full(4, 300.0), np.array([0.5]), np.array([[9.0, 9.0, 1.0, 2.0]])).spent_s
    assert spent.tolist() == pytest.approx([0, 0, 0, 15])


def test_intervals_that_cannot_earn_are_saved_up_for() -> None:
    """Where the ceiling lies below the bound, what comes before must leave the credit it will cost."""
    assert budgets(10.0, np.array([5.0, -8.0, 1.0])).tolist() == [7, 7, 8]


def test_dirtiest_interval_gets_the_credit() -> None:
    """Credit waits for the peak, but nothing is borrowed for one that comes before it is earned."""
    spent = spend(
        budgets(0.0, np.full(4, 10.0)), np.full(4, 100.0), np.array([0.9]), np.array([[5.0, 1.0, 3.0, 2.0]])
    ).spent_s
    assert spent.tolist() == pytest.approx([10, 0, 20, 10])


def test_equal_intervals_spend_early() -> None:
    """Of equal chances the first is taken: a later one may never come."""
    spent = spend(np.full(3, 10.0), np.full(3, 100.0), np.array([0.08]), np.ones((1, 3))).spent_s
    assert spent.tolist() == pytest.approx([8, 2, 0])


def test_curve_of_one_point_spends_nothing() -> None:
    """There is nothing to choose."""
    assert spend(np.ones(3), np.ones(3), np.empty(0), np.empty((0, 3))).spent_s.tolist() == [0, 0, 0]


def test_no_intervals_spend_nothing() -> None:
    """An outlook may be empty."""
    assert spend(np.empty(0), np.empty(0), np.array([0.1]), np.empty((1, 0))).spent_s.size == 0
