"""Settling once more, when the source revised what it had published."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import (
    AGES,
    Account,
    Product,
    State,
    Terms,
    figures,
    fold,
    lines,
    next_due,
    overdue,
    resettle,
    settle,
    settlement_statements,
)
from carbonzeus_operator.account.settlement import LATE_ACTUALS
from carbonzeus_operator.grid.series import Factor, Series, Signal
from tests.unit.account.books import A40, HALF, LEDGER, T0, TERMS, at, examples, flat, folded, record, running, series
from tests.unit.account.long_jobs import stored

KEY = ("ZONE", Signal.AVERAGE)
DAY = timedelta(days=1)
MIDNIGHT = T0 - timedelta(hours=12)
SPAN = (MIDNIGHT - DAY, MIDNIGHT + 3 * DAY)
WEEK = MIDNIGHT + 8 * DAY
"""The day of the job is a week old."""
QUARTER = MIDNIGHT + 96 * DAY


def hourly(*grams: float, asked: datetime = T0, estimated: bool = False) -> Series:
    """From noon on, an hour each."""
    steps = [(60 * hour, 60 * hour + 60, value) for hour, value in enumerate(grams)]
    return replace(series(*steps, estimated=estimated), issued_at=asked)


FIRST = hourly(100, 200, 300, 400, 500)
REVISED = hourly(110, 190, 330, 400, 480, asked=WEEK)
PAGE = [record(1, 0, 60), record(2, 60, 180, limit_w=200, watts=150), record(3, 180, 300, limit_w=250, watts=180)]


def account_of(
    grid: Series | None, *, terms: Terms = TERMS, forecast: Series | None = None, now: datetime = T0
) -> Account:
    """The job of `PAGE`, five hours long, settled for the first time."""
    account = folded(PAGE, terms=terms, grid=[grid, forecast])
    return settle(account, actual=grid, forecast=forecast, terms=terms, until=at(300), now=max(now, at(300)))


def sums(account: Account) -> tuple[int, ...]:
    settled = account.settled
    return (
        settled.realised_pg,
        settled.baseline_pg,
        settled.constant_pg,
        *(settled.reference_pg[product] for product in sorted(settled.reference_pg)),
    )


def test_a_revision_is_seen_beside_what_it_revised():
    """Both figures of the same energy stand in the report, each with the data that it comes from."""
    account = resettle(account_of(FIRST), replace(REVISED, updated_at=at(600), model="v2", source="Other"), SPAN)
    first, again = settlement_statements(account)
    assert (first.at, again.at) == ("First", "7d")
    assert first.carbon_micrograms == again.carbon_before_micrograms
    assert again.carbon_micrograms == figures(account, TERMS).realised_ug
    assert first.energy_millijoules == again.energy_millijoules == sum(one.energy_millijoules for one in PAGE)
    assert (first.retrieved_at, first.source, first.model) == (T0, "File", None)
    assert (again.retrieved_at, again.updated_at, again.source, again.model) == (WEEK, at(600), "Other", "v2")
    assert (again.signal, again.factor, again.estimated) == (Signal.AVERAGE, "Lifecycle", "0%")


TERMS_WITH_HOST = Terms(products={"A40": Product(300, HALF)}, host_w_per_gpu=40, pue=1.25)


@pytest.mark.parametrize("terms", [TERMS, TERMS_WITH_HOST, Terms(products={"A40": Product(300)}, pue=1.1)])
def test_a_revision_gives_what_its_data_would_have_given_at_once(terms: Terms):
    """Realised, baseline, constant and reference: host overhead, PUE and energy without a curve counted in."""
    revised = resettle(account_of(FIRST, terms=terms), REVISED, SPAN)
    assert sums(revised) == pytest.approx(sums(account_of(REVISED, terms=terms)), rel=1e-12, abs=20)
    assert sums(revised) != sums(account_of(FIRST, terms=terms))


def test_without_a_revision_nothing_changes():
    """To the picogram, at every stage; the report says that it was looked at, and forgets the hours after the last one."""
    account = account_of(FIRST)
    for age in AGES:
        before = account
        account = resettle(account, replace(FIRST, issued_at=MIDNIGHT + DAY + age), SPAN)
        assert account.settled == before.settled
    assert account.history == ()
    assert [one.energy_nj for one in account.settlements.values()] == [account.settled.energy_nj] * 4
    assert next_due(account) is None


def test_the_same_data_twice_changes_nothing_the_second_time():
    """The stage is done: the very same account."""
    account = resettle(account_of(FIRST), REVISED, SPAN)
    assert resettle(account, REVISED, SPAN) is account


def test_a_day_is_settled_again_when_it_is_old_enough():
    """A week after its end, not before: neither wanted nor done."""
    account = account_of(FIRST)
    due = MIDNIGHT + DAY + AGES[0]
    assert next_due(account) == due
    assert overdue(account, due - timedelta(seconds=1)) == {}
    assert overdue(account, due) == {(KEY, 0): (MIDNIGHT, MIDNIGHT + DAY)}
    early = replace(REVISED, issued_at=due - timedelta(seconds=1))
    assert resettle(account, early, SPAN) is account
    after = resettle(account, replace(REVISED, issued_at=due), SPAN)
    assert next_due(after) == MIDNIGHT + DAY + AGES[1]
    assert overdue(after, WEEK) == {}


def test_an_operator_that_was_away_goes_to_the_last_stage_at_once():
    """After a quarter one look is enough, and it counts as that stage."""
    account = resettle(account_of(FIRST), replace(REVISED, issued_at=QUARTER), SPAN)
    assert (sorted(account.settlements), account.history) == ([0, 3], ())


def test_what_was_not_asked_for_waits():
    """The answer is about another time: nothing of it is known, and nothing is done."""
    account = account_of(FIRST)
    assert resettle(account, REVISED, (MIDNIGHT - DAY, MIDNIGHT)) is account


def test_what_the_source_leaves_out_stays_as_it_was():
    """It was asked for this time and has nothing: the stage is done, the figures stand, nothing is asked for ever."""
    account = account_of(FIRST)
    empty = replace(REVISED, intervals=())
    after = resettle(account, empty, SPAN)
    assert (after.settled, after.settlements) == (account.settled, account.settlements)
    assert next_due(after) == MIDNIGHT + DAY + AGES[1]


@pytest.mark.parametrize(
    ("other", "done"),
    [
        (replace(REVISED, zone="DE"), False),
        (replace(REVISED, signal=Signal.MARGINAL), False),
        (replace(REVISED, factor=Factor.DIRECT), True),
    ],
)
def test_other_intensities_are_never_mixed_in(other: Series, done: bool):
    """Of another zone or signal it is no answer at all; in other terms it is one that cannot be used."""
    account = account_of(FIRST)
    after = resettle(account, other, SPAN)
    assert after.settled == account.settled
    assert (after is not account) is done


def test_a_job_that_changed_its_zone_is_revised_zone_by_zone():
    """Two hours in one zone, three in the next: each with its own data."""
    account = fold(running(), LEDGER, PAGE[:1], TERMS, series=[FIRST])
    account = settle(account, actual=FIRST, forecast=None, terms=TERMS, until=at(60), now=at(60))
    other = replace(FIRST, zone="DE")
    account = fold(account, LEDGER, PAGE[1:], TERMS, series=[other])
    account = settle(account, actual=other, forecast=None, terms=TERMS, until=at(300), now=at(300))
    assert {key for key, _ in overdue(account, WEEK)} == {KEY, ("DE", Signal.AVERAGE)}
    half = resettle(account, REVISED, SPAN)
    assert half.settled.realised_pg - account.settled.realised_pg == 250 * 10 * 10**9
    assert {key for key, _ in overdue(half, WEEK)} == {("DE", Signal.AVERAGE)}
    both = resettle(half, replace(REVISED, zone="DE"), SPAN)
    assert sums(both) == pytest.approx(sums(account_of(REVISED)), rel=1e-12, abs=20)


def test_an_estimate_is_taken_and_called_one():
    """A source that only has an estimate after a week: the figures follow it, the settled share does not."""
    account = resettle(
        account_of(FIRST), replace(hourly(110, 190, 330, 400, 480, estimated=True), issued_at=WEEK), SPAN
    )
    assert figures(account, TERMS).settled == 0
    assert settlement_statements(account)[1].estimated == "100%"
    assert sums(account) == pytest.approx(sums(account_of(REVISED)), rel=1e-12, abs=20)
    final = resettle(account, replace(REVISED, issued_at=MIDNIGHT + DAY + AGES[1]), SPAN)
    assert figures(final, TERMS).settled == 1
    assert final.settled.realised_pg == account.settled.realised_pg


def test_what_was_closed_with_a_forecast_is_settled_when_its_actual_comes_at_last():
    """35 days without an actual closed it; then the source has it: all of the estimate goes, all of the actual comes."""
    given_up = at(301) + LATE_ACTUALS
    account = account_of(None, forecast=flat(250), now=given_up)
    assert (account.cells, figures(account, TERMS).settled) == ((), 0)
    account = resettle(stored(account), replace(REVISED, issued_at=given_up + DAY), SPAN)
    assert figures(account, TERMS).settled == 1
    assert sums(account) == pytest.approx(sums(account_of(REVISED)), rel=1e-12, abs=20)


def test_what_was_lost_is_found():
    """Energy without any intensity has carbon once there is one. Its baseline is valued in the same hour."""
    given_up = at(301) + LATE_ACTUALS
    outage = hourly(100)
    account = account_of(outage, now=given_up)
    before = figures(account, TERMS)
    assert before.unknown > 0
    account = resettle(account, replace(FIRST, issued_at=given_up + DAY), SPAN)
    after = figures(account, TERMS)
    assert (after.unknown, after.settled) == (0, 1)
    assert after.realised_ug == figures(account_of(FIRST), TERMS).realised_ug


def test_late_records_of_a_settled_day_are_revised_in_their_own_time():
    """An agent that was away for nine days: its records join a day that was settled again already, at their own stage."""
    account = resettle(account_of(FIRST), REVISED, SPAN)
    grid = series((-300, 0, 90), (0, 60, 100))
    account = fold(account, "slow", [record(1, 0, 60, gpu="GPU-9")], TERMS, series=[grid])
    account = settle(account, actual=grid, forecast=None, terms=TERMS, until=at(60), now=WEEK + DAY)
    assert sorted({lines.stage_of(line) for line in account.history}) == [0, 1]
    assert overdue(account, WEEK + DAY) == {(KEY, 0): (MIDNIGHT, MIDNIGHT + DAY)}
    account = resettle(account, replace(REVISED, issued_at=WEEK + DAY), SPAN)
    whole = sum(one.energy_millijoules for one in PAGE) + 900_000_000
    assert settlement_statements(account)[1].energy_millijoules == whole


values = st.integers(0, 120_000).map(lambda hundredths: hundredths / 100)
TRUE = Terms(products={"A40": Product(300, A40)}, host_w_per_gpu=20, pue=1.1)


@st.composite
def jobs(draw: st.DrawFn) -> Account:
    """Up to five hours with limits, power and gaps as they like."""
    page, minute = [], 0.0
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        length = draw(st.integers(60, 1500)) / 60
        limit_w = draw(st.sampled_from([200.0, 215.0, 250.0, 300.0]))
        watts = A40.at(limit_w)[0] * draw(st.floats(0.8, 1.2))
        page.append(record(seq, minute, minute + length, limit_w=limit_w, watts=watts))
        minute += length + draw(st.sampled_from([0, 0, 0, 7]))
    return folded(page, terms=TRUE, grid=[FIRST])


def settled_with(account: Account, grid: Series) -> Account:
    return settle(account, actual=grid, forecast=None, terms=TRUE, until=at(300), now=at(300))


@examples
@given(jobs(), st.tuples(*[values] * 5), st.tuples(*[values] * 5), st.integers(0, 2))
def test_one_vintage_after_another_equals_the_last_one_alone(
    job: Account, one: tuple[float, ...], other: tuple[float, ...], stage: int
):
    """Settle with A, settle again with B, a crash in between: the sums of B, to a few picograms and 1e-9."""
    revised = resettle(
        stored(settled_with(job, hourly(*one))), hourly(*other, asked=MIDNIGHT + DAY + AGES[stage]), SPAN
    )
    assert sums(revised) == pytest.approx(sums(settled_with(job, hourly(*other))), rel=1e-9, abs=200)
    assert figures(revised, TRUE).settled == 1


@examples
@given(jobs(), st.lists(st.tuples(*[values] * 5), min_size=3, max_size=3))
def test_savings_add_up_after_every_revision(job: Account, vintages: list[tuple[float, ...]]):
    """Efficiency and timing are what was saved, in whole micrograms, also below zero."""
    account = settled_with(job, FIRST)
    for age, grams in zip(AGES, vintages, strict=True):
        account = stored(resettle(account, hourly(*grams, asked=MIDNIGHT + DAY + age), SPAN))
        result = figures(account, TRUE)
        assert result.efficiency_ug is not None
        assert result.timing_ug is not None
        assert result.saved_ug == result.efficiency_ug + result.timing_ug
        assert result.realised_ug == result.settled_ug
    assert account.history == ()


@examples
@given(jobs(), st.lists(values, min_size=20, max_size=20), st.lists(values, min_size=20, max_size=20))
def test_a_finer_source_is_revised_exactly_at_first(job: Account, one: list[float], other: list[float]):
    """Quarters of an hour: the revision after a week is at the source's own resolution; whole hours only come after it."""

    def quarters(grams: list[float], asked: datetime) -> Series:
        return replace(series(*((15 * n, 15 * n + 15, value) for n, value in enumerate(grams))), issued_at=asked)

    first, again = quarters(one, T0), quarters(other, WEEK)
    revised = resettle(settled_with(job, first), again, SPAN)
    assert sums(revised) == pytest.approx(sums(settled_with(job, again)), rel=1e-9, abs=200)
    same = resettle(revised, replace(again, issued_at=MIDNIGHT + DAY + AGES[1]), SPAN)
    assert same.settled == revised.settled


def test_every_state_of_an_entry_can_be_written():
    """A state that the lines did not know could not be stored."""
    assert set(lines.STATES) == set(State)
