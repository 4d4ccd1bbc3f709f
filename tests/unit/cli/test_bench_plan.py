"""The benchmark's page says what falls short."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from benchmarks import plan_cells, plan_page
from benchmarks.plan_cells import RIVALS, Cell, Outcome

pytestmark = pytest.mark.skipif(not plan_cells.DATA.is_dir(), reason=f"no measured data in {plan_cells.DATA}")

GOOD = {"static": 0.140, "static_known": 0.140, "mix": 0.141, "eq6": 0.150, "eq6_anytime": 0.130, "optimum": 0.15}


def outcome(unknown: float, known: float, slowdown: float = 0.03) -> Outcome:
    """Two runs that went alike."""
    saved = {policy: (value, value) for policy, value in {**GOOD, "unknown": unknown, "known": known}.items()}
    return Outcome(Cell("A40", "resnet50", "2021 CISO", slowdown), saved, dict.fromkeys(RIVALS, 50.0))


def test_cell_that_reaches_the_goals_is_not_marked():
    """99.7 % with a known length, 99 % with an unknown one."""
    assert plan_page.short_of(outcome(0.1490, 0.1499), "unknown") == []
    assert plan_page.short_of(outcome(0.1490, 0.1499), "known") == []


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        (0.1480, ["98.67 % of the optimum"]),
        (0.1385, ["92.33 % of the optimum", "worst run -0.15 points", "mean below the constant limit"]),
    ],
)
def test_cell_that_falls_short_says_by_how_much(unknown, said):
    """Of the optimum, in the worst run, and in the mean."""
    assert plan_page.short_of(outcome(unknown, 0.15), "unknown") == said


def test_page_and_table_mark_what_falls_short(tmp_path: Path):
    """In bold on the page, in words in the table of all cells."""
    outcomes = [outcome(0.1385, 0.15, slowdown) for slowdown in plan_cells.SLOWDOWNS]
    page = plan_page.page(outcomes, sections=["## More"], minutes=1.0)
    assert "**92.33 %** | 100.00 % | **-0.15** | +1.00 |" in page
    assert "5 of 5 cells below 99 % of the optimum" in page
    assert "0 of 5 cells below 99.7 % of the optimum" in page
    assert page.endswith("## More\n")
    plan_page.write_csv(tmp_path / "cells.csv", outcomes)
    with (tmp_path / "cells.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["short_known"] for row in rows] == [""] * 5
    assert {row["worst_pp_unknown"] for row in rows} == {"-0.150"}


def test_every_network_is_measured_on_every_grid_at_every_slowdown():
    """Ten curves, nine grids, five slowdowns; every start leaves room for the slowest run."""
    cells = plan_cells.cells()
    assert len(set(cells)) == len(plan_cells.curves()) * 9 * 5 == 450
    for name in plan_cells.grids():
        grid = plan_cells.grid(name)
        assert len(grid.starts) >= 4
        assert len({start.hour for start in grid.starts}) > 1


def test_cell_runs():
    """One cell, for real: bounds kept, nobody beyond the optimum who keeps them."""
    found = plan_cells.run(Cell("V100", "resnet50", "2021 CISO", 0.05))
    for policy in ("unknown", "known", "eq6_anytime", "static"):
        assert found.most_behind_s[policy] <= 60.0 + 1e-3
        assert found.mean(policy) <= found.mean("optimum") + 1e-9
    assert found.mean("known") > found.mean("static")
