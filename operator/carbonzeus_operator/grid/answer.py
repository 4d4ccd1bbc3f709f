"""What APIs have in common: numbers are numbers, times are texts with an offset, and each has its signal. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.csvfile import YEARS
from carbonzeus_operator.grid.series import Signal

YEAR_2200_S = int(datetime(YEARS.stop, 1, 1, tzinfo=UTC).timestamp())
"""Of Unix time [s]; milliseconds lie beyond."""
QUOTED = 40
"""So much of a word that was not expected is quoted in a message."""


class Strict(BaseModel):
    """What is of another kind than expected is not made to fit. What is not known is passed over."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)
    """An error's traceback does not show what came: it may be a token."""


def _utc(instant: datetime) -> datetime:
    """Also the calendar's ends are no moments: no step can be added there."""
    if instant.year not in YEARS:
        raise ValueError(f"not between {YEARS.start} and {YEARS.stop}")
    return instant.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
"""ISO 8601 with an offset; UTC once it is read."""


def quoted(word: str | None) -> str:
    """A source's word in a message: short, and nothing in it that a terminal would obey."""
    if word is None:
        return "none"
    return repr(word if len(word) <= QUOTED else f"{word[:QUOTED]}...")


def printable(text: str) -> str:
    """A source's words without what no terminal shows, as long as they were."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def as_set(name: str, own: Signal, asked: Signal) -> None:
    """InvalidSpec where a source that is set to one signal is asked for another."""
    if asked is not own:
        raise InvalidSpec(f"{name} is set to the signal {own}, not {asked}", reason="UnsupportedSignal")


def average_only(name: str, asked: Signal) -> None:
    """InvalidSpec where a source of the average is asked for another signal."""
    if asked is not Signal.AVERAGE:
        raise InvalidSpec(f"{name} has only the signal Average, not {asked}", reason="UnsupportedSignal")
