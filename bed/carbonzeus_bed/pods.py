"""The pods of the bed as the emulator sees them: parsed, and kept up to date by list and watch."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from carbonzeus_bed.api import Api, Object
from carbonzeus_bed.physics import CURVES

GPU_RESOURCE = "nvidia.com/gpu"
JOB_LABEL = "training.kubeflow.org/job-name"
PREFIX = "bed.carbonzeus.dev/"
"""Annotations of a pod template that say how the emulated training goes: `network`, `steps-per-second` (at the boards'
default limit), `steps` (in all; without it, it trains for ever), `noise` (of its speed; the bed's where it says none), `metrics-port`,
`counts` (one of `COUNTS`)."""
WHOLE = "Whole"
COUNTS = {WHOLE: 0, "Parts": 3}
"""Decimals of the steps that its endpoint tells: none, or as many as the SDK tells of the step under way."""

_RETRY_S = 0.5
_WATCH_S = 300

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that is bound to a node."""

    uid: str
    namespace: str
    name: str
    node: str
    ip: str
    phase: str
    deleting: bool
    containers: tuple[tuple[str, int], ...]
    """Name and number of GPUs of each container, in the pod's order."""
    job: str = ""
    """`namespace/name` of its training job; the pod's own where it has none."""
    job_uid: str = ""
    workers: int = 1
    """How many pods its job has to have before it trains."""
    network: str = "a40-resnet50"
    steps_per_second: float = 100.0
    steps: int | None = None
    metrics_port: int = 9100
    noise: float | None = None
    counts: str = WHOLE

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def gpus(self) -> int:
        return sum(gpus for _, gpus in self.containers)

    @property
    def finished(self) -> bool:
        """Its containers have ended, so the kubelet has taken its devices back."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def running(self) -> bool:
        return self.phase == "Running" and not self.deleting


def parse(item: Object) -> Pod:
    """A pod out of the API's JSON. ValueError names the annotation that cannot be meant."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    name = f"{metadata['namespace']}/{metadata['name']}"
    owner: Object = next((owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller")), {})
    job_name = labels.get(JOB_LABEL)
    network = annotations.get(f"{PREFIX}network", "a40-resnet50")
    if network not in CURVES:
        raise ValueError(f"pod {name}: {PREFIX}network is {network!r}, known are {', '.join(CURVES)}")
    counts = annotations.get(f"{PREFIX}counts", WHOLE)
    if counts not in COUNTS:
        raise ValueError(f"pod {name}: {PREFIX}counts is {counts!r}, known are {', '.join(COUNTS)}")
    try:
        steps_per_second = float(annotations.get(f"{PREFIX}steps-per-second", "100"))
        steps = int(annotations[f"{PREFIX}steps"]) if f"{PREFIX}steps" in annotations else None
        metrics_port = int(annotations.get(f"{PREFIX}metrics-port", "9100"))
        noise = float(annotations[f"{PREFIX}noise"]) if f"{PREFIX}noise" in annotations else None
    except ValueError as error:
        raise ValueError(f"pod {name}: an annotation {PREFIX}* is not a number: {error}") from error
    return Pod(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        phase=status.get("phase", "Pending"),
        deleting="deletionTimestamp" in metadata,
        containers=tuple((container["name"], _gpus(container)) for container in spec["containers"]),
        job=f"{metadata['namespace']}/{job_name}" if job_name else name,
        job_uid=owner.get("uid", metadata["uid"]) if job_name else metadata["uid"],
        workers=_workers(spec),
        network=network,
        steps_per_second=steps_per_second,
        steps=steps,
        metrics_port=metrics_port,
        noise=noise,
        counts=counts,
    )


def _gpus(container: Object) -> int:
    return int(container.get("resources", {}).get("limits", {}).get(GPU_RESOURCE, 0))


def _workers(spec: Object) -> int:
    """What the training-operator tells torchrun: PET_NNODES is a number, or `least:most` of an elastic job."""
    for container in spec["containers"]:
        for variable in container.get("env") or []:
            if variable["name"] == "PET_NNODES" and variable.get("value"):
                return int(variable["value"].split(":")[0])
    return 1


class PodWatch:
    """Keeps `pods` (by UID, those bound to one of `nodes`) like the API server's, through its restarts too."""

    def __init__(self, kubeconfig: Path, nodes: frozenset[str], changed: Callable[[], None]) -> None:
        self.pods: dict[str, Pod] = {}
        self._api = Api(kubeconfig)
        self._nodes = nodes
        self._changed = changed

    async def run(self) -> None:
        """List and watch until cancelled. While the API server does not answer, what was last seen stands."""
        async with self._session() as session:
            while True:
                try:
                    await self._watch(session, await self._list(session))
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    log.debug("pods: %s, again in %s s", error, _RETRY_S)
                    await asyncio.sleep(_RETRY_S)

    async def succeed(self, pods: list[Pod]) -> None:
        """Says in the pods' status that their containers ended well, until the API server took it or they are gone."""
        async with self._session() as session:
            left = pods
            while left := [pod for pod in left if not await self._succeeded(session, pod)]:
                log.debug("%d pods are not told yet that they ended", len(left))
                await asyncio.sleep(_RETRY_S)

    async def _succeeded(self, session: aiohttp.ClientSession, pod: Pod) -> bool:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        try:
            async with session.get(path) as reply:
                if reply.status == 404:
                    return True
                reply.raise_for_status()
                current = await reply.json()
            if current["metadata"]["uid"] != pod.uid:
                return True
            body = {"metadata": {"uid": pod.uid}, "status": _ended(current)}
            kind = {"Content-Type": "application/merge-patch+json"}
            async with session.patch(f"{path}/status", data=json.dumps(body), headers=kind) as reply:
                return reply.status in {200, 404, 409}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("pod %s: %s, again in %s s", pod.full_name, error, _RETRY_S)
            return False

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            self._api.server,
            connector=aiohttp.TCPConnector(ssl=self._api.tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_WATCH_S + 30),
        )

    async def _list(self, session: aiohttp.ClientSession) -> str:
        async with session.get("/api/v1/pods") as reply:
            reply.raise_for_status()
            listed = await reply.json()
        self.pods.clear()
        for item in listed["items"]:
            self._keep(item)
        self._changed()
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, since: str) -> None:
        """Follows changes until the server ends the stream or does not know `since` any more."""
        params = {"watch": "1", "resourceVersion": since, "timeoutSeconds": str(_WATCH_S)}
        async with session.get("/api/v1/pods", params=params) as reply:
            reply.raise_for_status()
            async for line in _lines(reply.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self.pods.pop(event["object"]["metadata"]["uid"], None)
                else:
                    self._keep(event["object"])
                self._changed()

    def _keep(self, item: Object) -> None:
        try:
            pod = parse(item)
        except ValueError:
            log.exception("a pod is left out")
            return
        if pod.node in self._nodes:
            self.pods[pod.uid] = pod


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines, however long: aiohttp's own reader refuses lines above its buffer."""
    held = b""
    async for chunk in stream.iter_any():
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            yield line


def _ended(pod: Object) -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = pod.get("status", {})
    conditions = [
        {**condition, "status": "False", "reason": "PodCompleted", "lastTransitionTime": now}
        if condition["type"] in {"Ready", "ContainersReady"}
        else condition
        for condition in status.get("conditions", [])
    ]
    containers = []
    for container in status.get("containerStatuses", []):
        started = container.get("state", {}).get("running", {}).get("startedAt", now)
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": now}
        containers.append({**container, "ready": False, "started": False, "state": {"terminated": ended}})
    return {"phase": "Succeeded", "conditions": conditions, "containerStatuses": containers}
