"""`PUT /v1/plans`: the full desired state of one node, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from carbonzeus_wire.base import Instant, Message

Name = Annotated[str, Field(min_length=1, max_length=512)]


SomeDay = Annotated[Instant, Field(ge=datetime(2020, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]
"""An instant that one can reckon with."""


class Fence(Message):
    """Orders the writes of all operators that ever led: an agent refuses anything older than the newest it has seen."""

    term: int = Field(ge=0)
    """The leader's fencing number: `leaseTransitions` of its Lease."""
    revision: int = Field(ge=0)
    """Counts the pushes of one leader."""


class Step(Message):
    """From `at` on, until the next step, the limit of every GPU of the pod."""

    at: Instant
    limit_watts: float = Field(gt=0, le=100_000)


class ProgressSource(Message):
    """Where the pod counts its training steps: a Prometheus endpoint on the pod's own address."""

    port: int = Field(ge=1, le=65_535)
    path: str = Field(default="/metrics", pattern=r"^/[A-Za-z0-9._~/-]*$", max_length=256)
    metric: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=256)


class PodPlan(Message):
    """The plan of one pod on this node. Without steps the pod is measured and its GPUs stay at their reference limit."""

    pod_uid: Name = Field(alias="podUID")
    pod: Name
    """`namespace/name` of the pod: how the kubelet names the holder of a GPU (its PodResources API knows no UIDs)."""
    job: Name
    """`namespace/name` of the job, for logs and metrics."""
    mode: Literal["Enforce", "Observe"] = "Enforce"
    """Observe: measure only, write no limit."""
    steps: tuple[Step, ...] = Field(default=(), max_length=4096)
    """In time order. Before the first step the reference limit holds."""
    progress: ProgressSource | None = None
    pod_ip: str | None = Field(default=None, alias="podIP", max_length=64)
    """The pod's own address, the only one the progress endpoint is scraped at."""
    record_seconds: float | None = Field(default=None, ge=0.1, le=300)
    """Energy records of this pod end at UTC multiples of this, too: its curve is being measured. None: as the agent is set."""

    @model_validator(mode="after")
    def _in_order(self) -> PodPlan:
        if any(later.at <= earlier.at for earlier, later in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError(f"steps of pod {self.pod_uid} must be in strictly rising order of `at`")
        return self


class PlanRequest(Message):
    """Everything this node shall do. Idempotent; a pod that is absent here is released."""

    fence: Fence
    lease_seconds: float = Field(gt=0, le=86_400)
    """How long the agent may follow these plans without hearing from the operator again."""
    plans: tuple[PodPlan, ...] = Field(default=(), max_length=512)
    sent_at: SomeDay | None = None
    """The operator's time when it sent this: the agent compares its own clock with it."""

    @model_validator(mode="after")
    def _one_plan_a_pod(self) -> PlanRequest:
        uids = [plan.pod_uid for plan in self.plans]
        if len(set(uids)) != len(uids):
            raise ValueError("two plans name the same podUID")
        if len({plan.pod for plan in self.plans}) != len(uids):
            raise ValueError("two plans name the same pod")
        return self


class Outcome(StrEnum):
    """What became of the limit of one GPU."""

    APPLIED = "Applied"
    CLAMPED = "Clamped"
    """Outside the board's range: the nearest limit it allows was set."""
    OBSERVED = "Observed"
    FAULT = "Fault"
    """The write failed or did not take; `message` says how."""


class Applied(Message):
    """One GPU of a pod with a plan, after clamp and read-back."""

    pod_uid: Name = Field(alias="podUID")
    gpu_uuid: Name = Field(alias="gpuUUID")
    outcome: Outcome
    limit_watts: float
    """The limit as read back from the board."""
    message: str = ""


class RefusalReason(StrEnum):
    """Why a pod's plan, or one of its GPUs, is not followed."""

    UNKNOWN_POD = "UnknownPod"
    """The kubelet knows no such pod, or it holds no GPU."""
    SHARED_GPU = "SharedGPU"
    MIG = "MIG"
    NOT_SUPPORTED = "NotSupported"
    GPU_LOST = "GPULost"
    NO_PERMISSION = "NoPermission"
    OWNER_UNKNOWN = "OwnerUnknown"
    """The kubelet's socket does not answer."""
    JOURNAL_FAILED = "JournalFailed"
    """The prior limit could not be made durable, so nothing is written."""
    LIMIT_OVERRIDDEN = "LimitOverridden"
    """Somebody else set the limit under the plan, and the agent was told to leave it so."""


class Refusal(Message):
    """A pod, or one GPU of it, that the agent leaves alone."""

    pod_uid: Name = Field(alias="podUID")
    gpu_uuid: str | None = Field(default=None, alias="gpuUUID")
    reason: RefusalReason
    message: str = ""


class PlanReply(Message):
    """The state after the request; with status 409 `fence` is the newer one that stands."""

    fence: Fence
    applied: tuple[Applied, ...] = ()
    refused: tuple[Refusal, ...] = ()
    clock_offset_seconds: float | None = None
    """By how much the agent's clock is ahead of `sentAt`, the time that the push was under way included; None without it."""
