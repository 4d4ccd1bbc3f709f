"""The parts of foreign objects that we read, as values. Parsing never fails: an odd object reads as an idle one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from carbonzeus_operator.resources.annotations import WORKLOAD
from carbonzeus_operator.world.fingerprint import fingerprint, workload_name

JOB_NAME_LABEL = "training.kubeflow.org/job-name"
REPLICA_TYPE_LABEL = "training.kubeflow.org/replica-type"
REPLICA_INDEX_LABEL = "training.kubeflow.org/replica-index"
REGION_LABEL = "topology.kubernetes.io/region"
GPU_RESOURCE = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Job:
    """A training job: what its owner asked for and how far it is."""

    key: Key
    uid: str
    api_version: str
    kind: str
    annotations: Mapping[str, str]
    workers: int
    """How many pods it runs when it runs."""
    suspended: bool
    finished_at: datetime | None
    """None while it may still run."""
    succeeded: bool
    created_at: datetime | None
    fingerprint: str = ""
    """Tells the workload apart: jobs with the same one train alike. Empty where nothing is known of it."""
    workload: str = ""
    """What is trained, in a word for people; may be empty."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a training job."""

    key: Key
    uid: str
    job_uid: str
    """UID of the job that controls it; empty where none does."""
    role: str
    """Replica type and index: `master-0`, `worker-3`."""
    node: str | None
    ip: str | None
    gpus: int
    running: bool
    started_at: datetime | None
    """When the last of its containers started; None before."""
    finished_at: datetime | None
    """When the last of its containers ended, or its deletion was asked for; None while it runs."""

    @property
    def rank_order(self) -> tuple[bool, int, str]:
        """Sorts the pod that counts the steps (rank 0) first: the master, else the first worker."""
        kind, _, index = self.role.rpartition("-")
        return kind != "master", int(index) if index.isdigit() else 0, self.key.name


@dataclass(frozen=True, slots=True)
class Node:
    """A node, for its region."""

    name: str
    region: str | None


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace, for the default policy its annotations may name."""

    name: str
    annotations: Mapping[str, str] = field(default_factory=dict)


def all_running_since(pods: Iterable[Pod], workers: int) -> datetime | None:
    """Since when all of a job's `workers` pods run together; None if they do not."""
    running = [pod.started_at for pod in pods if pod.running and pod.started_at is not None]
    return max(running) if running and len(running) >= workers else None


def job_from_raw(raw: Mapping[str, Any]) -> Job:
    """A Kubeflow training job (any of its kinds: their replica specs and conditions look alike)."""
    meta, spec, status = _map(raw, "metadata"), _map(raw, "spec"), _map(raw, "status")
    annotations = dict(meta.get("annotations") or {})
    named = annotations.get(WORKLOAD)
    replicas = next((value for name, value in spec.items() if name.endswith("ReplicaSpecs")), None) or {}
    done = {
        str(condition.get("type")): condition
        for condition in status.get("conditions") or []
        if condition.get("status") == "True" and condition.get("type") in {"Succeeded", "Failed"}
    }
    ended = next(iter(done.values()), None)
    finished_at = None
    if ended is not None:
        finished_at = instant(status.get("completionTime")) or instant(ended.get("lastTransitionTime"))
    return Job(
        key=key_of(raw),
        uid=str(meta.get("uid", "")),
        api_version=str(raw.get("apiVersion", "kubeflow.org/v1")),
        kind=str(raw.get("kind", "PyTorchJob")),
        annotations=annotations,
        workers=sum(int((part or {}).get("replicas", 1) or 0) for part in replicas.values()),
        suspended=bool(_map(spec, "runPolicy").get("suspend")),
        finished_at=finished_at,
        succeeded="Succeeded" in done,
        created_at=instant(meta.get("creationTimestamp")),
        fingerprint=fingerprint(replicas, named),
        workload=workload_name(replicas, named),
    )


def pod_from_raw(raw: Mapping[str, Any]) -> Pod:
    """A pod with the labels that the training operator gives it."""
    meta, spec, status = _map(raw, "metadata"), _map(raw, "spec"), _map(raw, "status")
    labels = meta.get("labels") or {}
    containers = spec.get("containers") or []
    owners = meta.get("ownerReferences") or []
    states = [state.get("state") or {} for state in status.get("containerStatuses") or []]
    started = [instant((state.get("running") or state.get("terminated") or {}).get("startedAt")) for state in states]
    ended = [instant((state.get("terminated") or {}).get("finishedAt")) for state in states if "terminated" in state]
    phase = status.get("phase")
    finished_at = instant(meta.get("deletionTimestamp"))
    if phase in {"Succeeded", "Failed"}:
        finished_at = max((end for end in ended if end), default=finished_at or instant(status.get("startTime")))
    return Pod(
        key=key_of(raw),
        uid=str(meta.get("uid", "")),
        job_uid=next((str(ref.get("uid", "")) for ref in owners if ref.get("controller")), ""),
        role=f"{labels.get(REPLICA_TYPE_LABEL, 'worker')}-{labels.get(REPLICA_INDEX_LABEL, '0')}".lower(),
        node=spec.get("nodeName") or None,
        ip=status.get("podIP") or None,
        gpus=sum(_gpus(container) for container in containers),
        running=phase == "Running" and finished_at is None and len(states) == len(containers) and all(started),
        started_at=max((start for start in started if start), default=None) if states and all(started) else None,
        finished_at=finished_at,
    )


def node_from_raw(raw: Mapping[str, Any]) -> Node:
    """A node."""
    meta = _map(raw, "metadata")
    return Node(name=str(meta.get("name", "")), region=(meta.get("labels") or {}).get(REGION_LABEL))


def namespace_from_raw(raw: Mapping[str, Any]) -> Namespace:
    """A namespace."""
    meta = _map(raw, "metadata")
    return Namespace(name=str(meta.get("name", "")), annotations=dict(meta.get("annotations") or {}))


def key_of(raw: Mapping[str, Any]) -> Key:
    """Namespace and name of a raw object; the namespace is empty for cluster-scoped kinds."""
    meta = _map(raw, "metadata")
    return Key(str(meta.get("namespace") or ""), str(meta.get("name", "")))


def instant(text: object) -> datetime | None:
    """An RFC 3339 time of the API as a datetime in UTC; None where there is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _map(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, Mapping) else {}


def _gpus(container: Mapping[str, Any]) -> int:
    limits = _map(_map(container, "resources"), "limits")
    try:
        return int(limits.get(GPU_RESOURCE, 0))
    except (TypeError, ValueError):
        return 0
