"""How large a report gets. `pytest -s tests/unit/account/test_size.py` prints what docs/accounting.md says; all of it with CARBONZEUS_THOROUGH=1."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.account.long_jobs import Source, days_of, status_bytes

PAGE = Path(__file__).resolve().parents[3] / "docs" / "accounting.md"
DAYS = (1, 30, 180)
FINE = 5
"""Intervals of so few minutes take long to account for: half a year of them only with CARBONZEUS_THOROUGH."""
MOST = 256 * 1024


@pytest.mark.parametrize("minutes", [60, 30, FINE])
def test_a_report_stays_small_however_long_its_job_runs(minutes: int):
    """Through folding, settling and settling again, day by day, for half a year; and the documented figures are these."""
    days = DAYS if minutes > FINE or os.environ.get("CARBONZEUS_THOROUGH") else DAYS[:-1]
    sizes = {
        day: status_bytes(account, now)
        for day, (now, account) in enumerate(days_of(Source(timedelta(minutes=minutes)), max(days)), start=1)
        if day in days
    }
    print(f"intervals of {minutes} minutes:", ", ".join(f"{day} days {size:,} bytes" for day, size in sizes.items()))
    assert max(sizes.values()) < MOST
    row = re.search(rf"\| {minutes} minutes \|(.+)\|", PAGE.read_text(encoding="utf-8"))
    assert row is not None
    said = [float(cell) for cell in re.findall(r"([0-9.]+) KiB", row[1])][: len(days)]
    assert said == [pytest.approx(size / 1024, rel=0.05, abs=0.1) for size in sizes.values()]


def test_nothing_is_left_of_a_job_that_ended_long_ago():
    """After the last settlement the history is empty: what stays are sums."""
    now, account = list(days_of(Source(timedelta(hours=1)), 3, rest=96))[-1]
    assert account.history == ()
    assert [account.settlements[stage].energy_nj for stage in range(4)] == [account.settled.energy_nj] * 4
    assert status_bytes(account, now) < 8 * 1024
