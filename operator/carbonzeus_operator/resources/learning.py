"""How far the learning of a job's curve has come, as its report shows it, and what profile and report keep of the learner."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from carbonzeus_operator.resources.base import Part
from carbonzeus_operator.resources.ledger import Count
from carbonzeus_operator.resources.quantity import PercentString

MAX_STATE = 65_536
"""Characters of what a learner knows. Some 3000 are usual; the bound keeps a report far below what an object may hold."""

LearnerState = Annotated[str, Field(max_length=MAX_STATE)]
"""What a learner knows, as JSON text."""


class LearningPhase(StrEnum):
    """What the learning of a job's curve is at."""

    WARMING_UP = "WarmingUp"
    MEASURING = "Measuring"
    LEARNED = "Learned"
    TOO_NOISY = "TooNoisy"


class LearningStatus(Part):
    """How far the learning of the job's curve has come. Only jobs that name no profile teach."""

    phase: LearningPhase
    """WarmingUp: the job's first minutes, which teach nothing. Measuring: limits are tried to learn what they cost. Learned:
    the curve is known well enough to plan with. TooNoisy: the job's speed varies too much to be learned from."""
    windows: Count = 0
    """Windows of this run that taught something."""
    profiling_seconds: Count = 0
    """Time spent in windows that were held to measure, in seconds."""
    uncertainty: PercentString | None = None
    """By how much the throughput may be lower than the curve says, at three standard deviations, at the worst point, in
    percent. Absent while there is no curve."""
    state: LearnerState | None = None
    """What the learner knows, as JSON text. For the operator, not for people."""
