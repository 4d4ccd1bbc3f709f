"""What is known of a GPU product's curve before a job was measured on it: a shape, and how far to trust it. Pure.

Of two products the shapes are means of published measurements; any other board gets a wide one. A prior decides where profiling
looks first and how carefully it goes down. Plans use no limit that was not measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec

Floats = NDArray[np.float64]

STEP_W, LARGE_STEP_W = 25.0, 50.0
"""Levels lie at multiples of this; at those of the large step where the reference limit is LARGE_W or more."""
LARGE_W = 400.0
STEEPEST = 3.0
"""No board loses more speed than (limit / higher limit) to this power. The steepest published stretch (A40, 150 to 125 W) has 2.3."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A prior curve: rows of (limit as a share of the reference limit, r, standard deviation of ln r), falling."""

    source: str
    rows: tuple[tuple[float, float, float], ...]


# Means over ResNet-50, BERT, DeepSpeech2 and ShuffleNet v2, and some six times their spread: another network may lie anywhere. Source: ml-energy/zeus, traces of the NSDI '23
# paper, Apache-2.0.
_A40 = Shape(
    "four networks on an A40 (Zeus, NSDI '23, Apache-2.0)",
    (
        (1.000, 1.000, 0.000),
        (0.917, 0.990, 0.042),
        (0.833, 0.983, 0.090),
        (0.750, 0.963, 0.150),
        (0.667, 0.930, 0.210),
        (0.583, 0.843, 0.540),
        (0.500, 0.680, 0.780),
    ),
)
_V100 = Shape(
    "four networks on a V100 (Zeus, NSDI '23, Apache-2.0)",
    (
        (1.0, 1.000, 0.000),
        (0.9, 0.986, 0.060),
        (0.8, 0.955, 0.132),
        (0.7, 0.919, 0.168),
        (0.6, 0.870, 0.240),
        (0.5, 0.765, 0.570),
    ),
)
GENERIC = Shape(
    "no measurement of this product: wide",
    ((1.0, 1.00, 0.00), (0.9, 0.98, 0.10), (0.8, 0.95, 0.20), (0.7, 0.90, 0.35), (0.6, 0.82, 0.55), (0.5, 0.70, 0.80)),
)
_BY_PRODUCT = {"A40": _A40, "V100": _V100}


def shape_of(product: str) -> Shape:
    """The shape for a product as nvidia-smi names it, such as "NVIDIA A40" or "Tesla V100-SXM2-16GB"."""
    words = product.replace("-", " ").upper().split()
    return next((shape for name, shape in _BY_PRODUCT.items() if name in words), GENERIC)


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """n levels below the reference limit, falling, and what to expect of ln r there."""

    reference_limit_w: float
    limits_w: tuple[float, ...]
    """Whole watts; the last is the lowest that may be planned."""
    log_r: Floats
    """(n) means."""
    covariance: Floats
    """(n, n). No level vouches for another: a curve may have its knee anywhere."""
    product: str = ""
    """As it was named; of another product nothing is taken over."""

    @classmethod
    def of(cls, product: str, reference_limit_w: float, minimum_w: float) -> Prior:
        """Levels from the reference limit [W] down to minimum_w [W]. InvalidSpec where there is no room for one."""
        if not 0 < minimum_w < reference_limit_w < math.inf:
            raise InvalidSpec(
                f"there is nothing to learn between {minimum_w:g} W and the reference limit of {reference_limit_w:g} W; "
                "lower the policy's powerLimit.minimumPercent",
                reason="InvalidRange",
            )
        lowest_w = float(math.ceil(minimum_w))
        step_w = STEP_W if reference_limit_w < LARGE_W else LARGE_STEP_W
        highest = math.ceil(reference_limit_w / step_w) - 1
        steps = (step_w * number for number in range(highest, 0, -1))
        limits_w = [limit_w for limit_w in steps if lowest_w < limit_w < reference_limit_w]
        if lowest_w < reference_limit_w:
            if limits_w and limits_w[-1] - lowest_w < step_w / 3:
                limits_w.pop()
            limits_w.append(lowest_w)
        return cls.at(product, reference_limit_w, tuple(limits_w))

    @classmethod
    def at(cls, product: str, reference_limit_w: float, limits_w: tuple[float, ...]) -> Prior:
        """At just these levels [W], falling, all below the reference limit."""
        rows = np.array(shape_of(product).rows)[::-1]
        shares = np.array(limits_w) / reference_limit_w
        log_r = np.interp(shares, rows[:, 0], np.log(rows[:, 1]))
        deviation = np.interp(shares, rows[:, 0], rows[:, 2])
        # Below the shape's last row, go on as steeply as can be, and trust nothing.
        beyond = np.log(np.minimum(shares / rows[0, 0], 1.0))
        log_r, deviation = log_r + STEEPEST / 2 * beyond, deviation - STEEPEST / 2 * beyond
        return cls(reference_limit_w, limits_w, log_r, np.diag(np.maximum.accumulate(deviation**2)), product)

    def is_like(self, other: Prior) -> bool:
        """Whether it is of the same product, reference limit and levels."""
        return (self.product, self.reference_limit_w, self.limits_w) == (
            other.product,
            other.reference_limit_w,
            other.limits_w,
        )

    def __str__(self) -> str:
        levels = ", ".join(f"{limit_w:g}" for limit_w in self.limits_w)
        return f"{self.product or 'an unnamed board'} at {levels} W below {self.reference_limit_w:g} W"
