"""The account as people read it in a CarbonReport: whole numbers, percentages, and short texts for the columns."""

from __future__ import annotations

from datetime import datetime, timedelta

from carbonzeus_operator.account.model import Account
from carbonzeus_operator.account.resettlement import AGES
from carbonzeus_operator.account.results import coverage, figures
from carbonzeus_operator.account.terms import Terms
from carbonzeus_operator.resources.ledger import LARGEST
from carbonzeus_operator.resources.quantity import format_decimal, format_percent
from carbonzeus_operator.resources.report import CoverageStatus, Figures, SettlementStatus

STAGES = ("First", *(f"{age.days}d" for age in AGES))
_US_PER_MS = 1000
_NJ_PER_MJ = 1_000_000
_PG_PER_UG = 1_000_000
_MOST_PER_STEP = 1e15
"""A kilotonne a step is no figure of a training job, and longer than a status takes."""
_ENERGY = ((3.6e12, "MWh"), (3.6e9, "kWh"), (3.6e6, "Wh"), (3.6e3, "mWh"))
_CARBON = ((1e12, "t"), (1e9, "kg"), (1e6, "g"), (1e3, "mg"))


def statement(account: Account, terms: Terms, *, planned: bool = False) -> Figures:
    """Energy, carbon and savings for `status.realised`, or for `status.planned` of the account of recommended limits.

    The latter has no carbon per step: the steps are those that the job did at its real limits.
    """
    result = figures(account, terms)
    progress_milli = min(account.progress_milli, LARGEST)

    def percent(micrograms: int | None) -> str | None:
        share = result.of_baseline(micrograms)
        return None if share is None else format_percent(share)

    return Figures(
        energy_millijoules=result.energy_mj,
        carbon_micrograms=result.realised_ug,
        settled_carbon_micrograms=result.settled_ug,
        baseline_carbon_micrograms=result.baseline_ug,
        best_constant_carbon_micrograms=result.best_constant_ug,
        saved_carbon_micrograms=result.saved_ug,
        efficiency_carbon_micrograms=result.efficiency_ug,
        timing_carbon_micrograms=result.timing_ug,
        saved=percent(result.saved_ug),
        efficiency=percent(result.efficiency_ug),
        timing=percent(result.timing_ug),
        saved_uncertainty=percent(result.saved_error_ug),
        efficiency_uncertainty=percent(result.efficiency_error_ug),
        timing_uncertainty=percent(result.timing_error_ug),
        saved_uncertainty_carbon_micrograms=result.saved_error_ug,
        elapsed_milliseconds=max(account.elapsed_us, 0) // _US_PER_MS,
        work_milliseconds=max(account.work_us, 0) // _US_PER_MS,
        progress_thousandths=progress_milli,
        carbon_micrograms_per_step=None if planned else _per_step(result.realised_ug, progress_milli),
    )


def settlement_statements(account: Account) -> tuple[SettlementStatus, ...]:
    """What was settled at which stage, for `status.settlements`: a revision is seen beside what it revised."""
    return tuple(
        SettlementStatus(
            at=STAGES[stage],
            energy_millijoules=one.energy_nj // _NJ_PER_MJ,
            estimated=format_percent(one.estimated_nj / (one.energy_nj or 1)),
            carbon_before_micrograms=_ug(one.before_pg) if stage else None,
            carbon_micrograms=_ug(one.after_pg),
            retrieved_at=one.vintage.retrieved_at if one.vintage else None,
            updated_at=one.vintage.updated_at if one.vintage else None,
            source=one.vintage.source[:64] if one.vintage else None,
            signal=one.vintage.signal if one.vintage else None,
            factor=one.vintage.factor.value if one.vintage else None,
            model=(one.vintage.model[:128] or None) if one.vintage else None,
        )
        for stage, one in sorted(account.settlements.items())
    )


def coverage_statement(
    account: Account, terms: Terms, now: datetime, *, allowance: timedelta = timedelta(minutes=10)
) -> CoverageStatus:
    """How much was measured and settled, for `status.coverage`."""
    result, covered = figures(account, terms), coverage(account, now, allowance=allowance)
    return CoverageStatus(
        measured_gpu_milliseconds=covered.measured_us // _US_PER_MS,
        ran_gpu_milliseconds=covered.ran_us // _US_PER_MS,
        measured=None if covered.share is None else format_percent(covered.share),
        settled=format_percent(result.settled),
        estimated=format_percent(result.estimated),
        unknown=format_percent(result.unknown),
        modelled=format_percent(result.modelled),
    )


def energy_text(millijoules: int) -> str:
    """1.23 kWh: three digits, in the unit that keeps them short."""
    return _text(millijoules, _ENERGY)


def carbon_text(micrograms: int) -> str:
    """345 g."""
    return _text(micrograms, _CARBON)


def _per_step(micrograms: int, progress_milli: int) -> str | None:
    if progress_milli <= 0:
        return None
    value = micrograms * 1000 / progress_milli
    return format_decimal(value, 6) if value < _MOST_PER_STEP else None


def _ug(picograms: int) -> int:
    return (picograms + _PG_PER_UG // 2) // _PG_PER_UG


def _text(value: float, units: tuple[tuple[float, str], ...]) -> str:
    # 999.5 reads as 1000 in three digits: the next unit begins there.
    factor, unit = next((pair for pair in units if abs(value) >= 0.9995 * pair[0]), units[-1])
    scaled = value / factor
    digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:.{digits}f} {unit}" if value else f"0 {unit}"
