"""Weights for jobs whose end is known, or not."""

from __future__ import annotations

import numpy as np
import pytest

from carbonzeus_operator.plan.survival import Unknown, weights

START_S = np.array([0.0, 3600.0, 7200.0])
SECONDS = np.full(3, 3600.0)
INTENSITY = np.array([100.0, 200.0, 400.0])


def test_unknown_length_fades() -> None:
    """By the probability that the job is still there."""
    weighed = weights(Unknown(7200), START_S, SECONDS, INTENSITY, 250.0)
    edges = np.exp(-np.arange(4) / 2)
    assert weighed.alive == pytest.approx((edges[:-1] + edges[1:]) / 2)


def test_work_left_undone_costs_what_the_end_costs() -> None:
    """On a flat grid that is the intensity times the probability that the end is still to come."""
    weighed = weights(Unknown(7200), START_S, SECONDS, np.full(3, 300.0), 300.0)
    assert weighed.ending == pytest.approx(300 * weighed.alive)
