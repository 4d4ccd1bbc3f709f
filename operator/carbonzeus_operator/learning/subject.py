"""What is learned of: one workload on one GPU product, on so many GPUs. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from carbonzeus_operator.plan.prior import Prior

SLUG = 40
"""Characters of a workload's name that go into the name of its profile."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A workload, as far as its curve depends on it."""

    namespace: str
    workload: str
    """For people; may be empty."""
    fingerprint: str
    """Runs with the same one are runs of one workload."""
    product: str
    gpus: int
    """Of the whole job."""
    reference_limit_w: float
    minimum_w: float
    """The lowest limit that may be planned [W]."""
    counts: bool = True
    """Whether its jobs count their steps; else their clocks tell, which is another curve."""

    @property
    def prior(self) -> Prior:
        """What to expect before anything was measured. InvalidSpec where the range leaves nothing to learn."""
        return Prior.of(self.product, self.reference_limit_w, self.minimum_w)

    @property
    def profile(self) -> str:
        """The name of its PowerProfile: the same for all its runs."""
        kept = f"{self.fingerprint} {self.product} {self.gpus}{'' if self.counts else ' by clocks'}"
        digest = hashlib.sha256(kept.encode()).hexdigest()[:10]
        slug = re.sub(r"[^a-z0-9]+", "-", self.workload.lower())[:SLUG].strip("-")
        return f"{slug or 'workload'}-{digest}"
