"""The grid's intensity onto the cells: an estimate first, the published actual later, then closed for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from carbonzeus_operator.account.cells import from_us, to_us
from carbonzeus_operator.account.closing import Closing, baseline_span
from carbonzeus_operator.account.intensity import mean, to_ng
from carbonzeus_operator.account.model import Account, Cell, State
from carbonzeus_operator.account.results import relative_power
from carbonzeus_operator.account.terms import Terms
from carbonzeus_operator.grid.series import Series
from carbonzeus_operator.resources.ledger import MAX_CELLS

LATE_RECORDS = timedelta(hours=6)
"""How long a cell waits for the records of an agent that does not answer."""
LATE_ACTUALS = timedelta(days=35)
"""How long a cell waits for its actual. Then it is closed with what is known."""


def wanted(account: Account) -> dict[str, tuple[datetime, datetime]]:
    """For which time actuals are needed, by zone: from the baseline of the oldest unsettled cell to the end of the newest."""
    found: dict[str, tuple[int, int]] = {}
    for cell in account.cells:
        lag_us = account.frontier_lag_us if cell.lag_us is None else cell.lag_us
        start_us, end_us = cell.start_us - max(lag_us, 0), cell.end_us
        known = found.get(cell.zone, (start_us, end_us))
        found[cell.zone] = min(start_us, known[0]), max(end_us, known[1])
    return {zone: (from_us(start_us), from_us(end_us)) for zone, (start_us, end_us) in found.items()}


def settle(
    account: Account,
    *,
    actual: Series | None,
    forecast: Series | None,
    terms: Terms,
    until: datetime,
    now: datetime,
    others: Mapping[str, tuple[Series | None, Series | None]] | None = None,
) -> Account:
    """The account with what the grid published since applied.

    `actual` and `forecast` are of the job's zone; `others` has both of each other zone that pods of the job are in.

    `until`: up to there all energy records are in (`folded_until`); later cells get an estimate only. A cell is closed when
    the actual covers its own time and the time at which the baseline does its work, and its source calls neither an
    estimate. The baseline's time is the job's, less how far the job is behind: it runs with work, not with elapsed.
    """
    until_us = max(to_us(until), to_us(now - LATE_RECORDS))
    give_up_us = to_us(now - LATE_ACTUALS)
    frontier_us = account.frontier_lag_us
    estimate_us = None
    time_us, here_us, estimate_here_us = (-1, -1), 0, 0
    closing, kept = Closing(account, terms), []
    for cell in account.cells:
        ripe = cell.end_us <= until_us
        if (cell.start_us, cell.end_us) != time_us:
            # Cells of one time in several zones are behind by the same.
            time_us = (cell.start_us, cell.end_us)
            here_us, estimate_here_us = frontier_us, frontier_us if estimate_us is None else estimate_us
        if cell.lag_us is None and ripe:
            cell = replace(cell, lag_us=here_us)  # noqa: PLW2901  the cell goes on changed
            frontier_us += cell.elapsed_us - cell.work_us
        lag_us = cell.lag_us
        if lag_us is None:
            lag_us = estimate_here_us
            estimate_us = (frontier_us if estimate_us is None else estimate_us) + cell.elapsed_us - cell.work_us
        series = (others or {}).get(cell.zone, (None, None)) if cell.zone else (actual, forecast)
        final, valued = _value(cell, lag_us, *series)
        if ripe and (final or valued.end_us <= give_up_us):
            closing.add(valued, lag_us, *series, forced=not final)
        else:
            kept.append(valued)
    known = {product: round(power, 9) for product, power in relative_power(account, terms).items()}
    if tuple(kept) == account.cells and known == account.relative_power:
        return account
    closed = closing.done()
    return replace(closed, cells=tuple(kept), frontier_lag_us=frontier_us, relative_power=known)


def bounded(account: Account, terms: Terms) -> Account:
    """The account within the cells that a status may hold: the oldest are closed with what is known of them."""
    beyond = len(account.cells) - MAX_CELLS
    if beyond <= 0:
        return account
    closing, frontier_us = Closing(account, terms), account.frontier_lag_us
    for cell in account.cells[:beyond]:
        closing.add(cell, frontier_us if cell.lag_us is None else cell.lag_us, forced=True)
        if cell.lag_us is None:
            frontier_us += cell.elapsed_us - cell.work_us
    return replace(closing.done(), cells=account.cells[beyond:], frontier_lag_us=frontier_us)


def _value(cell: Cell, lag_us: int, actual: Series | None, forecast: Series | None) -> tuple[bool, Cell]:
    """The cell with the best intensities known, and whether they are final."""
    before_us = baseline_span(cell, lag_us)
    here = mean(actual, cell.start_us, cell.end_us)
    before = mean(actual, *before_us)
    if here is not None and before is not None:
        estimated = here[1] or before[1]
        state = State.PROVISIONAL if estimated else State.FORECAST
        return not estimated, replace(
            cell, state=state, intensity_ngkwh=to_ng(here[0]), baseline_ngkwh=to_ng(before[0])
        )
    if cell.state is State.PROVISIONAL:
        return False, cell
    best: Sequence[Series | None] = (actual, forecast)
    here = next((known for series in best if (known := mean(series, cell.start_us, cell.end_us)) is not None), None)
    if here is None and cell.state is State.UNKNOWN:
        return False, cell
    intensity_ngkwh = cell.intensity_ngkwh if here is None else to_ng(here[0])
    before = next((known for series in best if (known := mean(series, *before_us)) is not None), None)
    kept_ngkwh = intensity_ngkwh if cell.state is State.UNKNOWN else cell.baseline_ngkwh
    return False, replace(
        cell,
        state=State.FORECAST,
        intensity_ngkwh=intensity_ngkwh,
        baseline_ngkwh=kept_ngkwh if before is None else to_ng(before[0]),
    )
