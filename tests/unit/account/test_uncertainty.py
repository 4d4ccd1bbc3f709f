"""How far savings may be wrong since a curve may be: against accounts that were kept under such a curve."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from carbonzeus_operator.account import Account, Product, Terms, decode, encode, figures, settle, statement
from carbonzeus_operator.account.results import Figures
from carbonzeus_operator.world.snapshot import Rules
from tests.unit.account.books import TERMS, Line, at, flat, folded, record

CURVE = Line(((150, 120, 0.7), (200, 160, 0.85), (250, 200, 0.93), (300, 250, 1.0)))
GRID = flat(200)
ERROR = 0.02


@dataclass(frozen=True, slots=True)
class Wrong:
    """The same powers, but below the reference limit r is greater by a share."""

    share: float

    def at(self, limit_w: float) -> tuple[float, float]:
        power_w, r = CURVE.at(limit_w)
        return power_w, r * (1 + self.share) if limit_w < 300 else r

    def limit_for(self, r: float) -> float:
        return CURVE.limit_for(r / (1 + self.share)) if r < 1 else 300


def said(limits_w: tuple[float, ...], curve: Line | Wrong = CURVE) -> Figures:
    """An hour at each limit."""
    terms = Terms(products={"A40": Product(300, curve)}, curve_error=ERROR)
    page = [
        record(hour + 1, 60 * hour, 60 * hour + 60, limit_w=limit_w, watts=CURVE.at(limit_w)[0])
        for hour, limit_w in enumerate(limits_w)
    ]
    account = folded(page, terms=terms, grid=[GRID])
    return figures(settle(account, actual=GRID, forecast=None, terms=terms, until=at(300), now=at(300)), terms)


@pytest.mark.parametrize("limits_w", [(200, 150, 250), (300, 200, 300, 150, 250), (300, 300, 300, 300, 200)])
@pytest.mark.parametrize("share", [ERROR, -ERROR, ERROR / 2])
def test_a_curve_that_is_wrong_by_its_error_moves_figures_within_what_is_said(
    limits_w: tuple[float, ...], share: float
):
    """Below the reference limit faster or slower than the curve says: each figure stays within its uncertainty.

    Under a flat intensity, so that only energies matter; the best constant limit may take a tenth more, since it is found
    on another stretch of the curve.
    """
    right, wrong = said(limits_w), said(limits_w, Wrong(share))
    assert right.saved_error_ug is not None
    assert right.timing_error_ug is not None
    assert right.efficiency_error_ug is not None
    assert right.saved_ug is not None
    assert wrong.saved_ug is not None
    assert right.timing_ug is not None
    assert wrong.timing_ug is not None
    assert right.efficiency_ug is not None
    assert wrong.efficiency_ug is not None
    assert 0 < right.saved_error_ug < 0.021 * (right.baseline_ug or 0)
    assert abs(wrong.timing_ug - right.timing_ug) <= 1.1 * right.timing_error_ug + 10
    assert abs(wrong.saved_ug - right.saved_ug) <= 1.25 * right.saved_error_ug
    assert abs(wrong.efficiency_ug - right.efficiency_ug) <= 1.25 * right.efficiency_error_ug + 10


def test_a_job_at_its_reference_limit_saved_nothing_and_that_is_certain():
    """There the curve says r = 1, and nothing can be wrong."""
    result = said((300, 300))
    assert (result.saved_error_ug, result.timing_error_ug, result.efficiency_error_ug) == (0, 0, 0)


def test_a_job_held_below_the_reference_limit_has_a_certain_timing():
    """What it did and the best constant limit are wrong alike. What it saved may be wrong by the curve's whole error."""
    result = said((200, 200))
    assert result.timing_error_ug == 0
    assert result.saved_error_ug == pytest.approx(ERROR * (result.baseline_ug or 0), abs=1)


def test_the_error_is_the_one_that_plans_allow_for():
    """One figure for both."""
    assert Terms().curve_error == Rules().curve_error


def settled(page: list[object], terms: Terms) -> Account:
    account = folded(page, terms=terms, grid=[flat(100)])  # type: ignore[arg-type]
    return settle(account, actual=flat(100), forecast=None, terms=terms, until=at(300), now=at(300))


def test_the_status_says_it_in_percent_of_the_baseline():
    """Beside the figure itself; a loss has an uncertainty as a saving does."""
    read = statement(settled([record(1, 0, 120, limit_w=200, watts=150)], TERMS), TERMS)
    assert (read.saved, read.saved_uncertainty, read.timing_uncertainty) == ("-20%", "2%", "0%")
    assert read.efficiency_uncertainty == "2%"
    assert read.saved_uncertainty_carbon_micrograms == 500_000


def test_without_a_curve_there_is_no_uncertainty_to_tell():
    """Nothing is claimed that could be wrong."""
    read = statement(settled([record(1, 0, 60)], Terms()), Terms())
    assert (read.saved_uncertainty, read.saved_uncertainty_carbon_micrograms) == (None, None)


def test_the_best_constant_limit_outlives_its_curve():
    """A profile that was deleted after the job changes no figure of it."""
    page = [record(1, 0, 60), record(2, 60, 180, limit_w=200, watts=150)]
    account = decode(encode(settled([*page], TERMS)))
    with_curve, without = figures(account, TERMS), figures(account, Terms())
    assert without.best_constant_ug == pytest.approx(with_curve.best_constant_ug, abs=1)
    assert (without.saved_ug, without.saved_error_ug) == (with_curve.saved_ug, with_curve.saved_error_ug)
    assert without.timing_error_ug is None


def test_carbon_per_step_is_told_where_steps_are_counted():
    """25 g for an hour of ten steps a second; the account of recommended limits has none, its steps would be others."""
    terms = replace(TERMS, progress=True, reference_rate=10.0)
    account = settled([record(1, 0, 60, progress=36_000.0)], terms)
    assert statement(account, terms).carbon_micrograms_per_step == "694.444444"
    assert statement(account, terms, planned=True).carbon_micrograms_per_step is None
    assert statement(settled([record(1, 0, 60)], TERMS), TERMS).carbon_micrograms_per_step is None
