"""Whether a window fits what is believed, and what follows if it does not. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum, auto

from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_noise import Noise
from carbonzeus_operator.plan.estimator_windows import STRANGE, Observation, log_rate

CHANGED = 3
"""So many strange windows in a row that agree with each other: the job has changed."""


class Verdict(Enum):
    """What to do with a window."""

    TEACHES = auto()
    SAYS_NOTHING = auto()
    """It can be right and is no help, but for how noisy it is."""
    STRANGE = auto()
    """A stall, an evaluation, noise, or another job."""
    REFERENCE_WRONG = auto()
    """It is clearly faster than the reference limit is thought to be, and no limit is faster."""


def verdict(seen: Observation, belief: Belief, noise: Noise, measured: Callable[[float], bool]) -> Verdict:
    """measured: whether what is believed of a level [W] comes from windows. The reference limit was measured."""
    prior, limit_w = belief.prior, seen.limit_w
    variance = noise.variance(seen.seconds, seen.steps or 1.0, seen.grain)
    off = belief.surprise(limit_w, log_rate(seen), variance)
    below_reference = limit_w < prior.reference_limit_w
    faster = log_rate(seen) - float(belief.mean[0])
    if below_reference and faster > STRANGE * math.sqrt(variance + float(belief.covariance[0, 0])):
        return Verdict.REFERENCE_WRONG
    if (
        below_reference
        and limit_w not in prior.limits_w
        and (off > -STRANGE or not _vouched(belief, limit_w, measured))
    ):
        # A knee between two levels makes it faster than the line between them, and nobody knows by how much.
        return Verdict.SAYS_NOTHING
    # The first window at a level may be as slow as it likes: a prior is no measurement.
    new = limit_w in prior.limits_w and not measured(limit_w)
    return Verdict.TEACHES if abs(off) <= STRANGE or (new and off < 0) else Verdict.STRANGE


def agree(off: Sequence[float]) -> bool:
    """Whether strange windows tell the same story: all as much faster, or slower, than expected (in ln rate)."""
    smallest, largest = min(map(abs, off)), max(map(abs, off))
    same_way = min(off) > 0 or max(off) < 0
    return len(off) >= CHANGED and same_way and largest - smallest <= smallest / 2


def _vouched(belief: Belief, limit_w: float, measured: Callable[[float], bool]) -> bool:
    """Whether the levels on both sides were measured; the reference limit is one."""
    limits_w = belief.prior.limits_w
    below = next((level_w for level_w in limits_w if level_w < limit_w), limits_w[-1])
    above = [level_w for level_w in limits_w if level_w > limit_w][-1:]
    return all(map(measured, (below, *above)))
