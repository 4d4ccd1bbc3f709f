"""CarbonReport: the carbon account of one run of a job. It survives the job."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from carbonzeus_operator.grid.series import Signal
from carbonzeus_operator.resources.base import Conditions, Part
from carbonzeus_operator.resources.learning import LearningStatus
from carbonzeus_operator.resources.ledger import LARGEST, Count, Ledger
from carbonzeus_operator.resources.quantity import DecimalString, PercentString
from carbonzeus_operator.resources.resource import AGE, Column, Resource
from carbonzeus_wire.base import Instant

Signed = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
MAX_PLAN_STEPS = 32
ShortText = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=253)]


class ReportState(StrEnum):
    """What is being done for the job now."""

    PENDING = "Pending"
    ENFORCING = "Enforcing"
    RECOMMENDING = "Recommending"
    OBSERVING = "Observing"
    HOLDING = "Holding"
    FINISHED = "Finished"


class JobResult(StrEnum):
    """How the job ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class JobReference(Part):
    """The run of a job that the report is about."""

    api_version: Name
    """API version of the job, such as kubeflow.org/v1."""
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    """Kind of the job, such as PyTorchJob."""
    name: Name
    """Name of the job, in the namespace of the report."""
    uid: Annotated[str, Field(min_length=1, max_length=128)]
    """UID of the job: a job that is made anew under the same name gets a report of its own."""


class CarbonReportSpec(Part):
    """Which run of which job is accounted for. Written by the operator."""

    job_ref: JobReference
    """The run of the job."""


class Figures(Part):
    """Energy and carbon in exact whole numbers. Carbon includes host overhead and PUE as the policy says."""

    energy_millijoules: Count = 0
    """Energy measured at the job's GPUs, in millijoules (1 kWh is 3600000000)."""
    carbon_micrograms: Count = 0
    """Carbon emitted so far, in micrograms of CO2 equivalent: settled with published intensity, the rest estimated."""
    settled_carbon_micrograms: Count = 0
    """The part of the carbon that is settled with published intensity, in micrograms."""
    baseline_carbon_micrograms: Count | None = None
    """Carbon of the same work at the reference limit, which would have finished earlier, in micrograms. Absent where no
    power curve is known."""
    best_constant_carbon_micrograms: Count | None = None
    """Carbon of the same work at the best constant power limit with the same slowdown, in micrograms."""
    saved_carbon_micrograms: Signed | None = None
    """Baseline less carbon: efficiency and timing together, in micrograms. Negative where more was emitted."""
    efficiency_carbon_micrograms: Signed | None = None
    """What the best constant power limit would have saved, in micrograms."""
    timing_carbon_micrograms: Signed | None = None
    """What following the grid saved beyond the best constant power limit, in micrograms. May be negative."""
    saved: PercentString | None = None
    """Saved carbon in percent of the baseline."""
    efficiency: PercentString | None = None
    """The part of it that the best constant power limit would have saved, in percent of the baseline."""
    timing: PercentString | None = None
    """The part of it that following the grid added, in percent of the baseline."""
    saved_uncertainty: PercentString | None = None
    """By how much saved may be wrong either way, as the power curve may be, in percent of the baseline. Absent where no power
    curve is known."""
    efficiency_uncertainty: PercentString | None = None
    """By how much efficiency may be wrong either way, in percent of the baseline."""
    timing_uncertainty: PercentString | None = None
    """By how much timing may be wrong either way, in percent of the baseline."""
    saved_uncertainty_carbon_micrograms: Count | None = None
    """By how much the saved carbon may be wrong either way, in micrograms."""
    elapsed_milliseconds: Count = 0
    """Time during which all workers ran, from the first counted step on, in milliseconds."""
    work_milliseconds: Count = 0
    """Time that the same work takes at the reference limit, in milliseconds. Slowdown is elapsed over work, less one."""
    progress_thousandths: Count = 0
    """Training steps counted so far, in thousandths of a step."""
    carbon_micrograms_per_step: DecimalString | None = None
    """Carbon for each training step, in micrograms: the operational part of SCI with R = one step. Absent where no steps are
    counted."""


class CoverageStatus(Part):
    """How much of the job was really measured. Gaps are never filled with zeros."""

    measured_gpu_milliseconds: Count = Field(default=0, alias="measuredGPUMilliseconds")
    """GPU time with a measurement, in milliseconds."""
    ran_gpu_milliseconds: Count = Field(default=0, alias="ranGPUMilliseconds")
    """GPU time that the job's pods ran, in milliseconds."""
    measured: PercentString | None = None
    """Measured in percent of ran."""
    settled: PercentString | None = None
    """Energy whose carbon is final, in percent of all energy."""
    estimated: PercentString | None = None
    """Energy whose carbon still rests on a forecast or an estimate, or was closed with one, in percent of all energy."""
    unknown: PercentString | None = None
    """Energy for which no carbon intensity is known, in percent of all energy. It is in no carbon figure."""
    modelled: PercentString | None = None
    """Energy with a power curve, in percent of all energy. No saving is claimed for the rest."""


class SettlementStatus(Part):
    """What was settled at one stage, with which state of the source's data."""

    at: ShortText
    """First, or how old the data was when it was settled again: 7d, 30d, 95d."""
    energy_millijoules: Count = 0
    """Energy settled so far at this stage, in millijoules."""
    estimated: PercentString | None = None
    """The part of it settled with an estimate or a forecast, in percent."""
    carbon_before_micrograms: Count | None = None
    """Its carbon before, in micrograms. Absent at the first settlement."""
    carbon_micrograms: Count = 0
    """Its carbon as this stage left it, in micrograms."""
    retrieved_at: Instant | None = None
    """When the newest data used was asked for. Absent while there were only forecasts."""
    updated_at: Instant | None = None
    """When the source revised that data last; absent where the source does not say."""
    source: ShortText | None = None
    """Provider of that data."""
    signal: Signal | None = None
    """Average or Marginal."""
    factor: ShortText | None = None
    """Lifecycle or Direct: what that data counts."""
    model: Annotated[str, Field(max_length=128)] | None = None
    """Model or data set of that data, where the source names one."""


class PlanStepStatus(Part):
    """A power limit, and from when on."""

    at: Instant
    """From then on, until the next step."""
    limit: ShortText
    """Power limit of each GPU, such as "225 W"; of each GPU product, where a job has several."""


class PlanStatus(Part):
    """What is planned as things stand. It is made afresh every few minutes from what was measured."""

    made_at: Instant
    """When it begins."""
    credit_seconds: DecimalString | None = None
    """How far the job may still fall behind, in seconds of work, less what the measurement may be wrong by; negative where
    it is behind already. Absent without a bound on the slowdown."""
    horizon_end: Instant
    """Until then it follows the forecast."""
    steps: Annotated[tuple[PlanStepStatus, ...], Field(max_length=MAX_PLAN_STEPS)] = ()
    """The limit in force and those to come, the next 32."""


class CarbonReportStatus(Part):
    """The account so far."""

    observed_generation: Count | None = None
    """The generation of the spec that this status is about."""
    state: ReportState = ReportState.PENDING
    """Pending: the job does not run yet. Enforcing: power limits follow the plan. Recommending: planned, nothing written.
    Observing: measured only. Holding: a safe limit is held, the conditions say why. Finished: the job ended."""
    policy: Annotated[str, Field(max_length=253)] | None = None
    """CarbonPolicy that the job follows."""
    profile: Annotated[str, Field(max_length=253)] | None = None
    """PowerProfile that the plan is made with."""
    zone: ShortText | None = None
    """Grid zone."""
    signal: Signal | None = None
    """Average or Marginal."""
    factor: ShortText | None = None
    """Lifecycle or Direct: what the intensity counts."""
    source: ShortText | None = None
    """Provider of the intensity."""
    limit: ShortText | None = None
    """Power limit of each GPU now, such as "225 W"."""
    plan: PlanStatus | None = None
    """The power limits to come; in mode Recommend those that would come."""
    slowdown: PercentString | None = None
    """How far the job is behind where it would have been, such as "2.31%"."""
    slowdown_bound: PercentString | None = None
    """How far it may ever be behind."""
    intensity: ShortText | None = None
    """Carbon intensity of the grid now, such as "245 g/kWh"."""
    energy: ShortText | None = None
    """Energy measured at the GPUs, such as "1.23 kWh"."""
    carbon: ShortText | None = None
    """Carbon emitted so far, such as "345 g"."""
    saved: PercentString | None = None
    """Carbon saved against the same work at the reference limit; in mode Recommend what would have been saved."""
    settled: PercentString | None = None
    """How much of the energy has its final carbon figure."""
    start_time: Instant | None = None
    """When the job began to run."""
    completion_time: Instant | None = None
    """When the job ended."""
    result: JobResult | None = None
    """How it ended; absent while it runs, and where it was deleted before it ended."""
    realised: Figures | None = None
    """What really happened, measured and settled."""
    planned: Figures | None = None
    """What the recommended limits would have done. In mode Recommend only; never mixed with what really happened."""
    coverage: CoverageStatus | None = None
    """How much was measured and how much is settled."""
    settlements: Annotated[
        tuple[SettlementStatus, ...],
        Field(max_length=4, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["at"]}),
    ] = ()
    """What was settled at first, and again after 7, 30 and 95 days, when the source had time to revise its data."""
    learning: LearningStatus | None = None
    """How far the learning of the job's curve has come. Absent where the job names a profile."""
    reference_limit_watts: DecimalString | None = None
    """The limit the GPUs had before us: ceiling of the plan and limit of the baseline, in watts."""
    conditions: Conditions = ()
    """Accepted, ForecastFresh, Planned, Enforced, BoundKept: what holds and what does not, with the reason."""
    ledger: Ledger = Ledger()
    """The account's state."""
    planned_ledger: Ledger | None = None
    """The state of the account of the recommended limits."""


CARBON_REPORT = Resource(
    kind="CarbonReport",
    plural="carbonreports",
    short_names=("crep",),
    scope="Namespaced",
    description="A CarbonReport is the carbon account of one run of a training job: energy measured at its GPUs, carbon by the"
    " grid's published intensity, and what was saved against the same work at the reference limit. It survives the job.",
    spec=CarbonReportSpec,
    status=CarbonReportStatus,
    columns=(
        Column("Job", ".spec.jobRef.name", "Name of the job."),
        Column("State", ".status.state", "What is being done for the job now."),
        Column("Limit", ".status.limit", "Power limit of each GPU now."),
        Column("Slowdown", ".status.slowdown", "How far the job is behind where it would have been."),
        Column("Energy", ".status.energy", "Energy measured at the GPUs."),
        Column("Carbon", ".status.carbon", "Carbon emitted so far."),
        Column("Saved", ".status.saved", "Carbon saved against the same work at the reference limit."),
        AGE,
        Column("Zone", ".status.zone", "Grid zone.", wide=True),
        Column("Intensity", ".status.intensity", "Carbon intensity of the grid now.", wide=True),
        Column("Policy", ".status.policy", "CarbonPolicy that the job follows.", wide=True),
        Column("Settled", ".status.settled", "Energy whose carbon figure is final.", wide=True),
    ),
)
