"""The account as people read it in a CarbonReport: whole numbers, percentages, and short texts for the columns."""

from __future__ import annotations

from datetime import datetime, timedelta

from carbonzeus_operator.account.model import Account
from carbonzeus_operator.account.results import coverage, figures
from carbonzeus_operator.account.terms import Terms
from carbonzeus_operator.resources.ledger import LARGEST
from carbonzeus_operator.resources.quantity import format_percent
from carbonzeus_operator.resources.report import CoverageStatus, Figures

_US_PER_MS = 1000
_ENERGY = ((3.6e12, "MWh"), (3.6e9, "kWh"), (3.6e6, "Wh"), (3.6e3, "mWh"))
_CARBON = ((1e12, "t"), (1e9, "kg"), (1e6, "g"), (1e3, "mg"))


def statement(account: Account, terms: Terms) -> Figures:
    """Energy, carbon and savings for `status.realised`, or for `status.planned` of the account of recommended limits."""
    result = figures(account, terms)

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
        elapsed_milliseconds=max(account.elapsed_us, 0) // _US_PER_MS,
        work_milliseconds=max(account.work_us, 0) // _US_PER_MS,
        progress_thousandths=min(account.progress_milli, LARGEST),
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


def _text(value: float, units: tuple[tuple[float, str], ...]) -> str:
    # 999.5 reads as 1000 in three digits: the next unit begins there.
    factor, unit = next((pair for pair in units if abs(value) >= 0.9995 * pair[0]), units[-1])
    scaled = value / factor
    digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:.{digits}f} {unit}" if value else f"0 {unit}"
