"""Weights for jobs whose end is known, or not."""

from __future__ import annotations

import numpy as np
import pytest

from carbonzeus_operator.plan.survival import Known, Unknown, weights

START_S = np.array([0.0, 3600.0, 7200.0])
SECONDS = np.full(3, 3600.0)
INTENSITY = np.array([100.0, 200.0, 400.0])


def test_known_end_is_when_all_credit_is_spent() -> None:
    """Elapsed at the end is (1 + s)(work + grace)."""
    assert Known(1000).end_s(slowdown=0.03, credit_s=60, top_r=1.0) == pytest.approx(1.03 * 1060)


def test_known_end_is_not_before_full_speed_reaches_it() -> None:
    """A job far behind its bound still has its work to do."""
    assert Known(1000).end_s(slowdown=0.03, credit_s=-500, top_r=1.0) == 1000


def test_known_length_weighs_all_intervals_alike() -> None:
    """The work left undone is done at the end, at the intensity of the last interval."""
    weighed = weights(Known(10_800), START_S, SECONDS, INTENSITY, 250.0)
    assert weighed.alive.tolist() == [1, 1, 1]
    assert weighed.ending.tolist() == [400, 400, 400]


def test_unknown_length_fades() -> None:
    """By the probability that the job is still there."""
    weighed = weights(Unknown(7200), START_S, SECONDS, INTENSITY, 250.0)
    edges = np.exp(-np.arange(4) / 2)
    assert weighed.alive == pytest.approx((edges[:-1] + edges[1:]) / 2)


def test_work_left_undone_costs_what_the_end_costs() -> None:
    """On a flat grid that is the intensity times the probability that the end is still to come."""
    weighed = weights(Unknown(7200), START_S, SECONDS, np.full(3, 300.0), 300.0)
    assert weighed.ending == pytest.approx(300 * weighed.alive)
