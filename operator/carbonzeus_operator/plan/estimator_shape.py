"""The curve nearest to what was measured that rises with the limit and bends down: monotone and concave by construction. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.curve import isotonic

Floats = NDArray[np.float64]

SAME = 0.02
"""A watt of limit tells levels that draw the same apart by so many watts."""
CLEARLY = 2.0
"""So many standard deviations, and a curve need not bend down."""
_TINY = 1e-12


def likeliest(limits_w: Floats, watts: Floats, r: Floats, deviations: Floats) -> Floats:
    """(n) r at n levels: rising with the limit, and concave in the power that is drawn unless it clearly is not.

    limits_w, watts (n + 1) [W]: of the reference limit and the levels, falling. r, deviations (n): as measured. So power is convex in r,
    and every level is of use to the planner but those that are measured to be worse than their neighbours: real curves
    have such, and no shape is believed against the measurement.
    """
    nearest = np.clip(
        concave(watts + SAME * limits_w, r, deviations), r * (1 - CLEARLY * deviations), r * (1 + CLEARLY * deviations)
    )
    rising: Floats = np.minimum(np.array(isotonic(nearest[::-1].tolist()))[::-1], 1.0)
    return rising


def concave(watts: Floats, r: Floats, deviations: Floats) -> Floats:
    """The r at n levels, nearest to the given in weighted least squares, that rises with the power and bends down.

    watts (n + 1) [W]: what is drawn at the reference limit, where r is 1, and at the levels, strictly falling. Every such curve is 1
    less a sum of hinges max(0, q - watts) with weights of zero or more, one for each power q but the lowest; so the nearest one is a
    least-squares problem with weights >= 0.
    """
    hinges = np.maximum(watts[None, :-1] - watts[1:, None], 0.0) / watts[0]
    weight = 1 / np.maximum(deviations, 1e-5)
    slopes = non_negative(hinges * weight[:, None], (1 - r) * weight)
    fitted: Floats = 1 - hinges @ slopes
    return fitted


def non_negative(matrix: Floats, wanted: Floats) -> Floats:
    """The x >= 0 with the least |matrix x - wanted| (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23)."""
    count = matrix.shape[1]
    x, used = np.zeros(count), np.zeros(count, dtype=bool)
    scale = float(np.abs(matrix.T @ wanted).max(initial=1.0))
    for _ in range(30 * count):
        gradient = matrix.T @ (wanted - matrix @ x)
        gradient[used] = -np.inf
        best = int(np.argmax(gradient))
        if gradient[best] <= 1e-11 * scale:
            break
        used[best] = True
        while True:
            trial = np.zeros(count)
            trial[used] = np.linalg.lstsq(matrix[:, used], wanted, rcond=None)[0]
            below = used & (trial <= _TINY)
            if not below.any():
                break
            share = np.min(x[below] / np.maximum(x[below] - trial[below], _TINY))
            x += share * (trial - x)
            used &= x > _TINY
            x[~used] = 0.0
            if not used.any():
                return x
        x = trial
    return x
