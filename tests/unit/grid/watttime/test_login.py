"""WattTime's login: when there is one, when not, and who learns of it."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.watttime import WattTime
from carbonzeus_operator.grid.watttime_login import Login
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import Watch, at
from tests.unit.grid.watt import (
    CREDENTIAL,
    FORECAST,
    LOGIN,
    NORTH,
    PASSWORD,
    TOKEN,
    USER,
    forecast,
    good_for,
    logins,
)

BODY = forecast((0, 1))


@pytest.fixture
def login(http: Http, server: ReplayServer, watch: Watch) -> Login:
    return Login(http, server.url, lambda: CREDENTIAL, watch)


async def status(login: Login) -> int:
    return (await login.get(FORECAST, {})).status


def count(server: ReplayServer, path: str = LOGIN) -> int:
    return sum(asked.path == path for asked in server.asked)


async def test_one_token_serves_for_25_minutes(login: Login, server: ReplayServer, watch: Watch) -> None:
    """It would be good for 30, and must not run out on the way."""
    server.answers |= {LOGIN: logins("one", "two"), FORECAST: good_for("one", "two", body=BODY)}
    for seconds, expected in ((0, 1), (1499, 1), (1, 2), (1499, 2), (1, 3)):
        watch.pass_(seconds)
        assert await status(login) == 200
        assert count(server) == expected


async def test_the_clock_is_set_back(login: Login, server: ReplayServer, watch: Watch) -> None:
    """Then nobody knows how old a token is."""
    server.answers |= {LOGIN: logins("one", "two"), FORECAST: good_for("one", "two", body=BODY)}
    await status(login)
    watch.pass_(-3600)
    assert await status(login) == 200
    assert count(server) == 2


async def test_many_zones_share_a_login(login: Login, server: ReplayServer) -> None:
    """Also where all are asked for at once, before there is a token."""
    server.answers |= {LOGIN: Answer({"token": TOKEN}, delay_s=0.02), FORECAST: good_for(TOKEN, body=BODY)}
    assert await asyncio.gather(*(status(login) for _ in range(20))) == [200] * 20
    assert (count(server), count(server, FORECAST)) == (1, 20)


async def test_a_token_that_is_refused(login: Login, server: ReplayServer) -> None:
    """Is replaced once, by all together."""
    server.answers |= {LOGIN: logins("one", "two"), FORECAST: good_for("one", body=BODY)}
    await status(login)
    server.answers[FORECAST] = good_for("two", body=BODY)
    assert await asyncio.gather(*(status(login) for _ in range(5))) == [200] * 5
    assert count(server) == 2


async def test_a_fresh_token_that_is_refused(watttime: WattTime, server: ReplayServer) -> None:
    """Is no reason to ask for ever."""
    server.answers |= {LOGIN: logins("one", "two"), FORECAST: Answer({"error": "Invalid token"}, 401)}
    with pytest.raises(
        Unavailable, match=r"refused the credential when asked for the forecast .* 401 \(Invalid token\)"
    ):
        await watttime.forecast(*NORTH)
    assert (count(server), count(server, FORECAST)) == (2, 2)


async def test_another_credential_is_used_at_once(http: Http, server: ReplayServer, watch: Watch) -> None:
    """When the Secret changes, before the token runs out."""
    secret = ["ada:one\n"]
    login = Login(http, server.url, lambda: secret[0], watch)
    server.answers[FORECAST] = Answer(BODY)
    await status(login)
    secret[0] = "ada:two"
    await status(login)
    assert [asked.headers["authorization"] for asked in server.asked if asked.path == LOGIN] == [
        "Basic YWRhOm9uZQ==",
        "Basic YWRhOnR3bw==",
    ]


async def test_a_password_may_hold_colons(login: Login, server: ReplayServer) -> None:
    """A user may not."""
    server.answers[FORECAST] = Answer(BODY)
    await status(login)
    assert server.asked[0].headers["authorization"] == "Basic YWRhLVpxODF4OnBhc3M6d29yZC1Zdzczdg=="


@pytest.mark.parametrize("credential", ["", "secretword", ":secretword", "secretword:", "\n"])
async def test_what_is_no_credential(http: Http, server: ReplayServer, watch: Watch, credential: str) -> None:
    """Is not sent, and not told."""
    with pytest.raises(InvalidSpec, match="is not of the form user:password") as refused:
        await Login(http, server.url, lambda: credential, watch).get(FORECAST, {})
    assert refused.value.reason == "InvalidCredential"
    assert "secretword" not in str(refused.value)
    assert not server.asked


@pytest.mark.parametrize(
    ("given_answer", "kind", "message"),
    [
        (
            Answer({"error": "bad credentials"}, 401),
            Unavailable,
            r"refused the credential .* the login: 401 \(bad cred",
        ),
        (Answer("<html>Forbidden", 403, {"Content-Type": "text/html"}), Unavailable, "the login: 403"),
        (Answer("<html>Down", 200, {"Content-Type": "text/html"}), Unavailable, "the login .*: a web page, not JSON"),
        (Answer("<html>Down", 502, {"Content-Type": "text/html"}), Unavailable, "answered the login with 502"),
        (Answer('{"token": "abc'), Unavailable, "the login .*: what is no JSON"),
        (Answer({}), Unavailable, "the login .*: token: Field required"),
        (Answer({"token": "a\r\nb: c"}), Unavailable, "the login .*: token: String should match"),
        (Answer({"token": ""}), Unavailable, "the login .*: token: String should match"),
        (Answer({"token": 5}), Unavailable, "the login .*: token: Input should be a valid string"),
        (Answer({"error": "not here"}, 404), InvalidSpec, r"refuses the login: 404 \(not here\)"),
        (Answer(b"", 429, {"Retry-After": "120"}), Unavailable, "asked too often: 429 for the login"),
        (Answer(b"", 301, {"Location": "http://elsewhere.example"}), Unavailable, "sends elsewhere for the login"),
    ],
)
async def test_a_login_that_fails(
    login: Login, server: ReplayServer, given_answer: Answer, kind: type[CarbonzeusError], message: str
) -> None:
    """Says how, and nothing else is asked."""
    server.answers[LOGIN] = given_answer
    with pytest.raises(kind, match=message):
        await login.get(FORECAST, {})
    assert [asked.path for asked in server.asked] == [LOGIN]


async def test_a_failed_login_is_not_repeated_by_every_zone(login: Login, server: ReplayServer, watch: Watch) -> None:
    """WattTime counts them: one try in 30 s, or when it said, or with another credential."""
    server.answers[LOGIN] = Answer({"error": "bad"}, 401)
    for _ in range(20):
        with pytest.raises(Unavailable, match=r"the login: 401 \(bad\)"):
            await login.get(FORECAST, {})
    assert count(server) == 1
    watch.pass_(10)
    with pytest.raises(Unavailable) as raised:
        await login.get(FORECAST, {})
    assert raised.value.retry_after_s == 20
    watch.pass_(20)
    server.answers |= {LOGIN: Answer(b"", 429, {"Retry-After": "120"})}
    with pytest.raises(Unavailable, match="429"):
        await login.get(FORECAST, {})
    watch.pass_(119)
    with pytest.raises(Unavailable, match="429"):
        await login.get(FORECAST, {})
    assert count(server) == 2
    watch.pass_(1)
    server.answers |= {LOGIN: Answer({"token": TOKEN}), FORECAST: good_for(TOKEN, body=BODY)}
    assert await status(login) == 200
    assert count(server) == 3


async def test_a_mended_credential_need_not_wait(http: Http, server: ReplayServer, watch: Watch) -> None:
    """It is not the one that failed."""
    secret = ["ada:wrong"]
    login = Login(http, server.url, lambda: secret[0], watch)
    server.answers |= {LOGIN: Answer({"error": "bad"}, 401), FORECAST: Answer(BODY)}
    with pytest.raises(Unavailable):
        await login.get(FORECAST, {})
    secret[0] = "ada:right"
    server.answers[LOGIN] = Answer({"token": TOKEN})
    assert await status(login) == 200


async def test_a_login_that_is_given_up(login: Login, server: ReplayServer) -> None:
    """Leaves the way free for the next."""
    release = asyncio.Event()
    server.answers |= {LOGIN: Answer({"token": TOKEN}, until=release), FORECAST: Answer(BODY)}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await login.get(FORECAST, {})
    release.set()
    assert await status(login) == 200


async def test_nobody_learns_of_it(
    watttime: WattTime, server: ReplayServer, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """User, password and token: neither in the log at any level nor in an error, even where the source sends them back."""
    caplog.set_level(logging.DEBUG)
    asks: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: watttime.forecast(*NORTH),
        lambda: watttime.actual(*NORTH, at(-2), at(0)),
        lambda: watttime.region_at(1, 2),
    )
    told = [repr(watttime), repr(watttime._login)]
    statuses = (301, 400, 401, 403, 404, 422, 429, 500)
    for path, echo in ((LOGIN, f"{USER} {PASSWORD} {CREDENTIAL}"), ("/v3/*", f"{USER} {PASSWORD} {TOKEN}")):
        answers = [Answer({"error": echo}, status, {"Retry-After": "1"}) for status in statuses]
        answers += [Answer(f"<html>{echo}"), Answer({"token": 5, echo: 1, "data": echo}), Answer(b"{}", hangs_up=True)]
        for given_answer in answers:
            watch.pass_(3600)
            server.answers = {LOGIN: Answer({"token": TOKEN}), path: given_answer}
            for ask in asks:
                with pytest.raises(CarbonzeusError) as raised:
                    await ask()
                told += traceback.format_exception(raised.value, chain=True)
    assert f"Bearer {TOKEN}" in {asked.headers.get("authorization") for asked in server.asked}
    told += [record.getMessage() for record in caplog.records] + [repr(watttime._login._token)]
    secrets = (USER, PASSWORD, TOKEN, "YWRhLVpxODF4OnBhc3M6d29yZC1Zdzczdg==")
    assert not [line for line in told for secret in secrets if secret in line]
