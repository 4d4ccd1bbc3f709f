"""Electricity Maps, when something goes wrong on the way, and any answer at all."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.electricity_maps import ElectricityMaps
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.series import Series
from tests.unit.grid.emaps import DE, FORECAST, HISTORY, PAST, TOKEN, forecast, past, row, said
from tests.unit.grid.fuzz import Canned, answered, bodies, invents_nothing, thousand
from tests.unit.grid.replay_server import Answer, ReplayServer, replay_server
from tests.unit.grid.samples import T0, Watch, at

few = settings(max_examples=20, deadline=None)


# What goes wrong on the way


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            Answer({"error": "Invalid auth-token"}, 401),
            Unavailable,
            r"refused the credential .* 401 \(Invalid auth-token\)",
        ),
        (Answer({"message": "No access"}, 403), Unavailable, r"refused the credential .* 403 \(No access\)"),
        (Answer({"error": "Zone 'DE' not found"}, 404), InvalidSpec, "refuses the forecast of zone DE: 404"),
        (Answer({"error": "bad horizon"}, 400), InvalidSpec, r"refuses the forecast of zone DE: 400 \(bad horizon\)"),
        (Answer({}, 422), InvalidSpec, "refuses the forecast of zone DE: 422"),
        (Answer(b"", 429, {"Retry-After": "90"}), Unavailable, "asked too often: 429"),
        (Answer("oops", 500), Unavailable, "answered the forecast of zone DE with 500"),
        (Answer("<html>Sign in", headers={"Content-Type": "text/html"}), Unavailable, "a web page, not JSON"),
        (Answer('{"zone": "DE", "forecast": [{'), Unavailable, "what is no JSON"),
        (Answer(b"", 302, {"Location": "https://elsewhere.example/"}), Unavailable, "sends elsewhere .* 302"),
        (Answer(b"{}", hangs_up=True), Unavailable, "cannot be asked"),
    ],
)
async def test_faults(
    maps: ElectricityMaps, server: ReplayServer, answer: Answer, kind: type[CarbonzeusError], message: str
) -> None:
    """Each is an error of ours, with one call and no other place that learns the token."""
    server.answers["*"] = answer
    with pytest.raises(kind, match=message) as raised:
        await maps.forecast(*DE)
    if isinstance(raised.value, Unavailable):
        assert raised.value.retry_after_s == (90 if answer.status == 429 else None)
    assert len(server.asked) == 1


async def test_one_401_is_not_final(maps: ElectricityMaps, server: ReplayServer) -> None:
    """A good token gets one where too much was asked at a time. The cache asks again."""
    answers = [Answer({"error": "Unauthorized"}, 401), Answer(forecast((0, 77)))]
    server.answers[FORECAST] = lambda _: answers.pop(0)
    server.answers[HISTORY] = Answer(past(row(-1, 7), key="history"))
    server.answers[PAST] = Answer(past(row(-1, 7)))
    watch = Watch(at(0.3))
    cache = GridCache(maps, None, refresh_s=300, now=watch)
    await cache.refresh({DE: None})
    assert "refused the credential" in (cache.views()[DE].problem or "")
    watch.pass_(20)
    await cache.refresh({DE: None})
    view = cache.views()[DE]
    assert view.problem is None
    assert view.forecast is not None
    assert said(view.forecast) == [(at(0), 77)]
    await cache.close()


async def test_a_source_that_is_slow(maps: ElectricityMaps, server: ReplayServer) -> None:
    """Is given up by the cache, and the next question is asked as if nothing were."""
    release = asyncio.Event()
    server.answers["*"] = Answer(forecast((0, 77)), until=release)
    watch = Watch(at(0.3))
    cache = GridCache(maps, None, refresh_s=300, now=watch, call_limit_s=0.05)
    await cache.refresh({DE: None})
    assert cache.views()[DE].problem == "the source did not answer in time"
    release.set()
    assert said(await maps.forecast(*DE)) == [(at(0), 77)]
    await cache.close()


async def test_nobody_learns_the_token(
    maps: ElectricityMaps, server: ReplayServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither from the log at any level nor from an error, even where the source sends it back."""
    caplog.set_level(logging.DEBUG)
    told = [repr(maps)]
    answers = [
        Answer({"error": f"token {TOKEN} is not valid"}, status) for status in (301, 400, 401, 403, 404, 422, 429, 500)
    ]
    answers += [Answer(f"<html>{TOKEN}"), Answer({"zone": 5, TOKEN: 1}), Answer(b"{}", hangs_up=True)]
    asks: tuple[Callable[[], Awaitable[Series]], ...] = (
        lambda: maps.forecast(*DE),
        lambda: maps.actual(*DE, at(-72), at(0)),
    )
    for answer in answers:
        server.answers["*"] = answer
        for ask in asks:
            with pytest.raises(CarbonzeusError) as raised:
                await ask()
            told += traceback.format_exception(raised.value, chain=True)
    assert all(asked.headers["auth-token"] == TOKEN for asked in server.asked)
    told += [record.getMessage() for record in caplog.records]
    assert not [line for line in told if TOKEN in line]


# Anything at all

VALID = forecast((0, 77), (1, 76), (2, None))
VALID_PAST = past(row(-3, 7), row(-2, 8, isEstimated=True), row(-1, None))


@thousand
@given(bodies(VALID))
def test_any_forecast(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = ElectricityMaps(http=Canned(body), credential=lambda: TOKEN, now=lambda: at(0.3))
    assert invents_nothing(answered(lambda: provider.forecast(*DE)), body)


@thousand
@given(bodies(VALID_PAST), st.sampled_from([-3, -200, -1000]))
def test_any_actual(body: bytes, hours: float) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    provider = ElectricityMaps(http=Canned(body), credential=lambda: TOKEN, now=lambda: at(0.3))
    assert invents_nothing(answered(lambda: provider.actual(*DE, at(hours), at(0))), body)


@few
@given(bodies(VALID), bodies(VALID_PAST))
def test_any_answer_on_the_way(ahead: bytes, behind: bytes) -> None:
    """The same, sent by a server."""

    async def ask() -> None:
        async with replay_server() as server:
            http = Http(now=lambda: T0)
            provider = ElectricityMaps(http=http, url=server.url, credential=lambda: TOKEN, now=lambda: at(0.3))
            server.answers |= {FORECAST: Answer(ahead), "*": Answer(behind)}
            with suppress(CarbonzeusError):
                assert invents_nothing(await provider.forecast(*DE), ahead)
            for hours in (-3, -200):
                with suppress(CarbonzeusError):
                    assert invents_nothing(await provider.actual(*DE, at(hours), at(0)), behind)
            await http.close()

    asyncio.run(ask())
