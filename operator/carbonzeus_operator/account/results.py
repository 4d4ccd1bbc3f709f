"""What the account says: carbon, baseline, best constant limit, savings; slowdown; coverage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from carbonzeus_operator.account.cells import to_us
from carbonzeus_operator.account.intensity import carbon_of
from carbonzeus_operator.account.model import Account, State
from carbonzeus_operator.account.terms import Product, Terms

_PG_PER_UG = 1_000_000
_NJ_PER_MJ = 1_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """Energy and carbon so far. Settled cells count with their final figure, the others with the best estimate."""

    energy_mj: int
    realised_ug: int
    settled_ug: int
    """The part of it that is closed."""
    baseline_ug: int | None
    """The same work at the reference limit; None where no energy has a curve."""
    best_constant_ug: int | None
    """The same work in the same time at one limit."""
    settled: float
    """Share of the energy whose carbon is final."""
    estimated: float
    """Share whose carbon rests on a forecast or an estimate, closed with it or not."""
    unknown: float
    """Share without any intensity: in no carbon figure."""
    modelled: float
    """Share with a curve."""
    saved_error_ug: int | None = None
    """By how much saved and baseline may be wrong, as the curve may be; None where no energy has a curve."""
    timing_error_ug: int | None = None
    """By how much timing and the best constant limit may be; None where the curve is not known any more."""

    @property
    def saved_ug(self) -> int | None:
        """Efficiency and timing together; negative where more was emitted."""
        return None if self.baseline_ug is None else self.baseline_ug - self.realised_ug

    @property
    def efficiency_ug(self) -> int | None:
        """What the best constant limit would have saved."""
        if self.baseline_ug is None or self.best_constant_ug is None:
            return None
        return self.baseline_ug - self.best_constant_ug

    @property
    def timing_ug(self) -> int | None:
        """What following the grid added to that."""
        return None if self.best_constant_ug is None else self.best_constant_ug - self.realised_ug

    @property
    def efficiency_error_ug(self) -> int | None:
        """By how much efficiency may be wrong: it takes both errors."""
        if self.saved_error_ug is None or self.timing_error_ug is None:
            return None
        return self.saved_error_ug + self.timing_error_ug

    def of_baseline(self, micrograms: int | None) -> float | None:
        """As a share of the baseline; None where there is none."""
        return None if micrograms is None or not self.baseline_ug else micrograms / self.baseline_ug


def figures(account: Account, terms: Terms) -> Figures:
    """All figures of the account, from one and the same intensity.

    The best constant limit does, by the curve, the same work in the same time: r = Σ work / Σ time. So a job that was held
    at one limit shows a timing of zero, whatever its curve's error.
    """
    settled = account.settled
    realised_pg, baseline_pg, constant_pg = settled.realised_pg, settled.baseline_pg, settled.constant_pg
    reference_pg = dict(settled.reference_pg)
    estimated_nj, unknown_nj = settled.forced_nj, settled.lost_nj
    fixed_nj = 0
    total_nj = settled.energy_nj
    for cell in account.cells:
        total_nj += cell.energy_nj
        fixed_nj += cell.fixed_nj
        if cell.state is State.UNKNOWN:
            unknown_nj += cell.energy_nj
            continue
        estimated_nj += cell.energy_nj
        carbon = carbon_of(cell, terms)
        realised_pg += carbon.realised_pg
        baseline_pg += carbon.baseline_pg
        constant_pg += carbon.constant_pg
        for product, picograms in carbon.reference_pg.items():
            reference_pg[product] = reference_pg.get(product, 0) + picograms
    baseline_ug = best_constant_ug = None
    saved_error_ug = timing_error_ug = None
    if account.models:
        baseline_ug = _ug(baseline_pg)
        powers = relative_power(account, terms)
        best_constant_ug = _ug(
            constant_pg
            + sum(round(picograms * powers.get(product, 1.0)) for product, picograms in reference_pg.items())
        )
        error = curve_error(account, terms)
        saved_error_ug = round(_ug(baseline_pg) * error)
        if any(one.curve is not None for one in terms.products.values()):
            wrong = lower_power(account, terms, error)
            timing_error_ug = _ug(round(sum(pg * wrong.get(product, 0.0) for product, pg in reference_pg.items())))
    whole = total_nj or 1
    return Figures(
        energy_mj=account.energy_mj,
        realised_ug=_ug(realised_pg),
        settled_ug=_ug(settled.realised_pg),
        baseline_ug=baseline_ug,
        best_constant_ug=best_constant_ug,
        settled=(settled.energy_nj - settled.forced_nj - settled.lost_nj) / whole,
        estimated=estimated_nj / whole,
        unknown=unknown_nj / whole,
        modelled=account.modelled_nj / whole,
        saved_error_ug=saved_error_ug,
        timing_error_ug=timing_error_ug,
    )


def slowdown(account: Account) -> float | None:
    """How far the job is behind, as a share: elapsed over work, less one. None before any work."""
    return None if account.work_us <= 0 else account.elapsed_us / account.work_us - 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the time that the job's GPUs ran was measured."""

    measured_us: int
    ran_us: int

    @property
    def share(self) -> float | None:
        """None before anything ran."""
        return None if self.ran_us <= 0 else min(self.measured_us / self.ran_us, 1.0)


def coverage(account: Account, now: datetime, *, allowance: timedelta = timedelta(minutes=10)) -> Coverage:
    """Measured against ran. The newest `allowance` counts only where records of it are in: a record closes later."""
    oldest = now - allowance
    ends = [cursor.until for cursor in account.cursors.values() if cursor.until is not None and cursor.until > oldest]
    horizon = min(min(ends, default=oldest), now)
    ran_us = account.retired_us + sum(
        pod.gpus * max(to_us(min(pod.ended or horizon, horizon)) - to_us(pod.started), 0) for pod in account.pods
    )
    return Coverage(account.measured_us, ran_us)


def relative_power(account: Account, terms: Terms) -> dict[str, float]:
    """By product: power at the best constant limit, relative to that at the reference limit.

    Where no curve is known any more, as the curve last said.
    """
    found = dict(account.relative_power)
    for product, model in account.models.items():
        known = terms.products.get(product)
        if known is not None and known.curve is not None and model.reference_nj:
            found[product] = _power_for(known, model.baseline_nj / model.reference_nj)
    return found


def curve_error(account: Account, terms: Terms) -> float:
    """By what share the baseline may be wrong, if the curve's r is wrong by `terms.curve_error` below the reference limit.

    At the reference limit the curve says r = 1 and nothing can be wrong.
    """
    baseline_nj = sum(model.baseline_nj for model in account.models.values())
    return terms.curve_error * min(account.limited_nj / baseline_nj, 1.0) if baseline_nj else 0.0


def lower_power(account: Account, terms: Terms, error: float) -> dict[str, float]:
    """By product: how much less power, relative to that at the reference limit, the best constant limit may draw.

    With a curve that is wrong by its error ε everywhere below the reference limit, and by `error` over the job's work, the
    same work asks for the limit that this curve has at r · (1 - (ε - error)). A job that was always below the reference
    limit, or never, is not concerned: what it did and the constant limit are wrong alike.
    """
    found = {}
    for product, model in account.models.items():
        known = terms.products.get(product)
        if known is not None and known.curve is not None and model.reference_nj and error > 0:
            r = model.baseline_nj / model.reference_nj
            found[product] = _power_for(known, r) - _power_for(known, r * (1 - (terms.curve_error - error)))
    return found


def _power_for(product: Product, r: float) -> float:
    if product.curve is None:
        return 1.0
    power_w, _ = product.curve.at(product.curve.limit_for(r))
    reference_w, _ = product.curve.at(product.reference_limit_w)
    return power_w / reference_w


def _ug(picograms: int) -> int:
    return (picograms + _PG_PER_UG // 2) // _PG_PER_UG
