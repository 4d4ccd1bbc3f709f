from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.account import (
    Account,
    JobPod,
    LimitStep,
    Product,
    Terms,
    begin,
    coverage,
    decode,
    encode,
    fold,
    folded_until,
    slowdown,
    statement,
)
from carbonzeus_operator.account.model import Cursor
from carbonzeus_wire import EnergyRecord, Quality
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

HOURLY = series(*((60 * hour, 60 * hour + 60, 100 + 10 * hour) for hour in range(5)))
STEPS = Terms(products={"A40": Product(300, HALF)}, progress=True, reference_rate=10.0)
"""Ten steps a second at the reference limit."""


@st.composite
def ledgers(draw: st.DrawFn) -> list[EnergyRecord]:
    """A ledger of up to 20 records, end to end, of two pods of the job, a stranger's and idle time."""
    records, minute = [], 0.0
    for seq in range(1, draw(st.integers(1, 20)) + 1):
        length = draw(st.floats(0.01, 12, allow_nan=False))
        owner = draw(st.sampled_from(["uid-0", "uid-1", "stranger", None]))
        quality = draw(st.sampled_from([Quality.COUNTER, Quality.COUNTER, Quality.INTEGRATED, Quality.GAP]))
        records.append(
            record(
                seq,
                minute,
                minute + length,
                pod_uid=owner,
                pod=None,
                gpu=draw(st.sampled_from(["GPU-0", "GPU-1"])),
                limit_w=None if quality is Quality.GAP else draw(st.sampled_from([200.0, 225.0, 300.0])),
                millijoules=draw(st.integers(0, 10**9)),
                progress=draw(st.sampled_from([None, 0.0, 100.0, 7.5])),
                quality=quality,
            )
        )
        minute += length
    return records


TWO = (POD, JobPod("uid-1", "train/job-1", "A40", 1, T0))


def test_a_record_that_comes_again_is_passed_over():
    """Folding the same page twice changes nothing: the cursor says how far the ledger is in."""
    page = [record(1, 0, 5), record(2, 5, 10)]
    once = folded(page)
    assert fold(once, LEDGER, page, TERMS) == once


def test_records_of_others_only_move_the_cursor():
    """A page of another job's records leaves the sums as they were, and is not offered again."""
    account = folded(
        [record(1, 0, 5, pod_uid="stranger", pod="train/other-0"), record(2, 5, 10, pod_uid=None, pod=None)]
    )
    assert account == replace(running(), cursors={LEDGER: Cursor(2, at(10))})


@examples
@given(ledgers(), st.data(), st.sampled_from([TERMS, STEPS]))
def test_pages_and_crashes_do_not_change_the_account(records: list[EnergyRecord], data: st.DataObject, terms: Terms):
    """Cut the ledger into pages anywhere, offer some twice, and keep nothing but the status in between: same account."""
    whole = fold(running(*TWO), LEDGER, records, terms, series=[HOURLY])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)))))
    account = running(*TWO)
    for start, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
        again = data.draw(st.integers(0, start))
        account = decode(encode(fold(account, LEDGER, records[again:end], terms, series=[HOURLY])))
    assert account == whole


@examples
@given(ledgers(), ledgers())
def test_the_order_of_ledgers_does_not_matter(one: list[EnergyRecord], other: list[EnergyRecord]):
    """Two agents' records give the same sums whichever is read first."""
    other = [
        record.model_copy(update={"pod_uid": "uid-1" if record.pod_uid == "uid-0" else record.pod_uid})
        for record in other
    ]
    first = fold(fold(running(*TWO), "a", one, TERMS, series=[HOURLY]), "b", other, TERMS, series=[HOURLY])
    second = fold(fold(running(*TWO), "b", other, TERMS, series=[HOURLY]), "a", one, TERMS, series=[HOURLY])
    assert first == second


@examples
@given(ledgers())
def test_no_millijoule_is_lost_between_the_cells(records: list[EnergyRecord]):
    """The cells' energies sum to the records' exactly, wherever time is cut."""
    account = fold(running(*TWO), LEDGER, records, TERMS, series=[HOURLY])
    mine = sum(record.energy_millijoules for record in records if record.pod_uid in {"uid-0", "uid-1"})
    assert account.energy_mj == mine
    assert sum(cell.energy_nj for cell in account.cells) == mine * 1_000_000


@examples
@given(ledgers())
def test_jobs_and_idle_sum_to_the_gpus(records: list[EnergyRecord]):
    """The accounts of all jobs and what nobody's is add up to the whole ledger."""
    accounts = [
        fold(running(JobPod(uid, f"train/{uid}", "A40", 1, T0)), LEDGER, records, TERMS)
        for uid in ("uid-0", "uid-1", "stranger")
    ]
    idle = sum(record.energy_millijoules for record in records if record.pod_uid is None)
    assert sum(account.energy_mj for account in accounts) + idle == sum(r.energy_millijoules for r in records)


def test_cells_end_at_quarters_of_an_hour_and_where_the_intensity_may_change():
    """A record over 40 minutes with an interval's end at minute 20 falls into four cells."""
    account = folded([record(1, 0, 40)], grid=[series((0, 20, 100), (20, 60, 200)), None])
    edges = [(cell.start_us - account.cells[0].start_us) / 60e6 for cell in account.cells]
    assert edges == [0, 15, 20, 30]
    assert [cell.energy_nj for cell in account.cells] == [250 * 60 * minutes * 10**9 for minutes in (15, 5, 10, 10)]


def test_energy_before_the_first_plan_is_found_by_the_pods_name():
    """Until a plan told the UID, the agent knows only namespace and name: the energy is the job's all the same."""
    account = folded([record(1, 0, 5, pod_uid=None), record(2, 5, 10)])
    assert account.energy_mj == 250 * 600 * 1000


def test_a_namesake_of_an_earlier_run_does_not_count():
    """Kubeflow names pods alike in every run: what ended before this pod started belongs to the run before."""
    later = replace(POD, started=at(30))
    account = fold(running(later), LEDGER, [record(1, 0, 5, pod_uid=None), record(2, 31, 36, pod_uid=None)], TERMS)
    assert account.energy_mj == 250 * 300 * 1000


def test_of_two_namesakes_the_later_one_takes_what_follows_its_start():
    """A worker that was restarted under its name: each record goes to the pod that ran then."""
    first = JobPod("old", "train/job-0", "A40", 1, T0, ended=at(10))
    second = JobPod("new", "train/job-0", "V100", 1, at(10))
    terms = Terms(products={"V100": Product(250, HALF)})
    account = fold(running(first, second), LEDGER, [record(1, 20, 25, pod_uid=None, limit_w=200)], terms)
    assert set(account.models) == {"V100"}


def test_a_ledger_begins_where_the_job_began():
    """A report of a late job skips the old records of a long ledger without reading them."""
    account = begin(running(), LEDGER, 10)
    assert fold(account, LEDGER, [record(10, 0, 5)], TERMS) == account
    assert begin(account, LEDGER, 99) == account


def test_records_are_in_up_to_the_ledger_that_is_least_far():
    """Two agents: what is settled must wait for the slower one."""
    account = fold(fold(running(), "a", [record(1, 0, 5)], TERMS), "b", [record(1, 0, 3)], TERMS)
    assert folded_until(account, ["a", "b"]) == at(3)
    assert folded_until(account, ["a", "unheard"]) < T0


def test_a_gap_is_uncovered_time_and_not_zero_watts():
    """What nobody measured has no energy, no cell, and lowers the coverage."""
    account = folded([record(1, 0, 30), record(2, 30, 40, limit_w=None, quality=Quality.GAP)])
    share = coverage(account, at(40)).share
    assert share == pytest.approx(30 / 40)
    assert sum(cell.energy_nj for cell in account.cells) == account.energy_mj * 10**6 == 250 * 1800 * 10**9


def test_the_clock_without_steps_is_the_curve():
    """An hour at 200 W, where the curve says half speed: half an hour of work, slowdown 100 %."""
    account = folded([record(1, 0, 60, limit_w=200, watts=150)])
    assert (account.elapsed_s, account.work_s) == (3600, 1800)
    assert slowdown(account) == 1.0


def test_the_gpus_of_the_leader_are_one_clock():
    """Two GPUs in the leading pod, one in the other: an hour is an hour."""
    leader = replace(POD, gpus=2)
    account = fold(
        running(leader, TWO[1]),
        LEDGER,
        [record(1, 0, 60, gpu="GPU-0"), record(2, 0, 60, gpu="GPU-1"), record(3, 0, 60, gpu="GPU-2", pod_uid="uid-1")],
        TERMS,
    )
    assert (account.elapsed_s, account.work_s) == (3600, 3600)


def test_the_clock_with_steps_is_the_counter():
    """After the first record with steps, work is steps over the reference rate, whatever the curve says."""
    account = folded(
        [record(1, 0, 10, progress=0.0), record(2, 10, 20, progress=6000.0), record(3, 20, 30, progress=5700.0)],
        terms=STEPS,
    )
    assert account.work_s == pytest.approx(600 + 570)
    assert account.elapsed_s == 1200
    assert account.progress_milli == 11_700_000


def test_start_up_belongs_to_nobody():
    """Nine minutes of loading, then a minute of steps at full speed: elapsed is that minute."""
    account = folded([record(1, 0, 5, progress=0.0), record(2, 5, 10, progress=600.0)], terms=STEPS)
    assert (account.elapsed_s, account.work_s) == (60, 60)


def test_the_first_steps_at_a_low_limit_count_as_slow():
    """The clock is started by as much time as the steps take at the limit that held."""
    account = folded([record(1, 0, 10, limit_w=200, progress=600.0)], terms=STEPS)
    assert (account.elapsed_s, account.work_s) == (120, 60)


@pytest.mark.parametrize("leap", [50_000.0, 1e300])
def test_a_counter_that_leaps_is_not_work(leap: float):
    """A job that goes on from a checkpoint sets its counter to where it was: the time is judged by the curve instead."""
    page = [record(1, 0, 10, progress=6000.0), record(2, 10, 20, limit_w=200, progress=leap)]
    account = folded(page, terms=STEPS)
    assert (account.elapsed_s, account.work_s) == (1200, 900)
    assert decode(encode(account)) == account
    assert statement(account, STEPS).progress_thousandths >= 56_000_000


def test_steps_that_could_not_be_read_are_counted_when_they_can():
    """The endpoint was silent for an hour: the counter's rise of that hour comes at once and is no leap."""
    page = [record(1, 0, 5, progress=3000.0)]
    page += [record(n + 2, 5 * n + 5, 5 * n + 10, progress=0.0) for n in range(12)]
    page += [record(14, 65, 70, progress=39_000.0)]
    account = folded(page, terms=STEPS)
    assert (account.elapsed_s, account.work_s) == (4200, 4200)


def test_a_first_count_that_leaps_starts_the_clock_at_its_end():
    """Nothing is known of that record's time: neither elapsed nor work, and from there on the clock runs."""
    account = folded([record(1, 0, 10, progress=50_000.0), record(2, 10, 20, progress=6000.0)], terms=STEPS)
    assert (account.elapsed_s, account.work_s) == (600, 600)


def test_a_step_that_takes_longer_than_a_record_is_work():
    """A step every 40 seconds, records of one second: the step counts whole when it comes."""
    terms = replace(STEPS, reference_rate=1 / 40)
    page = [record(1, 0, 2, progress=3.0)]
    page += [record(n + 2, 2 + n / 60, 2 + (n + 1) / 60, progress=1.0 if n == 39 else 0.0) for n in range(40)]
    account = folded(page, terms=terms)
    assert (account.elapsed_s, account.work_s) == pytest.approx((160, 160))


def test_tear_down_belongs_to_nobody():
    """Two minutes of steps, then three of saving the model: the clock stops with the last step."""
    ended = replace(POD, ended=at(14))
    page = [record(1, 0, 10, progress=6000.0), record(2, 10, 15, progress=1200.0)]
    account = fold(running(ended), LEDGER, page, STEPS)
    assert (account.elapsed_s, account.work_s) == (720, 720)


def test_the_last_steps_at_a_low_limit_count_as_slow():
    """As the first ones do."""
    ended = replace(POD, ended=at(14))
    page = [record(1, 0, 10, progress=6000.0), record(2, 10, 15, limit_w=200, progress=1200.0)]
    account = fold(running(ended), LEDGER, page, STEPS)
    assert (account.elapsed_s, account.work_s) == (600 + 240, 720)


def test_steps_of_other_gpus_do_not_exist_for_the_clock():
    """Only the GPU whose records carry the steps is the clock; the pod's others add energy alone."""
    leader = replace(POD, gpus=2)
    page = [
        record(1, 0, 10, progress=6000.0),
        record(2, 0, 10, gpu="GPU-1"),
        record(3, 10, 20, gpu="GPU-1"),
        record(4, 10, 20, progress=6000.0),
    ]
    account = fold(running(leader), LEDGER, page, STEPS)
    assert (account.elapsed_s, account.work_s) == (1200, 1200)
    assert account.energy_mj == 4 * 250 * 600 * 1000


def test_the_clock_follows_the_steps_to_another_gpu():
    """The GPU that carried the steps was lost: the agent books them on the next one, and the clock goes on there."""
    leader = replace(POD, gpus=2)
    page = [record(1, 0, 10, progress=6000.0), record(2, 10, 20, gpu="GPU-1", progress=3000.0)]
    account = fold(running(leader), LEDGER, page, STEPS)
    assert (account.elapsed_s, account.work_s) == (1200, 900)


def test_a_gap_is_judged_by_the_last_limit():
    """An agent that is killed leaves its limit in force: the time until it is back was slow, and counts as that."""
    page = [
        record(1, 0, 10, limit_w=200, watts=150, progress=6000.0),
        record(2, 10, 20, limit_w=200, watts=150, progress=3000.0),
        record(3, 20, 30, limit_w=None, quality=Quality.GAP),
        record(4, 30, 40, limit_w=300),
        record(5, 40, 50, limit_w=300, progress=6000.0),
    ]
    before, after = folded(page[:2], terms=STEPS), folded(page, terms=STEPS)
    assert after.elapsed_s - before.elapsed_s == 1800
    assert after.work_s - before.work_s == 300 + 600 + 600


def test_time_counts_only_while_all_workers_run():
    """Ten of twenty minutes with all workers: elapsed is ten; the energy is whole."""
    account = fold(running(since=at(10)), LEDGER, [record(1, 0, 20)], TERMS)
    assert account.elapsed_s == 600
    assert account.energy_mj == 250 * 1200 * 1000


def test_without_a_curve_the_clocks_bound_the_speed_from_below():
    """The lower of both clock ratios; without clocks the share of the limit; at the reference limit full speed."""
    bare = Terms(products={"A40": Product(300, None, reference_sm_mhz=1500, reference_memory_mhz=7000)})
    slow = folded([record(1, 0, 10, limit_w=200, sm=1200, memory=6900)], terms=bare)
    unseen = folded([record(1, 0, 10, limit_w=200)], terms=bare)
    full = folded([record(1, 0, 10, limit_w=300, sm=1200, memory=6900)], terms=bare)
    assert [account.work_s for account in (slow, unseen, full)] == pytest.approx([480, 400, 600])


def test_recommended_limits_are_accounted_for_as_if_they_had_held():
    """Measured at the reference limit; at 200 W from minute 10 on it would have drawn 150 W at half the speed."""
    page = [record(1, 0, 20)]
    steps = [LimitStep(at(10), 200)]
    would_be = fold(running(), LEDGER, page, TERMS, series=[flat(100)], instead=steps)
    assert would_be.energy_mj == (250 * 600 + 150 * 600) * 1000
    assert (would_be.elapsed_s, would_be.work_s) == (1200, 900)


def test_recommended_limits_slow_measured_steps_down():
    """Steps were counted at full speed: at 200 W half as many would have been done in the same time."""
    page = [record(1, 0, 10, progress=6000.0), record(2, 10, 20, progress=6000.0)]
    would_be = fold(running(), LEDGER, page, STEPS, instead=[LimitStep(at(10), 200)])
    assert (would_be.elapsed_s, would_be.work_s) == (1200, 900)


def test_without_steps_yet_the_measured_limits_stand():
    """Before a recommendation is there, nothing is claimed."""
    page = [record(1, 0, 20, limit_w=225)]
    assert fold(running(), LEDGER, page, TERMS, instead=[]) == folded(page)


@examples
@given(st.lists(st.floats(0.001, 0.999), max_size=6), st.lists(st.floats(0.001, 0.999), max_size=6))
def test_cutting_a_record_keeps_the_sums(cuts: list[float], steps: list[float]):
    """An hour in one record or in several, at one power: the same cells, to a millionth of a millijoule a cut."""
    terms = Terms(products={"A40": Product(300, A40)}, host_w_per_gpu=40)
    grid = [series((0, 20, 100), (20, 60, 200))]
    edges = [0.0, *sorted({round(cut * 60, 3) for cut in cuts}), 60.0]
    pieces = [
        record(seq, start, end, limit_w=225, watts=200)
        for seq, (start, end) in enumerate(itertools.pairwise(edges), start=1)
        if end > start
    ]
    instead = [LimitStep(at(step * 60), 200 + 100 * step) for step in sorted(set(steps))]
    whole = fold(running(), LEDGER, [record(1, 0, 60, limit_w=225, watts=200)], terms, series=grid, instead=instead)
    parts = fold(running(), LEDGER, pieces, terms, series=grid, instead=instead)
    assert len(whole.cells) == len(parts.cells)
    for one, other in zip(whole.cells, parts.cells, strict=True):
        assert one.energy_nj == pytest.approx(other.energy_nj, abs=30)
        assert one.models["A40"].baseline_nj == pytest.approx(other.models["A40"].baseline_nj, abs=30)
        assert one.host_nj == pytest.approx(other.host_nj, abs=30)
        assert one.elapsed_us == pytest.approx(other.elapsed_us, abs=2)
        assert one.work_us == pytest.approx(other.work_us, abs=20)


def test_a_job_that_is_not_observed_has_no_share():
    """An account without pods takes note of the ledger and nothing else."""
    account = fold(Account(), LEDGER, [record(1, 0, 5)], TERMS)
    assert account == Account(cursors={LEDGER: Cursor(1, at(5))})


def test_a_pods_end_in_whole_seconds_keeps_its_last_record():
    """Kubernetes cuts off fractions: a record of the last fraction of a second is still the pod's."""
    ended = replace(POD, ended=at(10))
    tail = record(2, 10, 10 + 0.5 / 60, pod_uid=None)
    account = fold(running(ended), LEDGER, [tail], TERMS)
    assert account.energy_mj == tail.energy_millijoules > 0
    assert tail.end - at(10) < timedelta(seconds=1)
