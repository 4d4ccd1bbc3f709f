"""What all models of our custom resources share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

GROUP = "carbonzeus.dev"
VERSION = "v1alpha1"


class Part(BaseModel):
    """A part of a resource: camelCase in YAML, attribute docstrings become `kubectl explain`.

    Reading is lenient on unknown fields (an older operator may meet a newer object); the API server is strict.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )
