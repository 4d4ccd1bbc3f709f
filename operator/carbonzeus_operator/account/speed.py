"""What a limit means for power and speed, by the curve or, without one, by the clocks."""

from __future__ import annotations

from dataclasses import dataclass

from carbonzeus_operator.account.terms import Product
from carbonzeus_wire import EnergyRecord


@dataclass(frozen=True, slots=True)
class Speed:
    """What the limits of a stretch of time mean. Powers relative to that at the measured limit."""

    r: float
    """Throughput at the limit that counts."""
    r_measured: float
    """Throughput at the limit that really held."""
    power: float = 1.0
    reference_power: float | None = None
    """None: no curve."""
    is_limited: bool = False
    """Whether the limit that counts is below the reference limit."""


def speed_of(record: EnergyRecord, product: Product | None, held_w: float | None, instead_w: float | None) -> Speed:
    """The speed of a record at the limit that held and, where given, at the limit that would have held `instead`."""
    if product is None:
        return Speed(1.0, 1.0)
    measured_w = product.reference_limit_w if held_w is None else held_w
    if product.curve is None:
        bound = _lower_bound(record, product, measured_w)
        return Speed(bound, bound)
    reference_power_w, _ = product.curve.at(product.reference_limit_w)
    power_w, r = product.curve.at(measured_w)
    if instead_w is None:
        return Speed(r, r, 1.0, reference_power_w / power_w, measured_w < product.reference_limit_w)
    would_w, would_r = product.curve.at(instead_w)
    limited = instead_w < product.reference_limit_w
    return Speed(would_r, r, would_w / power_w, reference_power_w / power_w, limited)


def _lower_bound(record: EnergyRecord, product: Product, limit_w: float) -> float:
    """What does not depend on a clock does not slow down with it: the lower of both ratios bounds r from below.

    Without clocks the share of the limit does: speed falls slower than power.
    """
    if limit_w >= product.reference_limit_w:
        return 1.0
    ratios = [
        mean / reference
        for mean, reference in (
            (record.mean_sm_clock_mhz, product.reference_sm_mhz),
            (record.mean_memory_clock_mhz, product.reference_memory_mhz),
        )
        if mean is not None and reference is not None
    ]
    return min([1.0, *ratios]) if len(ratios) == 2 else limit_w / product.reference_limit_w
