"""The worked example of docs/accounting.md, computed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from carbonzeus_operator.account import (
    AGES,
    Product,
    Terms,
    carbon_text,
    energy_text,
    figures,
    resettle,
    settle,
    settlement_statements,
    slowdown,
    statement,
)
from carbonzeus_operator.account.settlement import LATE_ACTUALS, LATE_RECORDS
from carbonzeus_operator.grid.cache import PAST_DAYS, PAST_EVERY_S
from carbonzeus_operator.resources.ledger import MAX_CELLS
from carbonzeus_operator.settings import Settings
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


def test_the_documented_example_as_the_source_revises_it():
    """The third hour had less: every figure of the text, and both settlements."""
    records = [record(1, 0, 60), record(2, 60, 180, limit_w=200, watts=150)]
    account = settle(folded(records, grid=[GRID]), actual=GRID, forecast=None, terms=TERMS, until=at(180), now=at(180))
    later = replace(series((0, 60, 100), (60, 120, 400), (120, 180, 300)), issued_at=at(60 * 24 * 9))
    account = resettle(account, later, (at(-720), at(720)))
    result = figures(account, TERMS)
    grams = (result.realised_ug, result.baseline_ug, result.best_constant_ug, result.saved_ug)
    assert [carbon_text(one) for one in grams if one is not None] == ["130 g", "125 g", "147 g", "-5.00 g"]
    assert result.best_constant_ug == pytest.approx(146.7e6, abs=0.05e6)
    first, again = settlement_statements(account)
    assert (first.at, again.at) == ("First", "7d")
    assert first.carbon_micrograms == again.carbon_before_micrograms == 145_000_000
    page = PAGE.read_text(encoding="utf-8")
    for bold in ("130 g", "146.7 g", "−5.00 g"):  # noqa: RUF001 - as the page writes it
        assert f"**{bold}**" in page


def test_the_documented_uncertainty_and_carbon_per_step():
    """Half of the baseline below the reference limit; the text's steps."""
    records = [record(1, 0, 60, progress=3600), record(2, 60, 180, limit_w=200, watts=150, progress=3600)]
    terms = replace(TERMS, progress=True, reference_rate=1.0)
    account = folded(records, terms=terms, grid=[GRID])
    account = settle(account, actual=GRID, forecast=None, terms=terms, until=at(180), now=at(180))
    read = statement(account, terms)
    assert read.saved_uncertainty_carbon_micrograms == 1_250_000
    assert float(read.carbon_micrograms_per_step or 0) == pytest.approx(20.1e3, abs=50)
    page = PAGE.read_text(encoding="utf-8")
    assert "**± 1.25 g**" in page
    assert "**20.1 mg**" in page
    assert terms.curve_error == 0.02


def test_the_documented_bounds_are_those_of_the_code():
    """How long a cell waits and how many there may be, when it is settled again, and how the source is asked for that."""
    page = PAGE.read_text(encoding="utf-8")
    assert f"for {LATE_RECORDS.total_seconds() / 3600:.0f} hours" in page
    assert f"for {LATE_ACTUALS.days} days" in page
    assert f"{MAX_CELLS} open cells, {MAX_CELLS // 96} days' worth" in page
    assert "**{}, {} and {} days**".format(*(age.days for age in AGES)) in page
    assert f"until {Settings().retention_seconds / 86_400:.0f} days after the job's end" in page.replace("\n", " ")
    assert f"at most {PAST_DAYS.days} days in one call" in page
    assert PAST_EVERY_S == 3600


def test_the_example_without_its_curve_claims_nothing():
    """The same records, no curve: carbon as measured, no saving."""
    bare = Terms(products={"A40": Product(300)})
    account = folded([record(1, 0, 60)], terms=bare, grid=[GRID])
    account = settle(account, actual=GRID, forecast=None, terms=bare, until=at(60), now=at(60))
    result = figures(account, bare)
    assert (carbon_text(result.realised_ug), result.saved_ug) == ("25.0 g", None)
