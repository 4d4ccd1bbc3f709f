"""Actuals of times long over, asked for once more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.cache import PAST_DAYS, PAST_EVERY_S, PAST_RETRY_S, GridCache
from carbonzeus_operator.grid.part import RETRY_S
from tests.unit.grid.samples import KEY, T0, Source, Watch, at

OLD = (T0 - timedelta(days=96), T0 - timedelta(days=95))
NEWER = (T0 - timedelta(days=8), T0 - timedelta(days=7))


@pytest.fixture
async def cache(source: Source, watch: Watch, tmp_path: Path) -> AsyncIterator[GridCache]:
    made = GridCache(source, state_dir=tmp_path, refresh_s=300.0, now=watch)
    yield made
    await made.close()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


async def test_only_the_past_is_asked_for_where_no_job_runs(cache: GridCache, source: Source) -> None:
    """A zone of ended jobs needs no forecast. What was asked for is told beside what came."""
    await cache.refresh({}, {KEY: [OLD]})
    assert [kind for kind, _, _ in source.asked] == ["actual"]
    assert source.spans == [OLD]
    view = cache.views()[KEY]
    assert (view.forecast, view.actual, view.past_span) == (None, None, OLD)
    assert view.past is not None


async def test_the_past_is_asked_for_seldom(cache: GridCache, source: Source, watch: Watch) -> None:
    """Not again within the hour, whatever is wanted; beside forecast and actual, which go their own ways."""
    for _ in range(10):
        await cache.refresh({KEY: None}, {KEY: [OLD]})
        watch.pass_(PAST_EVERY_S * 0.08)
    assert source.spans.count(OLD) == 1
    watch.pass_(PAST_EVERY_S)
    await cache.refresh({KEY: None}, {KEY: [NEWER]})
    assert source.spans.count(NEWER) == 1
    assert cache.views()[KEY].past_span == NEWER


async def test_a_long_past_is_asked_for_in_pieces(cache: GridCache, source: Source) -> None:
    """From its start, not more than any source gives."""
    await cache.refresh({}, {KEY: [(at(-2400), at(-240))]})
    assert source.spans == [(at(-2400), at(-2400) + PAST_DAYS)]


async def test_a_past_that_fails_does_not_stand_in_the_way_of_another(
    cache: GridCache, source: Source, watch: Watch
) -> None:
    """They take turns after failures, less and less often; what came last stays."""
    source.failing = {"actual": Unavailable("no data so old")}
    for wait_s in (RETRY_S, 2 * RETRY_S, 4 * RETRY_S):
        await cache.refresh({}, {KEY: [OLD, NEWER]})
        watch.pass_(wait_s)
    assert source.spans == [OLD, NEWER, OLD]
    source.failing = {}
    await cache.refresh({}, {KEY: [OLD, NEWER]})
    assert cache.views()[KEY].past_span == NEWER


async def test_a_past_that_fails_for_long_is_asked_for_once_a_day(
    cache: GridCache, source: Source, watch: Watch
) -> None:
    """Nobody waits for it."""
    source.failing = {"actual": Unavailable("no data so old")}
    for _ in range(40):
        await cache.refresh({}, {KEY: [OLD]})
        watch.pass_(PAST_RETRY_S)
    before = len(source.spans)
    for _ in range(24 * 10):
        watch.pass_(3600)
        await cache.refresh({}, {KEY: [OLD]})
    assert 10 <= len(source.spans) - before <= 12


async def test_the_past_is_not_kept_on_disk(cache: GridCache, source: Source, watch: Watch, tmp_path: Path) -> None:
    """The last good actual of now is: the past must not take its place."""
    await cache.refresh({KEY: None})
    kept = contents(tmp_path)
    watch.pass_(10)
    await cache.refresh({KEY: None}, {KEY: [OLD]})
    assert contents(tmp_path) == kept


async def test_no_age_is_shown_of_a_zone_whose_jobs_have_ended(cache: GridCache, source: Source, watch: Watch) -> None:
    """Nobody follows its forecast any more, so nobody is alarmed that it grows old."""
    await cache.refresh({KEY: None})
    watch.pass_(PAST_RETRY_S / 8)
    await cache.refresh({}, {KEY: [OLD]})
    assert cache.views()[KEY].stale_for_s is None
    await cache.refresh({KEY: None}, {KEY: [OLD]})
    assert cache.views()[KEY].stale_for_s == 0


async def test_without_a_past_nothing_is_asked_or_shown(cache: GridCache, source: Source) -> None:
    """As long as no account is a week old."""
    await cache.refresh({KEY: None}, {KEY: []})
    view = cache.views()[KEY]
    assert len(source.spans) == 1
    assert (view.past, view.past_span) == (None, None)
    assert isinstance(source.spans[0][0], datetime)
