"""Eq. 6 against trying every point."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.plan.weight import cheapest

finite = st.floats(1, 1000)


@given(
    eta=st.floats(0, 1),
    intensity=st.lists(st.floats(-50, 1000), min_size=1, max_size=20),
    points=st.lists(st.tuples(finite, st.floats(0.05, 1.0)), min_size=1, max_size=9),
    most_w=finite,
)
def test_no_point_is_cheaper(
    eta: float, intensity: list[float], points: list[tuple[float, float]], most_w: float
) -> None:
    """In every interval the chosen point has the least cost of all."""
    watts = np.array([power for power, _ in points])
    r = np.array([speed for _, speed in points])
    worst = max(intensity)
    chosen = cheapest(eta, np.array(intensity), worst, watts, most_w, r)
    for c, index in zip(intensity, chosen, strict=True):
        costs = [
            (eta * power * c + (1 - eta) * most_w * max(worst, 0)) / speed
            for power, speed in zip(watts, r, strict=True)
        ]
        assert costs[index] <= min(costs) + 1e-9 * abs(min(costs))


def test_weight_zero_is_full_speed() -> None:
    """Time alone counts."""
    chosen = cheapest(0.0, np.array([100.0, 500.0]), 500.0, np.array([100.0, 200.0]), 300.0, np.array([0.7, 1.0]))
    assert chosen.tolist() == [1, 1]


def test_equal_costs_take_the_faster_point() -> None:
    """On a grid of no carbon at all nothing is gained by being slow."""
    chosen = cheapest(1.0, np.array([0.0]), 0.0, np.array([100.0, 200.0]), 300.0, np.array([0.7, 1.0]))
    assert chosen.tolist() == [1]
