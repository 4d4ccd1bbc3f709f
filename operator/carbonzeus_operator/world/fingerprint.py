"""What tells one workload from another: what decides how power limits act on a job, and nothing that names a run of it. Pure.

Nothing here raises: what has an odd form counts as absent, or as its text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

DIGITS = 16
"""Hexadecimal digits of a fingerprint."""
MAX_NAME = 63
"""Characters of a workload's name."""


def fingerprint(replica_specs: object, named: object = None) -> str:
    """16 hexadecimal digits of SHA-256, the same for all jobs of one workload; empty where the job has no container.

    `replica_specs`: the raw replica specs of a training job, by replica type. Counted are the replicas of each type and, of each
    container of its pods, name, image, command, args, and the limits and requests of resources. Left out is everything else: init
    containers, placement, volumes, labels, and env, since that holds secrets and the names of runs. A job of which something there
    decides how it trains says so with the annotation.

    `named`: the value of the annotation carbonzeus.dev/workload. It replaces all of it: only its text is hashed then.
    """
    name = _text(named)
    if name:
        return _digest(name)
    if not any(True for _ in _containers(replica_specs)):
        return ""
    counted = {
        replica_type: {
            "replicas": _count(spec),
            "containers": [_counted(container) for container in _pod_containers(spec)],
        }
        for replica_type, spec in _items(replica_specs)
    }
    return _digest(json.dumps(counted, sort_keys=True, separators=(",", ":")))


def workload_name(replica_specs: object, named: object = None) -> str:
    """A short name for people: the annotation's value, else the last part of the image's path with its tag or digest, such as
    `resnet-train:v3`, of the first container that asks for GPUs, else of the first one. At most 63 characters; may be empty.
    """
    name = _text(named)
    if not name:
        containers = sorted(_containers(replica_specs), key=_asks_for_gpus, reverse=True)
        image = next((str(container.get("image") or "") for container in containers), "")
        name = image.rpartition("/")[2]
    return name[:MAX_NAME]


def _counted(container: Mapping[str, Any]) -> dict[str, Any]:
    resources = container.get("resources")
    return {
        "name": _text(container.get("name")),
        "image": _text(container.get("image")),
        "command": _words(container.get("command")),
        "args": _words(container.get("args")),
        "limits": _amounts(resources, "limits"),
        "requests": _amounts(resources, "requests"),
    }


def _containers(replica_specs: object) -> Iterator[Mapping[str, Any]]:
    """All containers, by replica type: Master before Worker."""
    for _, spec in sorted(_items(replica_specs), key=lambda item: item[0]):
        yield from _pod_containers(spec)


def _pod_containers(spec: object) -> list[Mapping[str, Any]]:
    found = _get(_get(_get(spec, "template"), "spec"), "containers")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _asks_for_gpus(container: Mapping[str, Any]) -> bool:
    return any(name.endswith("/gpu") for name in _amounts(container.get("resources"), "limits"))


def _count(spec: object) -> str:
    """One where it is not said, as Kubeflow reads it."""
    replicas = _get(spec, "replicas")
    return "1" if replicas is None else str(replicas)


def _amounts(resources: object, kind: str) -> dict[str, str]:
    """Amounts as text: 1 and "1" are the same."""
    return {name: str(amount) for name, amount in _items(_get(resources, kind))}


def _words(value: object) -> list[str]:
    return [str(word) for word in value] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _items(value: object) -> list[tuple[str, Any]]:
    return [(str(key), one) for key, one in value.items()] if isinstance(value, Mapping) else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
