"""What the operator knows about a job beside its energy: curves, reference limits, overhead, the unit of progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


class PowerCurve(Protocol):
    """Average power and relative throughput over the power limit; r = 1 at the reference limit.

    Uncut: the range that a policy allows is no concern of the account, the reference limit must lie on the curve.
    """

    def at(self, limit_w: float) -> tuple[float, float]:
        """(average power [W], r) at a limit [W]."""
        ...

    def limit_for(self, r: float) -> float:
        """The lowest limit [W] that reaches r."""
        ...


@dataclass(frozen=True, slots=True)
class Product:
    """One GPU product of the job."""

    reference_limit_w: float
    curve: PowerCurve | None = None
    """None: no saving is claimed for its energy, and its speed is bounded from below by its clocks."""
    reference_sm_mhz: float | None = None
    """Mean SM clock under load at the reference limit, for the lower bound; None where not known."""
    reference_memory_mhz: float | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms records become an account. Passed in with every call: what changes holds from then on."""

    products: Mapping[str, Product] = field(default_factory=dict)
    """By product name, as in JobPod.product."""
    progress: bool = False
    """The job counts its steps: its clock starts at the first one."""
    reference_rate: float | None = None
    """Steps per second at the reference limit; None where no profile says: then work comes from the curve."""
    host_w_per_gpu: float = 0.0
    pue: float = 1.0
    curve_error: float = 0.02
    """By what share a curve's r may be wrong below the reference limit; plans allow for as much (`Rules.curve_error`)."""


@dataclass(frozen=True, slots=True)
class LimitStep:
    """From `at` on, until the next step, this limit would have held."""

    at: datetime
    limit_w: float
