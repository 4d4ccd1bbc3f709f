"""What the demo shows of a frame, live and in plain lines; and that the picture can be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from carbonzeus_bed.demo import picture, view
from carbonzeus_bed.demo.frame import Frame
from carbonzeus_bed.demo.ledger import Report
from carbonzeus_bed.demo.recording import FILE, Recording, Replay
from carbonzeus_bed.demo.scenario import JOBS, SPEED
from carbonzeus_bed.truth import Stretch, Truth

WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)

RAW = {
    "metadata": {"name": "resnet-duo-12345678"},
    "spec": {"jobRef": {"name": "resnet-duo"}},
    "status": {
        "state": "Enforcing",
        "limit": "225 W",
        "slowdown": "2.31%",
        "realised": {
            "energyMillijoules": 7_200_000,
            "carbonMicrograms": 600_000,
            "baselineCarbonMicrograms": 700_000,
            "savedCarbonMicrograms": 100_000,
            "saved": "14.29%",
            "efficiency": "13.5%",
            "timing": "0.79%",
        },
        "coverage": {"settled": "96%"},
        "ledger": {"cells": ["one", "two"]},
        "conditions": [{"type": "BoundKept", "status": "True", "reason": "WithinBound", "message": "well"}],
    },
}


def frame(reports: Mapping[str, Report], hours: float = 38.0) -> Frame:
    return Frame(
        at=WALL,
        hours=hours,
        intensity=312.4,
        forecast=(100.0, 200.0, 300.0),
        reports=reports,
        phases={job.name: "Running" for job in JOBS},
        limits_w={"gpu-a": (225.0, 225.0, 300.0, 300.0), "gpu-b": (225.0, 225.0, 300.0, 300.0)},
    )


def text_of(shown: Frame) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        console.print(view.render(shown, 100.0, 300.0))
    return captured.get()


def test_a_report_is_read_as_numbers() -> None:
    """The realised figures, and how many windows are open."""
    report = Report.parse(RAW)
    assert (report.job, report.energy_mj, report.carbon_ug, report.saved_ug) == (
        "resnet-duo",
        7_200_000,
        600_000,
        100_000,
    )
    assert (report.cells, report.settled, report.closed) == (2, "96%", False)
    assert replace(report, state="Finished", cells=0, all_in=True).closed


@pytest.mark.parametrize(
    ("pods", "cursors", "all_in"),
    [
        ([{"ended": "2026-01-01T12:00:00Z"}], [{"until": "2026-01-01T12:00:06Z"}], True),
        ([{"ended": "2026-01-01T12:00:00Z"}], [{"until": "2026-01-01T12:00:05.9Z"}], False),
        ([{"ended": "2026-01-01T12:00:00Z"}, {}], [{"until": "2026-01-01T12:00:06Z"}], False),
        ([{"ended": "2026-01-01T12:00:00Z"}], [{"until": "2026-01-01T12:00:06Z"}, {}], False),
        ([{"ended": "2026-01-01T12:00:00Z"}], [], False),
        ([], [{"until": "2026-01-01T12:00:06Z"}], False),
    ],
)
def test_a_report_is_complete_when_every_ledger_was_read_beyond_the_end_of_its_pods(
    pods: list[dict[str, str]], cursors: list[dict[str, str]], all_in: bool
) -> None:
    """Before that a last record may still be on its way, although nothing is unsettled."""
    ledger = {"pods": pods, "cursors": cursors}
    raw = RAW | {"status": {"state": "Finished", "ledger": ledger}}
    assert Report.parse(raw).all_in == Report.parse(raw).closed == all_in


def test_a_report_without_status_is_pending() -> None:
    """It was created a moment ago."""
    report = Report.parse({key: value for key, value in RAW.items() if key != "status"})
    assert (report.state, report.saved_ug, report.closed) == ("Pending", None, False)


def test_the_live_view_shows_grid_jobs_and_boards() -> None:
    """Intensity, time, forecast; limit, slowdown, energy, carbon, savings; each board's limit."""
    text = text_of(frame({"resnet-duo": Report.parse(RAW)}))
    for expected in (
        "312 gCO2eq/kWh",
        "day 2, 14:00",
        "▁▅█",
        "225 W",
        "2.31%",
        "2.00 Wh",
        "0.60 g",
        "0.10 g",
        "14.29%",
    ):
        assert expected in text
    assert "Running, not ours" in text
    assert "300 W" in text


def test_a_frame_before_anything_happened_is_shown_too() -> None:
    """No intensity, no report."""
    early = replace(frame({}, hours=-1.0), intensity=None, forecast=())
    assert "no intensity yet" in text_of(early)
    assert "before day 1" in view.line(early)


def test_the_plain_line_says_the_most_important() -> None:
    """For logs: one line a frame."""
    line = view.line(frame({"resnet-duo": Report.parse(RAW)}))
    assert "312 g/kWh" in line
    assert "resnet-duo Enforcing 225 W, 2.31% behind, saved 14.29%" in line
    assert "\n" not in line


def test_a_sparkline_reaches_from_the_lowest_to_the_highest_bar() -> None:
    """Values outside are drawn at the ends."""
    assert view.sparkline([0.0, 1.0, 2.0, 5.0, -1.0], 0.0, 2.0) == "▁▅██▁"


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    """Drawn without a display, from the recording, the truth and the frames."""
    recording = Recording.parse(FILE.read_text(encoding="utf-8"))
    replay = Replay(recording.start, WALL, SPEED)
    start_ns = int(WALL.timestamp()) * 10**9
    stretches = tuple(
        Stretch(start_ns, start_ns + 10**9, f"GPU-{job.name}", "gpu-a", "pod", job.full_name, 300.0, 1e5)
        for job in JOBS
    )
    frames = [
        replace(frame({"resnet-duo": Report.parse(RAW)}, hours=float(hours)), at=WALL + timedelta(seconds=hours))
        for hours in (1, 2)
    ]
    path = tmp_path / "demo.png"
    picture.draw(path, recording, replay, Truth(stretches, {}), frames)
    assert path.read_bytes().startswith(b"\x89PNG")
