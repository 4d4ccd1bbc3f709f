from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import (
    Account,
    JobPod,
    LimitStep,
    Product,
    State,
    Terms,
    figures,
    fold,
    folded_until,
    settle,
    slowdown,
    wanted,
)
from carbonzeus_operator.account.settlement import LATE_ACTUALS, LATE_RECORDS
from carbonzeus_operator.grid.series import Interval, Series
from carbonzeus_operator.resources.ledger import MAX_CELLS
from carbonzeus_wire import EnergyRecord
from tests.unit.account.books import (
    A40,
    HALF,
    LEDGER,
    POD,
    T0,
    TERMS,
    at,
    examples,
    flat,
    folded,
    record,
    running,
    series,
)


def settled(
    account: Account,
    actual: Series | None,
    *,
    forecast: Series | None = None,
    terms: Terms = TERMS,
    until: datetime | None = None,
    now: datetime | None = None,
) -> Account:
    """Settled with all records in."""
    until = folded_until(account, [LEDGER]) if until is None else until
    return settle(account, actual=actual, forecast=forecast, terms=terms, until=until, now=now or until)


def test_carbon_is_energy_times_the_intensity_of_its_own_time():
    """250 W over an hour at 100 and an hour at 500 g/kWh are 25 g and 125 g."""
    grid = series((0, 60, 100), (60, 120, 500))
    account = settled(folded([record(1, 0, 120)], grid=[grid]), grid)
    result = figures(account, TERMS)
    assert result.realised_ug == 150_000_000
    assert (result.settled, result.estimated, result.unknown, account.cells) == (1, 0, 0, ())


def test_the_baseline_finishes_earlier():
    """Two hours at half speed, 150 W. At the reference limit the work is done in the first hour, at 250 W and 100 g/kWh.

    Realised 150 Wh at 100 and 150 Wh at 500 g/kWh: 90 g; baseline 250 Wh at 100 g/kWh: 25 g. Saved: -65 g, shown as such.
    The best constant limit is the one that was held: what it would have lost is all there is, timing is zero.
    """
    grid = series((0, 60, 100), (60, 120, 500))
    account = settled(folded([record(1, 0, 120, limit_w=200, watts=150)], grid=[grid]), grid)
    result = figures(account, TERMS)
    assert (result.realised_ug, result.baseline_ug) == (90_000_000, 25_000_000)
    assert (result.saved_ug, result.efficiency_ug, result.timing_ug) == (-65_000_000, -65_000_000, 0)
    assert slowdown(account) == 1.0


def test_following_the_grid_is_timing():
    """An hour of full speed while the grid is clean, two at half speed while it is dirty.

    At one limit the same two hours' work in three hours is r = 2/3: 250 W · (0.6 + 0.4 · 1/3) = 183.33 W throughout.
    """
    grid = series((0, 60, 100), (60, 180, 400))
    page = [record(1, 0, 60), record(2, 60, 180, limit_w=200, watts=150)]
    result = figures(settled(folded(page, grid=[grid]), grid), TERMS)
    assert result.realised_ug == 25_000_000 + 120_000_000
    assert result.baseline_ug == 25_000_000 + 100_000_000
    constant = 550 / 3 * (0.1 + 0.8) * 1_000_000
    assert result.best_constant_ug == pytest.approx(constant, abs=2)
    assert result.timing_ug == pytest.approx(constant - 145_000_000, abs=2)


def test_host_overhead_and_pue_count_in_every_figure():
    """50 W of host a GPU and a PUE of 1.2: realised over the time that it took, the baseline over the shorter time."""
    terms = Terms(products={"A40": Product(300, HALF)}, host_w_per_gpu=50, pue=1.2)
    page = [record(1, 0, 120, limit_w=200, watts=150)]
    grid = flat(100)
    result = figures(settled(folded(page, terms=terms, grid=[grid]), grid, terms=terms), terms)
    assert result.realised_ug == pytest.approx((150 + 50) * 2 * 1.2 * 0.1 * 1e6, abs=2)
    assert result.baseline_ug == pytest.approx((250 + 50) * 1 * 1.2 * 0.1 * 1e6, abs=2)
    assert result.best_constant_ug == result.realised_ug
    assert result.energy_mj == 150 * 7200 * 1000


def test_without_a_curve_no_saving_is_claimed():
    """Energy and carbon stand; baseline and best constant limit are unknown, not zero."""
    bare = Terms(products={"A40": Product(300)})
    account = settled(folded([record(1, 0, 60)], terms=bare), flat(100), terms=bare)
    result = figures(account, bare)
    assert result.realised_ug == 25_000_000
    assert (result.baseline_ug, result.saved_ug, result.efficiency_ug, result.timing_ug) == (None, None, None, None)
    assert result.modelled == 0


def test_a_forecast_stands_in_until_the_actual_is_published():
    """First the forecast's estimate, settled 0 %; then the actual replaces it and the cells are closed."""
    account = settled(folded([record(1, 0, 60)]), None, forecast=flat(200))
    before = figures(account, TERMS)
    assert (before.realised_ug, before.settled_ug, before.settled, before.estimated) == (50_000_000, 0, 0, 1)
    assert {cell.state for cell in account.cells} == {State.FORECAST}
    after = figures(settled(account, flat(100), forecast=flat(300)), TERMS)
    assert (after.realised_ug, after.settled_ug, after.settled, after.estimated) == (25_000_000, 25_000_000, 1, 0)


def test_the_estimate_outlives_its_forecast():
    """The next issue begins later: a cell of the past keeps what the last one said."""
    account = settled(folded([record(1, 0, 60)]), None, forecast=flat(200))
    account = settled(account, None, forecast=series((60, 600, 300)))
    assert figures(account, TERMS).realised_ug == 50_000_000
    assert figures(settled(account, None), TERMS).realised_ug == 50_000_000


def test_an_estimated_actual_settles_for_now_only():
    """What its source calls an estimate is Provisional; the measured value closes the cell."""
    account = settled(folded([record(1, 0, 15)]), series((0, 15, 150), estimated=True))
    assert [cell.state for cell in account.cells] == [State.PROVISIONAL]
    assert figures(account, TERMS).realised_ug == 9_375_000
    account = settled(account, None, forecast=flat(900))
    assert figures(account, TERMS).realised_ug == 9_375_000
    account = settled(account, series((0, 15, 160)))
    assert (account.cells, figures(account, TERMS).realised_ug) == ((), 10_000_000)


def test_without_any_intensity_no_carbon_is_invented():
    """Energy of a time that neither forecast nor actual covers is in no carbon figure, and the report says how much."""
    account = settled(folded([record(1, 0, 30)]), series((0, 15, 100)))
    result = figures(account, TERMS)
    assert result.realised_ug == 6_250_000
    assert (result.settled, result.unknown) == (0.5, 0.5)


def test_a_source_that_was_away_settles_when_it_returns():
    """Two hours without data: those cells wait, the others are closed; when the data comes, all is closed."""
    hours = [record(hour + 1, 60 * hour, 60 * hour + 60) for hour in range(4)]
    outage = series((0, 60, 100), (180, 240, 100))
    account = settled(folded(hours, grid=[outage]), outage)
    assert figures(account, TERMS).settled == 0.5
    back = series(*((60 * hour, 60 * hour + 60, 100) for hour in range(4)))
    account = settled(account, back)
    result = figures(account, TERMS)
    assert (result.settled, result.realised_ug, account.cells) == (1, 100_000_000, ())


def test_a_cell_waits_for_the_slowest_agent():
    """Before all records of its time are in, a cell has an estimate and is not closed."""
    account = folded([record(1, 0, 30)])
    account = settled(account, flat(100), until=at(15), now=at(31))
    assert [(cell.end_us - cell.start_us, cell.lag_us) for cell in account.cells] == [(15 * 60_000_000, None)]
    assert figures(account, TERMS).settled == 0.5


def test_an_agent_that_never_answers_again_holds_nothing_up():
    """After some hours the cell is closed without its records; if they come, they are settled by themselves."""
    account = folded([record(1, 0, 15)])
    account = settled(account, flat(100), until=T0, now=at(15) + LATE_RECORDS)
    assert figures(account, TERMS).settled == 1
    account = fold(account, "slow", [record(1, 0, 15, gpu="GPU-9")], TERMS)
    assert figures(account, TERMS).settled == 0.5
    account = settled(account, flat(100), until=at(15))
    assert figures(account, TERMS).realised_ug == 12_500_000


def test_an_actual_that_never_comes_is_replaced_by_the_forecast():
    """After weeks the estimate closes the cell, and stays counted as an estimate; without one the carbon is unknown."""
    account = settled(folded([record(1, 0, 30)]), None, forecast=series((0, 15, 200)))
    account = settled(account, None, now=at(31) + LATE_ACTUALS)
    result = figures(account, TERMS)
    assert account.cells == ()
    assert (result.settled, result.estimated, result.unknown) == (0, 0.5, 0.5)
    assert (result.realised_ug, result.settled_ug) == (12_500_000, 12_500_000)


def test_the_report_never_holds_more_cells_than_it_may():
    """Two weeks without a word from the source: the oldest cells are closed with what is known."""
    quarters = MAX_CELLS + 10
    account = folded([record(n + 1, 15 * n, 15 * n + 15) for n in range(10)])
    account = settled(account, None, forecast=flat(100))
    account = fold(account, LEDGER, [record(n + 1, 15 * n, 15 * n + 15) for n in range(10, quarters)], TERMS)
    assert len(account.cells) == MAX_CELLS
    result = figures(account, TERMS)
    assert result.settled_ug == 62_500_000
    assert result.energy_mj == 250 * 900 * 1000 * quarters


def test_wanted_actuals_reach_back_to_the_baselines_time():
    """A job that is half an hour behind needs the intensity of half an hour before its oldest open cell."""
    grid = series((0, 60, 100))
    account = settled(folded([record(1, 0, 120, limit_w=200, watts=150)], grid=[grid]), grid)
    assert wanted(account) == {"": (at(30), at(120))}
    assert wanted(Account()) == {}


def test_a_job_that_stands_still_has_its_baseline_at_one_moment():
    """No steps in an hour: the curve says what the draw would have been, at the intensity of the moment it stood."""
    terms = Terms(products={"A40": Product(300, HALF)}, progress=True, reference_rate=1.0)
    grid = series((0, 60, 100), (60, 120, 500))
    page = [record(1, 0, 60, progress=3600.0), record(2, 60, 120, progress=0.0, watts=50)]
    result = figures(settled(folded(page, terms=terms, grid=[grid]), grid, terms=terms), terms)
    assert result.realised_ug == 25_000_000 + 25_000_000
    assert result.baseline_ug == 25_000_000 + 25_000_000


def test_recommended_limits_are_settled_like_real_ones():
    """Measured at 250 W; recommended 200 W all along: half the work in the time, at 150 W, against its own baseline."""
    grid = flat(100)
    account = fold(running(), LEDGER, [record(1, 0, 120)], TERMS, series=[grid], instead=[LimitStep(T0, 200)])
    result = figures(settled(account, grid), TERMS)
    assert (result.realised_ug, result.baseline_ug) == (30_000_000, 25_000_000)
    assert result.saved_ug == -5_000_000


def test_two_products_have_each_their_own_best_constant_limit():
    """A job of A40s and of boards on another curve: the constant limits are taken per product, and add up."""
    other = JobPod("uid-1", "train/job-1", "other", 1, T0)
    terms = Terms(products={"A40": Product(300, HALF), "other": Product(300, A40)})
    grid = flat(100)
    page = [
        record(1, 0, 60, limit_w=200, watts=150),
        record(2, 0, 60, limit_w=225, watts=198.4, pod_uid="uid-1", gpu="GPU-1"),
    ]
    result = figures(settled(fold(running(POD, other), LEDGER, page, terms), grid, terms=terms), terms)
    assert result.timing_ug == pytest.approx(0, abs=4)
    assert result.baseline_ug == pytest.approx(1e5 * (125 + 244.3 / 1.033), abs=4)


limits = st.sampled_from([200.0, 215.0, 225.0, 250.0, 280.0, 300.0])
intensities = st.floats(0, 1200, allow_nan=False)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[EnergyRecord], Series]:
    """A few hours of records with changing limits and noisy power, and an intensity that changes at odd times."""
    records, minute = [], 0.0
    for seq in range(1, draw(st.integers(1, 25)) + 1):
        length = draw(st.integers(1, 1200)) / 60
        limit_w = draw(limits)
        watts = A40.at(limit_w)[0] * draw(st.floats(0.8, 1.2))
        records.append(record(seq, minute, minute + length, limit_w=limit_w, watts=watts))
        minute += length
    edges = [-60.0, *sorted(draw(st.sets(st.integers(-59, 499), max_size=30))), 520.0]
    steps = [(start, end, draw(intensities)) for start, end in itertools.pairwise(edges)]
    return records, series(*steps)


def reckoned(records: Sequence[EnergyRecord], grid: Series) -> float:
    """Σ energy · intensity [ug] once more, by time, sharing nothing with the account."""
    grams = 0.0
    for one in records:
        seconds = (one.end - one.start).total_seconds()
        for interval in grid.intervals:
            shared = (min(one.end, interval.end) - max(one.start, interval.start)).total_seconds()
            if shared > 0:
                grams += one.energy_millijoules / 1000 / 3.6e6 * shared / seconds * interval.gco2_per_kwh
    return grams * 1e6


TRUE = Terms(products={"A40": Product(300, A40)})


@examples
@given(runs())
def test_carbon_equals_an_independent_reckoning(run: tuple[list[EnergyRecord], Series]):
    """Records cut where limits change, intensity where it likes: the grams are those of the plain integral."""
    records, grid = run
    account = settled(folded(records, terms=TRUE, grid=[grid]), grid, terms=TRUE, until=at(600))
    assert account.cells == ()
    assert figures(account, TRUE).realised_ug == pytest.approx(reckoned(records, grid), rel=1e-9, abs=1)


@examples
@given(runs(), st.data())
def test_any_cut_of_records_and_intervals_gives_the_same_grams(
    run: tuple[list[EnergyRecord], Series], data: st.DataObject
):
    """Halve records and intervals at will, the energy and the intensity staying what they were: the same picograms, to 1e-9."""
    records, grid = run
    parts: list[EnergyRecord] = []
    for one in records:
        middle = one.start + (one.end - one.start) / 2
        whole_us, left_us = (one.end - one.start) / timedelta.resolution, (middle - one.start) / timedelta.resolution
        if data.draw(st.booleans()) and one.energy_millijoules * left_us % whole_us == 0:
            left = round(one.energy_millijoules * left_us / whole_us)
            right = one.energy_millijoules - left
            parts.append(one.model_copy(update={"end": middle, "energy_millijoules": left}))
            parts.append(one.model_copy(update={"start": middle, "energy_millijoules": right}))
        else:
            parts.append(one)
    parts = [one.model_copy(update={"seq": seq}) for seq, one in enumerate(parts, start=1)]
    intervals: list[Interval] = []
    for interval in grid.intervals:
        if data.draw(st.booleans()):
            middle = interval.start + (interval.end - interval.start) / 3
            intervals.append(Interval(interval.start, middle, interval.gco2_per_kwh))
            intervals.append(Interval(middle, interval.end, interval.gco2_per_kwh))
        else:
            intervals.append(interval)
    finer = Series(grid.zone, grid.signal, grid.factor, grid.source, grid.issued_at, tuple(intervals))
    whole = settled(folded(records, terms=TRUE, grid=[grid]), grid, terms=TRUE, until=at(600))
    cut = settled(folded(parts, terms=TRUE, grid=[finer]), finer, terms=TRUE, until=at(600))
    assert cut.settled.realised_pg == pytest.approx(whole.settled.realised_pg, rel=1e-9, abs=1000)


@examples
@given(runs(), st.integers(0, 90))
def test_settling_in_parts_gives_the_same_as_settling_at_once(run: tuple[list[EnergyRecord], Series], lag: int):
    """Record by record, the actual always `lag` minutes late, as in life: every figure is the same at the end."""
    records, grid = run
    at_once = settled(folded(records, terms=TRUE, grid=[grid]), grid, terms=TRUE, until=at(600))
    account = running()
    for one in records:
        account = fold(account, LEDGER, [one], TRUE, series=[grid])
        known = tuple(interval for interval in grid.intervals if interval.end <= one.end - timedelta(minutes=lag))
        actual = Series(grid.zone, grid.signal, grid.factor, grid.source, grid.issued_at, known)
        account = settled(account, actual, forecast=flat(333), terms=TRUE)
    account = settled(account, grid, terms=TRUE, until=at(600))
    assert account == at_once


@examples
@given(runs())
def test_efficiency_and_timing_add_up_to_what_was_saved(run: tuple[list[EnergyRecord], Series]):
    """In whole micrograms, whatever the run, also where something was lost."""
    records, grid = run
    result = figures(settled(folded(records, terms=TRUE, grid=[grid]), grid, terms=TRUE, until=at(600)), TRUE)
    assert result.efficiency_ug is not None
    assert result.timing_ug is not None
    assert result.saved_ug == result.efficiency_ug + result.timing_ug


@examples
@given(runs(), limits)
def test_a_job_held_at_one_limit_has_no_timing(run: tuple[list[EnergyRecord], Series], limit_w: float):
    """Then the best constant limit is the one that was held, whatever the noise of the power."""
    records, grid = run
    records = [one.model_copy(update={"limit_watts": limit_w}) for one in records]
    result = figures(settled(folded(records, terms=TRUE, grid=[grid]), grid, terms=TRUE, until=at(600)), TRUE)
    assert result.timing_ug == pytest.approx(0, abs=max(5, 1e-9 * result.realised_ug))


@examples
@given(runs())
def test_a_job_at_the_reference_limit_saves_nothing(run: tuple[list[EnergyRecord], Series]):
    """Realised, baseline and best constant limit are one and the same."""
    records, grid = run
    records = [one.model_copy(update={"limit_watts": 300.0}) for one in records]
    result = figures(settled(folded(records, terms=TRUE, grid=[grid]), grid, terms=TRUE, until=at(600)), TRUE)
    assert result.saved_ug == pytest.approx(0, abs=5)
    assert result.efficiency_ug == pytest.approx(0, abs=5)
