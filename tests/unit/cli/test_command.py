"""The command as people and programs use it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.image import imread

from carbonzeus_cli.main import main
from carbonzeus_cli.simulate import study
from tests.unit.cli.conftest import CURVE, ISSUES, PLAIN, WriteCsv, hour, issue_rows, plain_rows

POLICIES = ("default", "static", "eq6", "eq6_anytime", "ours", "ours_perfect", "optimum_anytime", "optimum_end")
FIGURES = {"carbon_g", "energy_kwh", "hours", "slowdown", "saved", "most_behind_s", "runs"}
GOOD_CURVE = (CURVE, "300,244,1.0", "250,216,0.98", "200,179,0.94", "150,144,0.61")


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["simulate", "--json", "--replan", "1h", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_example_is_one_json_document_whose_figures_agree(length, capsys):
    """Every policy does the same work; the optima bound what can be had; ours keeps the bound at every moment."""
    found = simulated(capsys, "--every", "24h", "--length", length)
    assert list(found) == ["inputs", *POLICIES, "efficiency", "timing", "of_optimum", "worst_vs_static_pp", "notes"]
    for policy in POLICIES:
        row = found[policy]
        assert set(row) == FIGURES
        assert len(row["runs"]) == 5
        for figure in FIGURES - {"runs", "most_behind_s"}:
            mean = sum(run[figure] for run in row["runs"]) / 5
            assert row[figure] == pytest.approx(mean)
        for run in row["runs"]:
            # Time is work and what the job is behind: the work is the same in every row.
            assert run["hours"] / (1 + run["slowdown"]) == pytest.approx(72.0)
    for number in range(5):
        runs = {policy: found[policy]["runs"][number] for policy in POLICIES}
        carbon_g = {policy: run["carbon_g"] for policy, run in runs.items()}
        assert carbon_g["optimum_end"] <= carbon_g["optimum_anytime"] * (1 + 1e-7)
        for policy in ("static", "eq6_anytime", "ours", "ours_perfect"):
            assert carbon_g["optimum_anytime"] <= carbon_g[policy] * (1 + 1e-7)
            assert runs[policy]["most_behind_s"] <= 60.0 + 1e-6
        assert carbon_g["optimum_end"] <= carbon_g["eq6"] * (1 + 1e-7)
        assert runs["eq6"]["slowdown"] <= runs["optimum_end"]["slowdown"] + 1e-7
    assert found["timing"] == pytest.approx(found["ours"]["saved"] - found["static"]["saved"])
    assert found["worst_vs_static_pp"] >= -0.1
    assert found["timing"] > 0
    assert found["of_optimum"] <= 1 + 1e-7


def test_default_row_is_the_job_without_us(capsys, write_csv: WriteCsv):
    """Hours, energy and carbon of the reference limit, with host and PUE, as anybody can work out."""
    grid = write_csv(PLAIN, *[f"{hour(number)},100" for number in range(40)], name="flat.csv")
    curve = write_csv(*GOOD_CURVE, name="curve.csv")
    options = ["--hours", "10", "--gpus", "4", "--host-watts", "56", "--pue", "1.5"]
    row = simulated(capsys, "--curve", str(curve), "--intensity", str(grid), *options)["default"]
    assert row["hours"] == pytest.approx(10)
    assert row["energy_kwh"] == pytest.approx(10 * 4 * (244 + 56) * 1.5 / 1000)
    assert row["carbon_g"] == pytest.approx(row["energy_kwh"] * 100)


def test_flat_grid_leaves_nothing_to_timing(capsys, write_csv: WriteCsv):
    """On a flat grid nobody beats the best constant limit by more than whole watts and the grace give."""
    grid = write_csv(PLAIN, *[f"{hour(number)},100" for number in range(100)])
    found = simulated(capsys, "--intensity", str(grid))
    assert found["timing"] == pytest.approx(0.0, abs=0.0015)
    assert found["optimum_anytime"]["saved"] == pytest.approx(found["static"]["saved"], abs=0.0015)


def test_perfect_foresight_is_what_a_file_without_forecasts_gives(capsys, write_csv: WriteCsv):
    """And a note says so; yesterday's day is the forecast where that is asked for."""
    grid = str(write_csv(PLAIN, *plain_rows(24 * 5)))
    found = simulated(capsys, "--intensity", grid, "--hours", "24")
    assert found["ours"] == found["ours_perfect"]
    assert "known ahead" in " ".join(found["notes"])
    persistent = simulated(capsys, "--intensity", grid, "--hours", "24", "--forecast", "yesterday")
    assert persistent["inputs"]["forecast"] == "yesterday"
    assert persistent["ours"]["runs"][0]["start"] == hour(24).replace("Z", ":00Z")
    # This grid is the same every day.
    assert persistent["ours"]["carbon_g"] == pytest.approx(persistent["ours_perfect"]["carbon_g"], rel=2e-3)


def test_carbon_weight_has_no_bound_and_is_compared_at_equal_time(capsys):
    """A larger weight is slower and saves more; the constant limit takes as long."""
    small, large = (simulated(capsys, "--carbon-weight", eta) for eta in ("0.3", "0.6"))
    assert small["ours"]["slowdown"] < large["ours"]["slowdown"]
    assert small["ours"]["saved"] < large["ours"]["saved"]
    assert large["static"]["slowdown"] == pytest.approx(large["ours"]["slowdown"], abs=1e-4)
    assert large["inputs"]["slowdown"] is None


def test_wrong_forecasts_cost_savings_and_never_the_bound(capsys, write_csv: WriteCsv):
    """A forecast that has peaks and valleys the wrong way round."""
    grid = [
        f"{hour(24 * (n // 24))},{hour(n)},{350 - 150 * (16 <= n % 24 < 21)},{200 + 150 * (16 <= n % 24 < 21)}"
        for n in range(24 * 4)
    ]
    found = simulated(capsys, "--intensity", str(write_csv(ISSUES, *grid)), "--length", "known")
    assert found["ours"]["saved"] < found["ours_perfect"]["saved"]
    assert found["ours"]["most_behind_s"] <= 60.0


def test_many_starts_run_in_processes_and_give_the_same(capsys, monkeypatch, write_csv: WriteCsv):
    """How the work is shared out changes no figure."""
    grid = str(write_csv(PLAIN, *plain_rows(24 * 5)))
    options = ["--intensity", grid, "--hours", "12", "--every", "20h"]
    shared = simulated(capsys, *options)
    monkeypatch.setattr("carbonzeus_cli.simulate.study.os.cpu_count", lambda: 1)
    assert simulated(capsys, *options) == shared
    assert len(shared["ours"]["runs"]) > study.INLINE


def test_without_a_solver_the_table_says_how_to_get_it(capsys, monkeypatch):
    """The optimum is an optional extra."""
    monkeypatch.setattr("carbonzeus_cli.simulate.command.solver_installed", lambda: False)
    found = simulated(capsys, "--hours", "4")
    assert found["optimum_anytime"] is None
    assert found["optimum_end"] is None
    assert main(["simulate", "--hours", "4"]) == 0
    assert "pip install 'carbonzeus[optimum]'" in capsys.readouterr().out


def test_table_says_what_is_efficiency_and_what_timing(capsys):
    """Plain text where it is piped, no line cut off."""
    assert main(["simulate", "--hours", "20"]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out
    assert "as the best constant limit does" in shown.out
    assert "by timing" in shown.out
    assert "Zeus" in shown.out
    assert "CarbonCast" in shown.out
    assert "…" not in shown.out
    assert shown.err == ""


def test_plot_is_a_picture(tmp_path: Path, capsys):
    """A PNG of the first run, with something drawn on it."""
    path = tmp_path / "run.png"
    assert main(["simulate", "--hours", "20", "--plot", str(path)]) == 0
    pixels = imread(path)
    assert pixels.shape[0] > 500
    assert pixels.shape[1] > 500
    assert 0.001 < (pixels[..., :3].mean(axis=2) < 0.9).mean() < 0.5
    assert mpl.get_backend().lower() == "agg"


def test_kubectl_plugin_calls_itself_so(monkeypatch, capsys):
    """`kubectl carbon` runs `kubectl-carbon`."""
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-carbon"])
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    assert "kubectl carbon simulate" in capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a run that ends with exit code 2 and prints nothing else."""
    code: object
    try:
        code = main(["simulate", "--hours", "24", *arguments])
    except SystemExit as end:  # argparse
        code = end.code
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    return shown.err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: the header has no column power_limit_w"),
        (["power_limit_w,throughput", "300,1"], "line 1: the header has no column average_power_w"),
        ([CURVE], "line 1: the file ends after 0 points"),
        ([CURVE, "300,244,1"], "line 2: the file ends after 1 point;"),
        ([CURVE, "300,244,1", "250,216"], "line 3: has 2 cells"),
        ([CURVE, "300,244,1", "250,nan,0.9"], "line 3: average_power_w 'nan' is no number"),
        ([CURVE, "300,244,1", "250,inf,0.9"], "line 3: average_power_w 'inf' is no number"),
        ([CURVE, "300,244,1", "250,216,fast"], "line 3: throughput 'fast' is no number"),
        ([CURVE, "300,244,1", "", "250,-216,0.9"], "line 4: average_power_w '-216' is not above zero"),
        ([CURVE, "300,244,1", "200,179,0.9", "250,216,0.98"], "line 4: power_limit_w 250 comes after 200"),
        ([CURVE, *("300,244,1" for _ in range(1001))], "line 1002: is row 1001"),
        ([CURVE, "300,244,1", "250,216,1.9"], "throughput at 300 W is 1, which does not fit its neighbours"),
        ([CURVE, '300,244,"1'], "is no CSV"),
    ],
)
def test_broken_curve_is_refused_with_file_and_line(lines, message, capsys, write_csv: WriteCsv):
    """Exit code 2, one sentence, nothing on stdout."""
    path = write_csv(*lines, name="broken.csv")
    said = refused(capsys, "--curve", str(path))
    assert f"{path}" in said
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: "),
        (["start_utc,carbon", "x,1"], "line 1: the header has no column gco2_per_kwh"),
        ([PLAIN, *plain_rows(1)], "no two rows follow each other"),
        ([PLAIN, *plain_rows(3), f"{hour(3)},NaN"], "line 5: gco2_per_kwh 'NaN' is no number"),
        ([PLAIN, *plain_rows(3), f"{hour(3)},-1"], "line 5: gco2_per_kwh -1 is negative"),
        ([PLAIN, *plain_rows(5), f"{hour(2)},1"], "line 7: start_utc"),
        ([PLAIN, *plain_rows(5), f"{hour(5)}"], "line 7: has 1 cells"),
        ([PLAIN, *plain_rows(30)[:5], *plain_rows(30)[7:]], "line 7: a gap: no actual intensity from 2022-01-01T05:00Z to"),
        ([ISSUES, *issue_rows(1, 48)[:30], *(row.rsplit(",", 1)[0] + "," for row in issue_rows(1, 48)[30:31]),
          *issue_rows(1, 48)[31:]], "line 33: a gap"),
        ([ISSUES, *(row.rsplit(",", 1)[0] + "," for row in issue_rows(1, 48))], "line 2: no row has an actual"),
        ([PLAIN, *plain_rows(20)], "the intensity ends at 2022-01-01T20:00Z; simulate fewer --hours"),
    ],
)  # fmt: skip
def test_broken_intensity_is_refused_with_file_and_line(lines, message, capsys, write_csv: WriteCsv):
    """Exit code 2, one sentence, nothing on stdout."""
    path = write_csv(*lines, name="broken.csv")
    said = refused(capsys, "--intensity", str(path))
    assert f"{path}" in said
    assert message in said
    assert said.count("\n") == 1


def test_a_million_rows_are_read(capsys, write_csv: WriteCsv):
    """Nine years of five minutes: read in seconds, planned as fast as a short file."""
    begin = datetime(2016, 1, 1, tzinfo=UTC)
    days = [begin + timedelta(days=number) for number in range(3473)]
    clock = [f"T{minute // 60:02}:{minute % 60:02}Z,{100 + minute % 300}" for minute in range(0, 1440, 5)]
    path = write_csv(PLAIN, *(f"{day:%Y-%m-%d}{time}" for day in days for time in clock))
    found = simulated(capsys, "--intensity", str(path), "--hours", "2", "--start", "2024-01-01T00:00Z")
    assert found["ours"]["saved"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start", hour(24 * 8)], "the intensity ends at"),
        (["--start", hour(-1)], "is before the intensity begins; start at 2022-01-01T00:00Z or later"),
        (["--start", hour(1), "--forecast", "yesterday"], "a whole day of intensity"),
        (["--every", "1m"], "more than 1000 runs; start less often"),
        (["--start", "2022-01-01"], "no time with its offset"),
        (["--every", "often"], "no time such as 30m"),
        (["--slowdown", "3"], "no percentage"),
        (["--slowdown", "3%", "--carbon-weight", "0.5"], "not allowed with"),
        (["--carbon-weight", "2"], "no number from 0 to 1"),
        (["--hours", "nan"], "no number from"),
        (["--pue", "0.5"], "no number from 1"),
        (["--gpus", "0"], "no whole number above zero"),
        (["--plot", "picture.gif"], "does not end in .png"),
        (["--plot", "/nowhere/at/all.png"], "there is no folder"),
        (["--curve", "/nowhere/at/all.csv"], "cannot be read: No such file"),
        (["--curve", "/"], "cannot be read: Is a directory"),
        (["--reference-limit", "100"], "the built-in curve: the curve's smallest limit is 125 W"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message, capsys, write_csv: WriteCsv):
    """Exit code 2 and what to do instead."""
    path = write_csv(PLAIN, *plain_rows(24 * 9))
    assert message in refused(capsys, "--intensity", str(path), *arguments)


def test_forecasts_that_do_not_reach_the_end_are_refused(capsys, write_csv: WriteCsv):
    """The line of the last row of the forecast in force, and what it says nothing of."""
    rows = [*issue_rows(1, 20), *issue_rows(3, 24)[24:]]
    whole = [*rows[:20], *(f"{hour(24)},{hour(20 + n)},200,{200 + (20 + n) % 24}" for n in range(4)), *rows[20:]]
    said = refused(capsys, "--intensity", str(write_csv(ISSUES, *whole)))
    assert "line 21: the forecast issued at 2022-01-01T00:00Z says nothing of 2022-01-01T20:00Z" in said
    assert "--hours" in said


def test_start_before_the_first_forecast_is_refused(capsys, write_csv: WriteCsv):
    """Nobody would have had a plan."""
    rows = [row.replace(hour(0), hour(6), 1) for row in issue_rows(1, 96)]
    said = refused(capsys, "--intensity", str(write_csv(ISSUES, *rows)), "--start", hour(3))
    assert "is before the first forecast; start at 2022-01-01T06:00Z or later" in said


def test_missing_matplotlib_says_what_to_install(capsys, monkeypatch, tmp_path: Path):
    """Before anything is simulated."""
    monkeypatch.setattr("carbonzeus_cli.simulate.command.importlib.util.find_spec", lambda _: None)
    assert "pip install 'carbonzeus[plot]'" in refused(capsys, "--plot", str(tmp_path / "run.png"))


def test_forecasts_older_than_a_policy_follows_are_noted(capsys, write_csv: WriteCsv):
    """The simulation follows them; a default policy would hold a constant limit after six hours."""
    found = simulated(capsys, "--intensity", str(write_csv(ISSUES, *issue_rows(2, 48))), "--hours", "20")
    assert "afterMinutes: 1440" in " ".join(found["notes"])
