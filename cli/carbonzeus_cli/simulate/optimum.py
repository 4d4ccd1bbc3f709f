"""The least carbon that anybody could have reached who knew everything: a linear program, solved by HiGHS.

In each slot the job may split its time among the points of its curve. The last slot may be left when the work is done, so there is
one program for each slot that the job may end in; the best of them is the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import highspy
import numpy as np
from numpy.typing import NDArray

from carbonzeus_cli.simulate.actual import WATT_SECONDS_PER_KWH, Actual
from carbonzeus_cli.simulate.job import Bound, Job
from carbonzeus_cli.simulate.run import Trace

Floats = NDArray[np.float64]
HOUR_S = 3600.0


def optimum(job: Job, actual: Actual, start: datetime, bound: Bound, *, anytime: bool) -> Trace:
    """The best trace. anytime: the bound holds at every moment, not only at the end. Raises where HiGHS finds none."""
    fastest_s = job.work_s / job.whole.top_r
    latest_s = max(bound.latest_s(job.work_s), fastest_s)
    edges_s, intensity = actual.slots(start, latest_s)
    first = max(int(np.searchsorted(edges_s, fastest_s - 1e-6)), 1)
    found = [
        _ending_in(job, edges_s[: slots + 1], intensity[:slots], bound, anytime=anytime, fastest_s=fastest_s)
        for slots in range(first, len(edges_s))
    ]
    return min((one for one in found if one is not None), key=lambda one: one.grams).trace


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    grams: float
    trace: Trace


def _ending_in(
    job: Job, edges_s: Floats, intensity: Floats, bound: Bound, *, anytime: bool, fastest_s: float
) -> _Solution | None:
    """The best trace that ends in the last of n slots; None where none does.

    Columns: the time in each slot at each of k points, fastest first (n k); then the credit after each slot (n).
    Rows: the length of each slot; the balance of credit over each slot; the work. All in hours.
    """
    whole = job.whole
    points = whole.hull[::-1]
    r, watts = whole.r[points], whole.watts[points]
    slots, count = len(intensity), len(points)
    floor_r, grace = 1 / (1 + bound.slowdown), bound.grace_s / HOUR_S
    lengths = np.diff(edges_s) / HOUR_S
    shortest = lengths.copy()
    shortest[-1] = max(fastest_s - edges_s[-2], 0.0) / HOUR_S
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = slots * count + slots, 2 * slots + 1
    # Watts, hours and grams a kilowatt-hour: milligrams.
    model.col_cost_ = np.append(np.outer(intensity, watts).ravel(), np.zeros(slots))
    owing = np.full(slots, 0.0 if anytime else -np.inf)
    owing[-1] = 0.0
    model.col_lower_ = np.append(np.zeros(slots * count), owing)
    model.col_upper_ = np.full(model.num_col_, np.inf)
    balance = np.zeros(slots)
    balance[0] = -grace
    model.row_lower_ = np.concatenate((shortest, balance, [job.work_s / HOUR_S]))
    model.row_upper_ = np.concatenate((lengths, balance, [job.work_s / HOUR_S]))
    slot = np.repeat(np.arange(slots), count)
    rows = np.column_stack((slot, slots + slot, np.full(slots * count, 2 * slots))).ravel()
    values = np.tile(np.column_stack((np.ones(count), r - floor_r, r)), (slots, 1)).ravel()
    kept = np.column_stack((slots + np.arange(slots), slots + np.arange(1, slots + 1))).ravel()[:-1]
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.append(
        np.arange(slots * count) * 3, slots * count * 3 + np.append(np.arange(slots) * 2, 2 * slots - 1)
    )
    model.a_matrix_.index_ = np.append(rows, kept)
    model.a_matrix_.value_ = np.append(values, np.tile([-1.0, 1.0], slots)[:-1])
    solver = highspy._Highs()  # type: ignore[attr-defined]  # noqa: SLF001 - Highs prints a banner on stdout
    solver.setOptionValue("output_flag", False)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    times_s = np.maximum(np.array(solver.getSolution().col_value[: slots * count]), 0.0) * HOUR_S
    grams = float(np.repeat(intensity, count) @ (times_s * np.tile(watts, slots))) / WATT_SECONDS_PER_KWH
    used = times_s > 1e-6
    trace = Trace(np.append(0.0, np.cumsum(times_s[used])), np.tile(r, slots)[used], np.tile(watts, slots)[used])
    return _Solution(grams, trace)
