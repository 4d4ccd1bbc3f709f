"""What all models of our custom resources share: how a part is written, how a rule and a condition look.

A resource is one module: `FooSpec(Part)`, `FooStatus(Part)` and a `Resource` that describes it, listed in `resources.ALL`.
`tools/crdgen.py` makes the CRD from that and refuses what the API conventions forbid: a field without a docstring, a string,
list or map without bound, a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from carbonzeus_wire.base import Instant

GROUP = "carbonzeus.dev"
VERSION = "v1alpha1"


class Part(BaseModel):
    """A part of a resource: camelCase in YAML, attribute docstrings become `kubectl explain`.

    Reading is lenient on unknown fields (an older operator may meet a newer object); the API server is strict.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    def as_json(self) -> dict[str, Any]:
        """As it goes to the API server: camelCase, absent instead of null."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule that the API server keeps. `message` is a sentence for the person whose object was refused."""

    rule: str
    message: str
    path: str | None = None
    """The field to blame, below the place of the rule: `.maxSlowdown`."""
    expression: bool = False
    """The message is itself a CEL expression, so that it can quote the values."""


def rules(*kept: Rule) -> dict[str, Any]:
    """For `json_schema_extra` of a model's config or of a field."""
    return {
        "x-kubernetes-validations": [
            {
                "rule": one.rule,
                ("messageExpression" if one.expression else "message"): one.message,
                **({"fieldPath": one.path} if one.path else {}),
            }
            for one in kept
        ]
    }


class Condition(Part):
    """One aspect of the state, as in all Kubernetes objects (metav1.Condition)."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """Which aspect: a CamelCase word, unique in the list."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds: True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """Why, as a CamelCase word for programs."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Why, as a sentence for people: what was wrong, where, and what to do."""
    last_transition_time: Instant
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that the condition is about."""

    @classmethod
    def updated(cls, before: tuple[Condition, ...], *now: Self) -> tuple[Condition, ...]:
        """`before` with the conditions of `now` in it; the transition time of an unchanged status is kept."""
        merged = {condition.type: condition for condition in before}
        for condition in now:
            old = merged.get(condition.type)
            same = old is not None and old.status == condition.status
            kept = old.last_transition_time if old is not None and same else condition.last_transition_time
            merged[condition.type] = condition.model_copy(update={"last_transition_time": kept})
        return tuple(merged.values())


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
"""Conditions of a status, one a type."""
