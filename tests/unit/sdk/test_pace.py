"""The step under way: how much of it is told, at whatever pace the training goes."""

from __future__ import annotations

import itertools
import math
import pickle
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus import Progress
from carbonzeus import progress as module
from tests.unit.sdk.conftest import Clock

STEP_S = 4.0
DURATIONS = st.floats(0.001, 1000.0)


def told(progress: Progress) -> float:
    """The count that the endpoint would answer now."""
    name, value = progress._text().splitlines()[-1].split()
    assert name == "train_steps_total"
    assert len(value.partition(".")[2]) == 3
    return float(value)


def made(clock: Clock, *durations_s: float, total: int | None = None) -> Progress:
    """A training whose steps took so long; its first began now."""
    progress = Progress(total)
    for seconds in durations_s:
        clock.passes(seconds)
        progress.step()
    return progress


def test_the_step_under_way_is_told_by_its_time(clock: Clock) -> None:
    """Once two have ended; it waits for its end where it takes longer."""
    progress = Progress()
    assert told(progress) == 0
    for done in (1, 2):
        clock.passes(STEP_S)
        assert told(progress) == done - 1
        progress.step()
        assert told(progress) == done
    for share in (0.25, 0.5, 0.75, 1.0, 1.0, 1.0):
        clock.passes(STEP_S / 4)
        assert told(progress) == 2 + share
    progress.step()
    assert told(progress) == 3


def test_several_steps_at_a_time_are_under_way_together(clock: Clock) -> None:
    """As many as the last calls told."""
    progress = Progress()
    for _ in range(3):
        clock.passes(STEP_S)
        progress.step(8)
    clock.passes(STEP_S / 4)
    assert told(progress) == 26
    clock.passes(10 * STEP_S)
    assert told(progress) == 32


@pytest.mark.parametrize("since", range(3))
def test_a_pause_is_not_taken_for_the_pace(clock: Clock, since: int) -> None:
    """An evaluation or a checkpoint."""
    progress = made(clock, STEP_S, STEP_S, STEP_S, STEP_S, 1000.0, *[STEP_S] * since)
    clock.passes(STEP_S / 2)
    assert told(progress) == 5 + since + 0.5


def test_long_and_short_steps_by_turns_have_the_pace_of_the_short_ones(clock: Clock) -> None:
    """The pace of the other kind would be wrong for both."""
    progress = made(clock, STEP_S, 3 * STEP_S, STEP_S)
    for done in range(3, 9):
        clock.passes(STEP_S / 2)
        assert told(progress) == done + 0.5
        clock.passes(STEP_S / 2 if done % 2 == 0 else 2.5 * STEP_S)
        assert told(progress) == done + 1
        progress.step()


def test_a_step_that_took_no_time_is_no_error(clock: Clock) -> None:
    """As by a coarse clock. The next ones are told as done at once, until two have taken their time."""
    progress = made(clock, STEP_S, STEP_S, 0.0)
    assert told(progress) == 3
    clock.passes(STEP_S / 2)
    assert told(progress) == 4
    progress.step()
    clock.passes(STEP_S / 2)
    assert told(progress) == 5
    progress.step()
    clock.passes(STEP_S / 4)
    assert told(progress) == 5.5


def test_a_new_pace_is_taken_after_two_steps(clock: Clock) -> None:
    """As after a change of the power limit."""
    progress = made(clock, *[STEP_S] * 4, *[2 * STEP_S] * 2)
    clock.passes(STEP_S)
    assert told(progress) == 6.5


def test_calls_without_a_step_end_none(clock: Clock) -> None:
    """Lightning's callback makes them for batches that are accumulated."""
    progress = made(clock, STEP_S, STEP_S, STEP_S)
    clock.passes(STEP_S / 2)
    progress.step(0)
    assert told(progress) == 3.5


def test_after_the_last_step_none_is_under_way(clock: Clock) -> None:
    """Where it is known which one that is."""
    progress = made(clock, *[STEP_S] * 5, total=5)
    clock.passes(STEP_S)
    assert told(progress) == 5
    progress.step()
    clock.passes(STEP_S)
    assert told(progress) == 6


def test_between_two_trainings_none_is_under_way(clock: Clock) -> None:
    """What was told stands until it is true: a counter that fell would count all of its steps twice."""
    progress = Progress(port=0)
    with progress:
        for _ in range(3):
            clock.passes(STEP_S)
            progress.step()
        clock.passes(STEP_S / 2)
        assert told(progress) == 3.5
    clock.passes(100 * STEP_S)
    with progress:
        assert told(progress) == 3.5
        progress.step()
        clock.passes(STEP_S / 2)
        assert told(progress) == 4
        progress.step()
        clock.passes(STEP_S / 4)
        assert told(progress) == 5.5


def test_times_are_not_taken_to_another_process(clock: Clock) -> None:
    """Its clock may be another; what was told is not taken back."""
    progress = made(clock, STEP_S, STEP_S, STEP_S)
    clock.passes(STEP_S / 2)
    assert told(progress) == 3.5
    other = pickle.loads(pickle.dumps(progress))
    clock.passes(STEP_S / 4)
    assert told(other) == 3.5
    other.step()
    assert told(other) == 4


@given(st.lists(st.tuples(DURATIONS, st.lists(st.floats(0.0, 1.0), max_size=3)), max_size=30))
def test_the_count_never_falls_and_is_within_a_step_of_the_truth(steps: list[tuple[float, list[float]]]) -> None:
    """However long steps take, and whenever somebody asks."""
    clock, progress = Clock(), Progress()
    seen = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "perf_counter_ns", clock)
        for done, (seconds, shares) in enumerate(steps):
            start_ns = clock.now_ns
            for share in sorted(shares):
                clock.now_ns = start_ns + int(share * seconds * 1e9)
                seen.append(told(progress))
                assert done <= seen[-1] <= done + 1
                assert abs(seen[-1] - (done + share)) <= 1
            clock.now_ns = start_ns + int(seconds * 1e9)
            progress.step()
            seen.append(told(progress))
            assert seen[-1] == done + 1
    assert all(earlier <= later for earlier, later in pairwise(seen))


@given(st.lists(st.tuples(st.integers(0, 1000) | st.just(10**400), DURATIONS, st.floats(0.0, 5.0)), max_size=30))
def test_the_count_never_falls_whatever_is_told(calls: list[tuple[int, float, float]]) -> None:
    """Numbers of steps that vary: it is never ahead by more than the last one told."""
    clock, progress, ahead, last = Clock(), Progress(), 0, "0.000"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "perf_counter_ns", clock)
        for steps, seconds, look_s in calls:
            clock.passes(seconds)
            progress.step(steps)
            ahead = max(ahead, progress._done + steps)
            clock.passes(look_s)
            value = progress._text().split()[-1]
            thousandths, last_thousandths = int(value.replace(".", "")), int(last.replace(".", ""))
            assert max(1000 * progress._done, last_thousandths) <= thousandths <= 1000 * max(ahead, progress._done)
            last = value


def test_whoever_asks_while_steps_are_made_sees_them_whole() -> None:
    """The endpoint's thread reads while the training's writes, which is interrupted wherever it is."""
    progress = Progress()
    begun, over = threading.Event(), threading.Event()

    def train() -> None:
        while not over.is_set():
            progress.step()
            begun.set()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    training = threading.Thread(target=train)
    training.start()
    try:
        assert begun.wait(10)
        seen = [0.0]
        for _ in range(3000):
            before = progress._done
            seen.append(told(progress))
            assert before <= seen[-1] <= progress._done + 1
        assert all(earlier <= later for earlier, later in pairwise(seen))
        assert seen[-1] > seen[1]
    finally:
        over.set()
        training.join()
        sys.setswitchinterval(interval_s)


def watched(clock: Clock, durations_s: Iterable[float], every_s: Iterator[float]) -> list[tuple[float, float, int]]:
    """A training whose steps take so long, looked at so often: each look's truth, count and whole steps, in steps."""
    looks, at_s, look_s, progress = [], 0.0, next(every_s), Progress()
    for done, seconds in enumerate(durations_s):
        while look_s < at_s + seconds:
            clock.now_ns = 1 + round(look_s * 1e9)
            looks.append((done + (look_s - at_s) / seconds, told(progress), progress._done))
            look_s += next(every_s)
        at_s += seconds
        clock.now_ns = 1 + round(at_s * 1e9)
        progress.step()
    return looks[3:]


def test_a_minute_of_slow_steps_is_read_ten_times_as_well(clock: Clock) -> None:
    """What it is for: 4.7 s a step, give or take 3 %, read every minute."""
    chance = random.Random(7)
    looks = watched(clock, (chance.gauss(4.7, 0.03 * 4.7) for _ in range(12_000)), itertools.repeat(60.0))
    rises = [[end - start for start, end in zip(*pair, strict=True)] for pair in pairwise(looks)]
    parts = math.sqrt(fmean((told / truth - 1) ** 2 for truth, told, _ in rises))
    whole = math.sqrt(fmean((done / truth - 1) ** 2 for truth, _, done in rises))
    print(f"{len(rises)} minutes: whole steps are off by {whole:.2%}, with parts by {parts:.2%}")
    assert parts < whole / 10


PACES: dict[str, tuple[Callable[[random.Random, int], float], float]] = {
    "1 % of noise": (lambda chance, _: chance.gauss(1, 0.01), 0.01),
    "3 % of noise": (lambda chance, _: chance.gauss(1, 0.03), 0.03),
    "10 % of noise": (lambda chance, _: chance.gauss(1, 0.1), 0.08),
    "30 % of noise": (lambda chance, _: max(chance.gauss(1, 0.3), 0.01), 0.2),
    "1 and 3 by turns": (lambda _, step: 1 + 2 * (step % 2), 0.23),
    "a pause of 20 every 50": (lambda _, step: 1 if step % 50 else 21, 0.28),
    "one in ten lasts": (lambda _, step: 0.01 if step % 10 else 10, 0.3),
}


@pytest.mark.parametrize("kind", PACES)
def test_a_look_is_off_by_less_than_of_whole_steps(clock: Clock, kind: str) -> None:
    """Or by as much, where the times of steps say nothing. What all looks are off by alike is no error of a rise."""
    pace, most = PACES[kind]
    chance = random.Random(7)
    durations_s = (pace(chance, step) for step in range(5000))
    looks = watched(clock, durations_s, (chance.uniform(0, 2) for _ in itertools.count()))
    parts = pstdev(told - truth for truth, told, _ in looks)
    whole = pstdev(done - truth for truth, _, done in looks)
    print(f"{kind}: {parts:.3f} of a step, whole steps {whole:.3f}")
    assert parts < most
    assert parts < 1.03 * whole
