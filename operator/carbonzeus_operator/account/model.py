"""The account of one job as a value. Whole numbers throughout, so that a sum does not depend on the order of its parts.

Times are microseconds since 1970 (`_us`), energies millijoules as measured (`_mj`) or nanojoules where divided (`_nj`),
intensities nanograms per kilowatt-hour (`_ngkwh`), settled carbon picograms (`_pg`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


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
    """How well the carbon of a cell is known. Final cells leave the list."""

    UNKNOWN = "Unknown"
    """No intensity at all: the energy stands without carbon, nothing is invented."""
    FORECAST = "Forecast"
    PROVISIONAL = "Provisional"
    """Settled with an actual that its source calls an estimate."""


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
    """What was folded into one stretch of time, within one 15-minute window and one interval of the source."""

    start_us: int
    end_us: int
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


@dataclass(frozen=True, slots=True)
class Settled:
    """The sums of all cells that were settled for good, overhead and PUE counted in."""

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
    """By product, over all records."""
    cells: tuple[Cell, ...] = ()
    """The unsettled ones, in time order."""
    settled: Settled = field(default_factory=Settled)

    @property
    def elapsed_s(self) -> float:
        """Time during which all workers ran, from the first step on where steps are counted [s]."""
        return self.elapsed_us / 1e6

    @property
    def work_s(self) -> float:
        """Time that the same work takes at the reference limit [s]."""
        return self.work_us / 1e6
