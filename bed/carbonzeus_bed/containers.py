"""From a pod to a process: what a container runtime makes of a container's spec, as pure functions."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from carbonzeus_bed.api import Object

ENTRY_POINTS = {
    "operator": ("python", "-m", "carbonzeus_operator"),
    "agent": ("python", "-m", "carbonzeus_agent"),
}
"""The images' entry points, by the pod's label app.kubernetes.io/component."""

_REFERENCE = re.compile(r"\$(\$)?\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


class NotStartable(Exception):
    """The container cannot be started as its spec stands now; a kubelet would say CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a container's environment may refer to."""

    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Mounts:
    """Where a container's mounted paths lie on this machine."""

    folders: Mapping[str, Path]
    """Mount path to local folder (or file, with a subPath)."""

    def local(self, value: str) -> str:
        """A path below a mount as the local path; any other value as it is."""
        for mount in sorted(self.folders, key=len, reverse=True):
            if value == mount or value.startswith(mount.rstrip("/") + "/"):
                return str(self.folders[mount] / PurePosixPath(value).relative_to(mount))
        return value


def references(pod: Object) -> tuple[set[str], set[str]]:
    """The names of the ConfigMaps and Secrets that the environments of a pod's containers refer to."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for container in pod["spec"]["containers"]:
        for entry in container.get("env", []):
            source = entry.get("valueFrom", {})
            maps |= {source["configMapKeyRef"]["name"]} if "configMapKeyRef" in source else set()
            secrets |= {source["secretKeyRef"]["name"]} if "secretKeyRef" in source else set()
        for entry in container.get("envFrom", []):
            maps |= {entry["configMapRef"]["name"]} if "configMapRef" in entry else set()
            secrets |= {entry["secretRef"]["name"]} if "secretRef" in entry else set()
    return maps, secrets


def environment(pod: Object, container: Object, sources: Sources, mounts: Mounts) -> dict[str, str]:
    """The variables of a container, paths below its mounts made local."""
    values: dict[str, str] = {}
    for entry in container.get("envFrom", []):
        values |= _all_keys(entry, sources)
    for entry in container.get("env", []):
        if "valueFrom" in entry:
            value = _from(pod, entry["name"], entry["valueFrom"], sources)
            if value is None:
                continue
        else:
            value = _expand(entry.get("value", ""), values)
        values[entry["name"]] = value
    return {name: mounts.local(value) for name, value in values.items()}


def command(pod: Object, container: Object, variables: Mapping[str, str], mounts: Mounts) -> list[str]:
    """The command line; `python` is this bed's own interpreter, which has carbonzeus installed."""
    words: Sequence[str] = container.get("command", [])
    if not words:
        component = pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
        if component not in ENTRY_POINTS:
            raise NotStartable(
                f"container {container['name']} has no command and component {component!r} no known image"
            )
        words = ENTRY_POINTS[component]
    line = [mounts.local(_expand(word, variables)) for word in [*words, *container.get("args", [])]]
    if PurePosixPath(line[0]).name in {"python", "python3"}:
        line[0] = sys.executable
    return line


def _all_keys(entry: Object, sources: Sources) -> dict[str, str]:
    kind, known = ("configMapRef", sources.config_maps) if "configMapRef" in entry else ("secretRef", sources.secrets)
    reference = entry[kind]
    if reference["name"] not in known:
        if reference.get("optional"):
            return {}
        raise NotStartable(f"{kind} {reference['name']} does not exist")
    prefix = entry.get("prefix", "")
    return {prefix + key: value for key, value in known[reference["name"]].items()}


def _from(pod: Object, name: str, source: Object, sources: Sources) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    for kind, known in (("configMapKeyRef", sources.config_maps), ("secretKeyRef", sources.secrets)):
        if kind in source:
            reference = source[kind]
            value = known.get(reference["name"], {}).get(reference["key"])
            if value is None and not reference.get("optional"):
                raise NotStartable(f"variable {name}: {kind} {reference['name']}/{reference['key']} does not exist")
            return value
    raise NotStartable(f"variable {name}: this bed does not know the source {sorted(source)}")


def field(pod: Object, path: str) -> str:
    """The value of a downward API field."""
    if keyed := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(keyed[1], {}).get(keyed[2], ""))
    value: object = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    if not isinstance(value, str):
        raise NotStartable(f"the field {path} is no text")
    return value


def _expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the value, `$$(NAME)` the text `$(NAME)`, and an unknown name stays as it is."""

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        return values.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)
