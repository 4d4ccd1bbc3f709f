"""Asking over HTTP: what comes back, what is refused, and what is never told."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carbonzeus_operator.certs import Schedule, cert_text, key_text, make_authority
from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.http import Http, Reply, Request, expect
from tests.unit.grid.reading import Reading, reading
from tests.unit.grid.replay_server import Answer, ReplayServer, replay_server
from tests.unit.grid.samples import T0

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


async def test_a_certificate_that_nobody_vouches_for(http: Http, tmp_path: Path) -> None:
    """Is said as that, before anything is asked: a credential goes to no stranger."""
    pair = make_authority(datetime.now(UTC), Schedule())
    (tmp_path / "pair.pem").write_text(cert_text(pair) + key_text(pair))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    async with replay_server(context) as stranger:
        with pytest.raises(
            Unavailable, match=r"127\.0\.0\.1:\d+ cannot be asked: its certificate is not trusted \(.*\)"
        ):
            await http.get(Request(f"{stranger.url}/x", headers={"auth-token": "secret"}))
        assert not stranger.asked


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


@pytest.mark.parametrize("sign", ["\u00ad", "\u2028", "\u200f", "\x1b", "\U000e0001"])
def test_what_a_source_says_is_shown_without_what_nobody_sees(sign: str) -> None:
    """A soft hyphen in its words, a line end of Unicode, a mark that turns writing around: a message holds none of them."""
    reply = Reply(400, json.dumps({"error": f"no{sign}zone"}).encode(), T0, None, "application/json")
    with pytest.raises(InvalidSpec, match="no zone") as refused:
        expect(reply, "Sample", "it", model=Reading)
    assert str(refused.value).isprintable()
