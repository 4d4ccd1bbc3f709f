"""The worked example of docs/accounting.md, computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from carbonzeus_operator.account import Product, Terms, carbon_text, energy_text, figures, settle, slowdown
from carbonzeus_operator.account.settlement import LATE_ACTUALS, LATE_RECORDS
from carbonzeus_operator.resources.ledger import MAX_CELLS
from tests.unit.account.books import HALF, TERMS, at, folded, record, series

PAGE = Path(__file__).resolve().parents[3] / "docs" / "accounting.md"
GRID = series((0, 60, 100), (60, 180, 400))


def test_the_documented_example_is_what_the_account_says():
    """Every sum of the table, from the records of the text."""
    records = [record(1, 0, 60), record(2, 60, 180, limit_w=200, watts=150)]
    account = folded(records, grid=[GRID])
    account = settle(account, actual=GRID, forecast=None, terms=TERMS, until=at(180), now=at(180))
    result = figures(account, TERMS)
    assert energy_text(result.energy_mj) == "550 Wh"
    assert slowdown(account) == pytest.approx(0.5)
    grams = [result.realised_ug, result.baseline_ug, result.best_constant_ug, result.saved_ug]
    grams += [result.efficiency_ug, result.timing_ug]
    said = [carbon_text(one) for one in grams if one is not None]
    assert said == ["145 g", "125 g", "165 g", "-20.0 g", "-40.0 g", "20.0 g"]
    page = PAGE.read_text(encoding="utf-8")
    for bold in ("145 g", "50 %", "125 g", "165 g", "−20 g"):  # noqa: RUF001 - as the page writes it
        assert f"**{bold}**" in page
    limit_w, drawn_w = HALF.limit_for(2 / 3), HALF.at(HALF.limit_for(2 / 3))[0]
    assert re.search(f"r = 2/3, {limit_w:.1f} W, {drawn_w:.1f} W drawn", page)


def test_the_documented_bounds_are_those_of_the_code():
    """How long a cell waits and how many there may be."""
    page = PAGE.read_text(encoding="utf-8")
    assert f"for {LATE_RECORDS.total_seconds() / 3600:.0f} hours" in page
    assert f"for {LATE_ACTUALS.days} days" in page
    assert f"{MAX_CELLS} open cells, {MAX_CELLS // 96} days' worth" in page


def test_the_example_without_its_curve_claims_nothing():
    """The same records, no curve: carbon as measured, no saving."""
    bare = Terms(products={"A40": Product(300)})
    account = folded([record(1, 0, 60)], terms=bare, grid=[GRID])
    account = settle(account, actual=GRID, forecast=None, terms=bare, until=at(60), now=at(60))
    result = figures(account, bare)
    assert (carbon_text(result.realised_ug), result.saved_ug) == ("25.0 g", None)
