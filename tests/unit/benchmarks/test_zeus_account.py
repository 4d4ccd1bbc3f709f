"""What the benchmark against Zeus reckons: costs of stretches, the bound, energy of windows; and what its page says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from benchmarks import zeus_account, zeus_cells, zeus_ours, zeus_page
from benchmarks.zeus_account import Cost, Reading, Trail
from benchmarks.zeus_cells import CELLS, ByUs, ByZeus, Outcome
from benchmarks.zeus_energy import Readings, ledger_joules
from benchmarks.zeus_ours import Held
from benchmarks.zeus_page import Row

from carbonzeus_bed.truth import Truth, TruthLog
from carbonzeus_operator.plan.profiling import Why, Window
from carbonzeus_wire import EnergyRecord

GRACE_S = 60.0
CELL = CELLS[1]
PACE = f"{CELL.pace:g} steps/s"
HALF_SPEED = Trail(
    at_s=np.array([0.0, 100.0, 300.0, 400.0]),
    work_s=np.array([0.0, 100.0, 200.0, 300.0]),
    joules=np.array([0.0, 20_000.0, 40_000.0, 60_000.0]),
)
"""Of 400 s the middle 200 s at half speed and half power."""


def outcome(seconds: float, work_s: float, behind_s: float) -> Outcome:
    cost = Cost(seconds, work_s, 200.0 * seconds)
    return Outcome(cost, work_s, cost, cost, behind_s, 0.0, Cost(7200.0, 7000.0, 1.4e6))


def row(*, ours_s: float, ours_behind_s: float = 50.0, zeus_behind_s: float = 200.0) -> Row:
    """Zeus profiles for 670 s, 220 s of which are delay."""
    zeus = [
        ByZeus(name, "0.16.0", (300, 100), 250, outcome(670.0, 450.0, zeus_behind_s)) for name in zeus_cells.SELECTORS
    ]
    us = ByUs(outcome(ours_s, ours_s - 50.0, ours_behind_s), Cost(1.0, 1.0, 1.0), 900.0, (275.0, 250.0), 420.0)
    return Row(CELL, zeus, us)


def readings(apart: float) -> Readings:
    window = Reading(60.0, 10_000.0, 10_000.0 * (1 + apart), 10_000.0)
    return Readings((window, window), window, 3)


def told(rows: list[Row], both: Readings) -> str:
    return "\n".join(zeus_page.page(rows, both, GRACE_S, 7.0))


def test_stretch_costs_its_seconds_its_work_and_its_energy():
    """The slow part and half a minute around it."""
    cost = zeus_account.spent(HALF_SPEED, 70.0, 330.0)
    assert (cost.seconds, cost.work_s, cost.joules) == pytest.approx((260.0, 160.0, 32_000.0))
    assert cost.delay_s == pytest.approx(100.0)
    assert cost.extra_joules(200.0) == pytest.approx(0.0)


def test_stretches_add_up_to_the_whole():
    """Cut anywhere, nothing is lost or counted twice."""
    parts = zeus_account.total(HALF_SPEED, [(0.0, 33.0), (33.0, 250.0), (250.0, 400.0)])
    assert parts.joules == pytest.approx(60_000.0)
    assert parts.slowdown == pytest.approx(1 / 3)
    assert parts.saved(200.0) == pytest.approx(0.0)


def test_stretch_beyond_the_log_is_what_the_log_has():
    """Nothing is made up after its end."""
    assert zeus_account.spent(HALF_SPEED, 300.0, 900.0).seconds == pytest.approx(100.0)


def test_stretches_end_with_the_hours_that_are_told_of():
    """A window that reaches beyond them counts in part, one that begins later not at all."""
    assert zeus_account.within([(0.0, 10.0), (90.0, 200.0), (300.0, 310.0)], 5.0, 100.0) == [(5.0, 15.0), (95.0, 100.0)]


def test_most_behind_is_at_the_worst_moment_up_to_then():
    """At the end of the slow part, not at the end of the job."""
    worst_s = 300 / 1.03 - 200
    assert zeus_account.most_behind_s(HALF_SPEED, 0.03) == pytest.approx(worst_s)
    assert zeus_account.most_behind_s(HALF_SPEED, 0.03, until_s=100.0) == 0.0
    assert zeus_account.beyond_s(HALF_SPEED, 0.03, GRACE_S) == pytest.approx(300.0)
    assert zeus_account.beyond_s(HALF_SPEED, 0.03, worst_s) == 0.0


def test_trail_is_in_seconds_of_the_job(tmp_path):
    """An emulator ten times as quick: a second of the wall is ten of the job, in time and in energy."""
    log = TruthLog(tmp_path)
    for second in range(3):
        at_ns = (1_000 + second) * 10**9
        log.gpu(at_ns, "GPU-1", "node", "team/worker", "team/worker", 300.0, 5e6 + 200_000.0 * second)
        log.job(at_ns, "team/worker", "uid", 20.0 * second, running=True)
    log.close()
    trail = zeus_account.trail(Truth.read(tmp_path), "team/worker", "GPU-1", steps_per_s=2.0, speed=10.0)
    assert trail.at_s == pytest.approx([0.0, 10.0, 20.0])
    assert trail.work_s == pytest.approx([0.0, 10.0, 20.0])
    assert trail.joules == pytest.approx([0.0, 2_000.0, 4_000.0])
    assert trail.moment_s(1_001 * 10**9) == pytest.approx(10.0)


def test_job_that_never_trained_has_no_trail(tmp_path):
    TruthLog(tmp_path).close()
    with pytest.raises(ValueError, match="never trained"):
        zeus_account.trail(Truth.read(tmp_path), "team/worker", "GPU-1", steps_per_s=1.0, speed=1.0)


def test_record_across_an_edge_counts_in_part():
    """By time: at one limit power hardly changes."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        EnergyRecord(
            seq=number + 1,
            gpu_uuid="GPU-1",
            start=begin + timedelta(seconds=10 * number),
            end=begin + timedelta(seconds=10 * number + 10),
            energy_millijoules=1_000_000 * (number + 1),
            quality="Counter",
        )
        for number in range(3)
    ]
    begin_ns = round(begin.timestamp()) * 10**9
    joules = ledger_joules(records, begin_ns + 5 * 10**9, begin_ns + 22 * 10**9)
    assert joules == pytest.approx(500.0 + 2_000.0 + 600.0)


def test_warm_up_is_no_profiling_and_reference_windows_slow_nobody():
    held = [
        Held(0.0, 120.0, Window(300.0, 120.0, Why.WARM_UP)),
        Held(120.0, 420.0, Window(300.0, 300.0, Why.REFERENCE)),
        Held(420.0, 480.0, Window(275.0, 60.0, Why.LEVEL)),
        Held(900.0, 1200.0, Window(300.0, 300.0, Why.REFERENCE)),
        Held(1300.0, 1330.0, Window(250.0, 30.0, Why.LEVEL)),
    ]
    assert zeus_ours.profiled(held, 480.0, 300.0) == [(120.0, 420.0), (420.0, 480.0), (1300.0, 1330.0)]
    assert zeus_ours.refined(held, 480.0, 300.0) == [(900.0, 1200.0)]
    assert zeus_ours.below(held, 300.0) == [(420.0, 480.0), (1300.0, 1330.0)]


def test_page_says_where_ours_takes_longer():
    """A goal that is missed is called missed."""
    text = told([row(ours_s=3_600.0)], readings(0.001))
    assert f"**Time spent in profiling**: more with ours at {PACE}" in text
    assert f"at {PACE} that is missed" in text
    assert f"smaller with ours at {PACE}" in text


def test_page_says_where_ours_is_shorter():
    text = told([row(ours_s=300.0)], readings(0.001))
    assert f"**Time spent in profiling**: less with ours at {PACE}" in text
    assert "missed" not in text


def test_page_says_who_broke_the_bound():
    """Either side."""
    assert f"ours kept it at every pace, at most 50 s behind. Zeus's profile goes beyond it at {PACE}" in told(
        [row(ours_s=300.0)], readings(0.0)
    )
    assert "ours **broke it**" in told([row(ours_s=300.0, ours_behind_s=61.0)], readings(0.0))
    assert "Zeus's profile stays within it as well" in told([row(ours_s=300.0, zeus_behind_s=10.0)], readings(0.0))


@pytest.mark.parametrize(("apart", "said"), [(0.004, "agree within"), (-0.006, "**do not agree** within")])
def test_page_says_whether_the_readings_agree(apart, said):
    assert zeus_page.agree(readings(apart)) is (abs(apart) <= zeus_page.APART)
    assert said in told([row(ours_s=300.0)], readings(apart))
