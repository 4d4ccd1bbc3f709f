"""Three days of a real grid, accounted for as an operator does it, against a reckoning that shares no code with it."""

from __future__ import annotations

import csv
import json
import random
from bisect import bisect_right
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.account import (
    Account,
    JobPod,
    Product,
    Terms,
    coverage,
    decode,
    encode,
    figures,
    fold,
    folded_until,
    observe,
    settle,
    slowdown,
)
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.resources.ledger import Ledger
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.account.books import A40, CARBON

TRACE = CARBON / "carboncast_2021-08_CISO_lca_forecast96h_actual.csv"
HOUR = timedelta(hours=1)
RECORD = timedelta(minutes=5)
START = datetime.fromisoformat("2021-08-03T06:40Z")
HOURS = 72
GPUS = {"ledger-a": ("GPU-0", "GPU-1"), "ledger-b": ("GPU-2", "GPU-3")}
TERMS = Terms(products={"A40": Product(300, A40)}, host_w_per_gpu=30, pue=1.15)


@pytest.fixture(scope="module")
def trace() -> tuple[dict[datetime, float], dict[datetime, dict[datetime, float]]]:
    """(actual by hour, forecast by issue and hour)."""
    if not TRACE.exists():
        pytest.skip(f"the measured data is not here: {TRACE}")
    actual: dict[datetime, float] = {}
    forecasts: dict[datetime, dict[datetime, float]] = {}
    with TRACE.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            start = datetime.fromisoformat(row["start_utc"])
            actual[start] = float(row["actual_gco2eq_kwh"])
            issue = forecasts.setdefault(datetime.fromisoformat(row["issued_utc"]), {})
            issue[start] = float(row["forecast_gco2eq_kwh"])
    return actual, forecasts


def as_series(hours: dict[datetime, float], issued: datetime) -> Series:
    intervals = tuple(Interval(start, start + HOUR, grams) for start, grams in sorted(hours.items()))
    return Series("US-CAL-CISO", Signal.AVERAGE, Factor.LIFECYCLE, "File", issued, intervals)


def ledger_of(name: str, dice: random.Random) -> list[EnergyRecord]:
    """Five-minute records with limits that follow the clock, noise on the power, and an outage of the agent of two hours."""
    records: list[EnergyRecord] = []
    pod = f"uid-{name}"
    for step in range(HOURS * 12):
        start = START + step * RECORD
        limit_w = (200, 225, 250, 300)[(step // 7) % 4]
        gone = name == "ledger-b" and 300 <= step < 324
        for gpu in GPUS[name]:
            watts = A40.at(limit_w)[0] * dice.uniform(0.95, 1.05)
            records.append(
                EnergyRecord(
                    seq=len(records) + 1,
                    gpu_uuid=gpu,
                    pod_uid=pod,
                    pod=f"train/{name}",
                    start=start,
                    end=start + RECORD,
                    limit_watts=None if gone else limit_w,
                    energy_millijoules=0 if gone else round(watts * RECORD.total_seconds() * 1000),
                    quality=Quality.GAP if gone else Quality.COUNTER,
                )
            )
    return records


def reckon(ledgers: dict[str, list[EnergyRecord]], actual: dict[datetime, float]) -> tuple[float, float]:
    """(realised, baseline) in grams: plain sums over minutes."""
    starts = sorted(actual)

    def intensity(at: datetime) -> float:
        return actual[starts[bisect_right(starts, at) - 1]]

    reference_w = A40.at(300)[0]
    realised = baseline = work_s = 0.0
    both = zip(ledgers["ledger-a"], ledgers["ledger-b"], strict=True)
    for index, pair in enumerate(both):
        leader = pair[0]
        for minute in range(5):
            at = leader.start + timedelta(minutes=minute, seconds=30)
            speed = A40.at(leader.limit_watts or 0)[1]
            moment = START + timedelta(seconds=work_s + 30 * speed)
            for one in pair:
                if one.quality is Quality.GAP:
                    continue
                watts = one.energy_millijoules / 1000 / 300
                power_w, r = A40.at(one.limit_watts or 0)
                realised += (watts + 30) * 1.15 * 60 / 3.6e6 * intensity(at)
                baseline += (watts * reference_w / power_w + 30) * r * 1.15 * 60 / 3.6e6 * intensity(moment)
            if index % 2 == 1:  # two GPUs a pod: two records of the same five minutes
                work_s += 60 * speed
    return realised, baseline


def test_three_days_on_a_real_grid_equal_an_independent_reckoning(
    trace: tuple[dict[datetime, float], dict[datetime, dict[datetime, float]]],
):
    """Pulled every half hour with a crash after each, forecasts as issued, actuals two hours late: within 0.1 %."""
    actual, forecasts = trace
    dice = random.Random(20210803)
    ledgers = {name: ledger_of(name, dice) for name in GPUS}
    pods = [JobPod(f"uid-{name}", f"train/{name}", "A40", 2, START, leader=name == "ledger-a") for name in GPUS]
    account = Account()
    now = START
    while account.energy_mj == 0 or account.cells:
        now += timedelta(minutes=30)
        done = now >= START + HOURS * HOUR
        shown = [JobPod(p.uid, p.name, p.product, p.gpus, p.started, START + HOURS * HOUR, p.leader) for p in pods]
        account = observe(account, shown if done else pods, running_since=None if done else START, now=now)
        issued = max(issue for issue in forecasts if issue <= now)
        published = {start: grams for start, grams in actual.items() if start + 3 * HOUR <= now}
        grid = as_series(forecasts[issued], issued), as_series(published, now)
        for name, records in ledgers.items():
            known = account.cursors[name].seq if name in account.cursors else 0
            page = [record for record in records[max(known - 5, 0) :] if record.end <= now]
            account = fold(account, name, page, TERMS, series=grid)
        until = now if done else folded_until(account, GPUS)
        account = settle(account, forecast=grid[0], actual=grid[1], terms=TERMS, until=until, now=now)
        account = decode(Ledger.model_validate(json.loads(json.dumps(encode(account).as_json()))))
    result = figures(account, TERMS)
    realised, baseline = reckon(ledgers, actual)
    assert result.baseline_ug is not None
    assert result.realised_ug / 1e6 == pytest.approx(realised, rel=1e-6)
    assert result.baseline_ug / 1e6 == pytest.approx(baseline, rel=1e-3)
    assert account.energy_mj == sum(record.energy_millijoules for records in ledgers.values() for record in records)
    measured = coverage(account, now)
    assert result.settled == 1.0
    assert measured.share == pytest.approx(1 - 2 / (2 * HOURS), rel=1e-9)
    steps = [A40.at((200, 225, 250, 300)[(step // 7) % 4])[1] for step in range(HOURS * 12)]
    assert slowdown(account) == pytest.approx(len(steps) / sum(steps) - 1, rel=1e-6)
