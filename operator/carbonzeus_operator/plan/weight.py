"""carbonWeight: Zeus's trade between carbon and time, interval by interval and without a bound.

Eq. 6 of *Chasing Low-Carbon Electricity for Practical and Sustainable DNN Training* (arXiv 2303.02508).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cheapest(eta: float, intensity: Floats, worst: float, watts: Floats, most_w: float, r: Floats) -> NDArray[np.intp]:
    """For each of n intensities, the index of the point that minimises (eta P c + (1 - eta) P_max c_max) / r.

    intensity (n) and worst, c_max, in the same unit; watts P and r: the points of the curve; most_w: P_max, the power
    if every GPU drew its highest limit. Of equal points the fastest is taken.
    """
    cost = (eta * np.outer(intensity, watts) + (1 - eta) * most_w * max(worst, 0.0)) / r
    fastest_first = cost[:, ::-1]
    best: NDArray[np.intp] = len(r) - 1 - np.argmin(fastest_first, axis=1)
    return best
