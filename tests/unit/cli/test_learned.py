"""`--curve learned`: what a user sees of a curve that is measured while the job trains."""

from __future__ import annotations

import json
from typing import Any

import pytest

from carbonzeus_cli.main import main
from carbonzeus_operator.plan.prior import Prior
from tests.unit.cli.conftest import CURVE, PLAIN, WriteCsv, plain_rows

SHORT = ("simulate", "--json", "--replan", "30m", "--hours", "12", "--curve", "learned")


def learned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*SHORT, *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_learning_is_told_beside_what_the_known_curve_saves(capsys):
    """Both runs keep the bound, save nearly all that can be saved, the second one after less measuring."""
    found = learned(capsys)
    first, second = found["learned"]["first_run"], found["learned"]["second_run"]
    for run in (first, second):
        assert run["most_behind_s"] <= 60.0
        assert run["of_known_curve"] == pytest.approx(run["saved"] / found["ours"]["saved"])
        assert 0.95 < run["of_known_curve"] < 1.01
    assert 0 < second["profiling_s"] < first["profiling_s"] < 3 * 3600


def test_learned_points_hold_the_truth_between_them(capsys):
    """From the lowest level to the reference limit; what was not measured says so."""
    points = learned(capsys)["learned"]["points"]
    prior = Prior.of("NVIDIA A40", 300, 150)
    assert [point["limit_w"] for point in points] == [*prior.limits_w[::-1], 300]
    known = [point for point in points if point["known"]]
    assert len(known) >= 4
    for point in known:
        assert point["r_low"] - 1e-9 <= point["true_r"] <= point["r_high"] + 1e-9
        assert point["average_w"] is not None
    for point in points:
        assert point["r_low"] <= point["r"] <= point["r_high"]


def test_windows_come_from_the_top_down(capsys):
    """After warm-up and reference."""
    windows = learned(capsys)["learned"]["windows"]
    assert [window["why"] for window in windows[:2]] == ["WarmUp", "Reference"]
    first_visits = list(dict.fromkeys(window["limit_w"] for window in windows))
    assert first_visits == sorted(first_visits, reverse=True)


def test_same_start_has_the_same_noise(capsys):
    """Whoever runs it again sees the same."""
    assert learned(capsys) == learned(capsys)


def test_noisier_jobs_are_measured_for_longer_and_known_worse(capsys):
    """And the bound holds all the same."""
    quiet, noisy = (learned(capsys, "--noise", noise)["learned"] for noise in ("0.02%", "1%"))
    assert noisy["first_run"]["most_behind_s"] <= 60.0
    assert noisy["first_run"]["saved"] < quiet["first_run"]["saved"]


def test_truth_is_a_file_of_a_curve(capsys, write_csv: WriteCsv):
    """With the prior of a board that nobody measured."""
    truth = write_csv(CURVE, "400,380,1.0", "300,290,0.97", "200,195,0.8", name="truth.csv")
    grid = write_csv(PLAIN, *plain_rows(48))
    found = learned(capsys, "--truth", str(truth), "--intensity", str(grid), "--product", "NVIDIA H100 80GB HBM3")
    assert found["inputs"]["curve"] == str(truth)
    assert found["learned"]["product"] == "NVIDIA H100 80GB HBM3"
    assert [point["limit_w"] for point in found["learned"]["points"]] == [200, 250, 300, 350, 400]


def test_table_tells_it_in_words(capsys):
    """Two rows more, and the curve with its doubt."""
    assert main(["simulate", "--hours", "6", "--curve", "learned", "--replan", "30m"]) == 0
    shown = capsys.readouterr().out
    assert "carbonzeus, learning the curve" in shown
    assert "minutes of measuring" in shown
    assert "225 W 0.9" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--curve", "learned", "--carbon-weight", "0.5"), "give --slowdown instead"),
        (("--truth", "curve.csv"), "say --curve learned"),
        (("--curve", "learned", "--min-percent", "100"), "nothing to learn"),
        (("--curve", "learned", "--noise", "0.1"), "with its sign"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message, capsys):
    """Exit code 2, and what to do."""
    code: object
    try:
        code = main(["simulate", "--hours", "6", *arguments])
    except SystemExit as end:  # argparse
        code = end.code
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert message in shown.err
