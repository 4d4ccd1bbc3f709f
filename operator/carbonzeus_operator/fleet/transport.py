"""One call to one agent. The only place that knows how agents are spoken to (here TLS goes in)."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from carbonzeus_operator.errors import Conflict, InvalidSpec, Unavailable
from carbonzeus_wire import EnergyPage, NodeState, PlanReply, PlanRequest

MessageT = TypeVar("MessageT", bound=BaseModel)

ENERGY_PAGE = 2000
"""Records a call."""


class AgentTransport:
    """Speaks `/v1` to agents at `http://host:port`. Raises Unavailable, Conflict (409: a newer fence stands) or
    InvalidSpec (the agent understands us, and refuses).
    """

    def __init__(self, *, port: int, timeout_s: float, concurrency: int) -> None:
        self._port = port
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=300),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

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
        url = f"http://{address}:{self._port}{path}"
        try:
            async with self._session.request(
                method,
                url,
                params=query,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"agent at {address}:{self._port} does not answer {method} {path}: {error!r}") from error
        if response.status == 409:
            raise Conflict(f"agent at {address} follows a newer leader: {text[:200]}")
        if 400 <= response.status < 500:
            raise InvalidSpec(f"agent at {address} refused {method} {path}: {response.status} {text[:200]}")
        if response.status != 200:
            raise Unavailable(f"agent at {address} answered {method} {path} with {response.status} {text[:200]}")
        try:
            return answer.model_validate_json(text)
        except ValidationError as error:
            raise Unavailable(f"agent at {address} answered {method} {path} with something else: {error}") from error
