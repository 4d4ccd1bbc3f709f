"""A real outage: Great Britain's intensity of October 2023 as NESO published it, without the hours that never came."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.account import Account, JobPod, figures, fold, observe, settle
from carbonzeus_operator.account.settlement import LATE_ACTUALS
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.account.books import CARBON, LEDGER, TERMS

NESO = CARBON / "gb_neso_2023_halfhourly_forecast_actual.csv"
HALF_HOUR = timedelta(minutes=30)
START = datetime.fromisoformat("2023-10-20T06:00Z")
END = START + timedelta(hours=72)
OUTAGE = datetime.fromisoformat("2023-10-20T22:00Z")
KWH = 0.125
"""What 250 W draw in half an hour."""


@pytest.fixture(scope="module")
def published() -> dict[datetime, float]:
    """The actual of each half hour of the job that has one."""
    if not NESO.exists():
        pytest.skip(f"the measured data is not here: {NESO}")
    with NESO.open(encoding="utf-8") as lines:
        rows = [(datetime.fromisoformat(row["start_utc"]), row["actual_gco2_kwh"]) for row in csv.DictReader(lines)]
    return {start: float(actual) for start, actual in rows if START <= start < END and actual}


def actuals(hours: dict[datetime, float]) -> Series:
    intervals = tuple(Interval(start, start + HALF_HOUR, grams) for start, grams in sorted(hours.items()))
    return Series("GB", Signal.AVERAGE, Factor.DIRECT, "NESO", END, intervals)


def ran(grid: Series) -> Account:
    """Three days at the reference limit, through the outage."""
    pod = JobPod("uid-0", "train/job-0", "A40", 1, START, leader=True)
    account = observe(Account(), (pod,), running_since=START, now=START)
    records = [
        EnergyRecord(
            seq=step + 1,
            gpu_uuid="GPU-0",
            pod_uid=pod.uid,
            pod=pod.name,
            start=START + step * HALF_HOUR,
            end=START + (step + 1) * HALF_HOUR,
            limit_watts=300,
            energy_millijoules=450_000_000,
            quality=Quality.COUNTER,
        )
        for step in range(144)
    ]
    return fold(account, LEDGER, records, TERMS, series=[grid])


def settled(account: Account, actual: Series | None, now: datetime = END) -> Account:
    return settle(account, actual=actual, forecast=None, terms=TERMS, until=END, now=now)


def test_an_outage_lowers_coverage_and_invents_nothing(published: dict[datetime, float]):
    """What was published is settled; the rest has energy and no carbon, also once the account stops waiting for it."""
    missing = 144 - len(published)
    assert missing > 80
    assert OUTAGE not in published
    grid = actuals(published)
    for now in (END, END + LATE_ACTUALS + timedelta(days=1)):
        result = figures(settled(ran(grid), grid, now), TERMS)
        assert result.energy_mj == 144 * 450_000_000
        assert result.realised_ug == pytest.approx(sum(published.values()) * KWH * 1e6, rel=1e-9)
        assert result.settled == pytest.approx(1 - missing / 144)
        assert result.unknown == pytest.approx(missing / 144)


def test_an_account_settles_when_the_data_returns(published: dict[datetime, float]):
    """Days before the source is back nothing of the outage is settled; with its values all is, each hour once."""
    before = actuals({start: grams for start, grams in published.items() if start < OUTAGE})
    account = settled(ran(before), before)
    assert figures(account, TERMS).settled == pytest.approx(32 / 144)
    account = settled(account, actuals(published))
    late = {START + step * HALF_HOUR: 200.0 for step in range(144)} | published
    account = settled(account, actuals(late))
    result = figures(account, TERMS)
    assert (result.settled, result.unknown, account.cells) == (1, 0, ())
    assert result.realised_ug == pytest.approx(sum(late.values()) * KWH * 1e6, rel=1e-9)
