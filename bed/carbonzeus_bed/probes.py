"""HTTP probes of a container, as a kubelet makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp

from carbonzeus_bed.api import Object


async def watch_probe(probe: Object, container: Object, pod_ip: str) -> AsyncIterator[bool]:
    """Whether the probe holds: a value whenever the thresholds for one are met, for ever."""
    http = probe["httpGet"]
    url = f"{http.get('scheme', 'HTTP').lower()}://{pod_ip}:{_port(http['port'], container)}{http.get('path', '/')}"
    timeout = aiohttp.ClientTimeout(total=probe.get("timeoutSeconds", 1))
    needed = {True: probe.get("successThreshold", 1), False: probe.get("failureThreshold", 3)}
    last, count = False, 0
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    while True:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            held = await _holds(session, url)
        count = count + 1 if held is last else 1
        last = held
        if count >= needed[held]:
            yield held
        await asyncio.sleep(probe.get("periodSeconds", 10))


async def _holds(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        # A kubelet does not check certificates either.
        async with session.get(url, ssl=False) as reply:
            return 200 <= reply.status < 400
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def _port(port: int | str, container: Object) -> int:
    if isinstance(port, int):
        return port
    return next(int(known["containerPort"]) for known in container["ports"] if known.get("name") == port)
