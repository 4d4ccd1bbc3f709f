"""A job whose pods are in several grid zones: each pod's energy is weighed where it is drawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from carbonzeus_operator.account import (
    AGES,
    Account,
    JobPod,
    encode,
    figures,
    fold,
    overdue,
    resettle,
    settle,
    slowdown,
    wanted,
)
from carbonzeus_operator.grid.series import Series, Signal
from carbonzeus_wire import EnergyRecord
from tests.unit.account.books import LEDGER, POD, T0, TERMS, at, record, running, series
from tests.unit.account.long_jobs import stored

HERE = series((-60, 60, 100), (60, 180, 400))
THERE = replace(series((-60, 60, 900), (60, 180, 30)), zone="DE")
FAR = JobPod("uid-1", "train/job-1", "A40", 1, T0, zone="DE")
OWN = [record(1, 0, 60), record(2, 60, 120, limit_w=200, watts=150)]
FOREIGN = [record(3, 0, 60, pod_uid="uid-1", gpu="GPU-1"), record(4, 60, 120, limit_w=200, watts=150, pod_uid="uid-1")]
DAY_END = T0 + timedelta(hours=12)
SPAN = (DAY_END - timedelta(days=1), DAY_END)


def both(records: list[EnergyRecord], there: Series | None = THERE) -> Account:
    account = fold(running(POD, FAR), LEDGER, records, TERMS, series=[HERE, THERE])
    return settled(account, there)


def settled(account: Account, there: Series | None = THERE) -> Account:
    others = {"DE": (there, None)}
    return settle(account, actual=HERE, forecast=None, others=others, terms=TERMS, until=at(120), now=at(120))


def test_each_pods_energy_is_weighed_in_its_own_zone():
    """250 Wh at 100 and 150 Wh at 400 g/kWh here; 250 Wh at 900 and 150 Wh at 30 there."""
    result = figures(both([*OWN, *FOREIGN]), TERMS)
    assert result.realised_ug == (25 + 60 + 225) * 1_000_000 + 4_500_000
    assert result.settled == 1


def test_a_job_in_two_zones_is_the_sum_of_its_parts():
    """Realised and baseline of the job are those of each pod in its zone, at the pace of the leader."""
    whole = figures(both([*OWN, *FOREIGN]), TERMS)
    own = figures(both(OWN), TERMS)
    assert own.baseline_ug is not None
    assert whole.baseline_ug is not None
    assert whole.realised_ug - own.realised_ug == 225_000_000 + 4_500_000
    # There the second hour's work is done by the baseline in the hour's first half: at the zone's own 30 g/kWh.
    assert whole.baseline_ug - own.baseline_ug == pytest.approx(225_000_000 + 3_750_000, abs=2)


def test_the_clock_is_the_leaders_whatever_the_zone():
    """Elapsed and work are counted once."""
    assert slowdown(both([*OWN, *FOREIGN])) == slowdown(both(OWN)) == pytest.approx(120 / 90 - 1)


def test_a_zone_without_data_holds_up_only_its_own_energy():
    """What the other zone's source does not have is unknown; its own zone is settled."""
    account = both([*OWN, *FOREIGN], there=None)
    result = figures(account, TERMS)
    assert (result.settled, result.unknown) == (0.5, 0.5)
    assert {cell.zone for cell in account.cells} == {"DE"}
    assert set(wanted(account)) == {"DE"}
    again = settled(stored(account))
    assert figures(again, TERMS) == figures(both([*OWN, *FOREIGN]), TERMS)


def test_cells_tell_their_zone_in_the_report():
    """By its place in the ledger's list; those of the job's own zone take no room for it."""
    ledger = encode(fold(running(POD, FAR), LEDGER, [*OWN, *FOREIGN], TERMS))
    assert ledger.zones == ("DE",)
    assert [line.endswith(" @0") for line in ledger.cells] == [False, True] * 8


def test_each_zone_is_revised_with_its_own_data():
    """The data of one changes nothing of the other."""
    account = both([*OWN, *FOREIGN])
    due = DAY_END + AGES[0]
    assert {key for key, _ in overdue(account, due)} == {("ZONE", Signal.AVERAGE), ("DE", Signal.AVERAGE)}
    revised = resettle(account, replace(THERE, issued_at=due, intervals=HERE.intervals), SPAN)
    assert figures(revised, TERMS).realised_ug == 2 * (25 + 60) * 1_000_000
    assert {key for key, _ in overdue(revised, due)} == {("ZONE", Signal.AVERAGE)}
