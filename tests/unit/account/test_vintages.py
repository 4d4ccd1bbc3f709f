"""California's June of 2022 as Electricity Maps published it, and as it published it again a year later."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.account import (
    Account,
    JobPod,
    Product,
    Terms,
    figures,
    fold,
    observe,
    resettle,
    settle,
    settlement_statements,
)
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.account.books import A40, CARBON, LEDGER
from tests.unit.account.long_jobs import DAY, stored

DATA = CARBON / "emaps_2022_US-CAL-CISO_two_vintages_4weeks.csv"
HOUR = timedelta(hours=1)
TERMS = Terms(products={"A40": Product(300, A40)}, pue=1.2)
RISEN = datetime.fromisoformat("2022-06-30T05:00Z")
"""From here on the later vintage differs most over three days."""
LIMITS_W = (300, 250, 225, 200)

Rows = dict[datetime, tuple[float, float, bool]]
"""By hour: the earlier value, the later one, and whether the later is an estimate."""


@pytest.fixture(scope="module")
def rows() -> Rows:
    if not DATA.exists():
        pytest.skip(f"the measured data is not here: {DATA}")
    with DATA.open(encoding="utf-8") as lines:
        return {
            datetime.fromisoformat(row["start_utc"]): (
                float(row["lca_earlier_vintage"]),
                float(row["lca_later_vintage"]),
                row["later_is_estimated"] == "true",
            )
            for row in csv.DictReader(lines)
        }


def vintage(rows: Rows, asked: datetime, *, later: bool) -> Series:
    intervals = tuple(
        Interval(start, start + HOUR, row[1] if later else row[0], estimated=later and row[2])
        for start, row in rows.items()
    )
    return Series("US-CAL-CISO", Signal.AVERAGE, Factor.LIFECYCLE, "Published", asked, intervals)


def limit_at(start: datetime) -> float:
    return LIMITS_W[start.hour // 3 % 4]


def watts_at(start: datetime) -> float:
    return A40.at(limit_at(start))[0] * (1 + 0.1 * ((start.hour * 7) % 5 - 2) / 2)


def settled(rows: Rows, first: datetime, hours: int) -> Account:
    """A job with a limit that changes every three hours, settled with the earlier vintage as the hours go by."""
    end = first + hours * HOUR
    pod = JobPod("uid-0", "train/job-0", "A40", 1, first, leader=True)
    account = observe(Account(), (pod,), running_since=first, now=first)
    grid = vintage(rows, end, later=False)
    records = [
        EnergyRecord(
            seq=number + 1,
            gpu_uuid="GPU-0",
            pod_uid=pod.uid,
            pod=pod.name,
            start=first + number * HOUR,
            end=first + (number + 1) * HOUR,
            limit_watts=limit_at(first + number * HOUR),
            energy_millijoules=round(watts_at(first + number * HOUR) * 3_600_000),
            quality=Quality.COUNTER,
        )
        for number in range(hours)
    ]
    for number in range(0, hours, 24):
        now = min(first + (number + 24) * HOUR, end)
        account = fold(account, LEDGER, records[number : number + 24], TERMS, series=[grid])
        account = settle(account, actual=grid, forecast=None, terms=TERMS, until=now, now=now)
    return account


def reckoned(rows: Rows, first: datetime, hours: int, which: int) -> float:
    """Grams of one vintage: a sum over hours."""
    hour = (first + number * HOUR for number in range(hours))
    return sum(watts_at(start) / 1000 * 1.2 * rows[start][which] for start in hour)


def baseline(rows: Rows, first: datetime, hours: int, which: int) -> float:
    """Grams of the same work at the reference limit: by the second, each at the moment at which it would have been done."""
    grams, done_s = 0.0, 0.0
    reference_w = A40.at(300)[0]
    for number in range(hours):
        start = first + number * HOUR
        power_w, r = A40.at(limit_at(start))
        drawn = watts_at(start) * reference_w / power_w * r / 3.6e6 * 1.2
        for _ in range(360):
            moment = first + timedelta(seconds=done_s + 5 * r)
            grams += 10 * drawn * rows[moment.replace(minute=0, second=0, microsecond=0)][which]
            done_s += 10 * r
    return grams


@pytest.mark.parametrize(
    ("first", "hours"), [(RISEN, 72), (datetime.fromisoformat("2022-06-06T00:00Z"), 648)], ids=["72 h", "4 weeks"]
)
def test_both_vintages_are_told_and_differ_as_the_data_does(rows: Rows, first: datetime, hours: int):
    """First settled as published then, and once more as published a year later; both figures, and what came between."""
    account = stored(settled(rows, first, hours))
    was = figures(account, TERMS)
    asked = first + hours * HOUR + 96 * DAY
    later, at = vintage(rows, asked, later=True), first - DAY
    while at < first + hours * HOUR:
        # As the cache asks: ten days at a time.
        account = stored(resettle(account, later, (at.replace(hour=0), at.replace(hour=0) + 10 * DAY)))
        at += 10 * DAY
    one, other = settlement_statements(account)
    assert (one.at, other.at) == ("First", "95d")
    assert one.carbon_micrograms / 1e6 == pytest.approx(reckoned(rows, first, hours, 0), rel=1e-9)
    assert other.carbon_micrograms / 1e6 == pytest.approx(reckoned(rows, first, hours, 1), rel=1e-9)
    assert other.carbon_before_micrograms == one.carbon_micrograms
    now = figures(account, TERMS)
    difference = reckoned(rows, first, hours, 1) - reckoned(rows, first, hours, 0)
    assert (now.realised_ug - was.realised_ug) / 1e6 == pytest.approx(difference, abs=1e-5)
    assert now.baseline_ug is not None
    assert was.baseline_ug is not None
    moved = baseline(rows, first, hours, 1) - baseline(rows, first, hours, 0)
    assert (now.baseline_ug - was.baseline_ug) / 1e6 == pytest.approx(moved, rel=2e-3, abs=0.02)
    estimated = sum(watts_at(start) for start in list(rows) if first <= start < first + hours * HOUR and rows[start][2])
    whole = sum(watts_at(first + number * HOUR) for number in range(hours))
    assert now.settled == pytest.approx(1 - estimated / whole, rel=1e-6)


def test_the_revision_is_as_large_as_published(rows: Rows):
    """What the data says of itself: means of four weeks, and the three days at which it differs most."""
    assert len(rows) == 672
    means = [sum(row[which] for row in rows.values()) / len(rows) for which in (0, 1)]
    assert means == [pytest.approx(217.48, abs=0.005), pytest.approx(216.19, abs=0.005)]
    three = [rows[RISEN + number * HOUR] for number in range(72)]
    share = sum(row[1] for row in three) / sum(row[0] for row in three) - 1
    assert abs(share) == pytest.approx(0.0240, abs=0.0001)


def test_a_revision_back_and_forth_leaves_the_first_figures(rows: Rows):
    """The later vintage after a week, the earlier one again after a month: to a few picograms as it was."""
    account = settled(rows, RISEN, 48)
    end = RISEN + 48 * HOUR
    span = (RISEN - 2 * DAY, RISEN + 8 * DAY)
    there = resettle(account, vintage(rows, end + 8 * DAY, later=True), span)
    back = resettle(there, replace(vintage(rows, end + 31 * DAY, later=False)), span)
    assert there.settled != account.settled
    assert back.settled.realised_pg == pytest.approx(account.settled.realised_pg, abs=500)
    assert back.settled.baseline_pg == pytest.approx(account.settled.baseline_pg, abs=500)
