"""WattTime, when something goes wrong on the way, and any answer at all."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.http import Http, Reply, Request
from carbonzeus_operator.grid.series import Series
from carbonzeus_operator.grid.watttime import G_PER_KWH, WattTime
from tests.unit.grid.fuzz import Canned, answered, bodies, numbers, thousand
from tests.unit.grid.replay_server import Answer, ReplayServer, replay_server
from tests.unit.grid.samples import T0, Watch, at
from tests.unit.grid.watt import (
    CREDENTIAL,
    FORECAST,
    HISTORY,
    LOGIN,
    NORTH,
    TOKEN,
    answer,
    forecast,
    said,
)

few = settings(max_examples=20, deadline=None)


@pytest.mark.parametrize(
    ("given_answer", "kind", "message"),
    [
        (
            Answer({"message": "No access to PJM"}, 403),
            Unavailable,
            r"refused the credential .* 403 \(No access to PJM\)",
        ),
        (
            Answer({"error": "no region"}, 404),
            InvalidSpec,
            r"refuses the forecast of zone CAISO_NORTH: 404 \(no region\)",
        ),
        (Answer({"error": "bad horizon"}, 400), InvalidSpec, r"CAISO_NORTH: 400 \(bad horizon\)"),
        (Answer({"detail": [{"message": "bad"}]}, 422), InvalidSpec, r"CAISO_NORTH: 422 \(bad\)"),
        (Answer(b"", 429, {"Retry-After": "90"}), Unavailable, "asked too often: 429"),
        (Answer("oops", 500), Unavailable, "answered the forecast of zone CAISO_NORTH with 500"),
        (Answer("<html>Sign in", headers={"Content-Type": "text/html"}), Unavailable, "a web page, not JSON"),
        (Answer('{"data": [{'), Unavailable, "what is no JSON"),
        (Answer(b"", 302, {"Location": "https://elsewhere.example/"}), Unavailable, "sends elsewhere .* 302"),
        (Answer(b"{}", hangs_up=True), Unavailable, "cannot be asked"),
    ],
)
async def test_faults(
    watttime: WattTime, server: ReplayServer, given_answer: Answer, kind: type[CarbonzeusError], message: str
) -> None:
    """Each is an error of ours, with one call and no other place that learns the token."""
    server.answers[FORECAST] = given_answer
    with pytest.raises(kind, match=message) as raised:
        await watttime.forecast(*NORTH)
    if isinstance(raised.value, Unavailable):
        assert raised.value.retry_after_s == (90 if given_answer.status == 429 else None)
    assert [asked.path for asked in server.asked] == [LOGIN, FORECAST]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"generated_at": None}, r"meta\.generated_at: Input should be a valid datetime"),
        ({"generated_at": 1_764_000_000}, r"meta\.generated_at: "),
        ({"generated_at": "2026-11-24T12:00:00"}, r"meta\.generated_at: Input should have timezone info"),
        ({"generated_at": "0001-01-01T00:00:00+12:00"}, r"meta\.generated_at: Value error, not between 1970 and 2200"),
        ({"data_point_period_seconds": 0}, r"meta\.data_point_period_seconds: "),
        ({"data_point_period_seconds": -300}, r"meta\.data_point_period_seconds: "),
        ({"data_point_period_seconds": 10**9}, r"meta\.data_point_period_seconds: "),
        ({"data_point_period_seconds": "300"}, r"meta\.data_point_period_seconds: "),
        ({"units": None}, r"meta\.units: "),
        ({"model": {"date": "newest"}}, r"meta\.model\.date: "),
    ],
)
async def test_another_shape(watttime: WattTime, server: ReplayServer, change: dict[str, Any], where: str) -> None:
    """Is named by the first field that is wrong."""
    server.answers[FORECAST] = Answer(forecast((0, 77), **change))
    with pytest.raises(Unavailable, match=f"answered the forecast of zone CAISO_NORTH with something else: {where}"):
        await watttime.forecast(*NORTH)


@pytest.mark.parametrize("value", ["77", True, [77]])
async def test_values_that_are_no_numbers(watttime: WattTime, server: ReplayServer, value: Any) -> None:
    """Are not made into some."""
    server.answers[FORECAST] = Answer(forecast((0, value)))
    with pytest.raises(Unavailable, match=r"data\.0\.value: "):
        await watttime.forecast(*NORTH)


async def test_a_source_that_is_slow(watttime: WattTime, server: ReplayServer, watch: Watch) -> None:
    """Is given up by the cache, and the next question is asked as if nothing were."""
    release = asyncio.Event()
    server.answers["/v3/*"] = Answer(forecast((0, 77)), until=release)
    cache = GridCache(watttime, None, refresh_s=300, now=watch, call_limit_s=0.05)
    await cache.refresh({NORTH: None})
    assert cache.views()[NORTH].problem == "the source did not answer in time"
    release.set()
    assert said(await watttime.forecast(*NORTH)) == [(at(0), 77)]
    await cache.close()


async def test_through_the_cache(watttime: WattTime, server: ReplayServer, watch: Watch) -> None:
    """Forecast and actual of a zone come side by side, with one login."""
    server.answers |= {FORECAST: Answer(forecast((0, 77))), HISTORY: Answer(answer((-1, 70)))}
    cache = GridCache(watttime, None, refresh_s=300, now=watch)
    await cache.refresh({NORTH: None})
    view = cache.views()[NORTH]
    assert (view.problem, view.actual_problem) == (None, None)
    assert view.forecast is not None
    assert view.actual is not None
    assert view.forecast.model == view.actual.model == "co2_moer 2026-03-01"
    assert [asked.path for asked in server.asked].count(LOGIN) == 1
    await cache.close()


@dataclass(slots=True)
class LoggedIn(Canned):
    """Answers a login with a token, and everything else with one body."""

    async def get(self, request: Request) -> Reply:
        if request.url.endswith(LOGIN):
            return Reply(200, b'{"token": "t"}', self.at)
        return await Canned.get(self, request)


def pounds(series: Series | None, body: bytes) -> bool:
    """Whether every value of it stands in the body, in the other unit."""
    return series is None or {one.gco2_per_kwh for one in series.intervals} <= {
        number * G_PER_KWH for number in numbers(json.loads(body))
    }


VALID = forecast((0, 77), (1 / 12, 76), (2 / 12, None))
VALID_PAST = answer((-1, 7), (-11 / 12, 8), (-10 / 12, None))
VALID_PAST["data"][0]["imputed_data_used"] = True


@thousand
@given(bodies(VALID))
def test_any_forecast(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = WattTime(http=LoggedIn(body), credential=lambda: CREDENTIAL, now=lambda: at(0.1))
    assert pounds(answered(lambda: provider.forecast(*NORTH)), body)


@thousand
@given(bodies(VALID_PAST), st.sampled_from([-1, -1000]))
def test_any_actual(body: bytes, hours: float) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = WattTime(http=LoggedIn(body), credential=lambda: CREDENTIAL, now=lambda: at(0.1))
    assert pounds(answered(lambda: provider.actual(*NORTH, at(hours), at(0))), body)


@thousand
@given(bodies({"token": TOKEN}))
def test_any_login(body: bytes) -> None:
    """Becomes an error of ours, or a token."""
    provider = WattTime(http=Canned(body), credential=lambda: CREDENTIAL, now=lambda: at(0.1))
    assert answered(lambda: provider.forecast(*NORTH)) is None


@few
@given(bodies(VALID), bodies(VALID_PAST))
def test_any_answer_on_the_way(ahead: bytes, behind: bytes) -> None:
    """The same, sent by a server."""

    async def ask() -> None:
        async with replay_server() as server:
            http = Http(now=lambda: T0)
            provider = WattTime(http=http, url=server.url, credential=lambda: CREDENTIAL, now=lambda: at(0.1))
            server.answers |= {LOGIN: Answer({"token": TOKEN}), FORECAST: Answer(ahead), HISTORY: Answer(behind)}
            with suppress(CarbonzeusError):
                assert pounds(await provider.forecast(*NORTH), ahead)
            with suppress(CarbonzeusError):
                assert pounds(await provider.actual(*NORTH, at(-2), at(0)), behind)
            await http.close()

    asyncio.run(ask())
