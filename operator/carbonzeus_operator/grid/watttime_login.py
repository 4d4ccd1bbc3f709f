"""WattTime's login: user and password for a token of 30 minutes, with which all else is asked.

Nothing here writes into the log, and no message tells user, password or token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import Strict
from carbonzeus_operator.grid.http import SHORTEST_SECRET, STRUCK_OUT, Http, Reply, Request, expect

NAME = "WattTime"
RENEWED = timedelta(minutes=25)
"""A token is good for 30 minutes. From this age on it is not used any more, so that none runs out on the way."""
PAUSE_S = 30.0
"""After a login that failed, no other is tried for this long, however many zones are due: WattTime counts logins."""


class _Login(Strict):
    token: Annotated[str, Field(pattern=r"^[!-~]{1,8192}$")]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    credential: str = field(repr=False)
    """What it was got with: another credential needs another token."""
    at: datetime


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: str
    credential: str = field(repr=False)
    at: datetime
    wait_s: float


@dataclass(slots=True)
class Login:
    """One for all zones, so that they share a token."""

    http: Http
    url: str
    credential: Callable[[], str] = field(repr=False)
    """`user:password`, read for each call."""
    now: Callable[[], datetime]
    _token: _Token | None = field(default=None, repr=False)
    _refusal: _Refusal | None = field(default=None, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def get(self, path: str, params: Mapping[str, str]) -> Reply:
        """Asks with a token that is good; where it is refused, once more with a fresh one.

        Raises Unavailable where there is no login, InvalidSpec where the credential is none.
        """
        token = await self._good_token()
        reply = await self._get(path, params, token)
        if reply.status == 401:
            reply = await self._get(path, params, await self._good_token(refused=token.text))
        return reply

    async def _get(self, path: str, params: Mapping[str, str], token: _Token) -> Reply:
        reply = await self.http.get(Request(self.url + path, params, {"Authorization": f"Bearer {token.text}"}))
        return reply if reply.status == 200 else _struck_out(reply, token.credential)

    async def _good_token(self, refused: str | None = None) -> _Token:
        """Waits for a login under way rather than beginning a second one."""
        async with self._turn:
            credential, now, kept = self.credential().strip("\r\n"), self.now(), self._token
            if (
                kept is not None
                and (kept.credential, kept.text != refused) == (credential, True)
                and timedelta(0) <= now - kept.at < RENEWED
            ):
                return kept
            self._pause(credential, now)
            try:
                text = await self._login(credential)
            except CarbonzeusError as error:
                asked_for_s = error.retry_after_s if isinstance(error, Unavailable) else None
                self._refusal = _Refusal(str(error), credential, now, max(PAUSE_S, asked_for_s or 0.0))
                raise
            self._token, self._refusal = _Token(text, credential, now), None
            return self._token

    def _pause(self, credential: str, now: datetime) -> None:
        """Raises what the last login did, while it is too early for another."""
        last = self._refusal
        if last is None or last.credential != credential:
            return
        passed_s = (now - last.at).total_seconds()
        if 0 <= passed_s < last.wait_s:
            raise Unavailable(last.error, retry_after_s=last.wait_s - passed_s)

    async def _login(self, credential: str) -> str:
        user, _, password = credential.partition(":")
        if not user or not password:
            raise InvalidSpec(
                f"the credential of {NAME} is not of the form user:password: put both into one entry of the Secret",
                reason="InvalidCredential",
            )
        reply = await self.http.get(Request(f"{self.url}/login", auth=(user, password)))
        return expect(reply, NAME, "the login", model=_Login).token


def _struck_out(reply: Reply, credential: str) -> Reply:
    """What a refusal says of whoever asked; user and password are no part of the request that it answers."""
    user, _, password = credential.partition(":")
    body = reply.body
    for secret in (password, user):
        if len(secret) >= SHORTEST_SECRET:
            body = body.replace(secret.encode(), STRUCK_OUT)
    return replace(reply, body=body)
