"""What the page about grid data shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.cache import CALL_LIMIT_S, PATIENCE_S
from carbonzeus_operator.grid.check import MAX_GCO2_PER_KWH
from carbonzeus_operator.grid.csvfile import parse
from carbonzeus_operator.grid.file import MAX_BYTES
from carbonzeus_operator.grid.part import RETRY_S

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "grid.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_are_files() -> None:
    """Both shapes."""
    plain, issues = (parse("X.csv", example.splitlines(keepends=True)) for example in EXAMPLES)
    assert (len(plain.actuals.values), len(plain.issues)) == (3, 0)
    assert (len(issues.actuals.values), len(issues.issues)) == (1, 2)


def test_the_message_of_a_broken_file() -> None:
    """As it is written there."""
    rows = "".join(f"2026-11-24T{12 + hour}:00Z,{value}\n" for hour, value in enumerate([1, 2, 3, 4, 5, "NaN"]))
    with pytest.raises(InvalidSpec) as refused:
        parse("US-CAL-CISO.csv", f"start_utc,gco2_per_kwh\n{rows}".splitlines())
    assert str(refused.value) in " ".join(PAGE.split())


def test_the_figures() -> None:
    """Bounds and times."""
    assert (MAX_GCO2_PER_KWH, MAX_BYTES / 2**20, RETRY_S, PATIENCE_S, CALL_LIMIT_S) == (10_000, 128, 15, 3, 60)
    words = " ".join(PAGE.split())
    for said in (
        "from 0 to 10,000",
        "At most 128 MiB",
        "after 15 seconds",
        "waits for them 3 seconds",
        "after a minute",
    ):
        assert said in words
