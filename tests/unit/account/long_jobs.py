"""A job that runs for months, accounted for as an operator does it: a day at a time, and nothing kept but the status."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from carbonzeus_operator.account import (
    Account,
    JobPod,
    Product,
    Terms,
    coverage_statement,
    decode,
    encode,
    fold,
    observe,
    overdue,
    resettle,
    settle,
    settlement_statements,
    statement,
)
from carbonzeus_operator.grid.series import Factor, Interval, Series, Signal
from carbonzeus_operator.resources.ledger import Ledger
from carbonzeus_operator.resources.report import CarbonReportStatus
from carbonzeus_wire import EnergyRecord, Quality
from tests.unit.account.books import A40

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Terms(products={"NVIDIA A40": Product(300, A40)})
POD = JobPod("8c2f0e1a-5d53-4a8e-9a52-0d9a3a1f7c11", "train/job-worker-0", "NVIDIA A40", 8, START, leader=True)
LEDGER = "ledger-a"
Values = Callable[[datetime, int], float]
"""(start of an interval, vintage: days since its day ended) -> g/kWh"""


def drawn(start: datetime, age_days: int) -> float:
    """An intensity with two decimals that is revised after a week, a month and a quarter."""
    revised = sum(1 for age in (7, 30, 95) if age_days >= age)
    return round(250 + 150 * random.Random(f"{start} {revised}").random(), 2)


@dataclass(frozen=True, slots=True)
class Source:
    """A source whose intervals have one length, and whose values depend on when they are asked for."""

    step: timedelta
    values: Values = drawn
    estimated: Callable[[datetime], bool] = lambda _: False

    def actual(self, start: datetime, end: datetime, asked: datetime) -> Series:
        intervals = []
        at = start
        while at < end and at + self.step <= asked:
            day_end = at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
            value = self.values(at, (asked - day_end) // DAY)
            intervals.append(Interval(at, at + self.step, value, self.estimated(at)))
            at += self.step
        return Series(
            "US-CAL-CISO",
            Signal.AVERAGE,
            Factor.LIFECYCLE,
            "Sample",
            asked,
            tuple(intervals),
            updated_at=asked - DAY / 2,
        )


def records_of(day: int) -> list[EnergyRecord]:
    """A day's records of a quarter of an hour, as of eight GPUs, with limits that change and noise on the power."""
    dice = random.Random(day)
    records = []
    for number in range(96):
        start = START + day * DAY + number * timedelta(minutes=15)
        limit_w = dice.choice((200, 225, 250, 300))
        watts = 8 * A40.at(limit_w)[0] * dice.uniform(0.9, 1.1)
        records.append(
            EnergyRecord(
                seq=day * 96 + number + 1,
                gpu_uuid="GPU-0",
                pod_uid=POD.uid,
                pod=POD.name,
                start=start,
                end=start + timedelta(minutes=15),
                limit_watts=limit_w,
                energy_millijoules=round(watts * 900_000),
                quality=Quality.COUNTER,
            )
        )
    return records


def stored(account: Account) -> Account:
    """The account as a crash leaves it: what its report says."""
    return decode(Ledger.model_validate(json.loads(json.dumps(encode(account).as_json()))))


def revisited(account: Account, source: Source, now: datetime) -> Account:
    """Settled again with all that is due, at most ten days a question, as the cache asks."""
    for _ in range(100):
        found = overdue(account, now)
        if not found:
            return account
        start, end = min(found.values())
        span = (start, min(end, start + 10 * DAY))
        account = resettle(account, source.actual(*span, now), span)
    raise AssertionError("what is due never ends")


def days_of(source: Source, days: int, *, rest: int = 0) -> Iterator[tuple[datetime, Account]]:
    """The account at the end of each day of a job of so many, and of so many after it."""
    account = observe(Account(), (POD,), running_since=START, now=START)
    for day in range(days + rest):
        now = START + (day + 1) * DAY
        if day == days:
            ended = replace(account.pods[0], ended=START + days * DAY)
            account = observe(account, (ended,), running_since=None, now=now)
        actual = source.actual(now - 2 * DAY, now, now)
        if day < days:
            account = fold(account, LEDGER, records_of(day), TERMS, series=[actual])
        account = settle(account, actual=actual, forecast=None, terms=TERMS, until=now, now=now)
        account = stored(revisited(account, source, now))
        yield now, account


def status_bytes(account: Account, now: datetime) -> int:
    """How much the account takes in the API server."""
    status = CarbonReportStatus(
        realised=statement(account, TERMS),
        coverage=coverage_statement(account, TERMS, now),
        settlements=settlement_statements(account),
        ledger=encode(account),
    )
    return len(json.dumps(status.as_json(), separators=(",", ":")))
