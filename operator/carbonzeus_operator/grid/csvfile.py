"""Carbon intensity in CSV files: text in, typed rows out, and errors that name the line. Pure.

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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from carbonzeus_operator.errors import InvalidSpec

PLAIN = ("start_utc", "gco2_per_kwh")
ISSUES = ("issued_utc", "start_utc", "forecast_gco2eq_kwh", "actual_gco2eq_kwh")
MAX_GAPS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Recording:
    """All that a file says."""

    step: timedelta
    """Length of an interval."""
    issues: Mapping[datetime, tuple[tuple[datetime, float], ...]]
    """(start, intensity) rows of each forecast by its time of issue, in order; empty for a file without forecasts."""
    actuals: tuple[tuple[datetime, float], ...]
    """(start, intensity) in time order."""
    warnings: tuple[str, ...] = ()
    """Gaps, by line."""


def parse(name: str, lines: Iterable[str]) -> Recording:
    """Reads a file. `name` is for messages. InvalidSpec names file, line, what is wrong and what to do."""
    reader = csv.reader(lines)
    header = [cell.strip().lstrip("\ufeff") for cell in next(reader, [])]
    if set(ISSUES) <= set(header):
        return _Reading(name).issues(_cells(name, reader, header, ISSUES))
    if set(PLAIN) <= set(header):
        return _Reading(name).plain(_cells(name, reader, header, PLAIN))
    missing = [column for column in (ISSUES if "issued_utc" in header else PLAIN) if column not in header]
    return _refuse(
        name,
        1,
        f"the header has no column {' and no '.join(missing)}",
        f"begin with {','.join(PLAIN)} or {','.join(ISSUES)}",
    )


def _cells(
    name: str, reader: Iterator[list[str]], header: list[str], columns: tuple[str, ...]
) -> Iterator[tuple[int, list[str]]]:
    at = [header.index(column) for column in columns]
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) < len(header):
            _refuse(
                name, number, f"has {len(row)} cells where the header has {len(header)}", "complete or remove the row"
            )
        yield number, [row[index].strip() for index in at]


@dataclass(slots=True)
class _Reading:
    """A file being read."""

    name: str
    spacings: Counter[timedelta] = field(default_factory=Counter)
    examples: dict[timedelta, list[tuple[int, datetime]]] = field(default_factory=dict)
    """The first few (line, start) of each spacing."""

    def plain(self, rows: Iterator[tuple[int, list[str]]]) -> Recording:
        actuals: list[tuple[datetime, float]] = []
        for number, (start_text, value_text) in rows:
            start = self._time(number, "start_utc", start_text)
            self._follow(number, actuals[-1][0] if actuals else None, start)
            actuals.append((start, self._intensity(number, "gco2_per_kwh", value_text)))
        return self._done({}, actuals)

    def issues(self, rows: Iterator[tuple[int, list[str]]]) -> Recording:
        issues: dict[datetime, list[tuple[datetime, float]]] = {}
        actuals: dict[datetime, float] = {}
        issued: datetime | None = None
        for number, (issued_text, start_text, forecast_text, actual_text) in rows:
            at = self._time(number, "issued_utc", issued_text)
            if issued is not None and at < issued:
                self._refuse(
                    number, f"issued_utc {issued_text} is earlier than in the row before", "sort by issued_utc"
                )
            issued = at
            issue = issues.setdefault(at, [])
            start = self._time(number, "start_utc", start_text)
            self._follow(number, issue[-1][0] if issue else None, start)
            issue.append((start, self._intensity(number, "forecast_gco2eq_kwh", forecast_text)))
            if actual_text:
                value = self._intensity(number, "actual_gco2eq_kwh", actual_text)
                known = actuals.setdefault(start, value)
                if known != value:
                    self._refuse(
                        number, f"actual_gco2eq_kwh of {start_text} is {actual_text}, but {known:g} in an earlier row",
                        "give each hour one actual",
                    )  # fmt: skip
        return self._done({at: tuple(issue) for at, issue in issues.items()}, sorted(actuals.items()))

    def _done(
        self, issues: Mapping[datetime, tuple[tuple[datetime, float], ...]], actuals: list[tuple[datetime, float]]
    ) -> Recording:
        if not self.spacings:
            self._refuse(
                2, "fewer than two rows follow each other, so no interval has a length", "give at least two rows"
            )
        step = min(spacing for spacing, count in self.spacings.items() if count == max(self.spacings.values()))
        for spacing, found in self.examples.items():
            if spacing < step:
                self._refuse(
                    found[0][0],
                    f"start_utc is {spacing} after the row before, but the file's step is {step}",
                    "keep one step throughout",
                )
        odd = sorted(one for spacing, found in self.examples.items() if spacing > step for one in found)
        named = [f"{self.name}, line {number}: a gap before {start.isoformat()}" for number, start in odd]
        count = sum(count for spacing, count in self.spacings.items() if spacing > step)
        if count > MAX_GAPS_NAMED:
            named = [*named[:MAX_GAPS_NAMED], f"{self.name}: {count - MAX_GAPS_NAMED} more gaps"]
        return Recording(step, issues, tuple(actuals), tuple(named))

    def _follow(self, number: int, before: datetime | None, start: datetime) -> None:
        if before is None:
            return
        if start <= before:
            what = "occurs twice" if start == before else "is earlier than in the row before"
            self._refuse(number, f"start_utc {start.isoformat()} {what}", "sort the rows by time, one an interval")
        spacing = start - before
        self.spacings[spacing] += 1
        examples = self.examples.setdefault(spacing, [])
        if len(examples) < MAX_GAPS_NAMED:
            examples.append((number, start))

    def _time(self, number: int, column: str, text: str) -> datetime:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self._refuse(number, f"{column} {text!r} is no time", "write it as 2021-08-01T00:00Z")
        if found.tzinfo is None:
            self._refuse(number, f"{column} {text!r} has no offset", "write it as 2021-08-01T00:00Z")
        return found.astimezone(UTC)

    def _intensity(self, number: int, column: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._refuse(number, f"{column} {text!r} is no number", "give grams of CO2 per kWh, or remove the row")
        if value < 0:
            self._refuse(number, f"{column} {text} is negative", "an intensity is 0 or more: correct or remove the row")
        return value

    def _refuse(self, number: int, what: str, advice: str) -> NoReturn:
        _refuse(self.name, number, what, advice)


def _refuse(name: str, number: int, what: str, advice: str) -> NoReturn:
    raise InvalidSpec(f"{name}, line {number}: {what}; {advice}", reason="InvalidGridData")
