"""What the simulator says of a job that nobody knows: noise is as large as it is said to be, however long it lasts."""

from __future__ import annotations

import math
import random
from statistics import correlation, pstdev

import pytest

from carbonzeus_cli.simulate.truth import Meter, Traits
from carbonzeus_operator.plan.curve import Curve, Point

NOISE, WINDOWS = 0.01, 20_000
FLAT = Curve.from_points([Point(150, 140, 0.8), Point(300, 290, 1.0)], 300)


def log_rates(window_s: float, memory_s: float) -> list[float]:
    """Of windows end to end at the reference limit, off what they would be without noise."""
    traits = Traits(
        NOISE, wander=0, memory_s=memory_s, steps_per_s=5.0, warm_up_s=0, evaluates_every_s=3600, evaluates_s=0
    )
    meter = Meter(FLAT, traits, random.Random(1))
    seen = list(meter.held(WINDOWS * window_s, 300, window_s))
    assert len(seen) == WINDOWS
    return [math.log(each.steps / each.seconds / 5.0) for each in seen if each.steps is not None]


@pytest.mark.parametrize("memory_s", [0.0, 5.0, 60.0, 200.0])
def test_noise_of_a_minute_is_as_large_as_it_is_said_to_be(memory_s: float) -> None:
    """A standard deviation, however long noise lasts."""
    assert pstdev(log_rates(60.0, memory_s)) == pytest.approx(NOISE, rel=0.05)


@pytest.mark.parametrize("memory_s", [5.0, 60.0, 200.0])
def test_minutes_made_of_shorter_windows_are_as_noisy(memory_s: float) -> None:
    """What a window hands on to the next is right: six of ten seconds make a minute."""
    short = log_rates(10.0, memory_s)
    minutes = [sum(short[begin : begin + 6]) / 6 for begin in range(0, len(short) - 5, 6)]
    assert pstdev(minutes) == pytest.approx(NOISE, rel=0.1)


def test_noise_that_lasts_makes_neighbours_alike() -> None:
    """And noise without memory does not. The expected correlation is that of means of an Ornstein-Uhlenbeck process."""
    tau, window = 60.0, 10.0
    left = math.exp(-window / tau)
    expected = (1 - left) ** 2 / (2 * (window / tau - 1 + left))
    lasting, fleeting = log_rates(window, tau), log_rates(window, 0.0)
    assert correlation(lasting[:-1], lasting[1:]) == pytest.approx(expected, abs=0.03)
    assert correlation(fleeting[:-1], fleeting[1:]) == pytest.approx(0, abs=0.03)


def test_a_moment_is_no_window() -> None:
    """Windows may be as short as a rounding error; what they count is as small."""
    traits = Traits(NOISE, wander=0, memory_s=600.0, warm_up_s=0, evaluates_s=0)
    meter = Meter(FLAT, traits, random.Random(2))
    for seconds in (1e-5, 1e-3, 0.1, 100.0):
        (seen, *_) = meter.held(seconds, 300, 1000.0)
        assert seen.steps == pytest.approx(5.0 * seen.seconds, rel=0.2)
