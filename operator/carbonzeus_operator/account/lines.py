"""The history as lines of text, since a status is bounded and an account may remember 95 days of hours.

A line holds entries of one day that follow on one another, have one length and were settled alike:
`start length stage state pue grid`, then an entry after the other:
`intensity,energy,host,baseline,constant` and the references of the GPU products in the order of the ledger's models.
Numbers in base 36, units as in `Entry`, but the intensity in g/kWh as people write it; what is nought is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carbonzeus_operator.account.model import State
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.ledger import MAX_LINE

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
STATES = (State.FINAL, State.PROVISIONAL, State.FORECAST, State.UNKNOWN)
_LETTERS = "spfu"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_NUMBER = "-?[0-9a-z]{1,32}"
_LINE = re.compile(
    rf"[0-9a-z]{{1,13}} [0-9a-z]{{1,13}} [0-2] [{_LETTERS}] [0-9a-z]{{1,13}} [0-9a-f]"
    rf"( [0-9]{{1,9}}([.][0-9]{{1,9}})?(,({_NUMBER})?){{0,20}})+"
)
_FIXED = 4
"""Numbers of an entry before the references."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stretch of time within one UTC hour that was settled with one intensity, and what that weighs."""

    start_us: int
    end_us: int
    stage: int
    """How often it was settled again."""
    state: State
    pue_micro: int
    """PUE in millionths, as it was then."""
    grid: int
    """Which intensity: the place in `Account.grids`."""
    intensity_ngkwh: int
    energy_nj: int = 0
    """Of the GPUs, drawn in this time."""
    host_nj: int = 0
    """Overhead of the host."""
    baseline_nj: int = 0
    """What the baseline draws in this time."""
    constant_nj: int = 0
    """What no limit changes over the same time."""
    reference_nj: tuple[int, ...] = ()
    """By product, in the order of `Account.models`: the same time at the reference limit."""

    @property
    def is_whole(self) -> bool:
        """Whether it has the ends of one of the source's intervals (or of the hour that cuts it)."""
        return self.state is State.FINAL


def start_us(line: str) -> int:
    """When a line begins."""
    return int(line[: line.index(" ")], 36)


def stage_of(line: str) -> int:
    """How often a line's entries were settled again."""
    return int(line.split(" ", 3)[2])


def grid_of(line: str) -> int:
    """Which grid a line's entries were settled with."""
    return int(line.split(" ", 6)[5], 16)


def span_us(line: str) -> tuple[int, int]:
    """The time [start, end) of a line."""
    start, length, rest = line.split(" ", 2)
    begin_us = int(start, 36)
    return begin_us, begin_us + int(length, 36) * (rest.count(" ") - 3)


def read(line: str) -> list[Entry]:
    """The entries of a line that `checked` has let through."""
    start, length, stage, state, pue, grid, *words = line.split(" ")
    begin_us, length_us = int(start, 36), int(length, 36)
    entries = []
    for number, word in enumerate(words):
        intensity, *numbers = word.split(",")
        energy, host, baseline, constant, *references = [int(one or "0", 36) for one in _padded(numbers)]
        entries.append(
            Entry(
                start_us=begin_us + number * length_us,
                end_us=begin_us + (number + 1) * length_us,
                stage=int(stage),
                state=STATES[_LETTERS.index(state)],
                pue_micro=int(pue, 36),
                grid=int(grid, 16),
                intensity_ngkwh=_ng_of(intensity),
                energy_nj=energy,
                host_nj=host,
                baseline_nj=baseline,
                constant_nj=constant,
                reference_nj=tuple(references),
            )
        )
    return entries


def written(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Entries, in time order, as lines in time order."""
    found: list[str] = []
    open_lines: dict[tuple[object, ...], tuple[int, int]] = {}
    for entry in entries:
        length_us = entry.end_us - entry.start_us
        alike = (entry.start_us // DAY_US, length_us, entry.stage, entry.state, entry.pue_micro, entry.grid)
        index, end_us = open_lines.get(alike, (-1, -1))
        word = _word(entry)
        if end_us == entry.start_us and len(found[index]) + 1 + len(word) <= MAX_LINE:
            found[index] += " " + word
        else:
            letter = _LETTERS[STATES.index(entry.state)]
            head = f"{base36(entry.start_us)} {base36(length_us)} {entry.stage} {letter} {base36(entry.pue_micro)}"
            index = len(found)
            found.append(f"{head} {entry.grid:x} {word}")
        open_lines[alike] = (index, entry.end_us)
    return ordered(found)


def ordered(history: Iterable[str]) -> tuple[str, ...]:
    """Lines in time order; the same whatever the order in which they were written."""
    return tuple(sorted(history, key=lambda line: (start_us(line), line)))


def checked(history: Sequence[str], products: int) -> tuple[str, ...]:
    """The lines of a status. InvalidSpec where somebody edited one into something that cannot be read."""
    for line in history:
        most = products + _FIXED
        if not _LINE.fullmatch(line) or any(word.count(",") > most for word in line.split(" ")[6:]):
            raise InvalidSpec(
                f"status.ledger.history of the report holds {line[:200]!r}, which no operator wrote: restore the status"
                " from a backup, or delete the report to begin a new account",
                reason="LedgerUnreadable",
            )
    return tuple(history)


def base36(value: int) -> str:
    """A whole number in base 36, as `int(text, 36)` reads it."""
    if value < 0:
        return "-" + base36(-value)
    digits = ""
    while True:
        value, digit = divmod(value, 36)
        digits = _DIGITS[digit] + digits
        if not value:
            return digits


def _word(entry: Entry) -> str:
    numbers = (entry.energy_nj, entry.host_nj, entry.baseline_nj, entry.constant_nj, *entry.reference_nj)
    whole, part = divmod(entry.intensity_ngkwh, 10**9)
    intensity = f"{whole}.{part:09d}".rstrip("0").rstrip(".")
    return ",".join([intensity, *(base36(number) if number else "" for number in numbers)]).rstrip(",")


def _padded(numbers: Sequence[str]) -> list[str]:
    return [*numbers, *[""] * (_FIXED - len(numbers))]


def _ng_of(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))
