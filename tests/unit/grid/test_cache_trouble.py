"""A source that hangs, and what outlives a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.cache import UNWANTED, GridCache
from carbonzeus_operator.grid.part import RETRY_S
from carbonzeus_operator.grid.series import Signal
from tests.unit.grid.samples import HOUR, KEY, ZONE, Source, Watch

REFRESH_S = 300.0
WANTED = {KEY: None}
FAILED = Unavailable("the service is away")


def under_way(cache: GridCache) -> list[asyncio.Task[None]]:
    """The calls that have not ended."""
    parts = [part for entry in cache._entries.values() for part in (entry.forecast, entry.actual)]
    return [part.call for part in parts if part.call is not None]


# A source that hangs


async def test_a_zone_that_hangs_does_not_hold_up_the_others(source: Source, watch: Watch) -> None:
    """They are asked side by side; the round goes on when its patience ends."""
    cache = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch, patience_s=0.01)
    source.hanging = {ZONE}
    zones = {(f"Z{number}", Signal.AVERAGE): None for number in range(20)}
    await cache.refresh({KEY: None, **zones})
    views = cache.views()
    assert all(views[key].forecast is not None for key in zones)
    assert views[KEY].forecast is None
    await cache.close()


async def test_a_call_under_way_is_waited_for_once_and_not_asked_twice(source: Source, watch: Watch) -> None:
    """Rounds go on beside it, and find its data when it has come."""
    cache = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch, patience_s=0.01)
    source.hanging = {ZONE}
    await cache.refresh(WANTED)
    cache.patience_s = 1e9
    for _ in range(5):
        watch.pass_(REFRESH_S)
        async with asyncio.timeout(60):
            await cache.refresh(WANTED)
    assert len(source.asked) == 2
    source.released.set()
    await asyncio.wait(under_way(cache))
    assert cache.views()[KEY].forecast is not None


async def test_a_call_that_takes_too_long_is_given_up(source: Source, watch: Watch) -> None:
    """It is a failure like any other: named, and asked again."""
    cache = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch, call_limit_s=0.01)
    source.hanging = {ZONE}
    await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert view.problem == view.actual_problem == "the source did not answer in time"
    source.hanging = set()
    watch.pass_(RETRY_S)
    await cache.refresh(WANTED)
    assert cache.views()[KEY].problem is None


async def test_closing_gives_up_what_is_under_way(source: Source, watch: Watch) -> None:
    """No task is left."""
    before = asyncio.all_tasks()
    cache = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch, patience_s=0.01)
    source.hanging = {ZONE}
    await cache.refresh(WANTED)
    assert asyncio.all_tasks() != before
    await cache.close()
    assert asyncio.all_tasks() == before
    assert cache.views() == {}


async def test_an_unwanted_call_is_given_up(source: Source, watch: Watch) -> None:
    """With its entry."""
    cache = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch, patience_s=0.01)
    source.hanging = {ZONE}
    await cache.refresh(WANTED)
    calls = under_way(cache)
    watch.now += UNWANTED + HOUR
    await cache.refresh({})
    await asyncio.wait(calls)
    assert [call.cancelled() for call in calls] == [True, True]


# Over restarts


async def test_the_last_good_data_outlives_a_restart(source: Source, watch: Watch, tmp_path: Path) -> None:
    """With its age, while the source is down; and gives way to what it says when it is back."""
    first = GridCache(source, state_dir=tmp_path, refresh_s=REFRESH_S, now=watch)
    await first.refresh(WANTED)
    good = first.views()[KEY]
    source.failing = {"forecast": FAILED, "actual": FAILED}
    watch.pass_(3600)
    second = GridCache(source, state_dir=tmp_path, refresh_s=REFRESH_S, now=watch)
    await second.refresh(WANTED)
    view = second.views()[KEY]
    assert (view.forecast, view.actual) == (good.forecast, good.actual)
    assert (view.problem, view.stale_for_s) == ("the service is away", 3600)
    source.failing = {}
    watch.pass_(RETRY_S)
    await second.refresh(WANTED)
    view = second.views()[KEY]
    assert (view.problem, view.stale_for_s) == (None, 0)


async def test_the_last_good_data_is_there_while_the_source_hangs(source: Source, watch: Watch, tmp_path: Path) -> None:
    """The first round after a restart has something to go by."""
    first = GridCache(source, state_dir=tmp_path, refresh_s=REFRESH_S, now=watch)
    await first.refresh(WANTED)
    source.hanging = {ZONE}
    second = GridCache(source, state_dir=tmp_path, refresh_s=REFRESH_S, now=watch, call_limit_s=0.01)
    await second.refresh(WANTED)
    assert second.views()[KEY].forecast == first.views()[KEY].forecast
    await second.close()


async def test_an_actual_alone_is_kept(source: Source, watch: Watch, tmp_path: Path) -> None:
    """Also where there was never a forecast."""
    source.failing = {"forecast": FAILED}
    await GridCache(source, state_dir=tmp_path, refresh_s=REFRESH_S, now=watch).refresh(WANTED)
    source.failing = {"forecast": FAILED, "actual": FAILED}
    second = GridCache(source, state_dir=tmp_path, refresh_s=REFRESH_S, now=watch)
    await second.refresh(WANTED)
    assert second.views()[KEY].actual is not None
    assert second.views()[KEY].forecast is None


async def test_an_unusable_state_folder_changes_nothing(source: Source, watch: Watch, tmp_path: Path) -> None:
    """Data that cannot be kept is data all the same."""
    (tmp_path / "state").write_text("a file where a folder should be")
    cache = GridCache(source, state_dir=tmp_path / "state", refresh_s=REFRESH_S, now=watch)
    await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert (view.problem, view.actual_problem) == (None, None)
    assert view.forecast is not None
