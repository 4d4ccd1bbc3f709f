"""The description of a custom resource: its names, its columns, its models. The source of its CRD and of its reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import ValidationError

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.base import GROUP, VERSION, Part

SpecT = TypeVar("SpecT", bound=Part)
StatusT = TypeVar("StatusT", bound=Part)
PartT = TypeVar("PartT", bound=Part)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    """JSONPath, as in `.spec.mode`."""
    description: str
    type: Literal["string", "integer", "date", "boolean"] = "string"
    wide: bool = False
    """Shown with `-o wide` only."""


AGE = Column("Age", ".metadata.creationTimestamp", "Time since the object was made.", type="date")


@dataclass(frozen=True, slots=True)
class Resource(Generic[SpecT, StatusT]):
    """One of our kinds."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: Literal["Cluster", "Namespaced"]
    description: str
    """What `kubectl explain KIND` says first."""
    spec: type[SpecT]
    status: type[StatusT]
    columns: tuple[Column, ...]

    @property
    def api_version(self) -> str:
        return f"{GROUP}/{VERSION}"

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"

    def read_spec(self, raw: Mapping[str, Any]) -> SpecT:
        """The spec of an object as the API server gave it; InvalidSpec where this operator cannot use it."""
        return self._read(self.spec, raw, "spec")

    def read_status(self, raw: Mapping[str, Any]) -> StatusT:
        """The status of an object; what is absent has its default. InvalidSpec where this operator cannot use it."""
        return self._read(self.status, raw, "status")

    def _read(self, model: type[PartT], raw: Mapping[str, Any], key: str) -> PartT:
        try:
            return model.model_validate(raw.get(key) or {})
        except ValidationError as error:
            metadata = raw.get("metadata") or {}
            name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
            faults = "; ".join(
                f"{'.'.join((key, *map(str, fault['loc'])))}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors(include_url=False)
            )
            raise InvalidSpec(f"{self.kind} {name or '(no name)'} cannot be used: {faults}") from error
