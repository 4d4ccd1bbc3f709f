"""`GET /v1/energy?after=SEQ&limit=N[&since=TIME]`: closed energy records, in order; with `since` those that end after it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from carbonzeus_wire.base import Instant, Message


class Quality(StrEnum):
    """How the energy of a record was measured."""

    COUNTER = "Counter"
    """From the board's total-energy counter."""
    INTEGRATED = "Integrated"
    """From power samples: the board has no counter, or it was reset in between."""
    GAP = "Gap"
    """Nobody measured: the time counts as uncovered, the energy is 0 and not an observation."""


class EnergyRecord(Message):
    """The energy of one GPU over [start, end) at one limit and one owner.

    A record ends at a limit change, at a UTC boundary (5 minutes unless set otherwise) and when the GPU changes hands,
    so that the records of a GPU lie end to end and their sum is the energy of the GPU.
    """

    seq: int = Field(ge=1)
    gpu_uuid: str = Field(alias="gpuUUID")
    pod_uid: str | None = Field(default=None, alias="podUID")
    """The owner, where a plan told its UID; None while the GPU is idle or held by a pod without a plan."""
    pod: str | None = None
    """`namespace/name` of the owner, planned or not; None while the GPU is idle or its owner is not known."""
    start: Instant
    end: Instant
    limit_watts: float | None = None
    energy_millijoules: int = Field(ge=0)
    progress: float | None = Field(default=None, ge=0)
    """By how much the pod's progress counter rose; on the record of the pod's first GPU (by UUID) only."""
    progress_grain: float | None = Field(default=None, ge=0)
    """The width of what either end of `progress` may be off by, in the counter's unit (as if uniformly); None: not told, take
    a whole one."""
    mean_sm_clock_mhz: float | None = Field(default=None, alias="meanSMClockMHz", ge=0)
    mean_memory_clock_mhz: float | None = Field(default=None, alias="meanMemoryClockMHz", ge=0)
    mean_utilization: float | None = Field(default=None, ge=0, le=1)
    quality: Quality

    @model_validator(mode="after")
    def _forward(self) -> EnergyRecord:
        if self.end <= self.start:
            raise ValueError(f"record {self.seq} ends at {self.end}, not after its start {self.start}")
        return self


class EnergyPage(Message):
    """A page of the ledger: records with seq > `after`, in rising order."""

    ledger_id: str
    records: tuple[EnergyRecord, ...] = ()
    last_seq: int = Field(ge=0)
    """The newest seq in the ledger, so a reader knows whether more is to come."""
