"""Means over the starts, and what the savings are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from carbonzeus_cli.simulate.run import Run
from carbonzeus_cli.simulate.study import LEARNED, POLICIES, Runs


@dataclass(frozen=True, slots=True)
class Row:
    """One policy over all starts."""

    runs: tuple[Run, ...]
    saved_by_run: tuple[float, ...]
    """Carbon saved against the default limit, as a share."""

    @property
    def saved(self) -> float:
        return fmean(self.saved_by_run)

    @property
    def carbon_g(self) -> float:
        return fmean(run.carbon_g for run in self.runs)

    @property
    def energy_kwh(self) -> float:
        return fmean(run.energy_kwh for run in self.runs)

    @property
    def hours(self) -> float:
        return fmean(run.hours for run in self.runs)

    @property
    def slowdown(self) -> float:
        return fmean(run.slowdown for run in self.runs)

    @property
    def profiling_s(self) -> float:
        return fmean(run.profiling_s for run in self.runs)

    @property
    def most_behind_s(self) -> float:
        """The worst moment of all runs."""
        return max(run.most_behind_s for run in self.runs)


@dataclass(frozen=True, slots=True)
class Summary:
    """All policies."""

    rows: dict[str, Row]
    """By policy, in the order they are shown; without the optimum where no solver is installed."""

    bounded: bool
    """Whether ours kept a bound; else it is compared with the optimum of the same time."""

    @classmethod
    def of(cls, runs: Sequence[Runs], *, bounded: bool) -> Summary:
        """Sums up the runs of all starts, at least one."""
        rows = {}
        for policy in (*POLICIES, *LEARNED):
            if policy not in runs[0]:
                continue
            own = tuple(one[policy] for one in runs)
            saved = tuple(
                1 - one[policy].carbon_g / one["default"].carbon_g if one["default"].carbon_g else 0.0 for one in runs
            )
            rows[policy] = Row(own, saved)
        return cls(rows, bounded)

    @property
    def efficiency(self) -> float:
        """What the best constant limit saves, as a share."""
        return self.rows["static"].saved

    @property
    def timing(self) -> float:
        """What following the grid adds to that."""
        return self.rows["ours"].saved - self.efficiency

    @property
    def worst_vs_static_pp(self) -> float:
        """How many points of the default's carbon ours saved more than the best constant limit, in the worst run."""
        pairs = zip(self.rows["ours"].saved_by_run, self.rows["static"].saved_by_run, strict=True)
        return 100 * min(ours - static for ours, static in pairs)

    def of_known(self, policy: str) -> float | None:
        """What a policy that learns the curve saves, as a share of ours with the curve known; None where that is nothing."""
        known = self.rows["ours"].saved
        return self.rows[policy].saved / known if known > 1e-6 else None

    @property
    def of_optimum(self) -> float | None:
        """Ours as a share of what could be saved under the bound; None without a solver, or where nothing could be."""
        best = self.rows.get("optimum_anytime" if self.bounded else "optimum_end")
        return self.rows["ours"].saved / best.saved if best is not None and best.saved > 1e-6 else None
