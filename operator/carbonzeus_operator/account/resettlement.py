"""Settling once more, when the source had time to revise: after a week, a month and a quarter.

A stage is done for a whole day at a time, with an actual that was asked for after the day had reached the age. Sums change by
the difference alone, so whatever the source did not revise stays as it was, to the picogram. What the source leaves out
of the time that it was asked for stays as it was settled before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from carbonzeus_operator.account import history, lines
from carbonzeus_operator.account.cells import from_us, to_us
from carbonzeus_operator.account.intensity import carbon_pg, mean, to_ng
from carbonzeus_operator.account.lines import DAY_US, Entry
from carbonzeus_operator.account.model import LAST_STAGE, Account, Grid, Settlement, State, Vintage
from carbonzeus_operator.grid.series import Series, Signal

AGES = (timedelta(days=7), timedelta(days=30), timedelta(days=95))
"""How old a day is when it is settled again."""
_AGES_US = tuple(age // timedelta(microseconds=1) for age in AGES)
_ROUNDING_NG = 1
"""A mean of means differs from the mean by no more than this, for no other reason than its rounding."""

Key = tuple[str, Signal]
Stretch = tuple[datetime, datetime]


def next_due(account: Account) -> datetime | None:
    """From when on something of the account can be settled again; None where nothing ever will."""
    lines_due = [_due_us(line) for line in account.history if _grid_of(account, line) is not None]
    return from_us(min(lines_due)) if lines_due else None


def overdue(account: Account, now: datetime) -> dict[tuple[Key, int], Stretch]:
    """By zone and signal, and by stage: which days' actuals are wanted once more."""
    now_us, found = to_us(now), dict[tuple[Key, int], Stretch]()
    for line in account.history:
        grid = _grid_of(account, line)
        if grid is None or _due_us(line) > now_us:
            continue
        key = (grid.zone, grid.signal), lines.stage_of(line)
        day_us = lines.start_us(line) // DAY_US * DAY_US
        start, end = from_us(day_us), from_us(day_us + DAY_US)
        known = found.get(key, (start, end))
        found[key] = (min(start, known[0]), max(end, known[1]))
    return found


def resettle(account: Account, past: Series, span: Stretch) -> Account:
    """The account with what `past` says of `span` [start, end), for which it was asked. The same object where that is nothing."""
    low_us, high_us, asked_us = to_us(span[0]), to_us(span[1]), to_us(past.issued_at)
    due, kept = [], []
    for line in account.history:
        start_us, end_us = lines.span_us(line)
        grid = _grid_of(account, line)
        here = grid is not None and (grid.zone, grid.signal) == (past.zone, past.signal)
        if here and _due_us(line) <= asked_us and low_us <= start_us and end_us <= high_us:
            due.append(line)
        else:
            kept.append(line)
    if not due:
        return account
    revision = _Revision(account, past)
    moved = [entry for line in due for entry in revision.entries(line, asked_us) if entry.stage < LAST_STAGE]
    return revision.done(history.bounded(lines.ordered([*kept, *lines.written(history.coarser(moved))])))


class _Revision:
    """An account whose hours are being settled again."""

    def __init__(self, account: Account, past: Series) -> None:
        self._account = account
        self._past = past
        self._products = list(account.models)
        self._settlements = dict(account.settlements)
        self._sums = account.settled
        self._reference_pg = dict(account.settled.reference_pg)

    def entries(self, line: str, asked_us: int) -> Iterator[Entry]:
        """A line's entries as they are after it."""
        grid = _grid_of(self._account, line)
        usable = grid is not None and grid.factor is self._past.factor
        for entry in lines.read(line):
            stage = _stage_at(entry.start_us, asked_us)
            revised = self._revised(entry) if usable else None
            if revised is not None:
                self._count(entry, revised, stage)
            yield replace(revised or entry, stage=stage)

    def done(self, kept: tuple[str, ...]) -> Account:
        sums = replace(self._sums, reference_pg=self._reference_pg)
        return replace(self._account, settled=sums, history=kept, settlements=self._settlements)

    def _revised(self, entry: Entry) -> Entry | None:
        known = mean(self._past, entry.start_us, entry.end_us)
        if known is None:
            return None
        intensity_ngkwh = to_ng(known[0])
        if entry.state is not State.UNKNOWN and abs(intensity_ngkwh - entry.intensity_ngkwh) <= _ROUNDING_NG:
            intensity_ngkwh = entry.intensity_ngkwh
        state = State.PROVISIONAL if known[1] else State.FINAL
        return replace(entry, intensity_ngkwh=intensity_ngkwh, state=state)

    def _count(self, old: Entry, new: Entry, stage: int) -> None:
        """Takes the difference into the sums."""

        def more_pg(energy_nj: int) -> int:
            before_pg = carbon_pg(energy_nj, old.intensity_ngkwh, old.pue_micro)
            return carbon_pg(energy_nj, new.intensity_ngkwh, new.pue_micro) - before_pg

        sums, realised_nj = self._sums, old.energy_nj + old.host_nj
        self._sums = replace(
            sums,
            forced_nj=sums.forced_nj + old.energy_nj * (_is_estimate(new) - _is_estimate(old)),
            lost_nj=sums.lost_nj - (old.energy_nj if old.state is State.UNKNOWN else 0),
            realised_pg=sums.realised_pg + more_pg(realised_nj),
            baseline_pg=sums.baseline_pg + more_pg(old.baseline_nj),
            constant_pg=sums.constant_pg + more_pg(old.constant_nj),
        )
        for product, reference_nj in zip(self._products, old.reference_nj, strict=False):
            self._reference_pg[product] = self._reference_pg.get(product, 0) + more_pg(reference_nj)
        at = self._settlements.get(stage, Settlement())
        before_pg = carbon_pg(realised_nj, old.intensity_ngkwh, old.pue_micro)
        self._settlements[stage] = replace(
            at,
            energy_nj=at.energy_nj + old.energy_nj,
            estimated_nj=at.estimated_nj + old.energy_nj * _is_estimate(new),
            before_pg=at.before_pg + before_pg,
            after_pg=at.after_pg + before_pg + more_pg(realised_nj),
            vintage=Vintage.of(self._past),
        )


def _is_estimate(entry: Entry) -> int:
    return int(entry.state in {State.FORECAST, State.PROVISIONAL})


def _grid_of(account: Account, line: str) -> Grid | None:
    place = lines.grid_of(line)
    return account.grids[place] if place < len(account.grids) else None


def _due_us(line: str) -> int:
    """From when on the line's day is old enough for its next stage."""
    return lines.start_us(line) // DAY_US * DAY_US + DAY_US + _AGES_US[lines.stage_of(line)]


def _stage_at(start_us: int, asked_us: int) -> int:
    """How many ages the day had reached."""
    age_us = asked_us - (start_us // DAY_US * DAY_US + DAY_US)
    return sum(1 for reached_us in _AGES_US if age_us >= reached_us)
