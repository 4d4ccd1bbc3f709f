"""What else could have been done, without a planner: the default limit, one constant limit, Eq. 6 tuned in hindsight."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np

from carbonzeus_cli.simulate.actual import Actual
from carbonzeus_cli.simulate.job import Bound, Job
from carbonzeus_cli.simulate.run import Trace
from carbonzeus_operator.plan.weight import cheapest

BISECTIONS = 50


def at_default(job: Job) -> Trace:
    """At the reference limit."""
    top_r = job.whole.top_r
    return Trace.constant(job.work_s / top_r, top_r, float(job.whole.watts[-1]))


def constant_r(job: Job, bound: Bound) -> float:
    """The throughput of the constant limit that needs least energy and is done in time. Any limit, not only whole watts."""
    floor = min(max(job.work_s / bound.latest_s(job.work_s), float(job.whole.r[0])), job.whole.top_r)
    # Power over r is a straight line between points, so energy per work is smallest at an end of one.
    allowed = np.append(floor, job.whole.r[job.whole.r > floor])
    watts = np.interp(allowed, job.whole.r, job.whole.watts)
    return float(allowed[np.argmin(watts / allowed)])


def at_constant(job: Job, bound: Bound) -> Trace:
    """At the best constant limit that is done by the time the bound allows."""
    r = constant_r(job, bound)
    return Trace.constant(job.work_s / r, r, float(np.interp(r, job.whole.r, job.whole.watts)))


def by_eq6(job: Job, actual: Actual, start: datetime, bound: Bound, *, anytime: bool) -> Trace:
    """Eq. 6 of *Chasing Low-Carbon Electricity*: each slot's limit by its intensity alone.

    Its weight is found in hindsight, since Eq. 6 itself knows no bound: the one for most carbon that is done by the time the
    bound allows at the end; with `anytime` the one for most carbon that is never further behind than the bound allows.
    """
    latest_s = bound.latest_s(job.work_s)
    edges_s, intensity = actual.slots(start, latest_s)
    seconds, worst = np.diff(edges_s), float(intensity.max(initial=0.0))
    whole = job.whole

    def chosen(price: float) -> Trace:
        # The price of time against that of carbon: the same choice for (1 - eta) / eta in its place.
        eta = 1 / (1 + price)
        point = cheapest(eta, intensity, worst, whole.watts, whole.most_w, whole.r)
        return Trace(edges_s, whole.r[point], whole.watts[point])

    def in_time(trace: Trace) -> bool:
        if float(trace.r @ seconds) < job.work_s - 1e-6:
            return False
        return not anytime or trace.until_done(job.work_s).most_behind_s(bound) <= bound.grace_s + 1e-6

    if in_time(chosen(0.0)):
        return chosen(0.0)
    # Far above what any curve needs to choose its fastest point; the bisection is over its logarithm.
    low, high = -40.0, 40.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if in_time(chosen(math.exp(middle))) else (middle, high)
    return chosen(math.exp(high))
