"""The state of an account as its report keeps it: what the operator needs to go on exactly where it stopped."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from carbonzeus_operator.grid.series import Factor, Signal
from carbonzeus_operator.resources.base import Part
from carbonzeus_operator.resources.quantity import DecimalString
from carbonzeus_wire.base import Instant

MAX_CURSORS = 1024
MAX_PODS = 1024
"""Pods an account remembers. Beyond, those that ended first are forgotten; their late records no longer count."""
MAX_SPANS = 64
"""Spans of running an account remembers, for records that are still to come."""
MAX_CELLS = 1536
"""Unsettled cells an account keeps: 16 days at 15 minutes. Beyond, the oldest are settled with what is known."""
MAX_ZONES = 16
"""Zones beside its own that a job's pods may be in at a time; pods in more count as in the job's."""
MAX_GRIDS = 16
"""Kinds of intensity an account can tell apart: zones that a job moved through."""
MAX_HISTORY = 1024
"""Lines of closed hours an account keeps to settle them again: 95 days of hours take about 100. Beyond, the oldest go."""
MAX_LINE = 2048
"""Characters of such a line."""

LARGEST = 2**53 - 1
"""The largest whole number that JSON numbers hold exactly; the API server compares bounds as such."""

Count = Annotated[int, Field(ge=0, le=LARGEST)]
Digits = Annotated[str, Field(max_length=40, pattern="^-?[0-9]{1,39}$")]
"""A whole number that may outgrow 64 bits."""
LongName = Annotated[str, Field(min_length=1, max_length=512)]


class CursorStatus(Part):
    """How far the energy ledger of one agent was folded. Written together with the sums, so that nothing counts twice."""

    ledger_id: Annotated[str, Field(min_length=1, max_length=128, alias="ledgerID")]
    """Ledger of the agent; a new one where its disk was lost."""
    seq: Count
    """Sequence number of the last record that was folded or passed over."""
    until: Instant | None = None
    """End of that record."""


class PodStatus(Part):
    """A pod of the job, as the ledger remembers it."""

    uid: Annotated[str, Field(min_length=1, max_length=128)]
    """UID of the pod."""
    name: LongName
    """Namespace and name of the pod."""
    product: Annotated[str, Field(max_length=128)]
    """GPU product of its node."""
    gpus: Annotated[int, Field(ge=0, le=1024)]
    """GPUs it holds."""
    started: Instant
    """When it began to run."""
    ended: Instant | None = None
    """When it ended; absent while it runs."""
    leader: bool = False
    """It counts the job's steps."""
    clock_gpu: Annotated[str, Field(max_length=128, alias="clockGPU")] = ""
    """UUID of the GPU whose records carry the steps; empty before the first step."""
    clock_limit_watts: DecimalString | None = None
    """Power limit of the newest record of the pod that counts the steps, in watts."""
    zone: Annotated[str, Field(max_length=64)] = ""
    """Grid zone of its node; empty where it is the job's."""


class SpanStatus(Part):
    """A stretch of time during which all workers ran."""

    start: Instant
    """When the last worker began to run."""
    end: Instant | None = None
    """When the first worker ended; absent while all run."""


class ModelStatus(Part):
    """What the power curve of one GPU product makes of the measured energy."""

    product: Annotated[str, Field(max_length=128)]
    """GPU product."""
    baseline_nanojoules: Digits
    """Energy of the same work at the reference limit, in nanojoules."""
    reference_nanojoules: Digits
    """Energy of the same time at the reference limit, in nanojoules."""
    settled_picograms: Digits = "0"
    """Settled carbon of the same time at the reference limit, in picograms."""
    constant_power: DecimalString | None = None
    """Power at the best constant limit, relative to that at the reference limit, as the power curve last said."""


class SettledStatus(Part):
    """Sums over all windows that were settled for good."""

    energy_nanojoules: Digits = "0"
    """Energy, in nanojoules."""
    forced_nanojoules: Digits = "0"
    """The part settled with a forecast or an estimate, in nanojoules."""
    lost_nanojoules: Digits = "0"
    """The part without any known intensity, in nanojoules."""
    realised_picograms: Digits = "0"
    """Carbon, in picograms."""
    baseline_picograms: Digits = "0"
    """Carbon of the baseline, in picograms."""
    constant_picograms: Digits = "0"
    """Carbon of what no power limit changes, in picograms."""


class GridStatus(Part):
    """Which carbon intensity windows were settled with."""

    zone: Annotated[str, Field(max_length=64)]
    """Grid zone."""
    signal: Signal
    """Average or Marginal."""
    factor: Factor
    """Lifecycle or Direct."""


class VintageStatus(Part):
    """Which state of the source's data something was settled with."""

    retrieved_at: Instant
    """When it was asked for."""
    updated_at: Instant | None = None
    """When the source revised it last; absent where the source does not say."""
    source: Annotated[str, Field(max_length=64)]
    """Provider of the intensity."""
    signal: Signal
    """Average or Marginal."""
    factor: Factor
    """Lifecycle or Direct."""
    model: Annotated[str, Field(max_length=128)] = ""
    """Model or data set, where the source names one."""


class SettlementState(Part):
    """What was settled at one stage."""

    stage: Annotated[int, Field(ge=0, le=15)]
    """0 at first; 1, 2, 3 when it was settled again."""
    energy_nanojoules: Digits
    """Energy settled, in nanojoules."""
    estimated_nanojoules: Digits
    """The part settled with an estimate or a forecast, in nanojoules."""
    before_picograms: Digits
    """Its carbon before, in picograms."""
    after_picograms: Digits
    """Its carbon after, in picograms."""
    vintage: VintageStatus | None = None
    """The newest data used."""


class Ledger(Part):
    """The state of the account: what the operator needs to go on exactly where it stopped. For programs, not for people."""

    cursors: Annotated[
        tuple[CursorStatus, ...],
        Field(
            max_length=MAX_CURSORS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["ledgerID"]},
        ),
    ] = ()
    """How far each agent's ledger was folded, one entry a ledger."""
    pods: Annotated[
        tuple[PodStatus, ...],
        Field(
            max_length=MAX_PODS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
        ),
    ] = ()
    """Pods of the job. Beyond 1024 those that ended first are dropped."""
    running: Annotated[tuple[SpanStatus, ...], Field(max_length=MAX_SPANS)] = ()
    """When all workers ran; the newest 64 spans."""
    energy_millijoules: Digits = "0"
    """Energy of all folded records, in millijoules."""
    modelled_nanojoules: Digits = "0"
    """The part with a power curve, in nanojoules."""
    limited_nanojoules: Digits = "0"
    """Energy of the same work at the reference limit, the part that was drawn below it, in nanojoules."""
    measured_microseconds: Digits = "0"
    """GPU time with a measurement, in microseconds."""
    retired_microseconds: Digits = "0"
    """GPU time of dropped pods, in microseconds."""
    elapsed_microseconds: Digits = "0"
    """Elapsed time, in microseconds."""
    work_microseconds: Digits = "0"
    """Work, in microseconds at the reference limit."""
    frontier_lag_microseconds: Digits = "0"
    """Elapsed less work where all records are in, in microseconds."""
    progress_thousandths: Digits = "0"
    """Steps counted, in thousandths."""
    models: Annotated[
        tuple[ModelStatus, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["product"]},
        ),
    ] = ()
    """Sums by GPU product."""
    settled: SettledStatus = SettledStatus()
    """Sums over settled windows."""
    zones: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=MAX_ZONES)] = ()
    """Grid zones of unsettled windows, where they are not the job's; the windows name them by their place."""
    cells: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], Field(max_length=MAX_CELLS)] = ()
    """Unsettled windows in time order, one compact line each. Beyond 1536 the oldest are settled with what is known."""
    grids: Annotated[tuple[GridStatus, ...], Field(max_length=MAX_GRIDS)] = ()
    """Carbon intensities that the history was settled with; its lines name them by their place."""
    history: Annotated[tuple[Annotated[str, Field(max_length=MAX_LINE)], ...], Field(max_length=MAX_HISTORY)] = ()
    """Closed hours that are settled again when the source had time to revise, in time order, as compact lines."""
    settlements: Annotated[
        tuple[SettlementState, ...],
        Field(
            max_length=4, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["stage"]}
        ),
    ] = ()
    """Sums by stage of settlement."""
