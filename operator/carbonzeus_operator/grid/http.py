"""How sources of carbon intensity are asked over HTTP, and what their answers may be.

A request in, a reply out, and `expect` makes of it a model or the error that tells whom it concerns. Credentials travel in
headers only; whatever a source sends back of them is struck out before anybody reads it.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError, loads
from math import isfinite
from typing import Any, NoReturn, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import InvalidSpec, Unavailable
from carbonzeus_operator.grid.answer import printable

M = TypeVar("M", bound=BaseModel)

TIMEOUT_S = 30.0
"""How long one call may take, from the moment that it is its turn."""
MAX_BYTES = 16 * 1024 * 1024
"""What a year of five-minute values takes twice over; a larger answer is not read."""
LONGEST_WAIT_S = 86_400.0
"""A source that asks to be left alone for longer is asked again after a day."""
SHOWN = 200
"""So much of a source's own words is quoted in a message."""
STRUCK_OUT = b"***"
SHORTEST_SECRET = 4
"""What is shorter is no credential, and would strike out too much."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask."""

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    """The query. No credential belongs in it: servers on the way write it down."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold credentials."""
    auth: tuple[str, str] | None = field(default=None, repr=False)
    """User and password of HTTP Basic."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whatever it is."""

    status: int
    body: bytes = field(repr=False)
    """Unpacked. Without the credentials of the request, where it is no success."""
    at: datetime
    """When it came, UTC."""
    retry_after_s: float | None = None
    """When the source wants to be asked again [s]; None where it does not say."""
    content_type: str = ""


def bearer(credential: Callable[[], str] | None) -> dict[str, str]:
    """The header that shows a bearer token, read now; none where there is no credential."""
    return {} if credential is None else {"Authorization": f"Bearer {credential()}"}


class Http:
    """One for the whole operator, so that no host is asked two things at once. `await close()` at the end."""

    def __init__(
        self, *, timeout_s: float = TIMEOUT_S, max_bytes: int = MAX_BYTES, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def close(self) -> None:
        """Closes all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, request: Request) -> Reply:
        """Asks when it is this host's turn. A redirect is a reply like any other: a credential goes nowhere else.

        Raises Unavailable where no whole answer comes in time, InvalidSpec where `url` is none.
        """
        url = _url(request.url)
        host = f"{url.host}:{url.port}"
        async with self._turns[host]:
            try:
                return await self._get(url, host, request)
            except TimeoutError as error:
                raise Unavailable(f"{host} did not answer within {self._timeout_s:g} s") from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise Unavailable(f"{host} cannot be asked: {_why(error)}") from None

    async def _get(self, url: URL, host: str, request: Request) -> Reply:
        # Asked for by hand: aiohttp would take one out of the URL, too, and refuse to have two.
        headers = {"Accept": "application/json", "User-Agent": "carbonzeus", **request.headers}
        if request.auth is not None:
            headers["Authorization"] = f"Basic {_basic(request.auth)}"
        async with self._opened().get(url, params=request.params, headers=headers, allow_redirects=False) as answer:
            body = bytearray()
            async for piece in answer.content.iter_chunked(65_536):
                body += piece
                if len(body) > self._max_bytes:
                    raise Unavailable(f"{host} answered with more than the {self._max_bytes} bytes that are read")
            now = self._now()
            return Reply(
                status=answer.status,
                body=bytes(body) if answer.status == 200 else _struck_out(bytes(body), request),
                at=now,
                retry_after_s=_retry_after_s(answer.headers.get("Retry-After"), now),
                content_type=answer.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=self._timeout_s)
            )
        return self._session


def expect(reply: Reply, name: str, what: str, *, model: type[M]) -> M:
    """The answer as a model. `name` is the source's as users know it, `what` was asked for: "the forecast of zone DE".

    Raises InvalidSpec (GridDataRefused) where the source understood and refuses, Unavailable in all other cases.
    """
    if reply.status != 200:
        _refused(reply, name, what)
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        _no_answer(reply, name, what, error)


def _refused(reply: Reply, name: str, what: str) -> NoReturn:
    status, said = reply.status, _said(reply.body)
    if status in {400, 404, 422}:
        raise InvalidSpec(f"{name} refuses {what}: {status}{said}", reason="GridDataRefused")
    if status in {401, 403}:
        message = f"{name} refused the credential when asked for {what}: {status}{said}; give it one that is valid"
    elif status == 429:
        message = f"{name} is asked too often: 429 for {what}{said}"
    elif 300 <= status < 400:
        message = f"{name} sends elsewhere for {what}: {status}; set its url to where it really is"
    else:
        message = f"{name} answered {what} with {status}{said}"
    raise Unavailable(message, retry_after_s=reply.retry_after_s)


def _no_answer(reply: Reply, name: str, what: str, error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] != "json_invalid":
        where = ".".join(str(step) for step in first["loc"]) or "the whole"
        wrong = f"{_clean(where)}: {_clean(first['msg'])}"
    elif "html" in reply.content_type or reply.body.lstrip()[:1] == b"<":
        wrong = "a web page, not JSON: look whether its url is right, and what stands between"
    elif not reply.body.strip():
        wrong = "nothing"
    else:
        wrong = f"what is no JSON: {_clean(first['msg'])}"
    # Pydantic's error quotes the answer, which may hold what no traceback should show.
    message = f"{name} answered {what} with something else: {wrong}"
    raise Unavailable(message, retry_after_s=reply.retry_after_s) from None


def _said(body: bytes) -> str:
    """The source's own message, where it sent one in one of the usual places; ready to be put after a status."""
    try:
        said: Any = loads(body)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for _ in range(3):
        if isinstance(said, dict):
            said = next((said[key] for key in ("error", "message", "detail", "title") if said.get(key)), None)
        elif isinstance(said, list):
            said = said[0] if said else None
    return f" ({_clean(said)})" if isinstance(said, str) and _clean(said) else ""


def _clean(text: str) -> str:
    """In one short line that any API server and terminal takes."""
    shown = " ".join(printable(text).split())
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidSpec("the url of a grid data provider must begin with https:// and a host", reason="InvalidURL")
    return url


def _basic(auth: tuple[str, str]) -> str:
    return b64encode(":".join(auth).encode()).decode()


def _struck_out(body: bytes, request: Request) -> bytes:
    secrets = [piece for value in request.headers.values() for piece in (value, value.rpartition(" ")[2])]
    if request.auth is not None:
        secrets += [_basic(request.auth), *request.auth]
    for secret in sorted((secret.encode() for secret in secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            body = body.replace(secret, STRUCK_OUT)
    return body


def _retry_after_s(text: str | None, now: datetime) -> float | None:
    """Seconds or an HTTP date, as RFC 9110 has it; what is neither is nothing."""
    if text is None:
        return None
    try:
        wait_s = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        wait_s = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(max(wait_s, 0.0), LONGEST_WAIT_S) if isfinite(wait_s) else None


def _why(error: Exception) -> str:
    """What happened, without the URL that some errors quote."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({_clean(str(error.certificate_error))})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _clean(error.os_error.strerror or str(error.os_error)) or "no connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off or cannot be unpacked"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it hung up"
    return type(error).__name__
