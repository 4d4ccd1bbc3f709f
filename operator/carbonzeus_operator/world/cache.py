"""Our own picture of the cluster: fed by watch events, set right by periodic lists.

A watch may miss deletions while it is away, and a list may be older than an event: versions decide which one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from carbonzeus_operator.world.objects import Key, key_of

T = TypeVar("T")


@dataclass(slots=True)
class Store(Generic[T]):
    """The objects of one kind, parsed. `parse` must not raise."""

    parse: Callable[[Mapping[str, Any]], T]
    objects: dict[Key, T] = field(default_factory=dict)
    synced: bool = False
    """True once a list was seen: before that, absence means nothing."""
    _versions: dict[Key, int] = field(default_factory=dict)
    _deleted: dict[Key, int] = field(default_factory=dict)

    def observe(self, event: str | None, raw: Mapping[str, Any]) -> bool:
        """Takes a watch event (`None` for the initial listing). True if it changed what we know."""
        key, version = key_of(raw), _version(raw)
        if version < max(self._versions.get(key, 0), self._deleted.get(key, 0)):
            return False
        if event == "DELETED":
            self._deleted[key] = version
            self._versions.pop(key, None)
            return self.objects.pop(key, None) is not None
        return self._put(key, version, raw)

    def replace(self, raws: Iterable[Mapping[str, Any]], version: int) -> set[Key]:
        """Takes a whole list that was true at `version`. Returns the keys that changed."""
        listed = {key_of(raw): raw for raw in raws}
        changed = set()
        for key in [key for key in self.objects if key not in listed and self._versions.get(key, 0) <= version]:
            del self.objects[key]
            self._versions.pop(key, None)
            changed.add(key)
        for key, raw in listed.items():
            if _version(raw) > max(self._versions.get(key, 0), self._deleted.get(key, 0)) and self._put(
                key, _version(raw), raw
            ):
                changed.add(key)
        self._deleted = {key: at for key, at in self._deleted.items() if at > version}
        self.synced = True
        return changed

    def _put(self, key: Key, version: int, raw: Mapping[str, Any]) -> bool:
        parsed = self.parse(raw)
        self._versions[key] = version
        self._deleted.pop(key, None)
        changed = self.objects.get(key) != parsed
        self.objects[key] = parsed
        return changed


def _version(raw: Mapping[str, Any]) -> int:
    text = str((raw.get("metadata") or {}).get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0
