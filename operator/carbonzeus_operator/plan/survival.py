"""How long a job still runs, as far as anybody knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """The work that is left [s at the reference limit]: total steps reported, or an expected duration."""

    remaining_work_s: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows the end. `survival_s` [s]: the time scale on which a job is expected to end."""

    survival_s: float = 86_400.0
    worked_s: float = 0.0
    """Work done so far [s at the reference limit]: what has run long tends to run on."""


Length = Known | Unknown
