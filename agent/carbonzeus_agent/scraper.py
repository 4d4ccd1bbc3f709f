"""Reads the progress counter of a pod from the pod's own address, trusting nothing that it says."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

import aiohttp
import yarl

from carbonzeus_agent.clock import Clock
from carbonzeus_agent.progress import BadExposition, counter_in
from carbonzeus_wire import ProgressSource

TIMEOUT_S = 1.0
MAXIMUM_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """A counter's value, and when it was read, give or take `within_s`."""

    at: datetime
    value: float
    within_s: float


class ScrapeFailed(Exception):
    """The endpoint gave no count; the message says why, without quoting it."""


class Scraper:
    """An HTTP client for progress endpoints; use as `async with`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer cannot become a large one
            headers={"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def count(self, pod_ip: str, source: ProgressSource) -> Look:
        """The counter, now. Raises `ScrapeFailed`."""
        try:
            host = str(ipaddress.ip_address(pod_ip))
            url = yarl.URL.build(scheme="http", host=host, port=source.port, path=source.path)
            asked = self._clock.utc()
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise ScrapeFailed(f"{url}: status {response.status}")
                half = (self._clock.utc() - asked) / 2
                body = await self._body(response)
            return Look(asked + half, counter_in(body.decode(), source.metric), half.total_seconds())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, BadExposition) as error:
            raise ScrapeFailed(f"{pod_ip}:{source.port}{source.path}: {type(error).__name__}: {error}") from error

    @staticmethod
    async def _body(response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAXIMUM_BYTES:
                raise BadExposition(f"more than {MAXIMUM_BYTES} bytes")
        return bytes(body)
