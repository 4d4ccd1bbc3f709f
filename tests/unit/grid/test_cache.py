"""One entry for each zone, asked for when due, kept when the source fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.cache import UNWANTED, GridCache
from carbonzeus_operator.grid.part import RETRY_S
from carbonzeus_operator.grid.series import Signal
from tests.unit.grid.samples import KEY, ZONE, Source, Watch, at, intervals

REFRESH_S = 300.0
WANTED = {KEY: None}
FAILED = Unavailable("the service is away")


@pytest.fixture
async def cache(source: Source, watch: Watch) -> AsyncIterator[GridCache]:
    made = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch)
    yield made
    await made.close()


# When the source is asked


async def test_one_call_whatever_the_number_of_jobs(cache: GridCache, source: Source) -> None:
    """One forecast and one actual for each zone and signal that is wanted, in whatever number of rounds."""
    marginal = (ZONE, Signal.MARGINAL)
    for _ in range(20):
        await cache.refresh({KEY: None, ("DE", Signal.AVERAGE): None, marginal: None})
    assert sorted(source.asked) == sorted(
        (kind, *key) for kind in ("forecast", "actual") for key in (KEY, ("DE", Signal.AVERAGE), marginal)
    )
    assert (cache.calls, cache.errors) == (6, 0)


async def test_asked_again_when_due_and_a_little_earlier_at_random(
    cache: GridCache, source: Source, watch: Watch
) -> None:
    """Never before nine tenths of the time, always after all of it."""
    await cache.refresh(WANTED)
    watch.pass_(REFRESH_S * 0.9 - 1)
    await cache.refresh(WANTED)
    assert len(source.asked) == 2
    watch.pass_(REFRESH_S * 0.1 + 1)
    await cache.refresh(WANTED)
    assert len(source.asked) == 4


async def test_many_operators_do_not_ask_at_once(watch: Watch, source: Source) -> None:
    """The next calls are spread."""
    dues = set()
    for _ in range(8):
        cache = GridCache(source, state_dir=None, refresh_s=REFRESH_S, now=watch)
        await cache.refresh(WANTED)
        dues.add(cache._entries[KEY].forecast.due)
    assert len(dues) == 8


async def test_a_failure_is_asked_again_soon_and_then_less_and_less(
    cache: GridCache, source: Source, watch: Watch
) -> None:
    """Twice the wait after each failure, up to the usual time; never more, so that the end of an outage is seen."""
    source.failing = {"forecast": FAILED}
    await cache.refresh(WANTED)
    for wait_s in (RETRY_S, 2 * RETRY_S, 4 * RETRY_S, 8 * RETRY_S, 16 * RETRY_S, REFRESH_S, REFRESH_S):
        before = cache.errors
        watch.pass_(wait_s * 0.9 - 0.1)
        await cache.refresh(WANTED)
        assert cache.errors == before
        watch.pass_(wait_s * 0.1 + 0.1)
        await cache.refresh(WANTED)
        assert cache.errors == before + 1


async def test_a_short_refresh_is_never_waited_longer_for(source: Source, watch: Watch) -> None:
    """Replays refresh every second, also after a failure."""
    cache = GridCache(source, state_dir=None, refresh_s=1.0, now=watch)
    source.failing = {"forecast": FAILED, "actual": FAILED}
    for number in range(10):
        await cache.refresh(WANTED)
        assert cache.errors == 2 * (number + 1)
        watch.pass_(1)


async def test_the_source_may_say_when_to_ask_again(cache: GridCache, source: Source, watch: Watch) -> None:
    """Not a moment before, however long; also where an account wants more."""
    source.failing = {"actual": Unavailable("slow down", retry_after_s=3600)}
    await cache.refresh(WANTED)
    for _ in range(11):
        watch.pass_(300)
        await cache.refresh({KEY: at(-300)})
    assert [kind for kind, _, _ in source.asked].count("actual") == 1
    watch.pass_(300)
    await cache.refresh(WANTED)
    assert [kind for kind, _, _ in source.asked].count("actual") == 2


async def test_recent_actuals_unless_an_account_needs_more(cache: GridCache, source: Source, watch: Watch) -> None:
    """Two days; from where the oldest open account begins."""
    await cache.refresh({KEY: at(-1)})
    assert source.spans == [(at(-48), at(0))]
    watch.pass_(REFRESH_S)
    await cache.refresh({KEY: at(-100)})
    assert source.spans[1:] == [(at(-100), watch())]


async def test_actuals_from_further_back_are_asked_for_at_once(cache: GridCache, source: Source, watch: Watch) -> None:
    """An account that is found after a restart does not wait; asked once, it is there. The forecast is not asked."""
    await cache.refresh(WANTED)
    for _ in range(3):
        watch.pass_(1)
        await cache.refresh({KEY: at(-100)})
    assert [start for start, _ in source.spans] == [at(-48), at(-100)]
    assert [kind for kind, _, _ in source.asked].count("forecast") == 1


# What is known


async def test_what_the_source_said(cache: GridCache, watch: Watch) -> None:
    """With its age."""
    await cache.refresh(WANTED)
    watch.pass_(120)
    view = cache.views()[KEY]
    assert view.forecast is not None
    assert view.actual is not None
    assert (view.problem, view.actual_problem, view.stale_for_s) == (None, None, 120)


async def test_the_clock_of_a_source_may_be_ahead(cache: GridCache, watch: Watch) -> None:
    """No age is less than nothing."""
    await cache.refresh(WANTED)
    watch.pass_(-5)
    assert cache.views()[KEY].stale_for_s == 0


async def test_an_issue_of_the_future_grows_old_from_when_it_came(
    cache: GridCache, source: Source, watch: Watch
) -> None:
    """Else it would be followed for ever once its source is away."""
    source.issued_ahead_s = 86_400
    await cache.refresh(WANTED)
    watch.pass_(600)
    assert cache.views()[KEY].stale_for_s == 600


@pytest.mark.parametrize(("broken", "whole"), [("forecast", "actual"), ("actual", "forecast")])
async def test_one_of_forecast_and_actual_does_not_stop_the_other(
    cache: GridCache, source: Source, broken: str, whole: str
) -> None:
    """Each has its own problem, and its own data."""
    source.failing = {broken: InvalidSpec("line 7 is wrong")}
    await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert getattr(view, broken) is None
    assert getattr(view, whole) is not None
    assert {"forecast": view.problem, "actual": view.actual_problem} == {broken: "line 7 is wrong", whole: None}


async def test_the_last_good_data_stays_beside_the_problem_until_all_is_well(
    cache: GridCache, source: Source, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """It grows old meanwhile. What is wrong is logged once, and its end too."""
    caplog.set_level("INFO")
    await cache.refresh(WANTED)
    good = cache.views()[KEY].forecast
    source.failing = {"forecast": InvalidSpec("line 7 is wrong")}
    for _ in range(4):
        watch.pass_(REFRESH_S)
        await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert view.forecast is good
    assert view.problem == "line 7 is wrong"
    assert view.stale_for_s == 4 * REFRESH_S
    assert caplog.text.count("line 7 is wrong") == 1
    source.failing = {}
    watch.pass_(REFRESH_S)
    await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert view.forecast is not good
    assert (view.problem, view.stale_for_s) == (None, 0)
    assert caplog.text.count("all is well again") == 1


async def test_a_source_never_raises_into_the_round(
    cache: GridCache, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """What no source should do is a problem like any other; the log has the trace."""
    source.failing = {"forecast": KeyError("carbonIntensity"), "actual": RecursionError()}
    await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert view.problem == "the source failed unexpectedly: KeyError('carbonIntensity'); the log says where"
    assert "RecursionError" in (view.actual_problem or "")
    assert "Traceback" in caplog.text


async def test_a_series_that_breaks_its_promise_is_a_problem(cache: GridCache, source: Source, watch: Watch) -> None:
    """No wrong number gets into plans and accounts: the last good ones stay."""
    await cache.refresh(WANTED)
    good = cache.views()[KEY]
    source.answering = intervals({0: 5, 1: float("nan")})
    watch.pass_(REFRESH_S)
    await cache.refresh(WANTED)
    view = cache.views()[KEY]
    assert (view.forecast, view.actual) == (good.forecast, good.actual)
    assert "nan g/kWh" in (view.problem or "")
    assert "nan g/kWh" in (view.actual_problem or "")


async def test_what_is_not_wanted_is_not_shown_and_later_dropped(
    cache: GridCache, source: Source, watch: Watch
) -> None:
    """No age of a zone without jobs raises an alarm; a job that comes within hours finds the data there."""
    await cache.refresh(WANTED)
    await cache.refresh({})
    assert cache.views() == {}
    source.failing = {"forecast": FAILED}
    watch.now += UNWANTED
    await cache.refresh(WANTED)
    assert cache.views()[KEY].forecast is not None
    watch.now += UNWANTED + timedelta(seconds=1)
    await cache.refresh({})
    await cache.refresh(WANTED)
    assert cache.views()[KEY].forecast is None


async def test_thousand_rounds_of_twenty_zones(cache: GridCache, source: Source, watch: Watch) -> None:
    """Two calls a zone and refresh, though it is asked about every three seconds."""
    zones = {(f"Z{number}", Signal.AVERAGE): None for number in range(20)}
    for _ in range(1000):
        await cache.refresh(zones)
        watch.pass_(3)
    assert 2 * 20 * 10 <= len(source.asked) <= 2 * 20 * 3000 / (REFRESH_S * 0.9) + 40
    assert cache.errors == 0
