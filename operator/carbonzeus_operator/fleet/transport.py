"""One call to one agent. The only place that knows how agents are spoken to: HTTPS, with a certificate on both sides."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from carbonzeus_operator.errors import Conflict, InvalidSpec, Unavailable
from carbonzeus_wire import EnergyPage, NodeState, PlanReply, PlanRequest

MessageT = TypeVar("MessageT", bound=BaseModel)

ENERGY_PAGE = 2000
"""Records a call."""


LONGEST_WAIT_S = 60.0
"""An agent that asks to be left alone for longer is asked again after this."""


@dataclass(slots=True)
class _Line:
    """Connections that were made with the same certificates."""

    context: ssl.SSLContext
    session: aiohttp.ClientSession
    calls: int = 0


class AgentTransport:
    """Speaks `/v1` to agents, whom it knows by `name` in their certificate, whatever their address. `tls` gives what to speak
    with, another context whenever certificates were renewed.

    Raises Unavailable, Conflict (409: a newer fence stands) or InvalidSpec (the agent understands us, and refuses).
    """

    def __init__(
        self, *, port: int, timeout_s: float, concurrency: int, tls: Callable[[], ssl.SSLContext], name: str
    ) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._tls = tls
        self._name = name
        self._line: _Line | None = None
        self._quiet_until_s: dict[str, float] = {}

    async def close(self) -> None:
        """Closes all connections."""
        if self._line is not None:
            await self._line.session.close()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Connections made with the certificates of now. The last call on older ones closes them: each costs memory."""
        context = self._tls()
        old = self._line
        if old is None or old.context is not context:
            connector = aiohttp.TCPConnector(limit=self._concurrency, keepalive_timeout=300, ssl=context)
            timeout = aiohttp.ClientTimeout(total=self._timeout_s)
            self._line = _Line(context, aiohttp.ClientSession(connector=connector, timeout=timeout))
            if old is not None and not old.calls:
                await old.session.close()
        line = self._line
        assert line is not None
        line.calls += 1
        try:
            yield line.session
        finally:
            line.calls -= 1
            if line is not self._line and not line.calls:
                await line.session.close()

    async def put_plans(self, host: str, request: PlanRequest) -> PlanReply:
        """Pushes the full desired state of a node."""
        return await self._call(
            "PUT", host, "/v1/plans", PlanReply, body=request.model_dump_json(by_alias=True, exclude_none=True)
        )

    async def node(self, host: str) -> NodeState:
        """The node's GPUs as the agent sees them."""
        return await self._call("GET", host, "/v1/node", NodeState)

    async def energy(
        self, host: str, *, after: int, since: datetime | None = None, limit: int = ENERGY_PAGE
    ) -> EnergyPage:
        """A page of energy records with seq > after, and ending after `since`."""
        query = {"after": str(after), "limit": str(limit)}
        if since is not None:
            query["since"] = since.isoformat()
        return await self._call("GET", host, "/v1/energy", EnergyPage, query=query)

    async def _call(
        self,
        method: str,
        host: str,
        path: str,
        answer: type[MessageT],
        *,
        query: dict[str, str] | None = None,
        body: str | None = None,
    ) -> MessageT:
        address = f"[{host}]" if ":" in host else host
        url = f"https://{address}:{self._port}{path}"
        quiet_s = self._quiet_until_s.get(host, 0.0) - asyncio.get_running_loop().time()
        if quiet_s > 0:
            raise Unavailable(f"agent at {address} asked to be left alone for {quiet_s:.1f} s", retry_after_s=quiet_s)
        try:
            async with (
                self._session() as session,
                session.request(
                    method,
                    url,
                    params=query,
                    data=body,
                    headers={"Content-Type": "application/json"},
                    allow_redirects=False,
                    server_hostname=self._name,
                ) as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"agent at {address}:{self._port} does not answer {method} {path}: {error!r}") from error
        if response.status == 409:
            raise Conflict(f"agent at {address} follows a newer leader: {text[:200]}")
        if response.status == 429:
            wait_s = self._left_alone(host, response.headers.get("Retry-After"))
            raise Unavailable(f"agent at {address} is asked too often", retry_after_s=wait_s)
        if 400 <= response.status < 500:
            raise InvalidSpec(f"agent at {address} refused {method} {path}: {response.status} {text[:200]}")
        if response.status != 200:
            raise Unavailable(f"agent at {address} answered {method} {path} with {response.status} {text[:200]}")
        try:
            return answer.model_validate_json(text)
        except ValidationError as error:
            raise Unavailable(f"agent at {address} answered {method} {path} with something else: {error}") from error

    def _left_alone(self, host: str, retry_after: str | None) -> float:
        """An agent that was asked too often is not asked again before the time that it said [s]."""
        said_s = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 1.0
        wait_s = min(said_s, LONGEST_WAIT_S)
        self._quiet_until_s[host] = asyncio.get_running_loop().time() + wait_s
        return wait_s
