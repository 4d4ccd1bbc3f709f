"""Energy records: exact in sum, ended where something changes, honest about what nobody measured."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from carbonzeus_agent.builder import boundaries
from carbonzeus_agent.records import Owner
from carbonzeus_wire import Quality
from tests.unit.agent.samples import ALICE, BOB, at, brief, builder, observe, sample


def test_record_ends_at_the_utc_multiple_between_two_samples() -> None:
    """The energy at the boundary is interpolated; what follows belongs to the next record."""
    meter = builder()
    [record] = observe(meter, sample(0.5, 100), sample(299.5, 60_000), sample(301.5, 60_400))
    assert brief(record) == (0.5, 300, 60_000 - 100 + 100, "Counter")
    assert [brief(it) for it in meter.finish()] == [(300, 301.5, 300, "Counter")]


def test_rising_power_puts_less_energy_before_the_boundary() -> None:
    """Between two samples power goes straight from one reading to the other."""
    meter = builder()
    [record] = observe(meter, sample(299, 0, power_w=100), sample(301, 400, power_w=300))
    assert record.energy_mj == 150_000


def test_energy_at_a_boundary_is_reckoned_back_from_the_edge_of_the_counter() -> None:
    """The value before the boundary is 100 ms old; the one at the edge is true."""
    meter = builder()
    [record] = observe(meter, sample(290, 0, edge_w=200), sample(299.99, 1980), sample(300.05, 2010, edge_w=200))
    assert record.energy_mj == pytest.approx(2_000_000, abs=2)


def test_limit_change_ends_the_record_when_it_was_written() -> None:
    """Before and after it each limit has its own record."""
    meter = builder()
    samples = [sample(0, 0), sample(10, 2000), sample(10.6, 2110, limit_w=150, edge_w=150, since_s=10.2)]
    [before] = observe(meter, *samples)
    [after] = meter.finish()
    assert (before.limit_w, after.limit_w) == (300, 150)
    assert brief(before) == (0, 10.2, 2050, "Counter")
    assert brief(after) == (10.2, 10.6, 60, "Counter")


def test_limit_set_by_somebody_else_ends_the_record_halfway() -> None:
    """Nobody knows when it was; half of a sample is as far off as it can be."""
    [record] = observe(builder(), sample(0, 0), sample(10, 2000), sample(11, 2200, limit_w=250))
    assert brief(record) == (0, 10.5, 2100, "Counter")


def test_owner_change_ends_the_record() -> None:
    """Energy goes to whoever held the GPU."""
    meter = builder()
    meter.own(at(0), ALICE)
    observe(meter, sample(0, 0), sample(10, 2000))
    meter.own(at(10.5), BOB)
    [record] = observe(meter, sample(11, 2200))
    assert (record.owner, *brief(record)) == (ALICE, 0, 10.5, 2100, "Counter")
    assert meter.owner == BOB


def test_same_owner_again_is_no_change() -> None:
    """The kubelet is asked every second; nothing ends for that."""
    meter = builder()
    meter.own(at(0), ALICE)
    observe(meter, sample(0, 0))
    meter.own(at(1), ALICE)
    assert observe(meter, sample(2, 400)) == []


def test_clocks_before_a_change_are_not_those_after_it() -> None:
    """A record's mean clock does not take in what its successor showed."""
    meter = builder()
    [before] = observe(meter, sample(0, 0), sample(1, 200), sample(1.2, 240, limit_w=150, since_s=1.01, sm_mhz=600))
    assert before.mean_sm_clock_mhz == 1400


def test_mean_clock_is_that_under_load() -> None:
    """Idle moments say nothing about the speed of a job; utilization is the mean of all."""
    meter = builder()
    observe(meter, sample(0, 0), sample(1, 200, sm_mhz=1000), sample(2, 400, sm_mhz=200, busy=0))
    [record] = meter.finish()
    assert (record.mean_sm_clock_mhz, record.mean_utilization) == (1000, 0.5)


def test_reset_counter_is_bridged_by_power() -> None:
    """The record is Integrated, and its energy is that of the power samples."""
    meter = builder()
    observe(meter, sample(0, 900), sample(1, 1100), sample(2, 40), sample(3, 240))
    assert [brief(it) for it in meter.finish()] == [(0, 3, 600, "Integrated")]


def test_counter_that_jumps_beyond_what_any_board_draws_is_not_believed() -> None:
    """A jump of a day's energy within a second is a fault of the counter."""
    meter = builder()
    observe(meter, sample(0, 0), sample(1, 17_280_000))
    assert [brief(it) for it in meter.finish()] == [(0, 1, 200, "Integrated")]


def test_board_without_counter_is_integrated_without_drift() -> None:
    """What rounding to millijoules leaves over is carried on."""
    meter = builder()
    observe(meter, *(sample(k / 7, None, power_w=99.9) for k in range(701)))
    [record] = meter.finish()
    assert record.quality is Quality.INTEGRATED
    assert record.energy_mj == pytest.approx(9_990_000, abs=1)


def test_nothing_known_is_a_gap() -> None:
    """No counter and no power: the time counts as unmeasured."""
    meter = builder()
    records = observe(meter, sample(0, 0), sample(1, 200), sample(2, None, power_w=None), sample(3, None, power_w=None))
    assert [brief(it) for it in records] == [(0, 2, 400, "Integrated"), (2, 3, 0, "Gap")]


def test_short_hole_with_one_owner_is_covered_by_the_counter() -> None:
    """The driver hung for a minute; the counter went on, and nobody else held the GPU."""
    meter = builder()
    observe(meter, sample(0, 0), sample(60, 12_000))
    assert meter.advance(at(61), 111) == []
    assert [brief(it) for it in meter.finish()] == [(0, 60, 12_000, "Counter")]


def test_short_hole_with_a_change_of_hands_is_a_gap() -> None:
    """Which of the two used the energy, nobody knows."""
    meter = builder()
    meter.own(at(0), ALICE)
    observe(meter, sample(0, 0), sample(1, 200))
    meter.own(at(30), BOB)
    records = observe(meter, sample(60, 12_000))
    assert [(it.owner, *brief(it)) for it in records] == [
        (ALICE, 0, 1, 200, "Counter"),
        (ALICE, 1, 30, 0, "Gap"),
        (BOB, 30, 60, 0, "Gap"),
    ]


def test_limit_that_changed_inside_a_hole_is_not_known() -> None:
    """The energy is the owner's; at which limit it was spent is left open."""
    meter = builder()
    records = observe(meter, sample(0, 0), sample(1, 200), sample(60, 12_000, limit_w=150))
    assert [(it.limit_w, *brief(it)) for it in records] == [
        (300, 0, 1, 200, "Counter"),
        (None, 1, 60, 11_800, "Counter"),
    ]


def test_long_silence_is_a_gap_as_it_goes_on() -> None:
    """It is recorded at every boundary, without waiting for the GPU to come back."""
    meter = builder()
    observe(meter, sample(0, 0), sample(10, 2000))
    records = [*meter.advance(at(311), 361), *meter.advance(at(650), 700)]
    assert [brief(it) for it in records] == [
        (0, 10, 2000, "Counter"),
        (10, 300, 0, "Gap"),
        (300, 600, 0, "Gap"),
    ]
    assert [brief(it) for it in observe(meter, sample(700, 99_000), sample(701, 99_200))] == [(600, 700, 0, "Gap")]


def test_sample_that_comes_back_late_does_not_overlap_the_gap() -> None:
    """Its time has been called a Gap already; records still lie end to end."""
    meter = builder(bridge_s=5)
    observe(meter, sample(0, 0), sample(1, 200))
    records = meter.advance(at(10), 60)
    records += observe(meter, sample(9.5, 2000), sample(11, 2300), sample(12, 2500))
    records += meter.finish()
    assert all(earlier.end == later.start for earlier, later in pairwise(records))


def test_restart_leaves_a_gap_of_the_last_owner() -> None:
    """From where the ledger ends to the first sample nobody measured."""
    meter = builder()
    meter.resume(at(-7), ALICE)
    meter.own(at(0), Owner("team/alice"))
    records = observe(meter, sample(0.5, 5000), sample(1, 5100))
    assert [(it.owner, *brief(it)) for it in records] == [(ALICE, -7, 0, 0, "Gap"), (ALICE, 0, 0.5, 0, "Gap")]
    assert [(it.owner.pod_uid, *brief(it)) for it in meter.finish()] == [(None, 0.5, 1, 100, "Counter")]


def test_clock_set_ahead_leaves_a_gap() -> None:
    """The energy belongs to the second that passed, not to the hour that did not."""
    meter = builder()
    records = observe(meter, sample(0, 0), sample(1, 200), sample(2, 400, set_s=3600), sample(3, 600, set_s=3600))
    assert [brief(it) for it in records] == [(0, 2, 400, "Counter"), (2, 3602, 0, "Gap")]


def test_clock_set_back_begins_a_new_line() -> None:
    """Those UTC times come twice; no energy does."""
    meter = builder()
    records = observe(meter, sample(0, 0), sample(1, 200), sample(2, 400, set_s=-3600), sample(3, 600, set_s=-3600))
    records += meter.finish()
    assert [brief(it) for it in records] == [(0, 2, 400, "Counter"), (-3598, -3597, 200, "Counter")]


def test_unfinished_record_is_what_a_successor_finds() -> None:
    """It reaches the last sample and closes nothing."""
    meter = builder()
    observe(meter, sample(0, 0), sample(1, 200))
    found = meter.unfinished()
    assert found is not None
    assert brief(found) == (0, 1, 200, "Counter")
    observe(meter, sample(2, 400))
    assert [brief(it) for it in meter.finish()] == [(0, 2, 400, "Counter")]


def test_cut_ends_a_record_and_changes_nothing() -> None:
    """Progress was seen for the first time: what came before it has none."""
    meter = builder()
    meter.own(at(0), ALICE)
    observe(meter, sample(0, 0))
    meter.cut(at(0.5))
    [record] = observe(meter, sample(1, 200))
    assert (record.owner, *brief(record)) == (ALICE, 0, 0.5, 100, "Counter")
    assert meter.owner == ALICE


def test_boundaries_are_half_open() -> None:
    """An interval that begins at a boundary is not cut there; one that ends at it is."""
    five = timedelta(minutes=5)
    assert list(boundaries(at(0), at(600), five)) == [at(300), at(600)]
    assert list(boundaries(at(1), at(299), five)) == []
