"""Records of several GPUs become windows: whole where all told, in order, and never held up for ever by one that is silent."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.learning.collector import Collector
from carbonzeus_wire import Quality
from tests.unit.learning.records import record

BOTH = frozenset({"GPU-0", "GPU-1"})
PATIENCE = timedelta(seconds=180)


def test_a_window_waits_for_the_other_gpu() -> None:
    """What the clock told is told on when the other GPU's record is in; its power is the mean of both."""
    collector = Collector().with_records([record(0, 60, watts=240)], "GPU-0", BOTH)
    collector, told = collector.ready("GPU-0", BOTH, PATIENCE)
    assert told == ()
    collector = collector.with_records([record(0.2, 59.9, gpu="GPU-1", watts=200)], "GPU-0", BOTH)
    collector, (whole,) = collector.ready("GPU-0", BOTH, PATIENCE)
    assert whole.complete
    assert whole.average_w == pytest.approx(220, rel=1e-3)
    assert collector.clock == ()


def test_a_silent_gpu_is_not_waited_for_for_ever() -> None:
    """Three minutes later the window goes without it, and says so."""
    collector = Collector().with_records([record(0, 60), record(60, 120), record(120, 245)], "GPU-0", BOTH)
    _, told = collector.ready("GPU-0", BOTH, PATIENCE)
    assert [(whole.complete, whole.average_w) for whole in told] == [(False, 240.0)]


def test_a_gap_is_not_measured() -> None:
    """A GPU of which nobody knows what it did has not told."""
    gap = record(0, 60, gpu="GPU-1", quality=Quality.GAP, energy_millijoules=0)
    collector = Collector().with_records([record(0, 60), gap], "GPU-0", BOTH)
    assert collector.ready("GPU-0", BOTH, PATIENCE)[1] == ()


def test_gpus_that_are_not_the_jobs_are_dropped() -> None:
    """A worker that is gone is not waited for."""
    collector = Collector().with_records([record(0, 60, gpu="GPU-1"), record(0, 60)], "GPU-0", BOTH)
    alone = frozenset({"GPU-0"})
    collector, (whole,) = collector.with_records([], "GPU-0", alone).ready("GPU-0", alone, PATIENCE)
    assert whole.complete
    assert whole.others == {}


@given(st.lists(st.floats(5, 90), min_size=1, max_size=12), st.integers(0, 1000))
def test_windows_are_the_same_in_whatever_order_records_come(lengths: list[float], seed: int) -> None:
    """Each clock record once, in order of time."""
    records, start_s = [], 0.0
    for length_s in lengths:
        end_s = start_s + length_s
        records += [record(start_s, end_s), record(start_s, end_s, gpu="GPU-1", watts=100 + start_s)]
        start_s = end_s
    random.Random(seed).shuffle(records)
    collector = Collector()
    for number in range(0, len(records), 3):
        collector = collector.with_records(records[number : number + 3], "GPU-0", BOTH)
    collector, told = collector.ready("GPU-0", BOTH, PATIENCE)
    assert [whole.clock.start for whole in told] == sorted({one.start for one in records})
    assert all(whole.complete for whole in told)
    assert collector.clock == ()
