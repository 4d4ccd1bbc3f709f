"""The account of one job as a value. Whole numbers throughout, so that a sum does not depend on the order of its parts.

Times are microseconds since 1970 (`_us`), energies millijoules as measured (`_mj`) or nanojoules where divided (`_nj`),
intensities nanograms per kilowatt-hour (`_ngkwh`), settled carbon picograms (`_pg`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from carbonzeus_operator.grid.series import Factor, Series, Signal

LAST_STAGE = 3
"""Stages of settlement: 0 the first, then one for each age at which it is settled again."""


@dataclass(frozen=True, slots=True)
class JobPod:
    """A pod of the job that holds GPUs."""

    uid: str
    name: str
    """`namespace/name`, as in records of the time before the first plan."""
    product: str
    """Its GPU product; all its GPUs are of one."""
    gpus: int
    started: datetime
    """From when it ran."""
    ended: datetime | None = None
    """None while it runs."""
    leader: bool = False
    """It counts the job's steps (rank 0); its records are the job's clock. One at a time."""
    clock_gpu: str = ""
    """UUID of the GPU whose records carry the steps; empty before the first. Set by `fold`."""
    clock_limit_w: float | None = None
    """Of the leader: the limit of its newest record, which a gap after it is judged by. Set by `fold`."""
    zone: str = ""
    """Grid zone that its node is in; empty: the job's, whichever that is."""


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end); end None: still open."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one ledger was folded."""

    seq: int
    until: datetime | None = None
    """The end of its newest record; None before the first."""


class State(StrEnum):
    """How well the carbon of a cell is known."""

    UNKNOWN = "Unknown"
    """No intensity at all: the energy stands without carbon, nothing is invented."""
    FORECAST = "Forecast"
    PROVISIONAL = "Provisional"
    """Settled with an actual that its source calls an estimate."""
    FINAL = "Final"
    """Settled with a published actual. Such a cell leaves the list; its hours stay in the history until the last revision."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the curve of one product makes of measured energy E, drawn at limit p over dt."""

    baseline_nj: int = 0
    """E·P(ref)·r(p)/P(p): the same work at the reference limit."""
    reference_nj: int = 0
    """E·P(ref)/P(p): the same time at the reference limit."""

    def __add__(self, other: Model) -> Model:
        return Model(self.baseline_nj + other.baseline_nj, self.reference_nj + other.reference_nj)


@dataclass(frozen=True, slots=True)
class Cell:
    """What was folded into one stretch of time in one zone, within one 15-minute window and one interval of the source."""

    start_us: int
    end_us: int
    zone: str = ""
    """As in `JobPod.zone`."""
    energy_nj: int = 0
    """Of the GPUs."""
    host_nj: int = 0
    """Overhead of the host over the measured time."""
    fixed_nj: int = 0
    """The part of both for which no curve is known: no saving is claimed for it."""
    constant_nj: int = 0
    """What no limit changes over the same time: `fixed_nj`, and the host's overhead of the rest."""
    host_baseline_nj: int = 0
    """Overhead of the host for the same work at the reference limit, where a curve is known."""
    models: Mapping[str, Model] = field(default_factory=dict)
    """By product."""
    elapsed_us: int = 0
    work_us: int = 0
    lag_us: int | None = None
    """How far the job was behind its baseline at `start_us`; None while earlier records may still come."""
    state: State = State.UNKNOWN
    intensity_ngkwh: int = 0
    baseline_ngkwh: int = 0
    """Intensity at the time at which the baseline does this cell's work."""

    @property
    def work_nj(self) -> int:
        """What the baseline draws for this cell's work, the host's overhead counted in, where a curve is known."""
        return sum(model.baseline_nj for model in self.models.values()) + self.host_baseline_nj


@dataclass(frozen=True, slots=True)
class Grid:
    """Which intensity cells were settled with. What differs in one of these is never mixed."""

    zone: str
    signal: Signal
    factor: Factor


@dataclass(frozen=True, slots=True)
class Vintage:
    """Which state of the source's data something was settled with."""

    retrieved_at: datetime
    updated_at: datetime | None
    """When the source revised it last, where it says so."""
    source: str
    signal: Signal
    factor: Factor
    model: str = ""

    @classmethod
    def of(cls, series: Series) -> Vintage:
        """That of an actual."""
        return cls(series.issued_at, series.updated_at, series.source, series.signal, series.factor, series.model)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was settled at one stage: at first, and again when the source had time to revise."""

    energy_nj: int = 0
    """Of the GPUs."""
    estimated_nj: int = 0
    """The part of it that was settled with an estimate or a forecast."""
    before_pg: int = 0
    """Its carbon before; nothing at the first settlement."""
    after_pg: int = 0
    """Its carbon as this stage left it."""
    vintage: Vintage | None = None
    """The newest; None while nothing but forecasts was used."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The sums of all cells that were closed, overhead and PUE counted in, revisions included."""

    energy_nj: int = 0
    forced_nj: int = 0
    """Energy settled with a forecast or an estimate, since no better was published in time."""
    lost_nj: int = 0
    """Energy for which no intensity was ever known: not in the carbon figures."""
    realised_pg: int = 0
    baseline_pg: int = 0
    constant_pg: int = 0
    """Of what no limit changes over the same time."""
    reference_pg: Mapping[str, int] = field(default_factory=dict)
    """By product: the carbon of the same time at the reference limit; scaled, that of any constant limit."""


@dataclass(frozen=True, slots=True)
class Account:
    """Everything known of a job's energy and carbon, and everything needed to go on after a crash."""

    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    """By ledger id."""
    pods: tuple[JobPod, ...] = ()
    running: tuple[Span, ...] = ()
    """When all workers ran."""
    energy_mj: int = 0
    modelled_nj: int = 0
    """The part of the energy with a curve."""
    limited_nj: int = 0
    """Of the energy of the same work at the reference limit: the part that was drawn below it. The curve's error is in it."""
    measured_us: int = 0
    """GPU time with a measurement."""
    retired_us: int = 0
    """GPU time of forgotten pods."""
    elapsed_us: int = 0
    work_us: int = 0
    frontier_lag_us: int = 0
    """Elapsed less work of all cells that are behind the frontier of folding."""
    progress_milli: int = 0
    """Steps counted so far, in thousandths."""
    models: Mapping[str, Model] = field(default_factory=dict)
    """By product, over all records. In the order in which they came: the history counts on it."""
    relative_power: Mapping[str, float] = field(default_factory=dict)
    """By product: power at the best constant limit, relative to that at the reference limit, as the curve last said."""
    cells: tuple[Cell, ...] = ()
    """The unsettled ones, in time order."""
    settled: Settled = field(default_factory=Settled)
    grids: tuple[Grid, ...] = ()
    """What the history was settled with; its lines name them by their place."""
    history: tuple[str, ...] = ()
    """The closed hours that may be settled again, as lines (see `history`), in time order."""
    settlements: Mapping[int, Settlement] = field(default_factory=dict)
    """By stage."""

    @property
    def elapsed_s(self) -> float:
        """Time during which all workers ran, from the first step on where steps are counted [s]."""
        return self.elapsed_us / 1e6

    @property
    def work_s(self) -> float:
        """Time that the same work takes at the reference limit [s]."""
        return self.work_us / 1e6
