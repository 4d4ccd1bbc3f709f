"""Carbon intensity in CSV files: text in, a recording out, and errors that name the line. Pure.

Two shapes, told apart by the header; other columns are passed over:

* `start_utc,gco2_per_kwh`: one row an interval. What lies ahead is the forecast, what is over the actual.
* `issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh`: every issue of a forecast, the issues one after the other.
  A blank actual is not published yet.

Times are ISO 8601 with their offset (`2021-08-01T00:00Z`) and mark the start of the interval. The interval's length is the
file's usual spacing; where rows are further apart, the time between is a gap and stays one.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.check import MAX_GCO2_PER_KWH
from carbonzeus_operator.grid.recording import Recording, Rows, from_us, to_us
from carbonzeus_operator.grid.spans import usual

PLAIN = ("start_utc", "gco2_per_kwh")
ISSUES = ("issued_utc", "start_utc", "forecast_gco2eq_kwh", "actual_gco2eq_kwh")
YEARS = range(1970, 2200)
"""A year beyond is a slip of the pen."""
SHOWN = 40
"""So much of a cell is quoted in a message."""


def parse(name: str, lines: Iterable[str]) -> Recording:
    """Reads a file. `name` is for messages. InvalidSpec names file, line, what is wrong and what to do.

    lines: text; bytes that are no text may stand in it as lone surrogates.
    """
    table = _Table(name, lines)
    header = table.header()
    if set(ISSUES) <= set(header):
        return _issues(table, table.rows(ISSUES))
    if set(PLAIN) <= set(header):
        return _plain(table, table.rows(PLAIN))
    missing = [column for column in (ISSUES if "issued_utc" in header else PLAIN) if column not in header]
    return table.refuse(
        f"the header has no column {' and no '.join(missing)}",
        f"begin with {','.join(PLAIN)} or {','.join(ISSUES)}, as text with commas",
    )


def _plain(table: _Table, cells: Iterator[list[str]]) -> Recording:
    actuals, spacings = Rows.of(()), _Spacings(table)
    before_us: int | None = None
    for start_text, value_text in cells:
        start_us = table.time_us("start_utc", start_text)
        spacings.add(before_us, start_us)
        actuals.append((start_us, table.intensity("gco2_per_kwh", value_text), table.line))
        before_us = start_us
    return Recording(table.name, spacings.step(), {}, actuals)


def _issues(table: _Table, cells: Iterator[list[str]]) -> Recording:
    issues: dict[datetime, Rows] = {}
    actuals: dict[int, tuple[float, int]] = {}
    spacings = _Spacings(table)
    issued_text, issued_us, before_us = "", 0, None
    issue = Rows.of(())
    for text, start_text, forecast_text, actual_text in cells:
        if text != issued_text or not issues:
            at_us = table.time_us("issued_utc", text)
            if issues and at_us < issued_us:
                table.refuse(
                    f"issued_utc {_said(at_us)} is earlier than in the row before", "sort the rows by issued_utc"
                )
            if not issues or at_us > issued_us:
                issue, before_us = Rows.of(()), None
                issues[from_us(at_us)] = issue
            issued_text, issued_us = text, at_us
        start_us = table.time_us("start_utc", start_text)
        spacings.add(before_us, start_us)
        issue.append((start_us, table.intensity("forecast_gco2eq_kwh", forecast_text), table.line))
        before_us = start_us
        if actual_text:
            actual = table.intensity("actual_gco2eq_kwh", actual_text)
            known, line = actuals.setdefault(start_us, (actual, table.line))
            if known != actual:
                table.refuse(
                    f"actual_gco2eq_kwh of {_said(start_us)} is {actual:g}, but {known:g} in line {line}",
                    "give each interval one actual",
                )
    step = spacings.step()
    rows = Rows.of((start_us, *actuals[start_us]) for start_us in sorted(actuals))
    _apart(table, rows, step)
    return Recording(table.name, step, issues, rows)


def _apart(table: _Table, actuals: Rows, step: timedelta) -> None:
    """Issues that are shifted against each other would give actuals that overlap."""
    step_us = step // timedelta(microseconds=1)
    starts_us = actuals.starts_us
    for index in range(1, len(starts_us)):
        if starts_us[index] - starts_us[index - 1] < step_us:
            line = max(actuals.lines[index], actuals.lines[index - 1])
            table.refuse(
                f"the actual overlaps that of line {min(actuals.lines[index], actuals.lines[index - 1])}:"
                f" they start less than the file's step of {step} apart",
                "let the intervals of all issues begin at the same minutes",
                line,
            )


@dataclass(slots=True)
class _Spacings:
    """How far apart rows are that follow each other."""

    table: _Table
    counts: Counter[int] = field(default_factory=Counter)
    first_line: dict[int, int] = field(default_factory=dict)

    def add(self, before_us: int | None, start_us: int) -> None:
        if before_us is None:
            return
        spacing_us = start_us - before_us
        if spacing_us <= 0:
            what = "occurs twice" if spacing_us == 0 else "is earlier than in the row before"
            self.table.refuse(f"start_utc {_said(start_us)} {what}", "sort the rows by time, one an interval")
        self.counts[spacing_us] += 1
        self.first_line.setdefault(spacing_us, self.table.line)

    def step(self) -> timedelta:
        """The usual spacing. Rows that are further apart leave a gap; rows that are closer cannot be meant."""
        step_us = usual(self.counts)
        if step_us is None:
            self.table.refuse(
                "no two rows follow each other, so that no interval has a length", "give at least two rows"
            )
        step = timedelta(microseconds=step_us)
        closer = [(line, spacing) for spacing, line in self.first_line.items() if spacing < step_us]
        if closer:
            line, spacing_us = min(closer)
            self.table.refuse(
                f"start_utc is {timedelta(microseconds=spacing_us)} after the row before, but the file's step is {step}",
                "keep one step throughout",
                line,
            )
        return step


class _Table:
    """A CSV file being read, with the line it is at."""

    def __init__(self, name: str, lines: Iterable[str]) -> None:
        self.name = name
        self.line = 1
        """Where the row at hand begins."""
        self._reader = csv.reader(lines, strict=True)
        self._header: list[str] = []

    def header(self) -> list[str]:
        """The names of the columns."""
        self._header = [cell.strip() for cell in self._next() or []]
        if not any(self._header):
            self.refuse("there is no header", f"begin with {','.join(PLAIN)}")
        return self._header

    def rows(self, columns: tuple[str, ...]) -> Iterator[list[str]]:
        """The cells of these columns, row by row. Blank rows are passed over."""
        for column in columns:
            if self._header.count(column) > 1:
                self.refuse(f"the header has the column {column} twice", "keep one of them")
        at = [self._header.index(column) for column in columns]
        while (row := self._next()) is not None:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < len(self._header) or any(cell.strip() for cell in row[len(self._header) :]):
                self.refuse(
                    f"has {len(row)} cells where the header has {len(self._header)}",
                    "complete or remove the row; a decimal sign is a point",
                )
            yield [row[index].strip() for index in at]

    def time_us(self, column: str, text: str) -> int:
        """A moment."""
        advice = "write it as 2021-08-01T00:00Z"
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.refuse(f"{column} {_quoted(text)} is no time", advice)
        if found.tzinfo is None:
            self.refuse(f"{column} {_quoted(text)} has no offset", advice)
        if found.year not in YEARS:
            self.refuse(f"{column} {_quoted(text)} is not between {YEARS.start} and {YEARS.stop}", "correct the year")
        return to_us(found)

    def intensity(self, column: str, text: str) -> float:
        """Grams a kilowatt-hour."""
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.refuse(f"{column} {_quoted(text)} is no number", "give grams of CO2 per kWh, or remove the row")
        if value < 0:
            self.refuse(f"{column} {value:g} is negative", "an intensity is 0 or more: correct or remove the row")
        if value > MAX_GCO2_PER_KWH:
            self.refuse(f"{column} {value:g} is more than any power plant emits", "give grams of CO2 per kWh")
        return value

    def refuse(self, what: str, advice: str, line: int | None = None) -> NoReturn:
        """Says what is wrong with the row at hand."""
        message = f"{self.name}, line {self.line if line is None else line}: {what}; {advice}"
        raise InvalidSpec(message, reason="InvalidGridData")

    def _next(self) -> list[str] | None:
        self.line = self._reader.line_num + 1
        try:
            return next(self._reader, None)
        except csv.Error as error:
            self.refuse(f"is no CSV: {error}", "check the quotes of this row")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def _said(instant_us: int) -> str:
    return from_us(instant_us).isoformat()
