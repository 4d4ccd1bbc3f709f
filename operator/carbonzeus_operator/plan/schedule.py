"""The planner's front door: from a forecast, curves and a knob to power limits over time. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.figures import Planned, planned
from carbonzeus_operator.plan.greedy import budgets, spend
from carbonzeus_operator.plan.mixed import FULL, Group, JobCurve, Overhead
from carbonzeus_operator.plan.outlook import Outlook, look_ahead
from carbonzeus_operator.plan.pieces import Piece, joined, lengthen, split_mixes
from carbonzeus_operator.plan.survival import Known, Length, Unknown, weights
from carbonzeus_operator.plan.weight import cheapest

Floats = NDArray[np.float64]

UNKNOWN = Unknown()
NO_OVERHEAD = Overhead()
DWELL = timedelta(seconds=60)
HORIZON = timedelta(hours=96)


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


@dataclass(frozen=True, slots=True)
class PlanStep:
    """From `at` until the next step, the limit of each GPU by product, in whole watts."""

    at: datetime
    limits_w: Mapping[str, float]
    r: float
    """The job's throughput at these limits, relative to the reference limits."""


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
        return next((step for step in reversed(self.steps) if step.at <= instant), self.steps[0])

    def credit_after(self, instant: datetime) -> float | None:
        """The credit [s of work] to expect at `instant` when the plan was followed from `made_at`.

        None with a WeightKnob, which has no bound.
        """
        if not isinstance(self.knob, SlowdownKnob):
            return None
        credit_s = self.knob.credit_s
        ends = [*(step.at for step in self.steps[1:]), instant]
        for step, end in zip(self.steps, ends, strict=True):
            credit_s += (step.r - self.knob.floor_r) * max((min(end, instant) - step.at).total_seconds(), 0.0)
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
        if isinstance(length, Known):
            outlook = outlook.cut(length.end_s(slowdown=knob.slowdown, credit_s=knob.credit_s, top_r=curve.top_r))
        pieces = _by_bound(curve, outlook, knob, length)
    return _assemble(outlook, curve, knob, lengthen(pieces, minimum_dwell.total_seconds()))


def static_plan(
    *,
    now: datetime,
    forecast: Sequence[Interval] | Outlook,
    fleet: Mapping[str, Group],
    knob: Knob,
    overhead: Overhead = NO_OVERHEAD,
    horizon: timedelta = HORIZON,
) -> Plan:
    """The best constant limit within the slowdown: the safe plan when the forecast is not to be trusted.

    At negative credit the reference limit comes first, until it is repaid.
    """
    outlook = forecast if isinstance(forecast, Outlook) else look_ahead(forecast, now, horizon)
    curve = JobCurve.of(fleet, overhead)
    if isinstance(knob, WeightKnob):
        hold_r = float(_weighed(curve, knob, np.array([outlook.mean]), outlook.mean)[0])
        return _assemble(outlook, curve, knob, [Piece(0.0, math.inf, hold_r)])
    return _assemble(outlook, curve, knob, _held(_repayment(curve, knob), curve.best_held_r(knob.floor_r), 0.0))


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
    return _assemble(outlook, curve, knob, [Piece(0.0, math.inf, FULL)])


def _repayment(curve: JobCurve, knob: SlowdownKnob) -> list[Piece]:
    """At full speed until negative credit is repaid; for ever, where full speed is too slow for it."""
    if knob.credit_s >= 0:
        return []
    earning = curve.top_r - knob.floor_r
    return [Piece(0.0, -knob.credit_s / earning if earning > 0 else math.inf, FULL)]


def _held(pieces: list[Piece], hold_r: float, at_s: float) -> list[Piece]:
    """The pieces, and after them, not before `at_s`, what may be held for ever."""
    begin_s = max(pieces[-1].end_s, at_s) if pieces else at_s
    return [*pieces, Piece(begin_s, math.inf, hold_r)] if math.isfinite(begin_s) else pieces


def _by_bound(curve: JobCurve, outlook: Outlook, knob: SlowdownKnob, length: Length) -> list[Piece]:
    hold_r = curve.best_held_r(knob.floor_r)
    pieces = _repayment(curve, knob)
    ahead = outlook.after(pieces[-1].end_s) if pieces else outlook
    wanted = _spending(curve, ahead, knob.floor_r, max(knob.credit_s, 0.0), length, hold_r)
    count = ahead.forecast_slots
    starts, r = split_mixes(
        curve, ahead.start_s[:count], ahead.seconds[:count], wanted[:count], may_split=~ahead.gap[:count]
    )
    return _held(pieces + joined(starts, curve.settings(r).r, outlook.forecast_end_s), hold_r, outlook.forecast_end_s)


def _spending(
    curve: JobCurve, outlook: Outlook, floor_r: float, credit_s: float, length: Length, hold_r: float
) -> Floats:
    """The throughput wanted in each slot of the outlook."""
    vertices = curve.hull[::-1]
    delay = -np.diff(curve.r[vertices])
    slope = -np.diff(curve.watts[vertices]) / delay
    weighed = weights(length, outlook.start_s, outlook.seconds, outlook.gco2_per_kwh, outlook.mean)
    watts_per_r = curve.mixed_watts(hold_r) / hold_r
    gain = np.outer(slope, weighed.alive * outlook.gco2_per_kwh) - watts_per_r * weighed.ending
    seconds = np.where(outlook.gap, 0.0, outlook.seconds)
    # Where more power means less carbon, the most of it is taken.
    seconds = np.where(outlook.gco2_per_kwh > 0, seconds, 0.0)
    ceiling = np.where(outlook.gap, hold_r, curve.top_r)
    spent = spend(budgets(credit_s, (ceiling - floor_r) * outlook.seconds), seconds, delay, gain)
    r: Floats = ceiling - spent / outlook.seconds
    return r


def _weighed(curve: JobCurve, knob: WeightKnob, intensity: Floats, worst: float) -> Floats:
    chosen: Floats = curve.r[cheapest(knob.eta, intensity, worst, curve.watts, curve.most_w, curve.r)]
    return chosen


def _by_weight(curve: JobCurve, outlook: Outlook, knob: WeightKnob) -> list[Piece]:
    count = outlook.forecast_slots
    intensity = outlook.gco2_per_kwh[:count]
    worst = float(intensity.max()) if count else outlook.mean
    r = _weighed(curve, knob, np.append(intensity, outlook.mean), worst)
    pieces = joined(outlook.start_s[:count], curve.settings(r[:-1]).r, outlook.forecast_end_s)
    return _held(pieces, float(r[-1]), outlook.forecast_end_s)


def _assemble(outlook: Outlook, curve: JobCurve, knob: Knob, pieces: list[Piece]) -> Plan:
    """Give limits their names and the plan its figures."""
    settings = curve.settings(np.array([piece.r for piece in pieces]))
    starts_s = np.array([piece.start_s for piece in pieces])
    changed = np.append(True, np.any(np.diff(settings.limits_w, axis=1) != 0, axis=0))
    steps = tuple(
        PlanStep(outlook.now + timedelta(seconds=start_s), dict(zip(curve.products, limits_w, strict=True)), r)
        for start_s, limits_w, r in zip(
            starts_s[changed].tolist(),
            settings.limits_w.T[changed].tolist(),
            settings.r[changed].tolist(),
            strict=True,
        )
    )
    end_s = outlook.forecast_end_s
    floor_r = knob.floor_r if isinstance(knob, SlowdownKnob) else None
    return Plan(
        outlook.now,
        steps,
        outlook.now + timedelta(seconds=end_s),
        planned(outlook, curve, starts_s, settings, end_s, floor_r),
        knob,
    )
