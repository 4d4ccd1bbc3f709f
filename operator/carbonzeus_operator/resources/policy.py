"""CarbonPolicy: what an admin offers and a job names. Cluster-scoped, like a StorageClass."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.resources.base import Conditions, Part, Rule, rules
from carbonzeus_operator.resources.quantity import (
    PERCENT,
    Percent,
    Pue,
    Weight,
    format_percent,
    parse_decimal,
    parse_percent,
)
from carbonzeus_operator.resources.resource import AGE, Column, Resource


class Mode(StrEnum):
    """How far the operator goes."""

    ENFORCE = "Enforce"
    RECOMMEND = "Recommend"
    OBSERVE = "Observe"


class WhenStale(StrEnum):
    """What becomes of the limits when the forecast is too old."""

    HOLD_STATIC = "HoldStatic"
    RESTORE = "Restore"


class PowerLimitRange(Part):
    """How far limits may go, in percent of the reference limit of each GPU."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.minimumPercent <= self.maximumPercent",
                "minimumPercent must not be above maximumPercent (they are 50 and 100 where not set)",
                path=".minimumPercent",
            )
        )
    )

    minimum_percent: Annotated[int, Field(ge=1, le=100)] = 50
    """The lowest limit a plan may set, in percent of the reference limit (the limit before our first write, normally the
    board's default). A whole number from 1 to 100. The board's own minimum holds too. Default 50."""
    maximum_percent: Annotated[int, Field(ge=1, le=100)] = 100
    """The highest limit a plan may set, in percent of the reference limit, which is never exceeded. A whole number from 1
    to 100. Default 100."""


class Overhead(Part):
    """What a GPU costs beside its own draw. Counted in planning and in accounting."""

    host_watts_per_gpu: Annotated[int, Field(ge=0, le=10_000, alias="hostWattsPerGPU")] = 0
    """Power of the host (CPU, memory, fans, network) per GPU while a job runs, in watts. A whole number from 0 to 10000.
    Default 0: only the GPU is counted."""
    pue: Pue = "1.0"
    """Power usage effectiveness of the building: total power over IT power, a number from 1 to 10 in quotes, such as
    "1.2". Default "1.0"."""

    @property
    def pue_factor(self) -> float:
        """The PUE as a number."""
        return parse_decimal(self.pue)


class StaleForecast(Part):
    """What to do when the carbon forecast is too old to be followed."""

    after_minutes: Annotated[int, Field(ge=1, le=10_080)] = 360
    """Age of the newest forecast, in minutes since it was issued, from which it counts as stale. From 1 to 10080 (one
    week). Default 360 (6 hours)."""
    then: WhenStale = WhenStale.HOLD_STATIC
    """HoldStatic (default): hold the best constant limit that keeps the slowdown bound, which saves energy without any
    forecast. Restore: go back to the reference limit until a fresh forecast comes."""


class CarbonPolicySpec(Part):
    """What jobs under this policy accept. Set exactly one of maxSlowdown and carbonWeight."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.maxSlowdown) != has(self.carbonWeight)",
                "has(self.maxSlowdown) ? 'maxSlowdown and carbonWeight are both set: keep one and remove the other'"
                ' : \'set maxSlowdown (such as "3%") or carbonWeight (such as "0.5"): one of the two is needed\'',
                expression=True,
            ),
            Rule(
                "!has(self.maxSlowdownLimit) || has(self.maxSlowdown)",
                "maxSlowdownLimit belongs to maxSlowdown: remove it, or set maxSlowdown instead of carbonWeight",
                path=".maxSlowdownLimit",
            ),
            Rule(
                "!has(self.maxSlowdownLimit) || !has(self.maxSlowdown)"
                f" || !self.maxSlowdown.matches('{PERCENT}') || !self.maxSlowdownLimit.matches('{PERCENT}')"
                " || double(self.maxSlowdownLimit.replace('%', '')) >= double(self.maxSlowdown.replace('%', ''))",
                "'maxSlowdownLimit (' + self.maxSlowdownLimit + ') must not be below maxSlowdown (' + self.maxSlowdown"
                " + '): it says how far a job may raise it'",
                path=".maxSlowdownLimit",
                expression=True,
            ),
        )
    )

    mode: Mode = Mode.ENFORCE
    """Enforce (default): set power limits by the plan. Recommend: plan and report what would have been saved, write to no
    GPU. Observe: measure energy and carbon only."""
    max_slowdown: Percent | None = None
    """How far a job may ever be behind where it would have been without us, in percent of its training time: a percentage
    from "0%" to "100%", such as "3%". Kept at every moment of the job's life, not only at its end. Exactly one of
    maxSlowdown and carbonWeight is set."""
    carbon_weight: Weight | None = None
    """Weight of carbon against time, Zeus's eta: a number from "0" (time only) to "1" (carbon only), such as "0.5". Gives no
    bound on the slowdown. Exactly one of maxSlowdown and carbonWeight is set."""
    max_slowdown_limit: Percent | None = None
    """How far a job may raise its own bound with the annotation carbonzeus.dev/max-slowdown: a percentage, not below
    maxSlowdown. Absent: a job may lower its bound, not raise it. Only together with maxSlowdown."""
    zone: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None,
        json_schema_extra=rules(
            Rule(
                "self.matches('^[A-Za-z0-9][A-Za-z0-9_-]*$')",
                "must be a zone of the grid data provider: letters, digits, - and _, such as US-CAL-CISO",
            )
        ),
    )
    """Grid zone whose carbon intensity counts, by its name at the data provider, such as US-CAL-CISO. Absent: taken from the
    label topology.kubernetes.io/region of the job's nodes through the operator's zone map."""
    signal: Signal = Signal.AVERAGE
    """Which carbon intensity is planned and accounted with. Average (default): the mix of all plants running. Marginal: the
    plant that answers to one more kilowatt-hour. The two are never mixed."""
    power_limit: PowerLimitRange = PowerLimitRange()
    """How far limits may go, in percent of the reference limit of each GPU. Default: 50 to 100."""
    overhead: Overhead = Overhead()
    """What a GPU costs beside its own draw. Default: nothing (hostWattsPerGPU 0, pue "1.0")."""
    stale_forecast: StaleForecast = StaleForecast()
    """What to do when the carbon forecast is too old to be followed. Default: after 360 minutes, HoldStatic."""

    @model_validator(mode="after")
    def _one_knob(self) -> CarbonPolicySpec:
        if (self.max_slowdown is None) == (self.carbon_weight is None):
            raise ValueError("exactly one of maxSlowdown and carbonWeight must be set")
        return self

    @property
    def slowdown(self) -> float | None:
        """The bound on the slowdown as a share: 0.03 for `"3%"`. None under a carbonWeight."""
        return None if self.max_slowdown is None else parse_percent(self.max_slowdown)

    @property
    def slowdown_limit(self) -> float | None:
        """The highest bound that a job may ask for, as a share. None under a carbonWeight."""
        if self.max_slowdown_limit is None:
            return self.slowdown
        return parse_percent(self.max_slowdown_limit)

    @property
    def eta(self) -> float | None:
        """The carbon weight; None under a maxSlowdown."""
        return None if self.carbon_weight is None else parse_decimal(self.carbon_weight)

    def slowdown_for(self, asked: float | None) -> float | None:
        """The bound of a job that asked for `asked` (a share; None: it did not ask). InvalidSpec when it asks too much."""
        if asked is None:
            return self.slowdown
        limit = self.slowdown_limit
        if limit is None:
            raise InvalidSpec(
                "the annotation carbonzeus.dev/max-slowdown has no meaning under this policy, which sets carbonWeight:"
                " remove the annotation, or name a policy with maxSlowdown",
                reason="SlowdownNotAllowed",
            )
        if asked > limit:
            raise InvalidSpec(
                f"the annotation carbonzeus.dev/max-slowdown asks for {format_percent(asked, 4)}, but the policy allows"
                f" {format_percent(limit, 4)} at most: lower it, or ask the policy's owner to raise maxSlowdownLimit",
                reason="SlowdownNotAllowed",
            )
        return asked


class CarbonPolicyStatus(Part):
    """What the operator makes of the policy."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    jobs: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Running jobs under this policy."""
    conditions: Conditions = ()
    """Ready: the policy can be followed, with a fresh forecast wherever its jobs run."""


CARBON_POLICY = Resource(
    kind="CarbonPolicy",
    plural="carbonpolicies",
    short_names=("cpol",),
    scope="Cluster",
    description="A CarbonPolicy says how far training jobs that name it, with the annotation carbonzeus.dev/policy, may be slowed"
    " down to emit less carbon. Jobs are never delayed, moved or paused: only the power limits of their GPUs follow the grid.",
    spec=CarbonPolicySpec,
    status=CarbonPolicyStatus,
    columns=(
        Column("Mode", ".spec.mode", "Enforce, Recommend or Observe."),
        Column("MaxSlowdown", ".spec.maxSlowdown", "How far a job may ever be behind."),
        Column("CarbonWeight", ".spec.carbonWeight", "Weight of carbon against time."),
        Column("Zone", ".spec.zone", "Grid zone; empty: from the node's region."),
        Column("Jobs", ".status.jobs", "Running jobs under this policy.", type="integer"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the policy can be followed."),
        AGE,
        Column("Signal", ".spec.signal", "Average or Marginal.", wide=True),
    ),
)
