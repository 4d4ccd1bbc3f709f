"""The planner's front door: from a forecast, curves and a knob to power limits over time. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.mixed import Group, Overhead
from carbonzeus_operator.plan.survival import Length, Unknown


@dataclass(frozen=True, slots=True)
class SlowdownKnob:
    """Save what can be saved while the job is at most `slowdown` (0.03 is 3 %) behind at every moment."""

    slowdown: float
    credit_s: float
    """Measured credit [s]: work − elapsed / (1 + slowdown) + grace, see bound.credit."""


@dataclass(frozen=True, slots=True)
class WeightKnob:
    """Zeus's eta in [0, 1]: 0 weighs time only, 1 carbon only. No bound on the slowdown."""

    eta: float


Knob = SlowdownKnob | WeightKnob


@dataclass(frozen=True, slots=True)
class PlanStep:
    """From `at` until the next step, the limit of each GPU by product, in whole watts."""

    at: datetime
    limits_w: Mapping[str, float]
    r: float
    """The job's throughput at these limits, relative to the reference limits."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the plan is expected to do until its horizon ends, from the forecast: never mixed with realised figures.

    All grams are for the same work, the work that the plan does until its horizon ends.
    """

    grams: float
    reference_grams: float
    """The same work at the reference limits."""
    static_grams: float
    """The same work at the best constant limits within the slowdown."""
    slowdown: float
    """Of the planned stretch alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Power limits from `made_at` on. The last step is safe to hold for as long as nobody plans again."""

    made_at: datetime
    steps: tuple[PlanStep, ...]
    """At least one; the first is at `made_at`; strictly rising in time."""
    horizon_end: datetime
    planned: Planned
    knob: Knob

    def step_at(self, instant: datetime) -> PlanStep:
        """The step in force at `instant`; before the first step, the first."""
        raise NotImplementedError

    def credit_after(self, instant: datetime) -> float | None:
        """The credit [s] to expect at `instant` if the plan is followed from `made_at`; None without a bound."""
        raise NotImplementedError


def make_plan(
    *,
    now: datetime,
    forecast: Sequence[Interval],
    fleet: Mapping[str, Group],
    knob: Knob,
    length: Length = Unknown(),  # noqa: B008 a frozen value
    overhead: Overhead = Overhead(),  # noqa: B008 a frozen value
    minimum_dwell: timedelta = timedelta(seconds=60),
    horizon: timedelta = timedelta(hours=96),
) -> Plan:
    """Plan the limits of one job.

    forecast: intervals in time order; what lies before `now` is ignored. In a gap, and from its end on, the best
    constant limit within the slowdown holds (at negative credit the reference limit).
    fleet: by GPU product, at least one. Raises InvalidSpec for a knob or a length that cannot be meant.
    """
    raise NotImplementedError


def static_plan(
    *,
    now: datetime,
    forecast: Sequence[Interval],
    fleet: Mapping[str, Group],
    knob: Knob,
    overhead: Overhead = Overhead(),  # noqa: B008 a frozen value
    horizon: timedelta = timedelta(hours=96),
) -> Plan:
    """The best constant limit within the slowdown: the safe plan when the forecast is not to be trusted."""
    raise NotImplementedError


def reference_plan(*, now: datetime, fleet: Mapping[str, Group], knob: Knob) -> Plan:
    """Everything at the reference limit, from now on."""
    raise NotImplementedError
