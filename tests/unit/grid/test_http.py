"""Asking over HTTP: what comes back, what is refused, and what is never told."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.http import LONGEST_WAIT_S, Http, Reply, Request, expect
from tests.unit.grid.replay_server import Answer, ReplayServer, replay_server
from tests.unit.grid.samples import T0, examples


class Reading(BaseModel):
    """What tests ask for."""

    values: list[int]


@pytest.fixture
async def server() -> AsyncIterator[ReplayServer]:
    async with replay_server() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http(timeout_s=5, now=lambda: T0)
    yield made
    await made.close()


async def reading(http: Http, server: ReplayServer) -> Reading:
    """Asks, and takes the answer."""
    return expect(await http.get(Request(f"{server.url}/x")), "Sample", "the forecast of zone DE", model=Reading)


# What is asked and what comes


async def test_a_question_and_its_answer(http: Http, server: ReplayServer) -> None:
    """Parameters, headers and credentials arrive; the reply says when it came."""
    server.answers["/x"] = Answer({"values": [1]}, headers={"Content-Type": "application/json; charset=utf-8"})
    reply = await http.get(Request(f"{server.url}/x", {"zone": "Ä & B"}, {"auth-token": "secret"}, ("me", "pass")))
    assert (reply.status, reply.at, reply.content_type, reply.retry_after_s) == (200, T0, "application/json", None)
    assert expect(reply, "Sample", "it", model=Reading).values == [1]
    [asked] = server.asked
    assert asked.query == {"zone": "Ä & B"}
    assert asked.headers["auth-token"] == "secret"
    assert asked.headers["authorization"] == "Basic bWU6cGFzcw=="


async def test_packed_answers_are_unpacked(http: Http, server: ReplayServer) -> None:
    """As most servers send them."""
    server.answers["/x"] = Answer(gzip.compress(b'{"values": [2]}'), headers={"Content-Encoding": "gzip"})
    assert (await reading(http, server)).values == [2]


async def test_a_host_is_asked_one_thing_at_a_time(http: Http, server: ReplayServer) -> None:
    """However many zones are due."""
    server.answers["/x"] = Answer({"values": [1]}, delay_s=0.01)
    await asyncio.gather(*(reading(http, server) for _ in range(8)))
    assert (len(server.asked), server.most_under_way) == (8, 1)


async def test_another_host_is_not_kept_waiting(http: Http, server: ReplayServer) -> None:
    """By one that is slow."""
    async with replay_server() as other:
        release = asyncio.Event()
        server.answers["/x"] = Answer({"values": [1]}, until=release)
        other.answers["/x"] = Answer({"values": [2]})
        slow = asyncio.create_task(reading(http, server))
        assert (await reading(http, other)).values == [2]
        assert not slow.done()
        release.set()
        assert (await slow).values == [1]


async def test_cookies_are_not_kept(http: Http, server: ReplayServer) -> None:
    """Each question stands for itself."""
    server.answers["/x"] = Answer({"values": []}, headers={"Set-Cookie": "session=1"})
    await reading(http, server)
    await reading(http, server)
    assert not any("cookie" in asked.headers for asked in server.asked)


# When no answer comes


async def test_a_server_that_is_too_slow(server: ReplayServer) -> None:
    """Is given up, and the next in turn is asked."""
    release = asyncio.Event()
    server.answers["/x"] = Answer({"values": []}, until=release)
    http = Http(timeout_s=0.05)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+ did not answer within 0\.05 s"):
            await reading(http, server)
    release.set()
    await http.close()


async def test_nobody_listens(http: Http) -> None:
    """Refused connections are said with the host."""
    async with replay_server() as gone:
        url = gone.url
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+ cannot be asked: .*[Cc]onnect"):
        await http.get(Request(url, {"token": "secret"}))


@pytest.mark.parametrize("body", [b"", b'{"values": [1]}'])
async def test_a_server_that_hangs_up(http: Http, server: ReplayServer, body: bytes) -> None:
    """Without a word, or in the middle of it."""
    server.answers["/x"] = Answer(body, hangs_up=True)
    with pytest.raises(Unavailable, match=r"cannot be asked: (the answer broke off|it hung up)"):
        await reading(http, server)


async def test_an_answer_that_does_not_unpack(http: Http, server: ReplayServer) -> None:
    """Is none."""
    server.answers["/x"] = Answer(b"no gzip", headers={"Content-Encoding": "gzip"})
    with pytest.raises(Unavailable, match="cannot be asked"):
        await reading(http, server)


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_without_end(server: ReplayServer, packed: bool) -> None:
    """Is not read into memory, also where it is small on the way."""
    body = b" " * 3_000_000
    headers = {"Content-Encoding": "gzip"} if packed else {}
    server.answers["/x"] = Answer(gzip.compress(body) if packed else body, headers=headers)
    http = Http(max_bytes=100_000)
    with pytest.raises(Unavailable, match="more than the 100000 bytes that are read"):
        await reading(http, server)
    await http.close()


@pytest.mark.parametrize("url", ["", "api.example.org", "ftp://x/y", "https://", "http://[::1", "http://x:99999", "/x"])
async def test_what_is_no_url(http: Http, url: str) -> None:
    """Is for somebody to mend."""
    with pytest.raises(InvalidSpec, match="must begin with https://") as refused:
        await http.get(Request(url))
    assert refused.value.reason == "InvalidURL"


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\x00"])
async def test_a_credential_with_control_characters(http: Http, server: ReplayServer, value: str) -> None:
    """Opens no second header, and is not told."""
    with pytest.raises(Unavailable, match="ValueError") as refused:
        await http.get(Request(f"{server.url}/x", headers={"auth-token": value}))
    assert value not in str(refused.value)
    assert not server.asked


# What an answer means


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, InvalidSpec, r"Sample refuses the forecast of zone DE: 400 \(no such zone\)"),
        (404, InvalidSpec, r"Sample refuses the forecast of zone DE: 404 \(no such zone\)"),
        (422, InvalidSpec, r"Sample refuses the forecast of zone DE: 422 \(no such zone\)"),
        (
            401,
            Unavailable,
            r"Sample refused the credential when asked for the forecast of zone DE: 401 \(no such zone\);",
        ),
        (
            403,
            Unavailable,
            r"Sample refused the credential when asked for the forecast of zone DE: 403 \(no such zone\);",
        ),
        (429, Unavailable, r"Sample is asked too often: 429 for the forecast of zone DE \(no such zone\)"),
        (301, Unavailable, "Sample sends elsewhere for the forecast of zone DE: 301; set its url"),
        (307, Unavailable, "Sample sends elsewhere"),
        (500, Unavailable, r"Sample answered the forecast of zone DE with 500 \(no such zone\)"),
        (503, Unavailable, "with 503"),
        (204, Unavailable, "with 204"),
        (410, Unavailable, "with 410"),
    ],
)
async def test_statuses(
    http: Http, server: ReplayServer, status: int, kind: type[CarbonzeusError], message: str
) -> None:
    """Split by who can do something about it. A redirect is not followed."""
    server.answers["/x"] = Answer({"error": "no such zone"}, status, {"Location": f"{server.url}/elsewhere"})
    with pytest.raises(kind, match=message) as raised:
        await reading(http, server)
    if isinstance(raised.value, InvalidSpec):
        assert raised.value.reason == "GridDataRefused"
    assert [asked.path for asked in server.asked] == ["/x"]


@pytest.mark.parametrize("status", [401, 429, 500, 503, 302])
@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("120", 120),
        ("0", 0),
        ("-5", 0),
        ("1.5", 1.5),
        ("99999999999999", LONGEST_WAIT_S),
        (format_datetime(T0 + timedelta(minutes=5), usegmt=True), 300),
        (format_datetime(T0 - timedelta(minutes=5), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT_S),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("", None),
    ],
)
async def test_retry_after(http: Http, server: ReplayServer, status: int, said: str, wait_s: float | None) -> None:
    """In seconds or as a date, and never for ever."""
    server.answers["/x"] = Answer(b"", status, {"Retry-After": said})
    with pytest.raises(Unavailable) as raised:
        await reading(http, server)
    assert raised.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        ("<!doctype html><p>Sign in", {"Content-Type": "text/html"}, "a web page, not JSON"),
        (" <html>", {}, "a web page, not JSON"),
        ("", {}, "nothing"),
        ('{"values": [1, 2', {}, "what is no JSON: .*EOF"),
        (b"\xff\xfe", {}, "what is no JSON"),
        ("[" * 100_000, {}, "what is no JSON: .*recursion"),
        ({"values": [1, "x", "y"]}, {}, r"values\.1: Input should be a valid integer"),
        ({"value": 1}, {}, "values: Field required"),
        ([], {}, "the whole: Input should be an object"),
    ],
)
async def test_answers_that_are_none(
    http: Http, server: ReplayServer, body: object, headers: dict[str, str], message: str
) -> None:
    """With the first thing that is wrong."""
    server.answers["/x"] = Answer(body, headers=headers)
    with pytest.raises(Unavailable, match=f"^Sample answered the forecast of zone DE with something else: .*{message}"):
        await reading(http, server)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"code": "400", "message": "bad date"}}, " (bad date)"),
        ({"errors": ["x"], "message": "bad\n\x1b[31m date\x00"}, " (bad [31m date)"),
        ({"detail": [{"loc": ["zone"], "message": "bad"}]}, " (bad)"),
        ({"title": "x" * 1000}, f" ({'x' * 200}...)"),
        ({"error": {"code": 5}}, ""),
        ({"error": "\ud800"}, ""),
        ([], ""),
        ("[" * 100_000, ""),
        ("<html>", ""),
        (b"\xff", ""),
        (5, ""),
    ],
)
async def test_the_sources_own_words(http: Http, server: ReplayServer, body: object, said: str) -> None:
    """Short, clean, where one is used to look for them."""
    server.answers["/x"] = Answer(body, 500)
    with pytest.raises(Unavailable) as raised:
        await reading(http, server)
    assert str(raised.value) == f"Sample answered the forecast of zone DE with 500{said}"
    assert str(raised.value).encode()


async def test_credentials_are_never_told(http: Http, server: ReplayServer) -> None:
    """Not even where the source repeats them."""
    request = Request(f"{server.url}/x", headers={"Authorization": "Bearer tok-123"}, auth=None)
    basic = Request(f"{server.url}/x", {"q": "up"}, auth=("user-7", "pass-8"))
    for asked, secrets in ((request, ["tok-123"]), (basic, ["user-7", "pass-8", "dXNlci03OnBhc3MtOA=="])):
        assert not any(secret in repr(asked) for secret in secrets)
        for status in (400, 401, 403, 429, 500):
            server.answers["/x"] = Answer({"message": f"bad {' '.join(secrets)}"}, status)
            with pytest.raises(CarbonzeusError, match=r"\(bad \*\*\*") as raised:
                expect(await http.get(asked), "Sample", "it", model=Reading)
            assert not any(secret in str(raised.value) for secret in secrets)


@examples
@given(st.integers(200, 599), st.binary() | st.text().map(str.encode), st.sampled_from(["", "text/html"]))
def test_any_reply_is_a_model_or_an_error_of_ours(status: int, body: bytes, content_type: str) -> None:
    """And every message is one that the API server takes."""
    reply = Reply(status, body, datetime.now(UTC), None, content_type)
    try:
        expect(reply, "Sample", "it", model=Reading)
    except CarbonzeusError as error:
        said = str(error)
    else:
        said = ""
    assert said or status == 200
    assert said.encode().decode().isprintable()
