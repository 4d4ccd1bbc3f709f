"""A server on 127.0.0.1 that answers as a test says, and notes what it was asked."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers with. `body`: bytes and text as they are, anything else as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """The answer comes so much later."""
    until: asyncio.Event | None = None
    """The answer comes when this is set."""
    hangs_up: bool = False
    """The connection ends after half of the body that was promised; of an empty one, without any word."""

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """By lower-case name."""


Script = Answer | Callable[[Asked], Answer]


@dataclass(slots=True)
class ReplayServer:
    """`server.answers["/v1/x"] = Answer(...)`, or a function from the request; paths are looked up longest first.

    A path that ends with `*` stands for all that begin so. What nobody scripted is a 404 with `{"error": "not scripted"}`.
    """

    answers: dict[str, Script] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    """How many requests were answered at the same time at most."""
    url: str = ""

    def script(self, asked: Asked) -> Answer:
        """What to answer."""
        if (exact := self.answers.get(asked.path)) is not None:
            return exact(asked) if callable(exact) else exact
        for path in sorted(self.answers, key=len, reverse=True):
            if path.endswith("*") and asked.path.startswith(path[:-1]):
                found = self.answers[path]
                return found(asked) if callable(found) else found
        return Answer({"error": "not scripted"}, status=404)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.path, dict(request.query), headers)
        self.asked.append(asked)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.script(asked)
            if answer.delay_s:
                await asyncio.sleep(answer.delay_s)
            if answer.until is not None:
                await answer.until.wait()
            return await _sent(request, answer)
        finally:
            self.under_way -= 1


async def _sent(request: web.Request, answer: Answer) -> web.StreamResponse:
    headers = {"Content-Type": "application/json", **answer.headers}
    if not answer.hangs_up:
        return web.Response(body=answer.content, status=answer.status, headers=headers)
    assert request.transport is not None
    response = web.StreamResponse(status=answer.status, headers=headers)
    if answer.content:
        response.content_length = len(answer.content)
        await response.prepare(request)
        await response.write(answer.content[: len(answer.content) // 2])
    request.transport.close()
    return response


@asynccontextmanager
async def replay_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ReplayServer]:
    """Runs one; over HTTPS with `tls`."""
    replay = ReplayServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", replay.handle)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    try:
        replay.url = str(server.make_url("")).rstrip("/")
        yield replay
    finally:
        await server.close()
