"""What is told of a learned curve, level by level: the likeliest, and between what it is taken to lie. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from carbonzeus_operator.plan.estimator import CONFIDENCE, Learner


@dataclass(frozen=True, slots=True)
class Range:
    """The throughput at a limit, relative to the reference limit."""

    limit_w: float
    r: float
    low: float
    """What it is at least; with this work is counted."""
    high: float
    """At most 1, unless the likeliest is more."""
    known: bool
    """Whether it is known well enough to be planned with."""


def ranges(learner: Learner) -> tuple[Range, ...]:
    """One for each level, measured or not, rising; the reference limit last."""
    belief, prior = learner.belief, learner.prior
    likeliest = dict(zip(learner.known, learner.likeliest.tolist(), strict=True)) if learner.known else {}
    found = [Range(prior.reference_limit_w, 1.0, 1.0, 1.0, known=True)]
    for limit_w, believed, deviation in zip(prior.limits_w, belief.r.tolist(), belief.deviations.tolist(), strict=True):
        r = likeliest.get(limit_w, believed)
        high = min(believed * math.exp(CONFIDENCE * deviation), 1.0)
        found.append(Range(limit_w, r, min(learner.lowest_r[limit_w], r), max(high, r), limit_w in likeliest))
    return tuple(found[::-1])
