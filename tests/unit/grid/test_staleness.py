"""From a file to what is said of a job: fresh, with gaps, last good, stale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from carbonzeus_operator.decide import _freshness
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.resources.policy import CarbonPolicySpec
from tests.unit.grid.samples import KEY, ZONE, Watch, at, issues, plain

POLICY = CarbonPolicySpec.model_validate({"zone": ZONE, "maxSlowdown": "3%"})
"""A forecast is stale after six hours."""


@dataclass(slots=True)
class Grid:
    """A folder of one file, behind the cache."""

    path: Path
    watch: Watch
    cache: GridCache

    async def said(self, hours: float) -> tuple[bool, str, str]:
        """(fresh, reason, message) at so many hours after noon."""
        self.watch.now = at(hours)
        await self.cache.refresh({KEY: None})
        fresh, finding = _freshness(self.cache.views().get(KEY), POLICY, KEY, self.watch.now)
        return fresh, finding.reason, finding.message


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[Grid]:
    watch = Watch()
    cache = GridCache(FileProvider(tmp_path, watch), state_dir=None, refresh_s=300, now=watch)
    yield Grid(tmp_path / f"{ZONE}.csv", watch, cache)
    await cache.close()


async def test_a_file_is_fresh_while_its_rows_go_on_and_stale_when_they_end(grid: Grid) -> None:
    """However long ago it was written."""
    grid.path.write_text(plain(dict.fromkeys(range(100), 5.0)))
    for hours in (0, 50, 99.5):
        assert (await grid.said(hours))[:2] == (True, "Fresh")
    fresh, reason, message = await grid.said(100)
    assert (fresh, reason) == (False, "ForecastStale")
    assert "does not cover the present" in message


async def test_a_file_of_days_is_fresh_all_day(grid: Grid) -> None:
    """A row longer than the policy's patience is no stale forecast."""
    grid.path.write_text(plain({0: 5, 24: 6, 48: 7}))
    for hours in (5, 23.5, 71.5):
        assert (await grid.said(hours))[:2] == (True, "Fresh")
    assert (await grid.said(72))[:2] == (False, "ForecastStale")


async def test_an_issue_goes_stale_by_its_age(grid: Grid) -> None:
    """Though it still covers the present; the next issue is fresh."""
    grid.path.write_text(issues(*((at_, float(start), 5, "") for at_ in (0.0, 12.0) for start in range(48))))
    assert (await grid.said(5.9))[:2] == (True, "Fresh")
    fresh, reason, message = await grid.said(6)
    assert (fresh, reason) == (False, "ForecastStale")
    assert "is too old" in message
    assert (await grid.said(12))[:2] == (True, "Fresh")


async def test_a_gap_ahead_is_named_and_a_gap_now_is_not_followed(grid: Grid) -> None:
    """And after it all is well."""
    grid.path.write_text(plain({hour: 5 for hour in range(24) if hour not in {10, 11}}))
    fresh, reason, message = await grid.said(8)
    assert (fresh, reason) == (True, "Gaps")
    assert f"{ZONE}.csv, line 12: nothing is said from 2026-11-24T22:00:00+00:00 to 2026-11-25T00:00:00" in message
    assert (await grid.said(11))[:2] == (False, "ForecastStale")
    assert (await grid.said(12))[:2] == (True, "Fresh")


async def test_a_file_that_breaks_is_followed_as_it_was_until_that_is_stale(grid: Grid) -> None:
    """The line is named all the time, and mending it is enough."""
    good = plain(dict.fromkeys(range(100), 5.0))
    grid.path.write_text(good)
    await grid.said(1)
    grid.path.write_text(good.replace("2026-11-25T00:00:00Z,5.0", "2026-11-25T00:00:00Z,NaN"))
    fresh, reason, message = await grid.said(6.9)
    assert (fresh, reason) == (True, "LastGood")
    assert f"{ZONE}.csv, line 14: gco2_per_kwh 'NaN' is no number" in message
    fresh, reason, message = await grid.said(7)
    assert (fresh, reason) == (False, "ForecastStale")
    assert "line 14" in message
    grid.path.write_text(good)
    assert (await grid.said(7.5))[:2] == (True, "Fresh")


async def test_a_file_that_was_never_there(grid: Grid) -> None:
    """Says what to do."""
    fresh, reason, message = await grid.said(0)
    assert (fresh, reason) == (False, "NoForecast")
    assert "add it to the chart's grid.file.data" in message
