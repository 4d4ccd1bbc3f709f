"""How long a job still runs, as far as anybody knows, as weights on the intervals ahead.

A planner that looks 96 hours ahead as if the job were sure to be there hoards credit for a peak that the job may never
reach. So a gram at time t counts as much as the job is likely to see it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """The work that is left [s at the reference limit]: total steps reported, or an expected duration."""

    remaining_work_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.remaining_work_s) and self.remaining_work_s >= 0):
            raise InvalidSpec(
                f"the remaining work is {self.remaining_work_s:g} s; it must be 0 or more", reason="InvalidLength"
            )


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows the end. `survival_s` [s]: the time scale on which a job is expected to end."""

    survival_s: float = 86_400.0
    worked_s: float = 0.0
    """Work done so far [s at the reference limit]: what has run long tends to run on."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.survival_s) and self.survival_s > 0):
            raise InvalidSpec(f"survival_s is {self.survival_s:g}; it must be above zero", reason="InvalidLength")

    def alive(self, at_s: Floats) -> Floats:
        """The probability that the job still runs at times from now [s]."""
        return np.exp(-at_s / self.survival_s)


Length = Known | Unknown


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What an interval counts: `alive` for its grams, `ending` for the grams of each second of work it leaves undone."""

    alive: Floats
    """(n) mean probability that the job runs in the interval."""
    ending: Floats
    """(n) intensity at the job's end times the probability of an end after the interval [gCO2eq/kWh]."""


def weights(length: Unknown, start_s: Floats, seconds: Floats, intensity: Floats, mean: float) -> Weights:
    """Weigh the n intervals of an outlook; mean: the intensity after them.

    Delay is not free even where the bound allows it: the work left undone is done at the job's end, at the intensity
    there. `ending` carries that cost, so that a limit below the most efficient one is chosen only where it pays.
    """
    if not len(start_s):
        return Weights(np.empty(0), np.empty(0))
    edges = length.alive(np.append(start_s, start_s[-1] + seconds[-1]))
    later = np.append(np.cumsum((intensity * -np.diff(edges))[::-1])[::-1], 0.0) + edges[-1] * mean
    return Weights((edges[:-1] + edges[1:]) / 2, (later[:-1] + later[1:]) / 2)
