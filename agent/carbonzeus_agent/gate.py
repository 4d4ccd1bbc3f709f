"""One connection: whether its peer may come in, and how long it may take over what it sends and reads."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import cast

from aiohttp import web

HEAD_WITHIN_S = 5.0
"""From the first byte of a request to the end of its head."""
READ_WITHIN_S = 10.0
"""A peer that takes no more of an answer for so long is let go."""
LAST_WITHIN_S = 2.0
"""A peer that has connected, and not asked yet, has this long for its one request when its connection is to close."""

Refuse = Callable[[str, str], None]
"""Told the reason, one word, and a phrase."""


class Gate(asyncio.Protocol):
    """Stands before aiohttp's own protocol, which hears of a connection only once its peer was recognised."""

    def __init__(
        self, server: web.Server, stranger: Callable[[asyncio.BaseTransport], str | None], refuse: Refuse
    ) -> None:
        self.handler = server()
        self.gone = asyncio.Event()
        self.expires_s = math.inf
        """When what the peer has shown is no longer valid [s since 1970]."""
        self._stranger = stranger
        self._refuse = refuse
        self._admitted = False
        self._busy = False
        self._asked = False
        self._last = False
        self._transport: asyncio.Transport | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # --- what happens to the connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        why_not = self._stranger(transport)
        if why_not is not None:
            self._refuse("WrongIdentity", why_not)
            self._transport.abort()
            return
        self._admitted = True
        self.handler.connection_made(transport)
        if self._last:
            self.close()

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        if not self._busy:
            self._limit("head", HEAD_WITHIN_S, f"the head of a request took longer than {HEAD_WITHIN_S:g} s")
        self.handler.data_received(data)

    def eof_received(self) -> None:
        if self._admitted:
            self.handler.eof_received()

    def pause_writing(self) -> None:
        self._limit("read", READ_WITHIN_S, f"an answer was not read for {READ_WITHIN_S:g} s")
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self._release("read")
        self.handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._release(name)
        if self._admitted:
            self.handler.connection_lost(exc)
        self.gone.set()

    # --- what the server says of its requests -------------------------------------------------------------------------

    def began(self) -> None:
        """The head of a request is complete."""
        self._busy = self._asked = True
        self._release("head")
        if self._last:
            self.close()

    def ended(self) -> None:
        """Its answer is ready."""
        self._busy = False

    def close(self) -> None:
        """No more requests: the one that is being answered is the last.

        Where there was none yet, its first is, so that nobody is sent away unheard: it may be under way.
        """
        self._last = True
        if self._asked:
            self._release("last")
            self.handler.close()
        elif self._admitted:
            self._later("last", LAST_WITHIN_S, self.handler.close)

    # --- time limits --------------------------------------------------------------------------------------------------

    def _limit(self, name: str, within_s: float, sentence: str) -> None:
        self._later(name, within_s, partial(self._cut, sentence))

    def _later(self, name: str, after_s: float, call: Callable[[], None]) -> None:
        """Unless that is waited for already, or `_release` comes first."""
        if name not in self._timers:
            self._timers[name] = asyncio.get_running_loop().call_later(after_s, call)

    def _release(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _cut(self, sentence: str) -> None:
        self._refuse("TooSlow", sentence)
        if self._transport is not None:
            self._transport.abort()
