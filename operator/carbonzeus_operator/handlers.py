"""Watches: what kopf tells us goes into our own picture of the cluster, and the cycle is woken. Nothing else happens here.

The only module that imports kopf. Handlers of foreign kinds are `on.event` and return None: anything else would make kopf
write annotations or finalizers onto objects that are not ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from carbonzeus_operator import kube
from carbonzeus_operator.world.objects import JOB_NAME_LABEL

RELOGIN = timedelta(minutes=10)
"""ServiceAccount tokens rotate: kopf asks for a fresh one this often."""

WATCHED = (
    kube.PYTORCHJOB,
    kube.POD,
    kube.NAMESPACE,
    kube.NODE,
    kube.CARBONPOLICY,
    kube.POWERPROFILE,
    kube.CARBONREPORT,
)

Observe = Callable[[kube.Kind, str | None, dict[str, Any]], None]
"""Called with the kind, the event type (None for the initial listing, ADDED, MODIFIED, DELETED) and the raw object."""


Stop = Callable[[], Awaitable[None]]


def registry(connection: kube.Kube, observe: Observe, stop: Stop) -> kopf.OperatorRegistry:
    """One event handler a kind, the login, and what to stop when a signal ends the process."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(**await connection.connection(), expiration=datetime.now(UTC) + RELOGIN)

    @kopf.on.cleanup(registry=found)
    async def cleanup(**_: Any) -> None:
        await stop()

    for kind in WATCHED:
        _watch(found, kind, observe)
    return found


def _watch(found: kopf.OperatorRegistry, kind: kube.Kind, observe: Observe) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=found, id=f"observe-{kind.plural}")
    async def seen(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        observe(kind, type, dict(body))


def settings() -> kopf.OperatorSettings:
    """Quiet and read-only: no posting of log lines as events, pods filtered by the server."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    found.watching.label_selectors["", "v1", "pods"] = JOB_NAME_LABEL
    found.watching.server_timeout = 270
    found.watching.client_timeout = 300
    found.networking.connect_timeout = 10
    return found


async def watch(connection: kube.Kube, observe: Observe, stop: Stop) -> None:
    """Watches until cancelled or told to stop by a signal (SIGTERM, SIGINT), which kopf handles.

    `stop` is called before the watches end: kopf waits for every task that was begun since it runs.
    """
    await kopf.operator(
        registry=registry(connection, observe, stop), settings=settings(), clusterwide=True, standalone=True
    )
