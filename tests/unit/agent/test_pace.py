"""When a counter of whole steps moved, and what that tells of the time in between."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_agent.progress import ProgressSeries

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = 60


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Training:
    """Ends a step at each of `ends` [s], the first of them before 0, and counts `step` for it."""

    ends: Sequence[float]
    step: float = 1.0

    @classmethod
    def steady(cls, step_s: float, first_s: float, seconds: float, step: float = 1.0) -> Training:
        """A step each `step_s`, one of them at `first_s` < `step_s`."""
        return cls([first_s + step_s * k for k in range(-1, math.ceil(seconds / step_s) + 2)], step)

    def truly(self, seconds: float) -> float:
        """Steps with their parts."""
        before = bisect.bisect_right(self.ends, seconds) - 1
        part = (seconds - self.ends[before]) / (self.ends[before + 1] - self.ends[before])
        return self.step * (before + part)

    def counter(self, seconds: float) -> float:
        """Whole steps."""
        return self.step * (bisect.bisect_right(self.ends, seconds) - 1)


def looked_at(training: Training, looks: Sequence[float], it: ProgressSeries | None = None) -> ProgressSeries:
    it = it or ProgressSeries()
    for look in looks:
        it.observe(at(look), training.counter(look))
    return it


def seconds(upto: float) -> list[float]:
    return [float(second) for second in range(int(upto) + 1)]


FIVE = Training.steady(5, 2.5, 600)
"""A step each 5 s, at 2.5 s, 7.5 s and so on: in the middle between looks at whole seconds."""


def test_a_rise_is_placed_between_the_look_that_saw_it_and_the_one_before() -> None:
    """And the line goes on from there, at the pace of late."""
    it = looked_at(FIVE, seconds(14))
    assert (it.step, it.step_s) == (1, 5)
    assert it.fork().take(at(0), at(12.5)) == pytest.approx(3)
    assert it.fork().take(at(0), at(10)) == pytest.approx(2.5)
    assert it.fork().take(at(0), at(14)) == pytest.approx(3.3)


def test_grain_is_the_time_within_which_a_step_ended() -> None:
    """A look each second of a step of 5 s: a fifth; a little more, the longer ago the step was."""
    it = looked_at(FIVE, seconds(14))
    assert it.grain_at(at(12.5)) == pytest.approx(0.2)
    assert it.grain_at(at(10)) == pytest.approx(0.2)
    assert it.grain_at(at(14)) == pytest.approx(0.2 + 0.1 * 0.3)


def test_a_look_after_several_steps_places_the_last_within_one_step() -> None:
    """Nobody looked for 20 s: the last step ended within the last 5 s."""
    it = looked_at(FIVE, [*seconds(20), 40])
    assert it.grain_at(at(40)) == 1
    assert it.fork().take(at(0), at(40)) == pytest.approx(8.5)
    assert FIVE.truly(40) - FIVE.counter(0) == pytest.approx(8.5)


def test_uncertain_looks_make_uncertain_steps() -> None:
    """A pod that takes long to answer tells its count of some time in between."""
    it = ProgressSeries()
    for second in seconds(14):
        it.observe(at(second), FIVE.counter(second), 0.25)
    assert it.grain_at(at(12.5)) == pytest.approx(0.3)


def test_two_ticks_are_no_pace() -> None:
    """One of them may have come after a pause: until the third the line is straight from look to look."""
    it = looked_at(FIVE, seconds(12))
    assert it.step_s is None
    assert it.grain_at(at(12)) == 1
    assert it.take(at(0), at(12)) == 2


def test_before_a_rise_nobody_knows_the_step() -> None:
    """Nor whether there is one."""
    it = looked_at(FIVE, seconds(2))
    assert (it.step, it.step_s, it.grain_at(at(2)), it.grain_over(at(0), at(2))) == (0, None, None, None)


def test_line_goes_on_by_one_step_and_no_further() -> None:
    """The next step is late: it may be about to end, and no more than that."""
    it = looked_at(FIVE, seconds(13))
    for second in range(14, 22):
        it.observe(at(second), 3 + FIVE.counter(0))
    assert it.take(at(0), at(18)) == pytest.approx(4)
    assert it.take(at(18), at(21)) == 0
    assert it.grain_at(at(21)) == pytest.approx((1 + 0.5 + 8.5 - 5 - 1) / 5)


def test_job_that_has_stopped_is_not_ahead() -> None:
    """Once the next step is late by as much as a step takes, no step is under way."""
    it = looked_at(FIVE, seconds(13))
    for second in range(14, 60):
        it.observe(at(second), 3 + FIVE.counter(0))
    assert it.take(at(0), at(59)) == 3
    assert it.grain_at(at(59)) == 1


def test_killed_job_is_ahead_by_a_part_of_a_step() -> None:
    """By what it had done since its last whole step, when it was last seen."""
    it = looked_at(FIVE, seconds(15))
    assert it.take(at(0), at(500)) == pytest.approx(3.5)


def test_pause_is_no_pace() -> None:
    """An evaluation of a minute between two steps does not make the next ones slow."""
    ends = [-2.5, 2.5, 7.5, 12.5, 72.5, 77.5, 82.5, 87.5]
    it = looked_at(Training(ends), seconds(80))
    assert it.step_s == pytest.approx(5)
    assert it.take(at(0), at(80)) == pytest.approx(5.5)
    assert it.grain_at(at(40)) == 1


def test_pace_follows_a_change_within_a_few_steps() -> None:
    """A lower limit makes them longer, for good."""
    ends = [-2.5 + 5 * k for k in range(10)] + [42.5 + 8 * k for k in range(1, 10)]
    assert looked_at(Training(ends), seconds(100)).step_s == pytest.approx(8)


def test_uneven_steps_make_a_step_under_way_uncertain() -> None:
    """Where steps of 30 s differ by some seconds, a look each second does not tell how far the next one is."""
    ends = [0.0, *accumulate([0.5, 26, 34, 27, 33, 26, 34, 30])]
    uneven = looked_at(Training(ends), seconds(200))
    even = looked_at(Training.steady(30, 0.5, 300), seconds(200))
    assert even.grain_at(at(200)) == pytest.approx(0.04, abs=0.01)
    assert uneven.grain_at(at(200)) == pytest.approx(0.3, abs=0.1)


def test_counter_that_starts_anew_forgets_the_pace() -> None:
    """Its step is known; how long that takes now is not."""
    it = looked_at(FIVE, seconds(30))
    for second in range(31, 40):
        it.observe(at(second), 0)
    assert (it.step, it.step_s, it.grain_at(at(39))) == (1, None, 1)
    assert it.take(at(0), at(39)) == FIVE.counter(30) - FIVE.counter(0)


def test_clock_set_back_forgets_the_pace() -> None:
    """Times of steps that were measured across it are worth nothing; the sum is."""
    it = looked_at(FIVE, seconds(30))
    it.observe(at(20), FIVE.counter(30) + 1)
    assert (it.step_s, it.take(at(0), at(20))) == (None, FIVE.counter(30) + 1 - FIVE.counter(0))


@pytest.mark.parametrize("step", [1.0, 10.0, 2_000_000.0])
def test_step_is_what_the_counter_moves_by(step: float) -> None:
    """Steps, a metric that is written every tenth, tokens: all as exact, in their own unit."""
    it = looked_at(Training.steady(5, 2.5, 100, step), seconds(60))
    assert (it.step, it.step_s) == (step, 5)
    assert it.take(at(0), at(60)) == pytest.approx(step * 12.5)
    assert it.grain_over(at(0), at(60)) == step
    it.observe(at(61), step * 12)
    assert it.take(at(60), at(61)) == pytest.approx(step * 0.2)
    assert it.grain_over(at(60), at(61)) == pytest.approx(step * (0.2 + 0.04 * 0.7))


def test_step_divides_all_rises() -> None:
    """Two steps seen at once, then three: the step is one."""
    it = ProgressSeries()
    for second, value in [(0, 0), (10, 20), (25, 50), (40, 80)]:
        it.observe(at(second), value)
    assert it.step == 10
    assert it.step_s == pytest.approx(5)


def test_smaller_last_batch_does_not_make_tokens_exact() -> None:
    """The common divisor is small then, but the counter still moves by a batch."""
    it, batch = ProgressSeries(), 2_000_000
    values = [0.0, *accumulate([batch] * 6 + [1_234_567] + [batch] * 3)]
    for second in range(50):
        it.observe(at(second), values[(second + 2) // 5])
    assert it.step == batch
    assert it.step_s == pytest.approx(5, rel=0.2)
    grain = it.grain_at(at(48))
    assert grain is not None
    assert 0.15 * batch < grain < batch


@pytest.mark.parametrize("start", [0.25, 2.0**53 + 2])
def test_counter_with_parts_of_steps_is_exact_at_each_look(start: float) -> None:
    """Nothing is placed, nothing goes on, straight lines between looks; so it is where a float tells no parts any more."""
    it = ProgressSeries()
    for look in (0, 4, 8, 12, 16):
        it.observe(at(look), start + 2 * look)
    assert (it.step, it.step_s, it.grain_at(at(10))) == (0, 0, 0)
    assert it.take(at(0), at(10)) == 20
    assert it.take(at(10), at(16)) == 12
    assert it.grain_over(at(10), at(16)) == 0


def test_once_a_part_of_a_step_is_seen_there_is_no_step() -> None:
    """That the counter was whole at the first looks was chance."""
    it = looked_at(FIVE, seconds(30))
    it.observe(at(31), FIVE.counter(30) + 0.7)
    assert (it.step, it.grain_at(at(31))) == (0, 0)
    assert it.take(at(0), at(31)) == pytest.approx(FIVE.counter(30) + 0.7 - FIVE.counter(0))


def test_grain_of_a_record_is_that_of_its_worse_end_as_it_was_handed_out() -> None:
    """What was handed out before the pace was known is not better for what is known later."""
    it = looked_at(FIVE, seconds(10))
    it.take(at(0), at(10))
    looked_at(FIVE, seconds(60)[11:], it)
    it.take(at(10), at(40))
    it.take(at(40), at(60))
    assert it.grain_over(at(0), at(10)) == 1
    assert it.grain_over(at(10), at(40)) == 1
    assert it.grain_over(at(40), at(60)) == pytest.approx(0.2, abs=0.1)


def test_taking_as_if_changes_nothing() -> None:
    """Neither what is left to hand out nor how exact that is."""
    it = looked_at(FIVE, seconds(40))
    fork = it.fork()
    fork.take(at(0), at(20))
    looked_at(FIVE, seconds(80)[41:], fork)
    assert (it.step_s, it.covers(at(41))) == (5, False)
    assert it.take(at(0), at(40)) == pytest.approx(FIVE.truly(40) - FIVE.counter(0))


def _straight(training: Training, looks: Sequence[float], upto: float) -> float:
    """By straight lines between looks."""
    before, after = next(pair for pair in pairwise(looks) if pair[0] < upto <= pair[1])
    part = (upto - before) / (after - before)
    return training.counter(before) + (training.counter(after) - training.counter(before)) * part


def test_minute_of_long_steps_is_known_to_a_quarter_of_a_step() -> None:
    """At each end, wherever in a step it falls; with straight lines it was off by nearly a whole one."""
    now, before = [], []
    for phase in range(50):
        training = Training.steady(5, 0.1 * phase + 0.05, 400)
        it, done = ProgressSeries(), 0.0
        for second in seconds(300):
            it.observe(at(second), training.counter(second))
            if second and second % MINUTE == 0:
                done += it.take(at(second - MINUTE), at(second)) or 0.0
                if second > MINUTE:
                    truly = training.truly(second)
                    now.append(done + training.counter(0) - truly)
                    before.append(_straight(training, seconds(300)[::5], second) - truly)
    assert max(map(abs, now)) < 0.25
    assert max(map(abs, before)) > 0.9


@given(
    step_s=st.floats(0.05, 40),
    phase=st.floats(0, 0.999),
    step=st.sampled_from([1.0, 3.0, 10.0, 2_000_000.0]),
    every_s=st.sampled_from([1.0, 5.0]),
    jitters=st.lists(st.floats(0, 0.3), min_size=7, max_size=7),
    record_s=st.floats(7, 130),
)
def test_steady_training_is_known_to_its_grain(
    step_s: float, phase: float, step: float, every_s: float, jitters: list[float], record_s: float
) -> None:
    """Each end of each record, whenever the looks come; the sum keeps with the counter, up to a step."""
    training = Training.steady(step_s, phase * step_s, 700, step)
    it, start, done = ProgressSeries(), 0.0, 0.0
    looks = [every_s * (k + jitters[k % 7]) for k in range(int(600 / every_s))]
    first = training.counter(looks[0])
    for look in looks:
        it.observe(at(look), training.counter(look))
        while it.covers(at(start + record_s)):
            end = start + record_s
            rise = it.take(at(start), at(end))
            if rise is None:
                break
            done += rise
            grain = it.grain_over(at(start), at(end))
            if grain is not None:
                # The mean of the last steps may be off by a hair where a look saw a step end.
                assert abs(done + first - training.truly(end)) <= grain + 1e-3 * step
            assert done + first <= training.counter(look) + it.step + 1e-6 * step
            start = end


@given(
    times=st.lists(st.floats(0.05, 20), min_size=30, max_size=30),
    rises=st.lists(st.integers(0, 4), min_size=30, max_size=30),
    step=st.sampled_from([1, 10, 2_000_000]),
    anew=st.sets(st.integers(1, 29), max_size=2),
    ends=st.lists(st.floats(0, 300), min_size=1, max_size=15).map(sorted),
)
def test_sum_is_what_the_counter_rose_by_within_a_step(
    times: list[float], rises: list[int], step: int, anew: set[int], ends: list[float]
) -> None:
    """Whatever the counter does and whenever it is looked at; and no record has less than nothing."""
    it, value, total, taken = ProgressSeries(), 100 * step, 0, 0.0
    pending = list(ends)
    for k, second in enumerate(accumulate(times)):
        now = rises[k] * step + (0 if k in anew else value)
        if k:
            total += now - value if now >= value else now
        value = now
        it.observe(at(second), value)
        while pending and pending[0] <= second:
            taken += it.take(at(0), at(pending.pop(0))) or 0.0
        assert taken <= total + it.step + 1e-6 * step
    rest = it.take(at(0), at(1000)) or 0.0
    assert total - 1e-6 * step <= taken + rest <= total + it.step + 1e-6 * step
