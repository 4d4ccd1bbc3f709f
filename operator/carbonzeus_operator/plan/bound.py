"""The slowdown bound as arithmetic: elapsed <= (1 + slowdown) (work + grace) at every moment of a job's life.

What it assumes, and what the tests of whole runs vary up to just there:

* elapsed and work both count only while all workers of the job run, and work is measured, or bounded from below;
* the curve overstates no limit's throughput by more than `r_error`, and at the reference limit the job runs at r = 1: it
  is not slower for reasons that have nothing to do with limits;
* no plan is followed for longer than `unseen_s` after the measurement it was made from;
* a limit that is to rise does rise. One that does not fall costs savings only.

A job may stand still inside a plan, which goes on meanwhile: no plan relies on what it would not have earned, see `standstill`.

No forecast and no length of the job is among them: they decide what is saved, not what is kept.
"""

from __future__ import annotations


def credit_s(*, elapsed_s: float, work_s: float, slowdown: float, grace_s: float, margin_s: float = 0.0) -> float:
    """How much the job may still fall behind [s of work]: work - elapsed / (1 + slowdown) + grace - margin.

    work_s [s at the reference limit]; slowdown 0.03 is 3 %. Zero credit is exactly the bound
    elapsed = (1 + slowdown) (work + grace). margin_s: what the measurement may be wrong by, see `margin_s`.
    """
    return work_s - elapsed_s / (1 + slowdown) + grace_s - margin_s


def slowdown(*, elapsed_s: float, work_s: float) -> float:
    """What elapsed / work - 1 says: 0 before any time has passed, infinite where time has passed without work."""
    if elapsed_s <= 0:
        return 0.0
    return elapsed_s / work_s - 1 if work_s > 0 else float("inf")


def margin_s(*, r_error: float, unseen_s: float, resolution_s: float = 0.0) -> float:
    """The credit to hold back [s of work] so that even a wrong curve breaks nothing until the next measurement.

    r_error: the share by which the curve may overstate the throughput (0.05 is 5 %); unseen_s [s]: the longest time
    until a new plan is made from new measurements; resolution_s [s of work]: the grain of the progress counter.
    """
    return r_error * unseen_s + resolution_s
