"""The progress endpoint of a pod, which may say anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from carbonzeus_agent import scraper as module
from carbonzeus_agent.scraper import Look, ScrapeFailed, Scraper
from carbonzeus_wire import ProgressSource

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock


END = web.AppKey("end", asyncio.Event)


async def steps(_: web.Request) -> web.Response:
    return web.Response(text="steps_total 42\n")


async def elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("/metrics")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"# more\n" * 10_000)
    except ConnectionError:
        return response


async def bomb(_: web.Request) -> web.Response:
    response = web.Response(text="steps_total 42\n" + "#" * 100_000)
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def silent(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await request.app[END].wait()
    return response


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app[END] = asyncio.Event()
    for path, handler in {
        "/metrics": steps,
        "/elsewhere": elsewhere,
        "/endless": endless,
        "/bomb": bomb,
        "/silent": silent,
    }.items():
        app.router.add_get(path, handler)
    server = TestServer(app)
    async with server:
        yield server
        app[END].set()


@pytest.fixture
async def scraper(clock: FakeClock) -> AsyncIterator[Scraper]:
    async with Scraper(clock) as scraper:
        yield scraper


def source(server: TestServer, path: str) -> ProgressSource:
    assert server.port is not None
    return ProgressSource(port=server.port, path=path, metric="steps_total")


async def test_count_comes_with_its_moment(server: TestServer, scraper: Scraper, clock: FakeClock) -> None:
    """The value, and when it was read."""
    assert await scraper.count("127.0.0.1", source(server, "/metrics")) == Look(clock.utc(), 42, 0)


@pytest.mark.parametrize("path", ["/elsewhere", "/endless", "/bomb", "/missing"])
async def test_what_is_not_a_plain_short_answer_is_refused(server: TestServer, scraper: Scraper, path: str) -> None:
    """Redirects, endless and compressed bodies, errors."""
    with pytest.raises(ScrapeFailed):
        await scraper.count("127.0.0.1", source(server, path))


async def test_silent_endpoint_is_given_up(
    server: TestServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time limit."""
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    async with Scraper(clock) as scraper:
        with pytest.raises(ScrapeFailed, match="Timeout"):
            await scraper.count("127.0.0.1", source(server, "/silent"))


@pytest.mark.parametrize("host", ["localhost", "evil.example", "127.0.0.1/@evil", ""])
async def test_only_addresses_are_asked(server: TestServer, scraper: Scraper, host: str) -> None:
    """A name could be made to point anywhere."""
    with pytest.raises(ScrapeFailed):
        await scraper.count(host, source(server, "/metrics"))
