"""By how much what a pod is seen to need differs from one window to the next, without anything having changed. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 0.01
"""The standard deviation before it was measured."""
TRUST = 6
"""So many differences' worth is what was thought before."""
KEPT = 48
"""So many of the last differences count."""
QUARTILE = 0.75
"""Those above may be real changes."""
OF_NORMAL = 1.1503
"""That quartile of |x|, of a standard normal."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The last differences, without their sign, of natural logarithms."""

    differences: tuple[float, ...] = (FIRST * math.sqrt(2) * OF_NORMAL,) * TRUST

    @property
    def deviation(self) -> float:
        """The standard deviation of one window."""
        ranked = sorted(self.differences)
        return ranked[int(QUARTILE * len(ranked))] / math.sqrt(2) / OF_NORMAL

    def with_pair(self, before: float, after: float) -> Spread:
        """After two windows in a row, of one pod."""
        return Spread((*self.differences, abs(math.log(after / before)))[-KEPT:])
