"""Windows of a job, as its energy records tell them, and which of them may be learned from. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.estimator_noise import Noise
from carbonzeus_operator.plan.estimator_stretch import Stretch

STRANGE = 4.0
"""A window so many standard deviations off is not learned from."""
FEW = 4
"""So many windows tell how noisy a job is."""
MANY = 8
"""So many strange windows in a row that do not agree: noise. It is learned from."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A window of a job at one limit: what its energy records say, all workers together."""

    begin_s: float
    """Since the job began [s], while all workers ran."""
    seconds: float
    limit_w: float
    average_w: float
    """Of one GPU."""
    steps: float | None
    """By how much the progress rose; None: not known. 0: it stood still, and teaches nothing."""
    grain: float = 1.0
    """The width [steps] of what `steps` may be off by at either end: 1 where whole steps are counted and nobody knows when they end."""


def log_rate(seen: Observation) -> float:
    """Of a window with progress."""
    assert seen.steps is not None
    return math.log(seen.steps / seen.seconds)


def stretch_of(seen: Observation) -> Stretch:
    """Of a window with progress."""
    assert seen.steps is not None
    return Stretch(seen.begin_s, seen.seconds, seen.limit_w, seen.steps, seen.grain)


def trusted_windows(windows: tuple[Observation, ...], noise: Noise | None = None) -> tuple[Observation, ...]:
    """Which of the first windows at the reference limit may be learned from; none yet where they disagree.

    An evaluation or a stall makes a window slower, never faster, and a reference that is taken for too slow would break the bound. So
    the fastest counts, once half of them agree with it; where it is all noise, the faster half does.

    noise: where it is known from an earlier run of the workload, two that agree are enough.
    """
    if len(windows) < (FEW if noise is None else 2):
        return ()
    rates = [log_rate(seen) for seen in windows]
    # Judged by the two fastest. Noise thought too small costs another window or two; thought too large, it hides an evaluation.
    if noise is None:
        fastest = sorted(windows, key=log_rate)[-2:]
        noise = Noise().told(*map(stretch_of, sorted(fastest, key=lambda seen: seen.begin_s)))
    agree = [
        max(rates) - rate <= STRANGE * math.sqrt(2 * noise.variance(seen.seconds, seen.steps or 1.0, seen.grain))
        for seen, rate in zip(windows, rates, strict=True)
    ]
    # What makes a window slower may reach into its neighbours.
    clean = tuple(seen for number, seen in enumerate(windows) if all(agree[max(number - 1, 0) : number + 2]))
    if 2 * sum(agree) >= len(windows) and len(clean) >= 2:
        return clean
    if len(windows) < MANY:
        return ()
    return tuple(seen for seen, rate in zip(windows, rates, strict=True) if rate >= median(rates))


def check(seen: Observation, told_s: float) -> None:
    """InvalidSpec for a window that cannot be, or lies before what was told already."""
    numbers = (seen.begin_s, seen.seconds, seen.limit_w, seen.average_w, seen.steps or 0.0, seen.grain)
    if not all(map(math.isfinite, numbers)) or seen.seconds <= 0 or seen.limit_w <= 0 or min(numbers) < 0:
        raise InvalidSpec(f"a window that cannot be: {seen}", reason="InvalidObservation")
    if seen.begin_s < told_s - 1e-6:
        raise InvalidSpec(
            f"a window begins {seen.begin_s:g} s after the job did, but was told up to {told_s:g} s already; windows come in order",
            reason="InvalidObservation",
        )
