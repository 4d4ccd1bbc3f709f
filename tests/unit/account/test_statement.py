from __future__ import annotations

import pytest

from carbonzeus_operator.account import (
    Account,
    Terms,
    carbon_text,
    coverage_statement,
    energy_text,
    figures,
    fold,
    folded_until,
    settle,
    statement,
)
from tests.unit.account.books import LEDGER, TERMS, at, flat, folded, record, running, series


def closed(account: Account) -> Account:
    grid = series((0, 60, 100), (60, 120, 500))
    until = folded_until(account, [LEDGER])
    return settle(account, actual=grid, forecast=None, terms=TERMS, until=until, now=until)


def test_a_loss_reads_as_a_negative_saving():
    """Nobody is told 0 where more was emitted than without us."""
    account = closed(folded([record(1, 0, 120, limit_w=200, watts=150)], grid=[series((0, 60, 100), (60, 120, 500))]))
    read = statement(account, TERMS)
    assert (read.saved, read.efficiency, read.timing) == ("-260%", "-260%", "0%")
    assert read.saved_carbon_micrograms == -65_000_000
    assert (read.elapsed_milliseconds, read.work_milliseconds) == (7_200_000, 3_600_000)


def test_without_a_curve_the_savings_are_absent():
    """Absent in the status, and so blank in the column; carbon and energy are there."""
    read = statement(folded([record(1, 0, 60)], terms=Terms()), Terms())
    assert (read.saved, read.saved_carbon_micrograms, read.baseline_carbon_micrograms) == (None, None, None)
    assert read.energy_millijoules == 250 * 3600 * 1000


def test_shares_are_stated_side_by_side():
    """Measured, settled, estimated, unknown and modelled, each in percent of its whole."""
    account = folded([record(1, 0, 60), record(2, 60, 90)])
    account = settle(
        account, actual=series((0, 30, 100)), forecast=series((0, 60, 100)), terms=TERMS, until=at(90), now=at(90)
    )
    read = coverage_statement(account, TERMS, at(90))
    assert (read.settled, read.estimated, read.unknown) == ("33.33%", "33.33%", "33.33%")
    assert (read.measured, read.modelled) == ("100%", "100%")
    assert read.ran_gpu_milliseconds == read.measured_gpu_milliseconds == 5_400_000


def test_an_account_without_anything_states_zeros_and_no_shares():
    """A report that was just made can be written."""
    read = statement(Account(), TERMS)
    assert (read.energy_millijoules, read.carbon_micrograms, read.saved) == (0, 0, None)
    assert coverage_statement(Account(), TERMS, at(0)).measured is None
    assert figures(running(), TERMS).settled == 0


def test_planned_figures_do_not_touch_realised_ones():
    """The account of recommended limits is another account: folding it leaves the real one alone."""
    real = folded([record(1, 0, 60)], grid=[flat(100)])
    fold(running(), LEDGER, [record(1, 0, 60)], TERMS, series=[flat(100)], instead=[])
    assert real == folded([record(1, 0, 60)], grid=[flat(100)])


@pytest.mark.parametrize(
    ("millijoules", "text"),
    [
        (0, "0 mWh"),
        (3_600, "1.00 mWh"),
        (3_600_000, "1.00 Wh"),
        (3_598_000_000, "999 Wh"),
        (3_599_500_000, "1.00 kWh"),
        (4_428_000_000, "1.23 kWh"),
        (44_280_000_000, "12.3 kWh"),
        (442_800_000_000, "123 kWh"),
        (4_428_000_000_000, "1.23 MWh"),
    ],
)
def test_energy_reads_in_three_digits(millijoules: int, text: str):
    """In the unit in which three digits say it."""
    assert energy_text(millijoules) == text


@pytest.mark.parametrize(
    ("micrograms", "text"),
    [
        (0, "0 mg"),
        (1_000, "1.00 mg"),
        (345_000_000, "345 g"),
        (34_500_000, "34.5 g"),
        (999_600_000, "1.00 kg"),
        (41_000_000_000_000, "41.0 t"),
        (-345_000_000, "-345 g"),
    ],
)
def test_carbon_reads_in_three_digits(micrograms: int, text: str):
    """In the unit in which three digits say it, also below zero."""
    assert carbon_text(micrograms) == text
