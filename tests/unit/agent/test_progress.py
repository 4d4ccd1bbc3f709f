"""A pod's counter: read strictly, handed out once, booked where it belongs."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_agent.outbox import PATIENCE_S, Outbox
from carbonzeus_agent.progress import BadExposition, ProgressSeries, counter_in
from carbonzeus_agent.records import Closed, Owner
from carbonzeus_wire import Quality

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def series(*looks: tuple[float, float]) -> ProgressSeries:
    it = ProgressSeries()
    for seconds, value in looks:
        it.observe(at(seconds), value)
    return it


def closed(start_s: float, end_s: float) -> Closed:
    return Closed("GPU-1", Owner("team/a", "uid"), at(start_s), at(end_s), 300.0, 1000, Quality.COUNTER)


def test_counter_is_found_among_others() -> None:
    """Comments, other metrics and longer names do not matter."""
    text = "# HELP steps_total Steps.\n# TYPE steps_total counter\nsteps_total_sum 9\nother 1\nsteps_total 41\n"
    assert counter_in(text, "steps_total") == 41


def test_of_several_series_the_largest_counts() -> None:
    """Ranks of one job count the same steps."""
    assert counter_in('steps{rank="0"} 41\nsteps{rank="1"} 40\n', "steps") == 41


@pytest.mark.parametrize(
    "text", ["", "steps", "steps NaN\n", "steps +Inf\n", "steps -1\n", "steps x\n", 'steps{a="} 1\n']
)
def test_what_is_no_counter_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(BadExposition):
        counter_in(text, "steps")


def test_too_many_series_are_refused() -> None:
    """A label for every step is no progress counter."""
    with pytest.raises(BadExposition, match="series"):
        counter_in("".join(f'steps{{i="{i}"}} 1\n' for i in range(1000)), "steps")


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    """A number, or a refusal."""
    with contextlib.suppress(BadExposition):
        assert counter_in("steps" + text, "steps") >= 0


def test_rises_are_booked_by_straight_lines() -> None:
    """Between two looks the pod worked evenly."""
    it = series((0, 100), (10, 200))
    assert [it.take(at(0), at(4)), it.take(at(0), at(10))] == [40, 60]


def test_counter_that_falls_was_started_anew() -> None:
    """A restarted script counts from zero."""
    it = series((0, 100), (10, 150), (20, 30))
    assert it.take(at(0), at(20)) == 80


def test_before_the_first_look_nothing_is_known() -> None:
    """What a counter shows at first may be a year's work."""
    it = series((10, 1_000_000), (20, 1_000_010))
    assert it.take(at(0), at(10)) is None
    assert it.take(at(0), at(20)) == 10


def test_rise_that_was_seen_late_goes_to_the_next_record() -> None:
    """While the endpoint was away the record closed without; the sum stays right."""
    it = series((0, 0), (10, 10))
    assert it.take(at(0), at(20)) == 10
    it.observe(at(30), 40)
    assert it.take(at(0), at(30)) == 30


def test_rise_before_the_first_record_belongs_to_none() -> None:
    """The counter was seen before the GPU was: what it did meanwhile was not measured."""
    it = series((0, 0), (10, 100))
    assert [it.take(at(4), at(6)), it.take(at(6), at(10))] == [20, 40]


@given(
    rises=st.lists(st.floats(0, 100), min_size=2, max_size=30),
    ends=st.lists(st.floats(0.1, 30), min_size=1, max_size=20).map(sorted),
)
def test_every_rise_is_handed_out_once(rises: list[float], ends: list[float]) -> None:
    """However records and looks interleave, what is taken sums to what the counter rose: exactly, if it has no step."""
    it = ProgressSeries()
    total, taken, pending = 0.0, 0.0, list(ends)
    for second, rise in enumerate(rises):
        total += rise if second else 0.0
        it.observe(at(second), 1000.25 + total)
        while pending and pending[0] <= second:
            taken += it.take(at(0), at(pending.pop(0))) or 0.0
    taken += it.take(at(0), at(100)) or 0.0
    assert taken == pytest.approx(total)


def test_clock_set_back_does_not_break_the_series() -> None:
    """Instants that come once more replace those that came before."""
    it = series((0, 0), (10, 10), (20, 20))
    it.observe(at(5), 25)
    assert it.take(at(0), at(5)) == 25


def test_record_waits_for_a_look_after_its_end() -> None:
    """Then its progress is known, not extrapolated."""
    it = series((0, 0), (9, 90))
    outbox = Outbox(lambda _: it)
    outbox.put(closed(0, 10), boot_s=100)
    assert outbox.ready(100.1) == []
    it.observe(at(11), 110)
    [entry] = outbox.ready(100.2)
    assert entry.progress == 100


def test_record_does_not_wait_for_ever() -> None:
    """An endpoint that is silent keeps no record from the ledger, and those behind it neither."""
    it = series((0, 0), (9, 90))
    outbox = Outbox(lambda record: it if record.end == at(10) else None)
    outbox.put(closed(0, 10), boot_s=100)
    outbox.put(closed(10, 11), boot_s=101)
    assert outbox.ready(101) == []
    assert [entry.progress for entry in outbox.ready(100 + PATIENCE_S)] == [90, None]


def test_unfinished_shows_progress_and_takes_nothing() -> None:
    """What a successor would find; the living agent goes on unimpressed."""
    it = series((0, 0), (20, 200))
    outbox = Outbox(lambda _: it)
    outbox.put(closed(0, 10), boot_s=100)
    assert [entry.progress for entry in outbox.unfinished(closed(10, 15))] == [100, 50]
    assert [entry.progress for entry in outbox.ready(100)] == [100]
