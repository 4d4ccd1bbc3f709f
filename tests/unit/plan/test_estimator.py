"""What is learned from windows: the shape, the doubt, the noise, and what is not learned from."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.estimator import CONFIDENCE, Learner
from carbonzeus_operator.plan.estimator_noise import Noise
from carbonzeus_operator.plan.estimator_shape import concave, non_negative
from carbonzeus_operator.plan.estimator_state import from_document, to_document
from carbonzeus_operator.plan.estimator_stretch import Stretch, Stretches
from carbonzeus_operator.plan.estimator_windows import Observation, stretch_of
from carbonzeus_operator.plan.mixed import Group, JobCurve
from carbonzeus_operator.plan.prior import Prior
from carbonzeus_operator.plan.schedule import NO_OVERHEAD

PRIOR = Prior.of("NVIDIA A40", 300, 150)
# ResNet-50 on an A40. Source: ml-energy/zeus, traces of the NSDI '23 paper, Apache-2.0.
TRUE_R = {300: 1.0, 275: 0.99, 250: 0.983, 225: 0.968, 200: 0.937, 175: 0.838, 150: 0.608}
WATTS = {300: 244.0, 275: 231.0, 250: 216.0, 225: 198.0, 200: 179.0, 175: 161.0, 150: 144.0}
MORNING = [(300, 6), (275, 3), (250, 3), (225, 3), (200, 3), (175, 3), (150, 3)]


def windows(
    parts: list[tuple[int, int]], *, noise: float = 0.0, seed: int = 0, rate: float = 20.0, at_s: float = 120.0
) -> Iterator[Observation]:
    """(limit, minutes) one after the other; noise of a window of a minute."""
    rng = random.Random(seed)
    for limit_w, minutes in parts:
        for _ in range(minutes):
            steps = round(60 * rate * TRUE_R[limit_w] * math.exp(rng.gauss(0, noise)))
            yield Observation(at_s, 60.0, limit_w, WATTS[limit_w], steps)
            at_s += 60.0


def learned(*seen: Observation, learner: Learner | None = None) -> Learner:
    learner = learner or Learner.begin(PRIOR)
    for each in seen:
        learner = learner.observe(each)
    return learner


def test_nothing_is_planned_before_anything_is_measured() -> None:
    """A prior is no measurement."""
    learner = Learner.begin(PRIOR)
    assert learner.curve is None
    assert learner.careful is None
    assert learner.work_s == 0
    assert learned(*windows([(300, 6)])).curve is None


def test_curve_comes_out_as_it_is() -> None:
    """Each level within a few thousandths, and what it is at least below."""
    learner = learned(*windows(MORNING, noise=0.0005))
    assert learner.curve is not None
    assert learner.known == (275, 250, 225, 200, 175, 150)
    for limit_w, r in TRUE_R.items():
        assert learner.curve.at(limit_w)[0] == pytest.approx(WATTS[limit_w])
        assert learner.curve.at(limit_w)[1] == pytest.approx(r, abs=0.003)
        assert learner.lowest_r[limit_w] <= r
    assert learner.r_error < 0.01


def test_unmeasured_level_is_as_slow_as_a_board_can_be() -> None:
    """Whatever others of its kind did."""
    learner = learned(*windows([(300, 6), (275, 3)]))
    assert learner.lowest_r[250] == pytest.approx(learner.lowest_r[275] * (250 / 275) ** 3)
    assert learner.known == (275,)


def test_doubt_narrows_with_every_window() -> None:
    """Of the levels that are measured, and by the reference limit of all."""
    learner = learned(*windows(MORNING, noise=0.001))
    longer = learned(*windows([(225, 20)], noise=0.001, seed=1, at_s=learner.elapsed_s), learner=learner)
    again = learned(*windows([(300, 20)], noise=0.001, seed=2, at_s=longer.elapsed_s), learner=longer)
    doubts = [float(each.belief.deviations[2]) for each in (learner, longer, again)]
    assert doubts == sorted(doubts, reverse=True)
    assert doubts[2] < 0.7 * doubts[0]


def test_what_was_held_counts_as_it_is_known_now() -> None:
    """An hour at 225 W is worth more work once its speed is known better."""
    learner = learned(*windows([*MORNING, (225, 60)], noise=0.001))
    before_s = learner.work_s
    after = learned(*windows([(300, 20)], noise=0.001, seed=5, at_s=learner.elapsed_s), learner=learner)
    true_s = sum(minutes * 60 * TRUE_R[limit_w] for limit_w, minutes in [*MORNING, (225, 60), (300, 20)])
    assert after.work_s - before_s > 20 * 60
    assert after.work_s < true_s
    assert after.work_s > 0.99 * true_s


def test_levels_are_not_doubted_all_at_once() -> None:
    """Four for an hour each: their own errors are as often up as down, and what they share is doubted once."""
    learner = learned(*windows([*MORNING, (300, 60)], noise=0.002))
    for limit_w in (275, 250, 225, 200):
        learner = learner.observe(Observation(learner.elapsed_s, 3600.0, limit_w, 150.0, None))
    one_by_one_s = sum(seconds * learner.lowest_r[limit_w] for limit_w, seconds in learner.held_s.items())
    true_s = sum(seconds * TRUE_R[int(limit_w)] for limit_w, seconds in learner.held_s.items())
    assert one_by_one_s + 5 < learner.work_s < true_s


def test_a_limit_between_two_levels_teaches_nothing_of_either() -> None:
    """A knee at 268 W: an hour at 265 W is faster than the line from 275 to 250 W, and 250 W is as slow as it was measured."""
    learner = learned(*windows([(300, 6), (275, 3), (250, 3)], noise=0.002))
    at_s, r = learner.elapsed_s, float(learner.belief.r[1])
    for number in range(60):
        learner = learner.observe(Observation(at_s + 60 * number, 60.0, 265, 220.0, 60 * 20 * 0.992))
    assert learner.belief.r[1] == pytest.approx(r, abs=1e-6)
    assert learner.changes == 0


def test_evaluations_far_apart_are_no_change() -> None:
    """Three windows in a row tell of a change; not three with normal ones between, be they at a limit that teaches nothing."""
    learner = learned(*windows(MORNING, noise=0.0005))
    for number in range(60):
        steps = 60 * 20 * 0.975 * (0.5 if number % 15 == 7 else 1.0)
        learner = learner.observe(Observation(learner.elapsed_s, 60.0, 235, 205.0, steps))
    assert learner.changes == 0
    assert learner.strange == ()


def test_plans_hold_levels_and_are_counted_as_they_expect() -> None:
    """A second of the careful curve is a second of counted work, nearly; a mix is never dearer than a limit in between."""
    learner = learned(*windows([*MORNING, (225, 120)], noise=0.001))
    assert learner.careful is not None
    assert {vertex.limit_w for vertex in learner.careful.hull} <= {300, 275, 250, 225, 200, 175, 150}
    job = JobCurve.of({"A40": Group(learner.careful, 1)}, NO_OVERHEAD)
    assert not job.straight.any()
    longer = learner.observe(Observation(learner.elapsed_s, 600.0, 225, 198.0, None))
    expected = learner.careful.at(225)[1]
    assert (longer.work_s - learner.work_s) / 600 == pytest.approx(expected, abs=0.0003)
    assert expected < learner.likeliest[2]


def test_a_level_that_is_little_known_is_worth_a_try() -> None:
    """It was unlucky in its only window. Planned with as it looks, it would never be held again, nor found to be better."""
    unlucky = [
        replace(seen, steps=seen.steps * 0.997) if seen.limit_w == 250 and seen.steps else seen
        for seen in windows([(300, 10), (275, 1), (250, 1), (225, 1), (200, 1), (225, 120), (200, 60)], noise=0.0005)
    ]
    learner = learned(*unlucky)
    assert learner.curve is not None
    assert learner.careful is not None
    assert learner.careful.at(250)[1] > learner.curve.at(250)[1]
    assert learner.careful.at(225)[1] < learner.curve.at(225)[1]


def test_windows_of_no_progress_teach_nothing_and_take_their_time() -> None:
    """An evaluation, a checkpoint: the limit was held, the speed is what it was."""
    learner = learned(*windows(MORNING, noise=0.0005))
    still = learner.observe(Observation(learner.elapsed_s, 600.0, 225, 150.0, 0.0))
    assert still.belief.r == pytest.approx(learner.belief.r)
    assert 600 * learner.lowest_r[225] < still.work_s - learner.work_s < 600 * learner.belief.r[2]
    assert still.levels == learner.levels


def test_a_stalled_window_is_not_believed() -> None:
    """Half a window without data is no slower GPU; it may have begun in the window before, which is forgotten, too."""
    learner = learned(*windows(MORNING, noise=0.0005))
    (seen,) = windows([(225, 1)], at_s=learner.elapsed_s)
    stalled = learner.observe(replace(seen, steps=seen.steps * 0.5 if seen.steps else None))
    assert stalled.belief.r == pytest.approx(learner.belief.r, abs=0.001)
    assert stalled.changes == 0


def test_an_evaluation_in_the_first_windows_does_not_slow_the_reference() -> None:
    """A reference that is taken for too slow would break the bound: the fastest windows count, once half of them agree."""
    first, *rest = windows(MORNING)
    learner = learned(replace(first, steps=300.0), *rest)
    assert learner.curve is not None
    assert learner.curve.at(225)[1] == pytest.approx(0.968, abs=0.003)


def test_warm_up_teaches_nothing() -> None:
    """Its first two minutes may be as slow as they like."""
    slow = [Observation(0.0, 60.0, 300, 100.0, 5.0), Observation(60.0, 60.0, 300, 200.0, 500.0)]
    learner = learned(*slow, *windows(MORNING))
    assert learner.curve is not None
    assert learner.curve.at(225)[1] == pytest.approx(0.968, abs=0.003)
    assert learner.levels[300].seconds == 360


def test_noise_is_learned_and_taken_for_larger_while_there_is_little_to_tell() -> None:
    """From differences at the same limit, although every fifth is a stall."""
    noise = Noise()
    rng = random.Random(4)
    told = []
    for number in range(200):
        rates = (rng.gauss(0, 0.01 / math.sqrt(60)), rng.gauss(0, 0.01 / math.sqrt(60)) - 0.3 * (number % 5 == 0))
        one, other = (
            Stretch(at_s, 60.0, 300, 1e6 * math.exp(rate)) for at_s, rate in zip((0.0, 60.0), rates, strict=True)
        )
        noise = noise.told(one, other)
        told.append(noise.one_second)
    assert told[199] == pytest.approx(0.01, rel=0.3)
    assert told[4] > 1.5 * told[199]


def test_short_stretches_tell_less_of_the_noise() -> None:
    """It may have a memory: neighbours of a few seconds are alike then, and minutes are not."""
    minutes, seconds = Noise(), Noise()
    for number in range(8):
        minutes = minutes.told(
            Stretch(120.0 * number, 60.0, 300, 1200.0, 0.0), Stretch(120.0 * number + 60, 60.0, 300, 1201.0, 0.0)
        )
        seconds = seconds.told(
            Stretch(12.0 * number, 6.0, 300, 120.0, 0.0), Stretch(12.0 * number + 6, 6.0, 300, 120.1, 0.0)
        )
    assert minutes.one_second < 0.6 * seconds.one_second


def test_noise_that_a_counter_hides_is_not_taken_for_none() -> None:
    """A step in two seconds: windows of a minute are all alike, and may be 1 % off; an hour of them tells more."""
    stretches, noise, told = Stretches(), Noise(), []
    for seen in windows([(300, 60)], rate=0.5):
        stretches, found = stretches.told(stretch_of(seen))
        for one, other in found:
            noise = noise.told(one, other)
        told.append(noise.one_second / math.sqrt(60))
    assert told[4] > 0.005
    assert told[-1] < told[4] / 2


def test_n_windows_at_a_limit_are_compared_n_less_one_times() -> None:
    """Each with as many as it was told after; and a limit that is visited again with the visit before."""
    stretches, found = Stretches(), []
    for seen in windows([(300, 7), (225, 2), (300, 1), (225, 1)]):
        stretches, pairs = stretches.told(stretch_of(seen))
        found += pairs
    lengths = [(one.limit_w, one.windows, other.windows) for one, other in found]
    assert sorted(lengths[:4]) == [(300, 1, 1), (300, 1, 1), (300, 1, 1), (300, 2, 2)]
    assert lengths[4:] == [(300, 2, 1), (300, 4, 3), (225, 1, 1), (300, 7, 1)]


def test_a_job_that_gets_slower_by_itself_teaches_nothing_wrong() -> None:
    """5 % over five hours, at every limit: no limit is the cause."""
    at_s, seen = 120.0, []
    for round_ in range(20):
        for limit_w in (300, 225, 200):
            for each in windows([(limit_w, 5)], noise=0.0003, seed=round_, at_s=at_s):
                slower = math.exp(-0.05 * each.begin_s / 18_000)
                seen.append(replace(each, steps=each.steps * slower if each.steps else None))
            at_s += 300
    learner = learned(*seen)
    assert learner.belief.r[2:4] == pytest.approx([0.968, 0.937], abs=0.002)


@settings(max_examples=100)
@given(
    st.lists(st.floats(0.2, 1.0), min_size=6, max_size=6),
    st.lists(st.floats(1e-4, 0.3), min_size=6, max_size=6),
)
def test_fitted_curve_rises_and_bends_down_whatever_was_measured(r: list[float], deviations: list[float]) -> None:
    """And what does already is left alone."""
    watts = np.array([244.0, 231.0, 216.0, 198.0, 179.0, 161.0, 144.0])
    fitted = concave(watts, np.array(r), np.array(deviations))
    full = np.append(1.0, fitted)
    slopes = np.diff(full) / np.diff(watts)
    assert np.all(slopes >= -1e-7)
    assert all(after >= before - 1e-7 for before, after in pairwise(slopes))
    assert concave(watts, fitted, np.array(deviations)) == pytest.approx(fitted, abs=1e-5)


def test_least_squares_with_weights_of_zero_or_more() -> None:
    """A system whose free solution is negative in one weight."""
    matrix = np.array([[1.0, 1.0], [0.0, 1.0]])
    assert non_negative(matrix, np.array([1.0, 2.0])) == pytest.approx([0.0, 1.5])


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.001, 0.01]), st.integers(1, 60))
def test_what_was_written_down_is_read_back(seed: int, noise: float, count: int) -> None:
    """As JSON; what it says of work and speed is the same."""
    seen = list(windows(MORNING, noise=noise, seed=seed))[:count]
    learner = learned(*seen)
    read = from_document(json.loads(json.dumps(to_document(learner))), PRIOR)
    assert read.work_s == pytest.approx(learner.work_s)
    assert read.belief.mean == pytest.approx(learner.belief.mean)
    assert read.curve == learner.curve
    assert read.elapsed_s == learner.elapsed_s
    assert read.noise.one_second == pytest.approx(learner.noise.one_second, rel=0.001)
    assert read.noise.wander == pytest.approx(learner.noise.wander, rel=0.001)


def test_document_of_other_levels_is_refused() -> None:
    """Somebody changed the reference limit or the policy's range: learn anew."""
    document = to_document(Learner.begin(PRIOR))
    for other in (Prior.of("NVIDIA A40", 250, 150), Prior.of("NVIDIA A40", 300, 200), Prior.of("Tesla V100", 300, 150)):
        with pytest.raises(InvalidSpec, match=r"NVIDIA A40 at 275.* now it is .* learn anew"):
            from_document(document, other)
    with pytest.raises(InvalidSpec, match="version 1"):
        from_document({**document, "version": 1}, PRIOR)
    with pytest.raises(InvalidSpec, match="learn anew"):
        from_document({**document, "mean": None}, PRIOR)
    with pytest.raises(InvalidSpec, match="cannot be read"):
        from_document({}, PRIOR)


def test_a_moved_job_goes_on_and_learns_anew() -> None:
    """Time and work go on from where they were; of the other board nothing is known, not even that it is warm."""
    before = learned(*windows([*MORNING, (225, 30)], noise=0.0005))
    prior = Prior.of("NVIDIA H100", 700, 350)
    for learner in (before.moved(prior), from_document(json.loads(json.dumps(to_document(before)))).moved(prior)):
        assert learner.prior is prior
        assert learner.elapsed_s == before.elapsed_s
        assert learner.work_s == pytest.approx(before.work_s)
        assert learner.curve is None
        warming = learner.observe(Observation(learner.elapsed_s, 60.0, 700, 500.0, 1_000))
        assert warming.levels == {}
        assert warming.work_s - learner.work_s == pytest.approx(60)
        slow = learner.observe(Observation(learner.elapsed_s, 60.0, 350, 300.0, 1_000))
        assert slow.work_s - learner.work_s == pytest.approx(60 * slow.lowest_r[350])
        assert slow.lowest_r[350] < 0.2


def test_a_moved_job_learns_the_other_board() -> None:
    """After it warmed up there, as if it had begun there."""
    moved = learned(*windows(MORNING, noise=0.0005)).moved(Prior.of("Tesla V100", 300, 150))
    learner = learned(*windows([(300, 2), *MORNING], noise=0.0005, seed=1, at_s=moved.elapsed_s), learner=moved)
    assert learner.known == (275, 250, 225, 200, 175, 150)
    assert learner.levels[300].seconds == 360
    assert moved.work_s < learner.work_s < moved.work_s + learner.elapsed_s - moved.elapsed_s


@pytest.mark.parametrize("broken", [{"seconds": 0.0}, {"limit_w": -1.0}, {"steps": math.nan}, {"begin_s": 0.0}])
def test_window_that_cannot_be_is_refused(broken: dict[str, float]) -> None:
    """And one that lies before what was told."""
    learner = learned(*windows([(300, 6)]))
    (seen,) = windows([(300, 1)], at_s=learner.elapsed_s)
    with pytest.raises(InvalidSpec, match="window"):
        learner.observe(replace(seen, **broken))


def test_next_run_keeps_the_curve_and_no_time() -> None:
    """The workload is the same, the job is another."""
    learner = learned(*windows(MORNING, noise=0.0005)).next_run()
    assert (learner.elapsed_s, learner.work_s) == (0, 0)
    assert learner.known == (275, 250, 225, 200, 175, 150)
    assert learner.referred_at_s is None
    assert CONFIDENCE * learner.belief.deviations[2] < 0.01


def test_steps_whose_times_are_known_tell_more() -> None:
    """Five seconds a step: after the same windows, whole steps leave the levels in doubt, and nobody knows how noisy the job is."""
    whole = learned(*windows(MORNING, rate=0.2))
    timed = learned(
        *(replace(each, steps=12 * TRUE_R[int(each.limit_w)], grain=0.0) for each in windows(MORNING, rate=0.2))
    )
    assert (whole.grain, timed.grain) == (1.0, 0.0)
    assert (timed.belief.deviations < 0.5 * whole.belief.deviations).all()
    assert timed.noise.one_second < whole.noise.one_second


@given(st.floats(1e-4, 0.05), st.floats(0.01, 100.0), st.floats(0.0, 10.0))
def test_a_window_of_the_length_that_is_needed_is_known_so_well(deviation: float, rate: float, grain: float) -> None:
    """Neither longer nor shorter."""
    noise = Noise()
    seconds = noise.needed_s(deviation, rate, grain)
    assert noise.variance(seconds, rate * seconds, grain) == pytest.approx(deviation**2)


def test_a_grain_outlives_the_operator() -> None:
    """With the last window."""
    learner = learned(*(replace(each, grain=0.25) for each in windows(MORNING[:3])))
    assert learner.last is not None
    document = json.loads(json.dumps(to_document(learner)))
    assert from_document(document).last == learner.last
    del document["last"]["grain"]  # as it was written before
    before = from_document(document).last
    assert before is not None
    assert before.grain == 1.0


def test_what_is_doubted_is_taken_off_the_work() -> None:
    """And no more than that, where all limits that were held are measured."""
    learner = learned(*windows(MORNING, noise=0.001))
    held = {limit_w: seconds for limit_w, seconds in learner.held_s.items() if limit_w < 300}
    r = dict(zip(PRIOR.limits_w, np.minimum(learner.belief.r, 1.0).tolist(), strict=True))
    likeliest_s = learner.held_s[300] + math.fsum(seconds * r[limit_w] for limit_w, seconds in held.items())
    assert learner.doubt_s > 0
    assert learner.work_s == pytest.approx(likeliest_s - learner.doubt_s)
