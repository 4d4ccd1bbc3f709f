"""Which throughput to want in each slot of an outlook: the exact planner, put to jobs of known and of unknown length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.plan.greedy import Spending, budgets, spend
from carbonzeus_operator.plan.mixed import JobCurve
from carbonzeus_operator.plan.outlook import Outlook
from carbonzeus_operator.plan.survival import Unknown, weights

Floats = NDArray[np.float64]
NEARLY = 1e-6
"""An end is good enough where no other can cost less by this share."""
REACHES = (0.25, *[1.0] * 50)
"""How far to go from the best end so far to the one that promises most, try by try: the first promise is too good."""
_NOTHING_S = 1e-6


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

    def open(self, outlook: Outlook) -> NDArray[np.bool_]:
        """(n) where the job may be slowed: not in gaps, and not where more power means less carbon."""
        return ~outlook.gap & (outlook.gco2_per_kwh > 0)

    def slowest(self, outlook: Outlook) -> Floats:
        """(n) the throughput where all is spent that can be."""
        return np.where(self.open(outlook), self.curve.r[self.curve.hull[0]], self.ceiling(outlook))

    def spending(self, outlook: Outlook, budget_s: Floats, delay: Floats, gain: Floats) -> Spending:
        return spend(budget_s, np.where(self.open(outlook), outlook.seconds, 0.0), delay, gain)


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
    saves less than the last minutes cost, an earlier end is better, and is looked for: the prices of one end tell how
    little any other may cost, so the most promising is tried next, until none promises more than the best so far.
    """
    begin_s = outlook.begin_s
    if work_s <= _NOTHING_S or not len(outlook.seconds):
        return outlook.cut(begin_s), np.empty(0)
    latest_s = begin_s + max((work_s + task.credit_s) / task.floor_r, work_s / task.curve.top_r)
    latest_s = min(latest_s, _done_at(outlook, task.slowest(outlook), work_s))
    outlook = outlook.cut(latest_s)
    end = least = _ending_at(task, outlook, work_s, latest_s)
    if outlook.end_s < latest_s - _NOTHING_S:
        return least.outlook, least.wanted
    soonest_s = min(_done_at(outlook, task.ceiling(outlook), work_s), latest_s)
    ends_s = np.concatenate(([soonest_s], outlook.start_s[outlook.start_s > soonest_s], [latest_s]))
    promised = _promise(task, outlook, end, ends_s)
    for reach in REACHES:
        likely = int(np.argmin(promised))
        if promised[likely] >= least.cost - NEARLY * abs(least.cost):
            break
        end = _ending_at(task, outlook, work_s, least.end_s + reach * (float(ends_s[likely]) - least.end_s))
        least = min(least, end, key=lambda end: end.cost)
        ends_s, promised = _higher(ends_s, promised, _promise(task, outlook, end, ends_s))
    return least.outlook, least.wanted


def _done_at(outlook: Outlook, r: Floats, work_s: float) -> float:
    """When so much work is done at throughputs r [s after now]; infinity where the outlook ends before."""
    done_s = np.append(0.0, np.cumsum(r * outlook.seconds))
    return float(np.interp(work_s, done_s, np.append(outlook.start_s, outlook.end_s), right=np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    end_s: float
    outlook: Outlook
    wanted: Floats
    cost: float
    """Watt-seconds times intensity."""
    price: Floats
    """What a further second of work costs in each slot, in watts times intensity."""


def _ending_at(task: Task, whole: Outlook, work_s: float, end_s: float) -> _End:
    """The best plan that ends then, with the work done."""
    outlook = whole.cut(end_s)
    delay, slope = task.segments()
    ceiling, intensity, seconds = task.ceiling(outlook), outlook.gco2_per_kwh, outlook.seconds
    covered = outlook.end_s >= end_s - _NOTHING_S
    spare_s = max(float(ceiling @ seconds) - work_s, 0.0) if covered else np.inf
    credit_s = budgets(task.credit_s, (ceiling - task.floor_r) * seconds)
    spending = task.spending(outlook, np.minimum(credit_s, spare_s), delay, np.outer(slope, np.maximum(intensity, 0.0)))
    wanted, price = ceiling - spending.spent_s / seconds, spending.price
    # From where there is more credit than time to spare on, it is the work left that sets the price: one for all.
    price[credit_s >= spare_s] = price[credit_s >= spare_s].max(initial=0.0)
    return _End(end_s, outlook, wanted, float((intensity * task.hull_watts(wanted)) @ seconds), price)


def _promise(task: Task, whole: Outlook, end: _End, ends_s: Floats) -> Floats:
    """The least that each of other ends may cost, as the prices of this one say; linear within a slot.

    They are Lagrange multipliers of the linear program that the plan solves: at these prices no slot could have been
    used better, and one more, or one less, costs what it burns less what its work is worth.
    """
    price = np.append(end.price, np.full(len(whole.seconds) - len(end.price), end.price[-1]))
    hull = task.curve.hull
    best = np.min(np.outer(task.curve.watts[hull], whole.gco2_per_kwh) - np.outer(task.curve.r[hull], price), axis=0)
    ceiling = task.ceiling(whole)
    fixed = task.hull_watts(ceiling) * whole.gco2_per_kwh - price * ceiling
    edges_s = np.append(whole.start_s, whole.end_s)
    so_far = np.append(0.0, np.cumsum(np.where(task.open(whole), best, fixed) * whole.seconds))
    least: Floats = end.cost + np.interp(ends_s, edges_s, so_far) - np.interp(end.end_s, edges_s, so_far)
    return least


def _higher(at: Floats, one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The higher of two functions that are linear between points; where they cross there is a new point."""
    ahead = one - other
    cross = np.flatnonzero(ahead[:-1] * ahead[1:] < 0)
    share = ahead[cross] / (ahead[cross] - ahead[cross + 1])
    points = np.insert(at, cross + 1, at[cross] + share * (at[cross + 1] - at[cross]))
    values = np.insert(np.maximum(one, other), cross + 1, one[cross] + share * (one[cross + 1] - one[cross]))
    return points, values
