"""How much a job's own speed wanders, and whether it comes back."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.plan.estimator_noise import RETURNS_S, Noise, apart_s
from carbonzeus_operator.plan.estimator_stretch import Stretch, Stretches

COUNT = 400


@given(st.floats(5, 2000), st.floats(5, 2000), st.floats(0, 7200))
def test_two_stretches_lie_as_far_apart_as_the_process_says(first_s: float, second_s: float, gap_s: float) -> None:
    """By its covariances, summed over hundreds of instants in each."""
    one, other = Stretch(0.0, first_s, 300, 1.0), Stretch(first_s + gap_s, second_s, 300, 1.0)
    share = (np.arange(COUNT) + 0.5) / COUNT
    at_s = np.concatenate((share * first_s, first_s + gap_s + share * second_s))
    weights = np.repeat([-1 / COUNT, 1 / COUNT], COUNT)
    for return_s, found_s in zip(RETURNS_S, apart_s(one, other), strict=True):
        covariance = np.minimum.outer(at_s, at_s)
        if np.isfinite(return_s):
            covariance = return_s / 2 * np.exp(-np.abs(np.subtract.outer(at_s, at_s)) / return_s)
        assert found_s == pytest.approx(weights @ covariance @ weights, rel=0.01)


@pytest.mark.parametrize("return_s", [100.0, 300.0])
def test_a_speed_that_comes_back_is_not_taken_for_one_that_hardly_wanders(return_s: float) -> None:
    """It is off by 0.2 %; visits that lie half an hour apart differ by no more than those of neighbours, which tell how quickly it goes."""
    rng, offset, stretches, noise = random.Random(3), 0.0, Stretches(), Noise()
    kept = math.exp(-20 / return_s)
    for visit in range(48):
        offset = rng.gauss(0.0, 0.002)
        for number in range(6):
            offset = kept * offset + rng.gauss(0.0, 0.002 * math.sqrt(1 - kept**2))
            at_s, steps = 1800.0 * visit + 20 * number, 2000 * math.exp(offset)
            stretches, pairs = stretches.told(Stretch(at_s, 20.0, 300, steps, 0.0))
            for one, other in pairs:
                noise = noise.told(one, other)
    assert noise.wander == pytest.approx(0.002 * math.sqrt(2 * 3600 / return_s), rel=0.4)
