"""What is measured next, and what it may cost."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.estimator import Learner
from carbonzeus_operator.plan.estimator_noise import FLOOR, NOISES, WANDERS, Noise
from carbonzeus_operator.plan.estimator_windows import Observation
from carbonzeus_operator.plan.mixed import Group
from carbonzeus_operator.plan.profiling import (
    CHECK_EVERY_S,
    CHECK_S,
    FIRST_REFERENCE_S,
    NEXT_REFERENCE_S,
    Means,
    Why,
    Window,
    as_plan,
    learned_grace_s,
    next_window,
    relative_intensity,
)
from carbonzeus_operator.plan.schedule import SlowdownKnob
from tests.unit.plan.strategies import MIDNIGHT
from tests.unit.plan.test_estimator import MORNING, PRIOR, TRUE_R, WATTS, learned, windows

MEANS = Means(slowdown=0.03, credit_s=54.0, remaining_s=86_400.0)


def followed(learner: Learner, means: Means, rounds: int) -> list[Window]:
    """The windows of a job that follows them, until there is none; its credit stays as it is."""
    taken = []
    for _ in range(rounds):
        window = next_window(learner, means)
        if window is None:
            break
        taken.append(window)
        limit_w = int(window.limit_w)
        parts = [60.0] * int(window.seconds // 60) + ([window.seconds % 60] if window.seconds % 60 else [])
        for seconds in parts:
            steps = round(20 * seconds * TRUE_R[limit_w])
            learner = learner.observe(Observation(learner.elapsed_s, seconds, limit_w, WATTS[limit_w], steps))
    return taken


def test_from_the_top_down_after_warm_up_and_reference() -> None:
    """The first visit to each limit, in order."""
    taken = followed(Learner.begin(PRIOR), MEANS, 30)
    assert [window.why for window in taken[:2]] == [Why.WARM_UP, Why.REFERENCE]
    visited = list(dict.fromkeys(window.limit_w for window in taken))
    assert visited == sorted(visited, reverse=True)
    assert {225, 200} < set(visited)


def test_limits_that_no_plan_could_use_are_not_measured() -> None:
    """150 W costs a third of the speed for a tenth of the power: more energy and more time."""
    taken = followed(Learner.begin(PRIOR), MEANS, 60)
    assert 150 not in {window.limit_w for window in taken}


def test_a_window_never_costs_more_than_there_is() -> None:
    """Even were the board as slow as a board can be; where hardly anything is left, nothing is measured below the floor."""
    learner = learned(*windows([(300, 6), (275, 3), (250, 3), (225, 3), (200, 3)]))
    for credit_s in (54.0, 15.0, 8.0):
        window = next_window(learner, replace(MEANS, credit_s=credit_s))
        assert window is not None
        assert window.cost_s <= credit_s
        assert (MEANS.floor_r - learner.lowest_r[window.limit_w]) * window.seconds <= credit_s
    for credit_s in (0.0, -30.0):
        window = next_window(learner, replace(MEANS, credit_s=credit_s))
        assert window is None or learner.lowest_r[window.limit_w] >= MEANS.floor_r


def test_noisy_jobs_need_longer_windows() -> None:
    """As long as the uncertainty needs."""
    quiet, noisy = (
        next_window(learned(*windows([(300, 15)], noise=noise)), replace(MEANS, credit_s=1_000.0))
        for noise in (0.0001, 0.005)
    )
    assert quiet is not None
    assert noisy is not None
    assert (quiet.limit_w, noisy.limit_w) == (275, 275)
    assert quiet.seconds < noisy.seconds


def test_known_curve_is_checked_after_hours() -> None:
    """Whether the job is still the same: the reference limit tells."""
    learner = learned(*windows(MORNING))
    later = learner.observe(Observation(learner.elapsed_s, CHECK_EVERY_S, 225, 198.0, None))
    window = next_window(later, replace(MEANS, remaining_s=0.0))
    assert window is not None
    assert (window.limit_w, window.why) == (300, Why.CHECK)


def test_a_young_job_is_checked_more_often() -> None:
    """When half of its time has passed since the reference limit was measured; of noise that lasts, that is what tells."""
    learner = learned(*windows([(300, 30), *MORNING], noise=0.0001))
    assert next_window(learner, replace(MEANS, intensity=3.0)) is None
    later = learner.observe(Observation(learner.elapsed_s, learner.elapsed_s, 225, 198.0, None))
    assert next_window(later, replace(MEANS, intensity=3.0)) == Window(300, CHECK_S, Why.CHECK)
    assert next_window(later, replace(MEANS, intensity=3.0, remaining_s=60.0)) is None


def restless(learner: Learner, noise: float, wander: float) -> Learner:
    """As if it were known how noisy the job is: in a window of a minute, and by how much its speed wanders in an hour."""
    likely = np.full(Noise().likely.shape, FLOOR)
    likely[0, np.abs(NOISES - noise * math.sqrt(60)).argmin(), np.abs(WANDERS - wander).argmin()] = 0.0
    known = Noise(likely)
    return replace(learner, memory=replace(learner.memory, noise=known, believed=known))


def test_a_level_whose_comparison_is_in_doubt_waits_for_the_reference_limit() -> None:
    """The job's own speed may have changed since that was measured: to measure the level once more would tell nothing."""
    begun = restless(learned(*windows([(300, 6)])), 0.0002, 0.02)
    past = begun.observe(Observation(begun.elapsed_s, 1200.0, 275, 231.0, None))
    later = learned(*windows([(275, 10)], at_s=past.elapsed_s), learner=past)
    assert not later.is_too_noisy
    assert later.is_measured(275)
    assert later.known == ()
    window = next_window(later, MEANS)
    assert window is not None
    assert (window.limit_w, window.why) == (300, Why.REFERENCE)
    after = learned(*windows([(300, 1)], at_s=later.elapsed_s), learner=later)
    assert after.belief.deviations[0] < later.belief.deviations[0] / 3


def test_a_job_whose_speed_wanders_is_left_alone() -> None:
    """However quiet its windows are: what is minutes apart cannot be compared."""
    quiet = learned(*windows(MORNING))
    assert restless(quiet, 0.0002, 0.02).known == quiet.known
    wandering = restless(quiet, 0.0002, 0.1)
    assert wandering.is_too_noisy
    assert wandering.differs > 0.02 > quiet.differs
    assert wandering.curve is None
    assert next_window(wandering, MEANS) is None


def test_a_job_that_ends_soon_is_measured_no_more() -> None:
    """Nothing is left that a better curve could save."""
    learner = learned(*windows(MORNING))
    assert next_window(learner, replace(MEANS, remaining_s=0.0)) is None


def test_a_moved_job_warms_up_and_is_measured_from_the_top_again() -> None:
    """Nothing of what was known holds there."""
    learner = learned(*windows(MORNING)).moved(PRIOR)
    window = next_window(learner, MEANS)
    assert window is not None
    assert (window.limit_w, window.why, window.seconds) == (300, Why.WARM_UP, 120)
    learner = learner.observe(Observation(learner.elapsed_s, 120.0, 300, 244.0, 2_000))
    window = next_window(learner, MEANS)
    assert window is not None
    assert (window.limit_w, window.why, window.seconds) == (300, Why.REFERENCE, FIRST_REFERENCE_S)


def test_next_run_goes_on_where_the_last_ended() -> None:
    """It follows its plan while it warms up; then two minutes tell how fast it is, and no level is measured from the top again."""
    learner = learned(*windows(MORNING)).next_run()
    assert next_window(learner, MEANS) is None
    learner = learner.observe(Observation(0.0, 120.0, 225, 198.0, 2_000))
    window = next_window(learner, MEANS)
    assert window is not None
    assert (window.limit_w, window.why, window.seconds) == (300, Why.REFERENCE, NEXT_REFERENCE_S)
    learner = learned(*windows([(300, 2)]), learner=learner)
    assert learner.referred_at_s == learner.elapsed_s
    assert next_window(learner, MEANS) is None


def test_levels_are_left_to_the_plans_and_the_reference_limit_is_measured_again() -> None:
    """When it pays: in hours that are clean sooner than in those that are dirty, and not right after it was measured."""
    # Old enough that nothing is due for the job's age alone.
    old = Learner.begin(PRIOR).observe(Observation(0.0, 7200.0, 300, 244.0, None))
    learner = learned(*windows([*MORNING, (225, 60), (250, 20)], noise=0.0005, at_s=7200.0), learner=old)
    seconds = []
    for intensity in (0.7, 1.0, 1.5, 3.0):
        window = next_window(learner, replace(MEANS, intensity=intensity))
        if window is not None:
            assert (window.limit_w, window.why) == (300, Why.REFERENCE)
        seconds.append(window.seconds if window is not None else 0.0)
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] > seconds[-1]
    learner = learned(*windows([(300, 15)], at_s=learner.elapsed_s), learner=learner)
    assert next_window(learner, replace(MEANS, intensity=0.7)) is None


def test_intensity_is_told_relative_to_the_next_day() -> None:
    """What comes later, or is over, does not count."""
    hours = [
        Interval(MIDNIGHT + timedelta(hours=n), MIDNIGHT + timedelta(hours=n + 1), 100.0 + 200.0 * (n % 2))
        for n in range(-3, 40)
    ]
    assert relative_intensity(hours, MIDNIGHT) == pytest.approx(0.5)
    assert relative_intensity(hours, MIDNIGHT + timedelta(hours=1)) == pytest.approx(1.5)
    assert relative_intensity((), MIDNIGHT) == 1.0
    assert relative_intensity(hours, MIDNIGHT - timedelta(days=1)) == 1.0


def test_a_window_as_a_plan_ends_at_the_reference_limit() -> None:
    """So that nobody is left at a low limit when the operator goes away; its credit is never overstated."""
    learner = learned(*windows(MORNING))
    assert learner.curve is not None
    window = Window(175, 60, Why.LEVEL)
    knob = SlowdownKnob(0.03, 54)
    plan = as_plan(window, {"NVIDIA A40": Group(learner.curve, 4)}, MIDNIGHT, knob, learner.lowest_r[175])
    assert [(step.at, step.limits_w["NVIDIA A40"]) for step in plan.steps] == [
        (MIDNIGHT, 175),
        (MIDNIGHT + timedelta(seconds=60), 300),
    ]
    credit_s = plan.credit_after(MIDNIGHT + timedelta(seconds=60))
    assert credit_s == pytest.approx(54 - 60 * (knob.floor_r - learner.lowest_r[175]))


def test_a_job_that_is_too_noisy_is_left_alone() -> None:
    """What cannot be told apart cannot keep a bound."""
    learner = learned(*windows([(300, 30)], noise=0.05))
    assert learner.is_too_noisy
    assert learner.curve is None
    assert next_window(learner, MEANS) is None


def test_the_reserve_grows_with_noise_and_grain_and_goes_with_doubt() -> None:
    """A quiet job may spend nearly all of the grace, no job less than half of it."""
    quiet = learned(*(replace(each, grain=0.0) for each in windows(MORNING, rate=2000.0)))
    noisy = learned(*(replace(each, grain=0.0) for each in windows(MORNING, rate=2000.0, noise=0.003)))
    slow = learned(*windows(MORNING, rate=0.5))
    graces = [learned_grace_s(60.0, learner) for learner in (quiet, noisy, slow)]
    assert 54.0 < graces[0] < 60.0
    assert 30.0 <= graces[1] < graces[0]
    assert 30.0 <= graces[2] < graces[0]
    # After hours at levels that are not known exactly, more is taken off the work already.
    later = noisy.observe(Observation(noisy.elapsed_s, 36_000.0, 225, 198.0, None))
    assert later.doubt_s > noisy.doubt_s
    assert learned_grace_s(60.0, later) > graces[1]
    # Where training is emulated quicker, the same is less by the clock.
    assert learned_grace_s(60.0, quiet, 10.0) == pytest.approx(60.0 - (60.0 - graces[0]) / 10)


def test_slow_steps_that_nobody_times_take_longer_windows() -> None:
    """A minute has thirty steps, give or take one."""
    lengths = []
    for grain in (0.0, 1.0):
        learner = learned(*(replace(each, steps=30.0, grain=grain) for each in windows([(300, 12)])))
        window = next_window(learner, MEANS)
        assert window is not None
        assert window.why is Why.LEVEL
        lengths.append(window.seconds)
    assert lengths[1] > 2 * lengths[0]


def test_what_earns_credit_for_sure_is_not_measured_again() -> None:
    """Half as slow as the bound allows at the lowest limit: to know it better changes no plan. As slow as allowed, it does."""
    asked = []
    for lowest_r in (0.985, 0.9709):
        seen = (
            replace(each, steps=1200 * (1.0 if each.limit_w == 300 else lowest_r), grain=0.0)
            for each in windows([(300, 60), *MORNING, (150, 40)])
        )
        asked.append(next_window(learned(*seen), replace(MEANS, intensity=0.5)))
    assert asked[0] is None
    assert asked[1] is not None
    assert asked[1].why is Why.REFERENCE
