"""How every message of the contract is written: camelCase on the wire, UTC, unknown fields ignored on reading."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """Base of all messages. Readers ignore fields they do not know, so that either side may be upgraded first."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with its offset; kept in UTC."""
