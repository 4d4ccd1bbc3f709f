"""Several GPU products in one job: one curve of the whole job, and back to limits per product."""

from __future__ import annotations

from dataclasses import dataclass

from carbonzeus_operator.plan.curve import Curve


@dataclass(frozen=True, slots=True)
class Group:
    """The GPUs of one product in a job."""

    curve: Curve
    gpus: int


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a GPU's work costs beside the GPU: host power [W] for each GPU, and the site's power usage effectiveness."""

    host_w_per_gpu: float = 0.0
    pue: float = 1.0
