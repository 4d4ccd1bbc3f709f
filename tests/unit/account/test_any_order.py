"""The whole life of an account in any order of pages, settlements and crashes: always the same figures."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import (
    AGES,
    Account,
    JobPod,
    Product,
    Terms,
    figures,
    fold,
    folded_until,
    resettle,
    settle,
)
from carbonzeus_operator.grid.series import Series
from carbonzeus_wire import EnergyRecord
from tests.unit.account.books import A40, POD, T0, at, examples, record, running, series
from tests.unit.account.long_jobs import stored

OTHER = JobPod("uid-1", "train/job-1", "A40", 1, T0)
TERMS = Terms(products={"A40": Product(300, A40)}, host_w_per_gpu=15, pue=1.3)
DAY = timedelta(days=1)
DAY_END = T0 + timedelta(hours=12)
SPAN = (DAY_END - 2 * DAY, DAY_END + DAY)
LEDGERS = {"ledger-a": POD, "ledger-b": OTHER}

Ledgers = dict[str, list[EnergyRecord]]


@st.composite
def ledgers(draw: st.DrawFn) -> Ledgers:
    """Two agents' records of the same two hours, each cut as it likes, some time of them idle or a stranger's."""
    found: Ledgers = {}
    for number, (ledger, pod) in enumerate(LEDGERS.items()):
        cuts = [0.0, *sorted(draw(st.sets(st.integers(1, 119), max_size=6))), 120.0]
        found[ledger] = []
        for seq, (start, end) in enumerate(itertools.pairwise(cuts), start=1):
            limit_w = draw(st.sampled_from([200.0, 225.0, 250.0, 300.0]))
            owner = draw(st.sampled_from([pod.uid] * 5 + ["stranger", None]))
            found[ledger].append(
                record(
                    seq,
                    start,
                    end,
                    limit_w=limit_w,
                    watts=A40.at(limit_w)[0] * draw(st.sampled_from([0.93, 1.0, 1.07])),
                    pod_uid=owner,
                    pod=pod.name if owner == pod.uid else None,
                    gpu=f"GPU-{number}",
                )
            )
    return found


values = st.randoms(use_true_random=False).map(lambda dice: [dice.randint(0, 90_000) / 100 for _ in range(8)])


def halves(grams: list[float], *, until: datetime | None = None, asked: datetime = T0) -> Series:
    """Half hours from two hours before the job on, as far as published."""
    whole = series(*((30 * n - 120, 30 * n - 90, value) for n, value in enumerate(grams)))
    known = tuple(one for one in whole.intervals if until is None or one.end <= until)
    return replace(whole, issued_at=asked, intervals=known)


def elsewhere(one: Series) -> Series:
    """The same half hours in another zone: dirtier, and the other way round."""
    intervals = tuple(replace(interval, gco2_per_kwh=1200 - interval.gco2_per_kwh) for interval in one.intervals)
    return replace(one, zone="DE", intervals=intervals)


def settled(account: Account, actual: Series, now: datetime) -> Account:
    until, others = folded_until(account, LEDGERS), {"DE": (elsewhere(actual), None)}
    return settle(account, actual=actual, forecast=None, others=others, terms=TERMS, until=until, now=now)


@examples
@given(ledgers(), values, values, st.sampled_from([OTHER, replace(OTHER, zone="DE")]), st.data())
def test_pages_settlements_and_crashes_in_any_order_give_the_same_figures(
    records: Ledgers, first: list[float], later: list[float], other: JobPod, data: st.DataObject
):
    """The agents answer when they like, the actual comes in parts, the operator dies after any write: as if all came at once."""
    grid = halves(first)
    at_once = running(POD, other)
    for ledger, page in records.items():
        at_once = fold(at_once, ledger, page, TERMS, series=[grid])
    at_once = settled(at_once, grid, at(120))

    account, taken = running(POD, other), dict.fromkeys(records, 0)
    while rest := [ledger for ledger, page in records.items() if taken[ledger] < len(page)]:
        ledger = data.draw(st.sampled_from(rest))
        upto = data.draw(st.integers(taken[ledger] + 1, len(records[ledger])))
        account = fold(account, ledger, records[ledger][max(taken[ledger] - 1, 0) : upto], TERMS, series=[grid])
        taken[ledger] = upto
        if data.draw(st.booleans()):
            account = settled(account, halves(first, until=at(data.draw(st.integers(-30, 120)))), at(120))
        if data.draw(st.booleans()):
            account = stored(account)
    account = settled(account, grid, at(120))
    assert account == at_once

    again = halves(later, asked=DAY_END + AGES[0])
    revised = resettle(resettle(stored(account), again, SPAN), elsewhere(again), SPAN)
    assert revised == resettle(resettle(at_once, elsewhere(again), SPAN), again, SPAN)
    result = figures(revised, TERMS)
    assert result.energy_mj == sum(
        one.energy_millijoules for page in records.values() for one in page if one.pod_uid in {POD.uid, OTHER.uid}
    )


@examples
@given(ledgers(), values, values)
def test_jobs_and_idle_emit_what_the_gpus_emit(records: Ledgers, first: list[float], later: list[float]):
    """The carbon of all owners together is that of the whole ledgers, first and after a revision."""
    owners = {POD.uid: POD, "stranger": replace(POD, uid="stranger", name="x/y"), "idle": replace(POD, uid="idle")}
    pages = {
        ledger: [one.model_copy(update={"pod_uid": one.pod_uid or "idle", "pod": None}) for one in page]
        for ledger, page in records.items()
    }
    owners[OTHER.uid] = OTHER
    terms = replace(TERMS, host_w_per_gpu=0.0)

    def grams(pods: list[JobPod], revised: bool) -> int:
        account, grid = running(*pods), halves(first)
        for ledger, page in pages.items():
            account = fold(account, ledger, page, terms, series=[grid])
        account = settle(account, actual=grid, forecast=None, terms=terms, until=at(120), now=at(120))
        if revised:
            account = resettle(account, halves(later, asked=DAY_END + AGES[0]), SPAN)
        return account.settled.realised_pg

    for revised in (False, True):
        parts = [grams([replace(pod, leader=False)], revised) for pod in owners.values()]
        whole = grams([replace(pod, leader=False) for pod in owners.values()], revised)
        assert sum(parts) == pytest.approx(whole, rel=1e-9, abs=500)
