"""The closed hours of an account that may be settled again, until the source's last revision is in.

Carbon is energy times intensity. So an hour is remembered as the energies that its intensity weighs, whenever they were
measured: what was drawn in it, and the work that the baseline does in it. A revised intensity then changes every figure by
energy · (new - old), and nothing else of the account is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest

from carbonzeus_operator.account import lines
from carbonzeus_operator.account.lines import DAY_US, HOUR_US, Entry
from carbonzeus_operator.resources.ledger import MAX_HISTORY

MAX_CHARACTERS = 208 * 1024
"""A history longer than this loses its oldest lines: they stay as they were settled last."""


_PLACE = {state: place for place, state in enumerate(lines.STATES)}


def added(history: tuple[str, ...], entries: Sequence[Entry]) -> tuple[str, ...]:
    """The history with more in it. Only the days that it concerns are read and written."""
    if not entries:
        return history
    first_us = min(entry.start_us for entry in entries)
    first_us -= first_us % DAY_US
    old = [line for line in history if lines.start_us(line) < first_us]
    changed = [entry for line in history[len(old) :] for entry in lines.read(line)]
    return bounded((*old, *lines.written(merged([*changed, *entries]))))


def bounded(history: tuple[str, ...]) -> tuple[str, ...]:
    """The history within its bounds: the oldest lines go."""
    beyond = sum(map(len, history)) - MAX_CHARACTERS
    first = 0
    while beyond > 0 or len(history) - first > MAX_HISTORY:
        beyond -= len(history[first])
        first += 1
    return history[first:]


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Entries that were settled alike become one, in time order.

    What a published actual settled has the ends of the source's interval, and only the same is the same: two intervals are
    revised apart. What was settled without has the ends of a cell: within an hour, cells that touch may be joined.
    """
    found: list[Entry] = []
    last: dict[tuple[int, ...], Entry] = {}
    order: dict[tuple[int, ...], int] = {}
    for entry in sorted(entries, key=_in_time):
        key = _alike(entry)
        before = last.get(key)
        if before is not None and (
            (entry.start_us, entry.end_us) == (before.start_us, before.end_us)
            or (not entry.is_whole and entry.start_us <= before.end_us)
        ):
            found[order[key]] = last[key] = _sum(before, entry, max(before.end_us, entry.end_us))
            continue
        order[key] = len(found)
        last[key] = entry
        found.append(entry)
    return found


def coarser(entries: Iterable[Entry]) -> list[Entry]:
    """The same with whole hours where there were parts: what is this old was revised at the source's own resolution.

    An hour's intensity is then the mean over its time. That is exact for a source of hours and where the energy was even,
    and else as wrong as the revision is uneven within the hour.
    """
    by_hour: dict[tuple[int, ...], list[Entry]] = {}
    for entry in merged(entries):
        by_hour.setdefault((entry.start_us // HOUR_US, *_alike(entry)[1:5]), []).append(entry)
    return merged(one for parts in by_hour.values() for one in _hour(parts))


def _hour(parts: Sequence[Entry]) -> Sequence[Entry]:
    """One entry, if they fill an hour without overlap."""
    start_us = parts[0].start_us - parts[0].start_us % HOUR_US
    ends = [start_us, *(part.end_us for part in parts)]
    if len(parts) == 1 or ends[-1] != start_us + HOUR_US or [part.start_us for part in parts] != ends[:-1]:
        return parts
    weighed = sum(part.intensity_ngkwh * (part.end_us - part.start_us) for part in parts)
    whole = replace(parts[0], intensity_ngkwh=(weighed + HOUR_US // 2) // HOUR_US)
    for part in parts[1:]:
        whole = _sum(whole, part, part.end_us)
    return [whole]


def _in_time(entry: Entry) -> tuple[int, ...]:
    return (entry.start_us, entry.end_us, *_alike(entry)[1:])


def _alike(entry: Entry) -> tuple[int, ...]:
    hour = entry.start_us // HOUR_US
    return (hour, entry.stage, _PLACE[entry.state], entry.pue_micro, entry.grid, entry.intensity_ngkwh)


def _sum(one: Entry, other: Entry, end_us: int) -> Entry:
    references = tuple(left + right for left, right in zip_longest(one.reference_nj, other.reference_nj, fillvalue=0))
    return Entry(
        one.start_us,
        end_us,
        one.stage,
        one.state,
        one.pue_micro,
        one.grid,
        one.intensity_ngkwh,
        one.energy_nj + other.energy_nj,
        one.host_nj + other.host_nj,
        one.baseline_nj + other.baseline_nj,
        one.constant_nj + other.constant_nj,
        references,
    )
