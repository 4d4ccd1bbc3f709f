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
    """Work done so far [s at the reference limit]."""
    past_work_s: tuple[float, ...] = ()
    """The whole work of earlier jobs of the same kind [s at the reference limit], the last few of them: a job tends to
    end where they ended."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.survival_s) and self.survival_s > 0):
            raise InvalidSpec(f"survival_s is {self.survival_s:g}; it must be above zero", reason="InvalidLength")
        if not all(math.isfinite(work_s) and work_s > 0 for work_s in self.past_work_s):
            raise InvalidSpec(
                "the work of an earlier job must be a number of seconds above zero", reason="InvalidLength"
            )

    def alive(self, at_s: Floats, pace: float = 1.0) -> Floats:
        """The probability that the job, which runs now, still runs at times from now [s], moving at `pace`.

        Every earlier job is a vote for its own length, give or take some; one vote more is for a job that ends at
        random. What has been worked already rules out the shorter ones.
        """
        at_random: Floats = np.exp(-at_s * pace / self.survival_s)
        if not self.past_work_s:
            return at_random
        past_s = np.array(self.past_work_s[-PAST_JOBS:])[:, None]
        now = np.sum(_outlasting(self.worked_s, past_s))
        later = np.sum(_outlasting(self.worked_s + at_s * pace, past_s), axis=0)
        # Of its one vote, the random end has lost what it lost by now; never all, so that something is left to expect.
        random_now = math.exp(-min(self.worked_s / self.survival_s, 50.0))
        alive: Floats = (later + random_now * at_random) / (now + random_now)
        return alive


PAST_JOBS = 20
"""So many of the last jobs count."""
SHARPNESS = 20.0
"""Of the log-logistic around an earlier job's length: its middle half lies within 6 % of it."""


def _outlasting(work_s: Floats | float, past_s: Floats) -> Floats:
    """The probability of more work than work_s, for each earlier job."""
    odds: Floats = np.minimum(work_s / past_s, 1e6) ** SHARPNESS
    return 1.0 / (1.0 + odds)


Length = Known | Unknown


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What an interval counts: `alive` for its grams, `ending` for the grams of each second of work it leaves undone."""

    alive: Floats
    """(n) mean probability that the job runs in the interval."""
    ending: Floats
    """(n) intensity at the job's end times the probability of an end after the interval [gCO2eq/kWh]."""


def weights(alive: Floats, intensity: Floats, mean: float) -> Weights:
    """Weigh the n intervals of an outlook. alive (n + 1): at their edges; mean: the intensity after them.

    Delay is not free even where the bound allows it: the work left undone is done at the job's end, at the intensity
    there. `ending` carries that cost, so that a limit below the most efficient one is chosen only where it pays.
    """
    later = np.append(np.cumsum((intensity * -np.diff(alive))[::-1])[::-1], 0.0) + alive[-1] * mean
    return Weights((alive[:-1] + alive[1:]) / 2, (later[:-1] + later[1:]) / 2)
