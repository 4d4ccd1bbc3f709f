"""The Kubernetes API for long-running parts of the bed: asynchronous calls, and a watch that never gives up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp

from carbonzeus_bed.api import Api, ApiError, Object

LOG = logging.getLogger(__name__)
RETRY_S = 0.5
WATCH_S = 300
JSON = "application/json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything there is; what is missing here is gone."""

    items: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One object, as it is now (`Deleted`: as it was last)."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


class AsyncApi:
    """Calls with the identity of a kubeconfig that holds a client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        api = Api(kubeconfig)
        self.server = api.server
        self.ca = api.ca
        self._session = aiohttp.ClientSession(
            base_url=api.server,
            connector=aiohttp.TCPConnector(ssl=api.tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=10),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Object | None = None, *, content_type: str = JSON) -> Any:
        """One request; `ApiError` when the server refuses, `OSError` or `TimeoutError` when it is not there."""
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, data=data, headers={"Content-Type": content_type}) as reply:
            content = await reply.read()
            if reply.status >= 400:
                raise ApiError(reply.status, content.decode(errors="replace"))
            return json.loads(content)

    async def follow(self, path: str, **parameters: str) -> AsyncIterator[Listed | Changed]:
        """List, then watch, for ever; lists again whenever the watch broke."""
        while True:
            try:
                async with self._session.get(path, params=parameters) as reply:
                    reply.raise_for_status()
                    listing = await reply.json()
                yield Listed(tuple(listing["items"]))
                async for change in self._watch(path, parameters, listing["metadata"]["resourceVersion"]):
                    yield change
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                LOG.warning("watching %s: %s", path, error or type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _watch(self, path: str, parameters: dict[str, str], version: str) -> AsyncIterator[Changed]:
        query = parameters | {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_S)}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=WATCH_S + 60)
        async with self._session.get(path, params=query, timeout=timeout) as reply:
            reply.raise_for_status()
            buffer = b""
            async for chunk in reply.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield Changed(event["type"], event["object"])
