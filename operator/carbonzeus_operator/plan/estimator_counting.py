"""How work is counted while nobody is sure of r, and what that means for plans. Pure.

Not every level is as slow as it may be, all at once: what is doubted is the sum, and what levels have in common, such as the measured
reference limit, is doubted once. All arrays are by the reference limit and the levels below it, falling, or by the levels alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.plan.estimator_filter import Belief
from carbonzeus_operator.plan.estimator_noise import CONFIDENCE
from carbonzeus_operator.plan.prior import STEEPEST, Prior

Floats = NDArray[np.float64]

CURIOSITY = 1.0
"""A level is planned with as if it were faster by so many standard deviations of what is unknown of it alone: or nobody would find out."""
MOST_CURIOUS = 0.003
"""But by no more than this: until the next measurement the plan relies on it."""
MIXED = 1 + 1e-6
"""A limit between two levels is taken to draw so much more than mixing them."""
_NOTHING = 1e-15


def at_levels(prior: Prior, held_s: Mapping[float, float]) -> Floats:
    """(1 + levels) the time [s] that would do no more work than so much time at each limit [W]: between levels r is above the line."""
    levels_w = np.array((prior.reference_limit_w, *prior.limits_w))
    seconds = np.zeros(len(levels_w))
    for limit_w, held in held_s.items():
        below = int(np.searchsorted(-levels_w, -limit_w))
        if below == 0:
            seconds[0] += held
        elif below == len(levels_w):
            seconds[-1] += held * (limit_w / levels_w[-1]) ** STEEPEST
        else:
            share = (levels_w[below - 1] - limit_w) / (levels_w[below - 1] - levels_w[below])
            seconds[below - 1] += held * (1 - share)
            seconds[below] += held * share
    return seconds


def lowest(belief: Belief, measured: NDArray[np.bool_]) -> Floats:
    """(1 + levels) what r is at least. measured (levels): which levels are believed for windows, not for the prior."""
    levels_w = np.array((belief.prior.reference_limit_w, *belief.prior.limits_w))
    least = np.minimum(np.exp(belief.mean[1:] - CONFIDENCE * belief.deviations), 1.0)
    found = [1.0]
    # What was not measured is as slow as a board can be, whatever others of its kind did.
    for ratio, r in zip(levels_w[1:] / levels_w[:-1], np.where(measured, least, 0.0), strict=True):
        found.append(max(float(r), found[-1] * ratio**STEEPEST))
    # A limit is no slower than any below it.
    rising: Floats = np.maximum.accumulate(np.array(found)[::-1])[::-1]
    return rising


def worked_s(belief: Belief, seconds: Floats, measured: NDArray[np.bool_]) -> float:
    """The work [s at the reference limit] of so much time at the reference limit and the levels, at least."""
    least = lowest(belief, measured)
    sure = np.append(True, measured)
    work = seconds * np.where(sure, np.minimum(np.append(1.0, belief.r), 1.0), least)
    return max(float(work.sum()) - doubt_s(belief, seconds, measured), float(seconds @ least))


def doubt_s(belief: Belief, seconds: Floats, measured: NDArray[np.bool_]) -> float:
    """By how much the work of so much time may be less than is likeliest [s at the reference limit]; `worked_s` has it off already."""
    work = (seconds[1:] * np.minimum(belief.r, 1.0))[measured]
    covariance = belief.covariance[1:, 1:][np.ix_(measured, measured)]
    return CONFIDENCE * math.sqrt(max(float(work @ covariance @ work), 0.0))


def next_second_r(belief: Belief, likeliest: Floats, seconds: Floats) -> Floats:
    """(known) by how much a further second at each of the highest levels adds to the work that is counted, if what it is like is found out.

    likeliest (known): the r to begin with. seconds (1 + levels): of time so far. A level that was hardly held takes off only what it shares with the others.
    """
    count = len(likeliest)
    work = seconds[1 : count + 1] * belief.r[:count]
    shared = belief.covariance[1 : count + 1, 1 : count + 1] @ work
    shared = np.maximum(shared / max(math.sqrt(max(float(work @ shared), 0.0)), _NOTHING), 0.0)
    own = np.sqrt(np.maximum(belief.deviations[:count] ** 2 - shared**2, 0.0))
    curious = np.minimum(CURIOSITY * own, MOST_CURIOUS)
    counted: Floats = np.minimum(likeliest * (1 - CONFIDENCE * shared + curious), 1.0)
    return counted


def held_at_points(curve: Curve) -> Curve:
    """The same curve for plans that hold the limits of its points only: nothing is learned from a limit in between."""
    points = [Point(each.limit_w, each.average_w, each.r) for each in curve.points]
    between = [
        Point((one.limit_w + other.limit_w) / 2, (one.average_w + other.average_w) / 2 * MIXED, (one.throughput + other.throughput) / 2)
        for one, other in pairwise(points)
    ]  # fmt: skip
    return Curve.from_points([*points, *between], curve.reference_limit_w)
