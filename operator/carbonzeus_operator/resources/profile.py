"""PowerProfile: the measured power and throughput of a workload at each power limit."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field, model_validator

from carbonzeus_operator.resources.base import Conditions, Part, Rule, rules
from carbonzeus_operator.resources.learning import LearnerState
from carbonzeus_operator.resources.ledger import LARGEST, Count
from carbonzeus_operator.resources.quantity import (
    DECIMAL,
    DecimalString,
    PercentString,
    PositiveNumber,
    parse_decimal,
)
from carbonzeus_operator.resources.resource import AGE, Column, Resource
from carbonzeus_wire.base import Instant

MAX_POINTS = 64


class ThroughputUnit(StrEnum):
    """What the throughput of a point counts."""

    RELATIVE = "Relative"
    PROGRESS = "Progress"


class ProfileSource(StrEnum):
    """Who wrote the profile."""

    USER = "User"
    MEASURED = "Measured"


class MeasuredPoint(NamedTuple):
    """A point of a profile as numbers: limit [W], average power [W], throughput [in the profile's unit]."""

    limit_w: float
    average_w: float
    throughput: float


class ProfilePoint(Part):
    """What the workload does at one power limit."""

    limit_watts: PositiveNumber
    """Power limit of each GPU, in watts: a whole number such as 250, or a decimal in quotes such as "287.5"."""
    average_watts: PositiveNumber
    """Average power of one GPU at this limit, in watts, over some minutes of training: 216 or "216.2"."""
    throughput: PositiveNumber
    """Speed of the whole job at this limit, above 0, in throughputUnit: 12 or "0.983"."""


def _number(field: str) -> str:
    """Whether `double(FIELD)` can be taken; the field's own rule complains where it cannot."""
    return f"(type({field}) == int || {field}.matches('{DECIMAL}'))"


class PowerProfileSpec(Part):
    """A curve: for each power limit the average power and the throughput."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                f"!has(self.referenceLimitWatts) || !{_number('self.referenceLimitWatts')}"
                f" || !self.points.all(p, {_number('p.limitWatts')})"
                " || self.points.exists(p, double(p.limitWatts) == double(self.referenceLimitWatts))",
                "must be the limitWatts of one of the points: add a point measured at the reference limit",
                path=".referenceLimitWatts",
            )
        )
    )

    gpu_product: Annotated[str, Field(min_length=1, max_length=128)]
    """GPU model the curve was measured on, as nvidia-smi names it, such as "NVIDIA A40"."""
    gpu_count: Annotated[int, Field(ge=1, le=100_000)] = 1
    """GPUs of the whole job, over all its workers. Default 1."""
    reference_limit_watts: PositiveNumber | None = None
    """The power limit, in watts, that throughput is compared with; one of the points has it. Absent: the largest limit among
    the points."""
    points: Annotated[
        tuple[ProfilePoint, ...],
        Field(
            max_length=MAX_POINTS,
            json_schema_extra={
                "x-kubernetes-list-type": "atomic",
                **rules(
                    Rule("size(self) >= 2", "needs at least two points, measured at different power limits"),
                    Rule(
                        f"!self.all(p, {_number('p.limitWatts')})"
                        " || self.all(p, self.exists_one(q, double(p.limitWatts) == double(q.limitWatts)))",
                        "each limitWatts may occur once: merge the points with the same limit",
                    ),
                ),
            },
        ),
    ]
    """The measured points, 2 to 64, each at a power limit of its own, in any order. Where the throughput falls although the
    limit rises, the operator smooths the curve and says so in the condition Repaired."""
    throughput_unit: ThroughputUnit = ThroughputUnit.RELATIVE
    """Relative (default): any unit, only the ratio to the throughput at the reference limit counts. Progress: steps per
    second of the job's progress counter (annotation carbonzeus.dev/progress), so that the slowdown can be measured with it."""
    source: ProfileSource = ProfileSource.USER
    """User (default): written by a person and never changed by the operator. Measured: written by the operator while jobs train.
    A measured one that is set to User is followed as it is by the jobs that it was learned from."""
    workload: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """What was trained, for people and for finding the profile again, such as "resnet50-b128"."""
    fingerprint: Annotated[str, Field(max_length=16, pattern="^[0-9a-f]{16}$")] | None = None
    """What tells the workload apart, 16 hexadecimal digits: made of image, command, args, resources and replicas of its jobs,
    or of their annotation carbonzeus.dev/workload. Absent in profiles that people write."""

    @model_validator(mode="after")
    def _a_curve(self) -> PowerProfileSpec:
        limits = [parse_decimal(point.limit_watts) for point in self.points]
        if len(limits) < 2:
            raise ValueError("points: needs at least two points, measured at different power limits")
        if len(set(limits)) < len(limits):
            raise ValueError("points: each limitWatts may occur once: merge the points with the same limit")
        if self.reference_limit_watts is not None and self.reference_limit_w not in limits:
            raise ValueError("referenceLimitWatts: must be the limitWatts of one of the points")
        return self

    @property
    def reference_limit_w(self) -> float:
        """The limit that throughput is compared with [W]."""
        if self.reference_limit_watts is not None:
            return parse_decimal(self.reference_limit_watts)
        return max(parse_decimal(point.limit_watts) for point in self.points)

    def to_points(self) -> tuple[MeasuredPoint, ...]:
        """The points as numbers, by rising limit, as measured: noise and all."""
        return tuple(
            sorted(
                MeasuredPoint(
                    parse_decimal(point.limit_watts),
                    parse_decimal(point.average_watts),
                    parse_decimal(point.throughput),
                )
                for point in self.points
            )
        )


class MeasuredLimit(Part):
    """What was measured at one power limit."""

    limit_watts: DecimalString
    """Power limit of each GPU, in watts."""
    average_watts: DecimalString
    """Average power of one GPU at this limit, in watts."""
    throughput: DecimalString
    """Likeliest speed of the whole job at this limit, in throughputUnit."""
    throughput_low: DecimalString
    """The speed three standard deviations lower, in throughputUnit."""
    throughput_high: DecimalString
    """The speed three standard deviations higher, in throughputUnit."""
    seconds: Count = 0
    """Time in windows at this limit, in seconds."""


class PowerProfileStatus(Part):
    """What the operator makes of the profile."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status is about."""
    points: Annotated[int, Field(ge=0, le=MAX_POINTS)] | None = None
    """Points that plans use, after repair."""
    windows: Count | None = None
    """Windows of training that the curve was learned from, in all runs. Absent where a person wrote it."""
    runs: Count | None = None
    """Runs of jobs that taught the curve."""
    version: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    """1 at first, and one more each time that the workload was seen to have changed and was learned anew."""
    uncertainty: PercentString | None = None
    """By how much the throughput may be lower than the points say, at three standard deviations, at the worst point, in
    percent."""
    last_run_time: Instant | None = None
    """When a job last taught the curve. Curves that nobody teaches any more age out by it."""
    measured: Annotated[tuple[MeasuredLimit, ...], Field(max_length=MAX_POINTS)] = ()
    """What was measured at each power limit, with how far it may be wrong, by rising limit."""
    state: LearnerState | None = None
    """What the learner knows, as JSON text. For the operator, not for people."""
    conditions: Conditions = ()
    """Usable: plans can be made with the curve. Repaired: measured points contradicted each other and were smoothed; the
    message names them."""


POWER_PROFILE = Resource(
    kind="PowerProfile",
    plural="powerprofiles",
    short_names=("ppf",),
    scope="Namespaced",
    description="A PowerProfile holds the average power and the throughput of a training workload at several GPU power limits."
    " People write it for jobs that name it in the annotation carbonzeus.dev/profile; the operator writes it for jobs that name"
    " none, while they train. Set source to User to keep a measured one as it is.",
    spec=PowerProfileSpec,
    status=PowerProfileStatus,
    columns=(
        Column("GPU", ".spec.gpuProduct", "GPU model the curve was measured on."),
        Column("Points", ".status.points", "Points that plans use.", type="integer"),
        Column("Windows", ".status.windows", "Windows of training that it was learned from.", type="integer"),
        Column("Uncertainty", ".status.uncertainty", "By how much the throughput may be lower than the points say."),
        Column("Runs", ".status.runs", "Runs of jobs that taught it.", type="integer"),
        Column("Source", ".spec.source", "User or Measured."),
        Column("Usable", '.status.conditions[?(@.type=="Usable")].status', "Whether plans can be made with it."),
        AGE,
        Column("GPUs", ".spec.gpuCount", "GPUs of the whole job.", type="integer", wide=True),
        Column("Workload", ".spec.workload", "What was trained.", wide=True),
        Column(
            "Version", ".status.version", "1, and one more each time it was learned anew.", type="integer", wide=True
        ),
    ),
)
