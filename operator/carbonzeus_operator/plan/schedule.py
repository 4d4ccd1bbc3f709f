"""The planner's front door: from a forecast, curves and a knob to power limits over time. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.figures import Planned, planned
from carbonzeus_operator.plan.mixed import FULL, Group, JobCurve, Overhead
from carbonzeus_operator.plan.outlook import Outlook, look_ahead
from carbonzeus_operator.plan.pieces import Pieces, lengthen, split_mixes
from carbonzeus_operator.plan.spending import Task, for_known, for_unknown
from carbonzeus_operator.plan.survival import Known, Length, Unknown
from carbonzeus_operator.plan.weight import cheapest

Floats = NDArray[np.float64]

UNKNOWN = Unknown()
NO_OVERHEAD = Overhead()
DWELL = timedelta(seconds=60)
HORIZON = timedelta(hours=96)
SHORTEST_S = 0.001
"""Instants are kept in whole microseconds; no step is so short that it could vanish."""


@dataclass(frozen=True, slots=True)
class SlowdownKnob:
    """Save what can be saved while the job is at most `slowdown` (0.03 is 3 %) behind at every moment."""

    slowdown: float
    credit_s: float
    """Measured credit [s of work]: work - elapsed / (1 + slowdown) + grace, see bound.credit_s."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slowdown) and self.slowdown >= 0):
            raise InvalidSpec(f"the slowdown is {self.slowdown:g}; it must be 0 or more", reason="InvalidSlowdown")
        if not math.isfinite(self.credit_s):
            raise InvalidSpec(f"the credit is {self.credit_s:g} s; it must be finite", reason="InvalidCredit")

    @property
    def floor_r(self) -> float:
        """The throughput at which the credit stays as it is."""
        return 1 / (1 + self.slowdown)


@dataclass(frozen=True, slots=True)
class WeightKnob:
    """Zeus's eta in [0, 1]: 0 weighs time only, 1 carbon only. No bound on the slowdown."""

    eta: float

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise InvalidSpec(f"the carbon weight is {self.eta:g}; it must lie in 0 to 1", reason="InvalidWeight")


Knob = SlowdownKnob | WeightKnob


class PlanStep(NamedTuple):
    """From `at` until the next step, the limit of each GPU by product, in whole watts."""

    at: datetime
    limits_w: Mapping[str, float]
    r: float
    """The job's throughput at these limits, relative to the reference limits."""


def in_force(
    steps: Iterable[PlanStep], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, PlanStep | None]]:
    """[start, end) end to end, each part with the step in force; None before the first. steps: rising in time."""
    at, current = start, None
    for step in steps:
        if step.at >= end:
            break
        if step.at > at:
            yield at, step.at, current
            at = step.at
        current = step
    if at < end:
        yield at, end, current


def step_at(steps: Sequence[PlanStep], instant: datetime) -> PlanStep | None:
    """The step in force at `instant`; None before the first. steps: rising in time."""
    return next((step for step in reversed(steps) if step.at <= instant), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """Power limits from `made_at` on. The last step is safe to hold for as long as nobody plans again."""

    made_at: datetime
    steps: tuple[PlanStep, ...]
    """At least one; the first is at `made_at`; strictly rising in time."""
    horizon_end: datetime
    """Until here the plan follows the forecast."""
    planned: Planned
    knob: Knob

    def step_at(self, instant: datetime) -> PlanStep:
        """The step in force at `instant`; before the first step, the first."""
        return step_at(self.steps, instant) or self.steps[0]

    def credit_after(self, instant: datetime) -> float | None:
        """The credit [s of work] to expect at `instant` when the plan was followed from `made_at`.

        None with a WeightKnob, which has no bound.
        """
        if not isinstance(self.knob, SlowdownKnob):
            return None
        credit_s = self.knob.credit_s
        for begin, end, step in in_force(self.steps, self.made_at, instant):
            credit_s += ((1.0 if step is None else step.r) - self.knob.floor_r) * (end - begin).total_seconds()
        return credit_s


def make_plan(
    *,
    now: datetime,
    forecast: Sequence[Interval] | Outlook,
    fleet: Mapping[str, Group],
    knob: Knob,
    length: Length = UNKNOWN,
    overhead: Overhead = NO_OVERHEAD,
    minimum_dwell: timedelta = DWELL,
    horizon: timedelta = HORIZON,
) -> Plan:
    """Plan the limits of one job.

    forecast: intervals in time order; what lies before `now` is ignored. An Outlook of the same `now` saves laying it
    out for every job of a zone. In a gap, and from its end on, the best constant limit within the slowdown holds.
    At negative credit the reference limit holds until it is repaid.
    fleet: by GPU product, at least one. Raises InvalidSpec for what cannot be meant.
    """
    outlook = forecast if isinstance(forecast, Outlook) else look_ahead(forecast, now, horizon)
    curve = JobCurve.of(fleet, overhead)
    if isinstance(knob, WeightKnob):
        pieces = _by_weight(curve, outlook, knob)
    else:
        outlook, pieces = _by_bound(curve, outlook, knob, length, minimum_dwell.total_seconds())
    return _assemble(outlook, curve, knob, lengthen(pieces.joined(), max(minimum_dwell.total_seconds(), SHORTEST_S)))


def static_plan(
    *,
    now: datetime,
    forecast: Sequence[Interval] | Outlook,
    fleet: Mapping[str, Group],
    knob: Knob,
    overhead: Overhead = NO_OVERHEAD,
    minimum_dwell: timedelta = DWELL,
    horizon: timedelta = HORIZON,
) -> Plan:
    """The best constant limit within the slowdown: the safe plan when the forecast is not to be trusted.

    At negative credit the reference limit comes first, until it is repaid.
    """
    outlook = forecast if isinstance(forecast, Outlook) else look_ahead(forecast, now, horizon)
    curve = JobCurve.of(fleet, overhead)
    if isinstance(knob, WeightKnob):
        hold_r = float(_weighed(curve, knob, np.array([outlook.mean]), outlook.mean)[0])
        return _assemble(outlook, curve, knob, Pieces.of((0.0, hold_r)))
    hold_r = curve.best_held_r(knob.floor_r)
    repaying_r, repaid_s = _repayment(curve, knob, hold_r, minimum_dwell.total_seconds())
    nothing = np.empty(0)
    pieces = _closed(repaid_s, repaying_r, nothing, nothing, 0.0, hold_r)
    return _assemble(outlook, curve, knob, pieces)


def reference_plan(
    *,
    now: datetime,
    fleet: Mapping[str, Group],
    knob: Knob,
    forecast: Sequence[Interval] | Outlook = (),
    overhead: Overhead = NO_OVERHEAD,
    horizon: timedelta = HORIZON,
) -> Plan:
    """Everything at the highest limits allowed, from now on."""
    outlook = forecast if isinstance(forecast, Outlook) else look_ahead(forecast, now, horizon)
    curve = JobCurve.of(fleet, overhead)
    return _assemble(outlook, curve, knob, Pieces.of((0.0, FULL)))


def _repayment(curve: JobCurve, knob: SlowdownKnob, hold_r: float, minimum_s: float) -> tuple[float, float]:
    """The throughput that repays negative credit, and when it is repaid [s from now].

    At the highest limits, so as fast as can be. A debt repaid sooner than a limit may change again is repaid in just
    that time, or at hold_r if that is faster: else a breath of noise in the measured credit would send a job to full
    power for it.
    """
    debt_s, earning = max(-knob.credit_s, 0.0), curve.top_r - knob.floor_r
    if debt_s == 0:
        return FULL, 0.0
    if earning <= 0:
        return FULL, math.inf
    if debt_s < earning * minimum_s:
        return max(knob.floor_r + debt_s / minimum_s, hold_r), minimum_s
    return FULL, debt_s / earning


def _by_bound(
    curve: JobCurve, outlook: Outlook, knob: SlowdownKnob, length: Length, minimum_s: float
) -> tuple[Outlook, Pieces]:
    """The pieces, and the outlook up to where they follow it."""
    hold_r = curve.best_held_r(knob.floor_r)
    repaying_r, begin_s = _repayment(curve, knob, hold_r, minimum_s)
    ahead = outlook.after(begin_s) if begin_s > 0 else outlook
    task = Task(curve, knob.floor_r, max(knob.credit_s, 0.0), hold_r)
    if isinstance(length, Known):
        work_s = max(length.remaining_work_s - begin_s * min(repaying_r, curve.top_r), 0.0)
        ahead, wanted = for_known(task, ahead, work_s)
        outlook = outlook.cut(ahead.end_s if len(ahead.seconds) else min(begin_s, length.remaining_work_s))
    else:
        wanted = for_unknown(task, ahead, length)
    count = ahead.forecast_slots
    starts_s, r = split_mixes(
        curve, ahead.start_s[:count], ahead.seconds[:count], wanted[:count], may_split=~ahead.gap[:count]
    )
    return outlook, _closed(begin_s, repaying_r, starts_s, curve.held(r), outlook.forecast_end_s, hold_r)


def _closed(begin_s: float, first_r: float, starts_s: Floats, r: Floats, end_s: float, hold_r: float) -> Pieces:
    """first_r until begin_s, then the given pieces until end_s, then what may be held for ever."""
    first = ([0.0], [first_r]) if begin_s > 0 else ([], [])
    last = ([max(begin_s, end_s)], [hold_r]) if math.isfinite(begin_s) else ([], [])
    return Pieces(np.concatenate((first[0], starts_s, last[0])), np.concatenate((first[1], r, last[1])))


def _weighed(curve: JobCurve, knob: WeightKnob, intensity: Floats, worst: float) -> Floats:
    chosen: Floats = curve.r[cheapest(knob.eta, intensity, worst, curve.watts, curve.most_w, curve.r)]
    return chosen


def _by_weight(curve: JobCurve, outlook: Outlook, knob: WeightKnob) -> Pieces:
    count = outlook.forecast_slots
    intensity = outlook.gco2_per_kwh[:count]
    worst = float(intensity.max()) if count else outlook.mean
    r = _weighed(curve, knob, np.append(intensity, outlook.mean), worst)
    held = curve.held(r[:-1])
    return _closed(0.0, FULL, outlook.start_s[:count], held, outlook.forecast_end_s, float(r[-1]))


def _assemble(outlook: Outlook, curve: JobCurve, knob: Knob, pieces: Pieces) -> Plan:
    """Give limits their names and the plan its figures."""
    settings = curve.settings(pieces.r)
    changed = np.append(True, np.any(settings.limits_w[:, 1:] != settings.limits_w[:, :-1], axis=0))
    # A thousand plans have some 300,000 steps: their parts are made by the column, and equal limits only once.
    starts: list[timedelta] = np.rint(pieces.start_s[changed] * 1e6).astype("m8[us]").tolist()
    limits_w = map(cache(curve.named), *settings.limits_w[:, changed].tolist())
    steps = map(PlanStep, [outlook.now + start for start in starts], limits_w, settings.r[changed].tolist())
    end_s = outlook.forecast_end_s
    floor_r = knob.floor_r if isinstance(knob, SlowdownKnob) else None
    return Plan(
        outlook.now,
        tuple(steps),
        outlook.now + timedelta(seconds=end_s),
        planned(outlook, curve, pieces.start_s, settings, end_s, floor_r),
        knob,
    )
