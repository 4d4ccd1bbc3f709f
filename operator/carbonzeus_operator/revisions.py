"""Settling once more what the source had time to revise: which data that needs, and into which reports it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from carbonzeus_operator import account as accounts
from carbonzeus_operator.account import Account
from carbonzeus_operator.grid.cache import Key, Stretch
from carbonzeus_operator.grid.view import GridView
from carbonzeus_operator.run import Run

MOST = 20
"""Closed reports that are written in one round. The others have their turn in the next ones: nobody waits for them."""


def wanted_past(runs: Iterable[Run], now: datetime) -> dict[Key, list[Stretch]]:
    """Of which days the actuals are wanted once more, by zone and signal: one stretch a stage, the longest overdue first."""
    found: dict[tuple[Key, int], Stretch] = {}
    for run in runs:
        if not run.is_due(now):
            continue
        for account in (run.account, run.what_if):
            if account is not None:
                for which, stretch in accounts.overdue(account, now).items():
                    known = found.get(which, stretch)
                    found[which] = (min(stretch[0], known[0]), max(stretch[1], known[1]))
    wanted: dict[Key, list[Stretch]] = {}
    for (key, _), stretch in sorted(found.items(), key=lambda item: item[1][0] + accounts.AGES[item[0][1]]):
        wanted.setdefault(key, []).append(stretch)
    return wanted


def revised(run: Run, grid: Mapping[Key, GridView], now: datetime) -> tuple[Account, Account | None]:
    """The run's accounts, settled again as far as the data is there; the same objects where there is nothing to do."""
    if not run.is_due(now):
        return run.account, run.what_if
    account, what_if = run.account, run.what_if
    for view in grid.values():
        if view.past is not None and view.past_span is not None:
            account = accounts.resettle(account, view.past, view.past_span)
            what_if = accounts.resettle(what_if, view.past, view.past_span) if what_if is not None else None
    return account, what_if


def closed_and_revised(
    runs: Iterable[Run], grid: Mapping[Key, GridView], now: datetime
) -> Iterator[tuple[Run, Account, Account | None]]:
    """The closed runs whose reports are to be written again, some of them, with what their accounts are then."""
    found = 0
    for run in runs:
        if found < MOST and run.is_due(now) and run.closed:
            account, what_if = revised(run, grid, now)
            if account is not run.account or what_if is not run.what_if:
                found += 1
                yield run, account, what_if
