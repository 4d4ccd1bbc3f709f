"""What happens to a connection whose peer has to show a certificate again: nobody is sent away unheard."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from carbonzeus_agent import gate
from carbonzeus_agent.gate import Gate


class Handler:
    """aiohttp's side: is told to close, and what comes in."""

    def __init__(self) -> None:
        self.closed = 0
        self.heard: list[bytes] = []

    def connection_made(self, transport: object) -> None:
        assert transport is not None

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None

    def close(self) -> None:
        self.closed += 1


def made() -> tuple[Gate, Handler]:
    """A gate that lets everybody in, not connected yet."""
    handler = Handler()

    def refuse(reason: str, detail: str) -> None:
        raise AssertionError((reason, detail))

    return Gate(cast("Any", lambda: handler), lambda _: None, refuse), handler


def asks(it: Gate) -> None:
    it.data_received(b"GET / HTTP/1.1\r\n\r\n")
    it.began()
    it.ended()


async def test_a_peer_that_asked_before_is_not_heard_again() -> None:
    it, handler = made()
    it.connection_made(asyncio.Transport())
    asks(it)
    assert handler.closed == 0
    it.close()
    assert handler.closed == 1


async def test_a_peer_that_has_just_connected_is_heard_once() -> None:
    """Its first request may be on the wire."""
    it, handler = made()
    it.connection_made(asyncio.Transport())
    it.close()
    assert handler.closed == 0
    asks(it)
    assert handler.closed == 1
    it.connection_lost(None)


async def test_a_peer_that_shakes_hands_meanwhile_is_heard_once() -> None:
    """What it has shown was judged by what was trusted before."""
    it, handler = made()
    it.close()
    it.connection_made(asyncio.Transport())
    assert handler.closed == 0
    asks(it)
    assert handler.closed == 1
    it.connection_lost(None)


@pytest.mark.parametrize("before", [True, False])
async def test_a_peer_that_asks_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
    monkeypatch.setattr(gate, "LAST_WITHIN_S", 0.0)
    it, handler = made()
    if before:
        it.connection_made(asyncio.Transport())
    it.close()
    if not before:
        it.connection_made(asyncio.Transport())
    await asyncio.sleep(0.01)
    assert handler.closed == 1
