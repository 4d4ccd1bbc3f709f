"""A power curve in a CSV file: text in, points out, and errors that name the line. Pure."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from typing import NoReturn

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.plan.curve import Point

COLUMNS = ("power_limit_w", "average_power_w", "throughput")
MAX_ROWS = 1000
"""A curve has a row for each power limit, or a few; a file with more is something else."""
_SHOWN = 40


def parse(name: str, lines: Iterable[str]) -> list[Point]:
    """Reads a file. `name` is for messages. InvalidSpec names file, line, what is wrong and what to do.

    lines: text; bytes that are no text may stand in it as lone surrogates. Other columns are passed over.
    """
    reader = csv.reader(lines, strict=True)
    points: list[Point] = []
    direction = 0.0
    try:
        header = [cell.strip().lstrip("\ufeff") for cell in next(reader, [])]
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            _refuse(name, 1, f"the header has no column {' and no '.join(missing)}", f"begin with {','.join(COLUMNS)}")
        places = [header.index(column) for column in COLUMNS]
        for row in reader:
            if not row:
                continue
            line = reader.line_num
            if len(row) < len(header):
                _refuse(name, line, f"has {len(row)} cells where the header has {len(header)}", "complete or remove it")
            cells = zip(COLUMNS, places, strict=True)
            point = Point(*(_number(name, line, column, row[place].strip()) for column, place in cells))
            direction = _ordered(name, line, points, point, direction)
            points.append(point)
            if len(points) > MAX_ROWS:
                _refuse(name, line, f"is row {len(points)}", f"a curve has a row a power limit, {MAX_ROWS} at most")
    except csv.Error as error:
        _refuse(name, reader.line_num, f"is no CSV: {error}", "check the quotes of this row")
    if len(points) < 2:
        _refuse(
            name,
            reader.line_num,
            f"the file ends after {len(points)} point{'s' * (len(points) != 1)}",
            "give at least two power limits",
        )
    return points


def _ordered(name: str, line: int, before: list[Point], point: Point, direction: float) -> float:
    """Which way the limits go: +1 or -1. A file that goes both ways holds more than one curve, or is jumbled."""
    step_w = point.limit_w - before[-1].limit_w if before else 0.0
    if step_w * direction < 0:
        _refuse(
            name,
            line,
            f"power_limit_w {point.limit_w:g} comes after {before[-1].limit_w:g}, against the order of the rows before",
            "sort the rows by power_limit_w, and give each network or batch size its own file",
        )
    return direction or math.copysign(1.0, step_w) * (step_w != 0)


def _number(name: str, line: int, column: str, text: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
    if not math.isfinite(value):
        _refuse(name, line, f"{column} {shown} is no number", "give a number above zero, or remove the row")
    if value <= 0:
        _refuse(name, line, f"{column} {shown} is not above zero", "correct or remove the row")
    return value


def _refuse(name: str, line: int, what: str, advice: str) -> NoReturn:
    raise InvalidSpec(f"{name}, line {line}: {what}; {advice}", reason="InvalidCurve")
