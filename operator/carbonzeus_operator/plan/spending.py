"""Which throughput to want in each slot of an outlook: the exact planner, put to jobs of known and of unknown length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.greedy import Spending, budgets, spend
from carbonzeus_operator.plan.mixed import JobCurve
from carbonzeus_operator.plan.outlook import Outlook
from carbonzeus_operator.plan.survival import Unknown, weights

Floats = NDArray[np.float64]
BISECTIONS = 6
"""How exactly an early end is found in its slot."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What there is to spend, and on what."""

    curve: JobCurve
    floor_r: float
    """The throughput at which the credit stays as it is."""
    credit_s: float
    """>= 0 [s of work]."""
    hold_r: float
    """What is held where the forecast says nothing."""

    def segments(self) -> tuple[Floats, Floats]:
        """(k) delay and power saved per throughput lost, from full speed down."""
        vertices = self.curve.hull[::-1]
        delay = -np.diff(self.curve.r[vertices])
        return delay, -np.diff(self.curve.watts[vertices]) / delay

    def hull_watts(self, r: Floats) -> Floats:
        """Power at throughputs, mixing two points where none has it."""
        hull = self.curve.hull
        return np.interp(r, self.curve.r[hull], self.curve.watts[hull])

    @property
    def hold_watts_per_r(self) -> float:
        """Energy for a second of work where the forecast says nothing."""
        return float(self.hull_watts(np.array([self.hold_r]))[0] / self.hold_r)

    def ceiling(self, outlook: Outlook) -> Floats:
        """(n) the throughput where nothing is spent."""
        return np.where(outlook.gap, self.hold_r, self.curve.top_r)

    def spending(self, outlook: Outlook, budget_s: Floats, delay: Floats, gain: Floats) -> Spending:
        # Where more power means less carbon, the most of it is taken; in gaps nothing is planned.
        open_ = ~outlook.gap & (outlook.gco2_per_kwh > 0)
        return spend(budget_s, np.where(open_, outlook.seconds, 0.0), delay, gain)


def for_unknown(task: Task, outlook: Outlook, length: Unknown) -> Floats:
    """(n) the throughput wanted in each slot of a job that may end at any time."""
    if not len(outlook.seconds):
        return np.empty(0)
    alive = length.alive(np.append(outlook.start_s, outlook.end_s), task.floor_r)
    weighed = weights(alive, outlook.gco2_per_kwh, outlook.mean)
    delay, slope = task.segments()
    gain = np.outer(slope, weighed.alive * outlook.gco2_per_kwh) - task.hold_watts_per_r * weighed.ending
    ceiling = task.ceiling(outlook)
    budget_s = budgets(task.credit_s, (ceiling - task.floor_r) * outlook.seconds)
    wanted: Floats = ceiling - task.spending(outlook, budget_s, delay, gain).spent_s / outlook.seconds
    return wanted


def for_known(task: Task, outlook: Outlook, work_s: float) -> tuple[Outlook, Floats]:
    """The outlook up to the end of a job with so much work left, and the throughput wanted in each slot of it.

    As a rule all credit is spent, and the job ends when the bound would have it end at the latest. Where slowing down
    saves less than the last minutes cost, an earlier end is better, and is looked for.
    """
    begin_s = float(outlook.start_s[0]) if len(outlook.start_s) else 0.0
    soonest_s = begin_s + work_s / task.curve.top_r
    latest_s = max(begin_s + (work_s + task.credit_s) / task.floor_r, soonest_s)
    latest = _ending_at(task, outlook, work_s, latest_s)
    # Each way to end earlier leaves out the last slots, or part of them. None pays if no such rest costs too much.
    rests = np.cumsum(latest.excess[::-1])[::-1]
    if not np.any(rests[latest.outlook.start_s + latest.outlook.seconds > soonest_s] > 0):
        return latest.outlook, latest.wanted
    rough = outlook.coarse()
    inside = rough.start_s[(rough.start_s > soonest_s) & (rough.start_s < latest_s)]
    edges = [soonest_s, *inside.tolist(), latest_s]
    ends = [_ending_at(task, rough, work_s, end_s) for end_s in edges]
    least = min(ends, key=lambda end: end.cost)
    for low, high in pairwise(ends):
        # Within a slot the cost is convex in the end: its slope at the slot's end bounds what lies before.
        if high.cost - high.slope * (high.end_s - low.end_s) < least.cost:
            least = min((least, *_bisecting(task, rough, work_s, low.end_s, high.end_s)), key=lambda end: end.cost)
    best = min((latest, _ending_at(task, outlook, work_s, least.end_s)), key=lambda end: end.cost)
    return best.outlook, best.wanted


def _bisecting(task: Task, outlook: Outlook, work_s: float, low_s: float, high_s: float) -> Iterator[_End]:
    for _ in range(BISECTIONS):
        end = _ending_at(task, outlook, work_s, (low_s + high_s) / 2)
        yield end
        low_s, high_s = (low_s, end.end_s) if end.slope > 0 else (end.end_s, high_s)


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    end_s: float
    outlook: Outlook
    wanted: Floats
    cost: float
    """Watt-seconds times intensity; infinite where the work cannot be done by then."""
    excess: Floats
    """By how much each slot costs more than having its work done at other times."""

    @property
    def slope(self) -> float:
        """What a later end costs by the second."""
        return float(self.excess[-1] / self.outlook.seconds[-1]) if len(self.excess) else 0.0


def _ending_at(task: Task, whole: Outlook, work_s: float, end_s: float) -> _End:
    """The best plan that ends then, with the work done."""
    outlook = whole.cut(end_s)
    if not len(outlook.seconds):
        return _End(end_s, outlook, np.empty(0), 0.0, np.empty(0))
    delay, slope = task.segments()
    ceiling, intensity, seconds = task.ceiling(outlook), outlook.gco2_per_kwh, outlook.seconds
    covered = outlook.start_s[-1] + seconds[-1] >= end_s - 1e-6
    spare_s = float(ceiling @ seconds) - work_s if covered else np.inf
    budget_s = np.minimum(budgets(task.credit_s, (ceiling - task.floor_r) * seconds), max(spare_s, 0.0))
    spending = task.spending(outlook, budget_s, delay, np.outer(slope, np.maximum(intensity, 0.0)))
    wanted = ceiling - spending.spent_s / seconds
    watts = task.hull_watts(wanted)
    costs = intensity * watts * seconds
    return _End(
        end_s,
        outlook,
        wanted,
        float(costs.sum()) if spare_s >= -1e-6 else np.inf,
        costs - spending.price * wanted * seconds if covered else np.zeros(len(costs)),
    )
