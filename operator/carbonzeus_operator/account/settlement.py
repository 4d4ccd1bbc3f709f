"""The grid's intensity onto the cells: an estimate first, the published actual later, then closed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from carbonzeus_operator.account.cells import from_us, to_us
from carbonzeus_operator.account.model import Account, Cell, Settled, State
from carbonzeus_operator.account.terms import Terms
from carbonzeus_operator.grid.series import Series
from carbonzeus_operator.resources.ledger import MAX_CELLS

_PG_DIVISOR = 3_600_000_000_000_000_000
"""nJ · ng/kWh · millionths of PUE -> pg: 3.6e6 J a kWh, 1e-9 · 1e-9 · 1e-6 · 1e12."""

LATE_RECORDS = timedelta(hours=6)
"""How long a cell waits for the records of an agent that does not answer."""
LATE_ACTUALS = timedelta(days=35)
"""How long a cell waits for its actual. Then it is closed with what is known."""


def wanted(account: Account) -> tuple[datetime, datetime] | None:
    """For which time actuals are needed: from the baseline of the oldest unsettled cell to the end of the newest."""
    if not account.cells:
        return None
    start_us = min(
        cell.start_us - max(account.frontier_lag_us if cell.lag_us is None else cell.lag_us, 0)
        for cell in account.cells
    )
    return from_us(start_us), from_us(max(cell.end_us for cell in account.cells))


def settle(
    account: Account,
    *,
    actual: Series | None,
    forecast: Series | None,
    terms: Terms,
    until: datetime,
    now: datetime,
) -> Account:
    """The account with what the grid published since applied.

    `until`: up to there all energy records are in (`folded_until`); later cells get an estimate only. A cell is closed when
    the actual covers its own time and the time at which the baseline does its work, and its source calls neither an
    estimate. The baseline's time is the job's, less how far the job is behind: it runs with work, not with elapsed.
    """
    until_us = max(to_us(until), to_us(now - LATE_RECORDS))
    give_up_us = to_us(now - LATE_ACTUALS)
    frontier_us = account.frontier_lag_us
    estimate_us = None
    closing, kept = _Closing(account.settled, terms), []
    for cell in account.cells:
        ripe = cell.end_us <= until_us
        if cell.lag_us is None and ripe:
            cell = replace(cell, lag_us=frontier_us)  # noqa: PLW2901  the cell goes on changed
            frontier_us += cell.elapsed_us - cell.work_us
        lag_us = cell.lag_us
        if lag_us is None:
            lag_us = frontier_us if estimate_us is None else estimate_us
            estimate_us = lag_us + cell.elapsed_us - cell.work_us
        final, valued = _value(cell, lag_us, actual, forecast)
        if ripe and (final or valued.end_us <= give_up_us):
            closing.add(valued, forced=not final)
        else:
            kept.append(valued)
    return replace(account, cells=tuple(kept), settled=closing.sums, frontier_lag_us=frontier_us)


def bounded(account: Account, terms: Terms) -> Account:
    """The account within the cells that a status may hold: the oldest are closed with what is known of them."""
    beyond = len(account.cells) - MAX_CELLS
    if beyond <= 0:
        return account
    closing, frontier_us = _Closing(account.settled, terms), account.frontier_lag_us
    for cell in account.cells[:beyond]:
        closing.add(cell, forced=True)
        if cell.lag_us is None:
            frontier_us += cell.elapsed_us - cell.work_us
    return replace(account, cells=account.cells[beyond:], settled=closing.sums, frontier_lag_us=frontier_us)


def carbon_pg(energy_nj: int, intensity_ngkwh: int, terms: Terms) -> int:
    """Energy times PUE times intensity, to the nearest picogram."""
    return (energy_nj * intensity_ngkwh * round(terms.pue * 1e6) + _PG_DIVISOR // 2) // _PG_DIVISOR


@dataclass(frozen=True, slots=True)
class Carbon:
    """The carbon of one cell [pg]."""

    realised_pg: int
    baseline_pg: int
    constant_pg: int
    reference_pg: dict[str, int]


def carbon_of(cell: Cell, terms: Terms) -> Carbon:
    """All carbon figures of a cell whose intensity is known."""
    here, before = cell.intensity_ngkwh, cell.baseline_ngkwh
    work_nj = sum(model.baseline_nj for model in cell.models.values()) + cell.host_baseline_nj
    return Carbon(
        realised_pg=carbon_pg(cell.energy_nj + cell.host_nj, here, terms),
        baseline_pg=carbon_pg(work_nj, before, terms) + carbon_pg(cell.fixed_nj, here, terms),
        constant_pg=carbon_pg(cell.constant_nj, here, terms),
        reference_pg={product: carbon_pg(model.reference_nj, here, terms) for product, model in cell.models.items()},
    )


class _Closing:
    """Sums that cells are closed into."""

    def __init__(self, sums: Settled, terms: Terms) -> None:
        self.sums = sums
        self._terms = terms

    def add(self, cell: Cell, *, forced: bool) -> None:
        sums = replace(self.sums, energy_nj=self.sums.energy_nj + cell.energy_nj)
        if cell.state is State.UNKNOWN:
            self.sums = replace(sums, lost_nj=sums.lost_nj + cell.energy_nj)
            return
        carbon = carbon_of(cell, self._terms)
        reference_pg = dict(sums.reference_pg)
        for product, picograms in carbon.reference_pg.items():
            reference_pg[product] = reference_pg.get(product, 0) + picograms
        self.sums = replace(
            sums,
            forced_nj=sums.forced_nj + (cell.energy_nj if forced else 0),
            realised_pg=sums.realised_pg + carbon.realised_pg,
            baseline_pg=sums.baseline_pg + carbon.baseline_pg,
            constant_pg=sums.constant_pg + carbon.constant_pg,
            reference_pg=reference_pg,
        )


def _value(cell: Cell, lag_us: int, actual: Series | None, forecast: Series | None) -> tuple[bool, Cell]:
    """The cell with the best intensities known, and whether they are final."""
    before_us = (cell.start_us - lag_us, cell.end_us - lag_us - cell.elapsed_us + cell.work_us)
    here = _mean(actual, cell.start_us, cell.end_us)
    before = _mean(actual, *before_us)
    if here is not None and before is not None:
        estimated = here[1] or before[1]
        state = State.PROVISIONAL if estimated else State.FORECAST
        return not estimated, replace(cell, state=state, intensity_ngkwh=_ng(here[0]), baseline_ngkwh=_ng(before[0]))
    if cell.state is State.PROVISIONAL:
        return False, cell
    best: Sequence[Series | None] = (actual, forecast)
    here = next((mean for series in best if (mean := _mean(series, cell.start_us, cell.end_us)) is not None), None)
    if here is None and cell.state is State.UNKNOWN:
        return False, cell
    intensity_ngkwh = cell.intensity_ngkwh if here is None else _ng(here[0])
    before = next((mean for series in best if (mean := _mean(series, *before_us)) is not None), None)
    kept_ngkwh = intensity_ngkwh if cell.state is State.UNKNOWN else cell.baseline_ngkwh
    return False, replace(
        cell,
        state=State.FORECAST,
        intensity_ngkwh=intensity_ngkwh,
        baseline_ngkwh=kept_ngkwh if before is None else _ng(before[0]),
    )


def _ng(gco2_per_kwh: float) -> int:
    return round(gco2_per_kwh * 1e9)


def _mean(series: Series | None, start_us: int, end_us: int) -> tuple[float, bool] | None:
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
