"""The mean intensity of a stretch of time, and what energy weighs at it."""

from __future__ import annotations

from dataclasses import dataclass

from carbonzeus_operator.account.cells import from_us, to_us
from carbonzeus_operator.account.model import Cell
from carbonzeus_operator.account.terms import Terms
from carbonzeus_operator.grid.series import Series

_PG_DIVISOR = 3_600_000_000_000_000_000
"""nJ · ng/kWh · millionths of PUE -> pg: 3.6e6 J a kWh, 1e-9 · 1e-9 · 1e-6 · 1e12."""


def to_ng(gco2_per_kwh: float) -> int:
    """Nanograms per kilowatt-hour."""
    return round(gco2_per_kwh * 1e9)


def mean(series: Series | None, start_us: int, end_us: int) -> tuple[float, bool] | None:
    """The mean intensity over [start, end) and whether any of it is estimated; None unless all of it is covered.

    Of no time at all it is the intensity at that moment: a job that stands still does its work at one instant of the
    baseline.
    """
    if series is None:
        return None
    if end_us <= start_us:
        at = series.at(from_us(start_us))
        return None if at is None else (at.gco2_per_kwh, at.estimated)
    total, covered_us, estimated = 0.0, 0, False
    for interval in series.between(from_us(start_us), from_us(end_us)):
        part_us = min(to_us(interval.end), end_us) - max(to_us(interval.start), start_us)
        total += interval.gco2_per_kwh * part_us
        covered_us += part_us
        estimated = estimated or interval.estimated
    if covered_us < end_us - start_us:
        return None
    return total / covered_us, estimated


def pue_micro(terms: Terms) -> int:
    """The PUE in millionths."""
    return round(terms.pue * 1e6)


def carbon_pg(energy_nj: int, intensity_ngkwh: int, pue: int) -> int:
    """Energy times PUE [millionths] times intensity, to the nearest picogram."""
    return (energy_nj * intensity_ngkwh * pue + _PG_DIVISOR // 2) // _PG_DIVISOR


@dataclass(frozen=True, slots=True)
class Carbon:
    """The carbon of one cell [pg]."""

    realised_pg: int
    baseline_pg: int
    constant_pg: int
    reference_pg: dict[str, int]


def carbon_of(cell: Cell, terms: Terms) -> Carbon:
    """All carbon figures of a cell whose intensity is known."""
    here, before, pue = cell.intensity_ngkwh, cell.baseline_ngkwh, pue_micro(terms)
    return Carbon(
        realised_pg=carbon_pg(cell.energy_nj + cell.host_nj, here, pue),
        baseline_pg=carbon_pg(cell.work_nj, before, pue) + carbon_pg(cell.fixed_nj, here, pue),
        constant_pg=carbon_pg(cell.constant_nj, here, pue),
        reference_pg={product: carbon_pg(model.reference_nj, here, pue) for product, model in cell.models.items()},
    )
