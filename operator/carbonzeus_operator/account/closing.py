"""Closing cells: into the sums for good, and into the history as long as the source may revise what it published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from carbonzeus_operator.account import history
from carbonzeus_operator.account.cells import from_us, share, to_us
from carbonzeus_operator.account.intensity import carbon_of, pue_micro, to_ng
from carbonzeus_operator.account.lines import HOUR_US, Entry
from carbonzeus_operator.account.model import Account, Cell, Grid, Settled, Settlement, State, Vintage
from carbonzeus_operator.account.terms import Terms
from carbonzeus_operator.grid.series import Series
from carbonzeus_operator.resources.ledger import MAX_GRIDS


def baseline_span(cell: Cell, lag_us: int) -> tuple[int, int]:
    """When the baseline does the cell's work [us]: the job's time, less how far the job is behind."""
    return cell.start_us - lag_us, cell.end_us - lag_us - cell.elapsed_us + cell.work_us


class Closing:
    """An account whose cells are being closed."""

    def __init__(self, account: Account, terms: Terms) -> None:
        self._account = account
        self._terms = terms
        self._grids = list(account.grids)
        self._closed: list[_Closed] = []

    def add(
        self, cell: Cell, lag_us: int, actual: Series | None = None, forecast: Series | None = None, *, forced: bool
    ) -> None:
        """Closes a cell with the data of its zone. `forced`: with what is known, since no better was published in time."""
        self._closed.append(_Closed(cell, lag_us, actual, forecast, forced))

    def done(self) -> Account:
        """The account with the closed cells in its sums and its history; the caller takes them from the open ones."""
        account = self._account
        if not self._closed:
            return account
        products = list(account.models)
        entries = [entry for one in self._closed for entry in self._entries(one, products)]
        settled, first = self._sums()
        return replace(
            account,
            settled=settled,
            grids=tuple(self._grids),
            history=history.added(account.history, entries),
            settlements={**account.settlements, 0: first},
        )

    def _sums(self) -> tuple[Settled, Settlement]:
        """The sums with these cells, and what was settled for the first time."""
        known = [one for one in self._closed if one.cell.state is not State.UNKNOWN]
        carbon = [carbon_of(one.cell, self._terms) for one in known]
        energy_nj = sum(one.cell.energy_nj for one in known)
        estimated_nj = sum(one.cell.energy_nj for one in known if one.forced)
        lost_nj = sum(one.cell.energy_nj for one in self._closed if one.cell.state is State.UNKNOWN)
        realised_pg = sum(one.realised_pg for one in carbon)
        sums, first = self._account.settled, self._account.settlements.get(0, Settlement())
        reference_pg = dict(sums.reference_pg)
        for one in carbon:
            for product, picograms in one.reference_pg.items():
                reference_pg[product] = reference_pg.get(product, 0) + picograms
        published = [one.actual for one in known if one.actual is not None and not one.forced]
        return Settled(
            energy_nj=sums.energy_nj + energy_nj + lost_nj,
            forced_nj=sums.forced_nj + estimated_nj,
            lost_nj=sums.lost_nj + lost_nj,
            realised_pg=sums.realised_pg + realised_pg,
            baseline_pg=sums.baseline_pg + sum(one.baseline_pg for one in carbon),
            constant_pg=sums.constant_pg + sum(one.constant_pg for one in carbon),
            reference_pg=reference_pg,
        ), Settlement(
            energy_nj=first.energy_nj + energy_nj,
            estimated_nj=first.estimated_nj + estimated_nj,
            before_pg=first.before_pg,
            after_pg=first.after_pg + realised_pg,
            vintage=Vintage.of(published[-1]) if published else first.vintage,
        )

    def _grid(self, one: _Closed) -> int | None:
        """The place of the grid that a cell is settled with; None where that is not known, or there are too many."""
        series = one.actual or one.forecast
        if series is None:
            zones = [grid.zone for grid in self._grids]
            if one.cell.zone:
                return zones.index(one.cell.zone) if one.cell.zone in zones else None
            return max(len(zones) - 1, 0)
        grid = Grid(series.zone, series.signal, series.factor)
        if grid not in self._grids and len(self._grids) < MAX_GRIDS:
            self._grids.append(grid)
        return self._grids.index(grid) if grid in self._grids else None

    def _entries(self, one: _Closed, products: list[str]) -> Iterator[Entry]:
        """What the cell is made of, by the time that weighs it: its own, and that at which the baseline does its work."""
        cell, grid = one.cell, self._grid(one)
        if grid is None:
            return
        models = [cell.models.get(product) for product in products]
        references = [model.reference_nj if model is not None else 0 for model in models]
        state = cell.state if one.forced else State.FINAL
        pue = pue_micro(self._terms)
        # Nothing is known of the time of its baseline either: both are valued when the source has them, or neither.
        unknown = state is State.UNKNOWN
        actual = one.actual if state is State.FINAL else None
        intensity_ngkwh = 0 if unknown else cell.intensity_ngkwh
        baseline_nj = cell.fixed_nj + (cell.work_nj if unknown else 0)
        here = (cell.energy_nj, cell.host_nj, baseline_nj, cell.constant_nj, *references)
        for span, value, (energy, host, baseline, constant, *parts) in _spread(
            here, cell.start_us, cell.end_us, intensity_ngkwh, actual
        ):
            yield Entry(*span, 0, state, pue, grid, value, energy, host, baseline, constant, tuple(parts))
        if cell.work_nj and not unknown:
            begin_us, end_us = baseline_span(cell, one.lag_us)
            for span, value, (work_nj,) in _spread((cell.work_nj,), begin_us, end_us, cell.baseline_ngkwh, actual):
                yield Entry(*span, 0, state, pue, grid, value, baseline_nj=work_nj)


@dataclass(frozen=True, slots=True)
class _Closed:
    """A cell that is closed, and with what."""

    cell: Cell
    lag_us: int
    actual: Series | None
    forecast: Series | None
    forced: bool


_Piece = tuple[int, int, tuple[int, int], int]
"""(from, to, the span that is valued as one, its intensity)."""


def _hours(start_us: int, end_us: int) -> Iterator[tuple[int, int]]:
    """[start, end) cut at the hours; the moment itself where that is no time at all."""
    low = start_us
    while True:
        high = min(low - low % HOUR_US + HOUR_US, end_us)
        yield low, high
        if high >= end_us:
            return
        low = high


def _intervals(actual: Series, start_us: int, end_us: int) -> Iterator[_Piece]:
    """[start, end) cut at the hours and into the source's intervals, which cover all of it."""
    found = [actual.at(from_us(start_us))] if start_us >= end_us else actual.between(from_us(start_us), from_us(end_us))
    for interval in found:
        if interval is None:
            continue
        begin_us, stop_us = to_us(interval.start), to_us(interval.end)
        for low, high in _hours(max(begin_us, start_us), min(stop_us, end_us) if start_us < end_us else start_us):
            hour_us = low - low % HOUR_US
            span = (max(begin_us, hour_us), min(stop_us, hour_us + HOUR_US))
            yield low, high, span, to_ng(interval.gco2_per_kwh)


def _spread(
    amounts: tuple[int, ...], start_us: int, end_us: int, intensity_ngkwh: int, actual: Series | None
) -> Iterator[tuple[tuple[int, int], int, tuple[int, ...]]]:
    """The amounts by time over [start, end), as (span that is valued as one, its intensity, its amounts).

    Cut where the hours end and, where an actual is given, into its intervals; without one all of it has `intensity_ngkwh`.
    """
    end_us = max(start_us, end_us)
    if actual is not None:
        pieces = list(_intervals(actual, start_us, end_us))
    else:
        hours = _hours(start_us, end_us)
        pieces = [(low, high, (low, max(high, low + 1)), intensity_ngkwh) for low, high in hours]
    if len(pieces) == 1:
        _, _, span, value = pieces[0]
        yield span, value, amounts
        return
    length_us = end_us - start_us
    for low, high, span, value in pieces:
        begin_us, stop_us = low - start_us, high - start_us
        yield (
            span,
            value,
            tuple(share(total, stop_us, length_us) - share(total, begin_us, length_us) for total in amounts),
        )
