"""What the demo plays: the recording, its clock, and the files."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from carbonzeus_bed.demo.recording import FILE, STEP, Recording, Replay, at
from carbonzeus_bed.demo.scenario import CHART, DAYS, DUO, JOBS, PLAYS, SOLO, SPEED, documents, jobs, values
from carbonzeus_bed.physics import CURVES

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT.parent / "shared/data/carbon/carboncast_2021-08_CISO_lca_forecast96h_actual.csv"
WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def recording() -> Recording:
    return Recording.parse(FILE.read_text(encoding="utf-8"))


@pytest.fixture
def replay(recording: Recording) -> Replay:
    return Replay(recording.start, WALL, SPEED)


def test_four_daily_forecasts_reach_beyond_the_end_without_a_gap(recording: Recording) -> None:
    """Each has intervals end to end; the last three also cover a job that ends late."""
    end = recording.start + timedelta(days=DAYS)
    assert [issued - recording.start for issued, _ in recording.issues] == [timedelta(days=day) for day in range(DAYS)]
    for issued, intervals in recording.issues:
        assert intervals[0].start == issued
        assert all(one.end == following.start for one, following in pairwise(intervals))
        assert intervals[-1].end >= end
    assert recording.actual[-1].end > end + STEP


@pytest.mark.skipif(not SOURCE.exists(), reason=f"{SOURCE.name} is not in ../shared/data/carbon")
def test_every_figure_is_the_sources_own() -> None:
    """The fixture selects rows of CarbonCast's file and changes no value."""
    columns = ("issued_utc", "start_utc", "forecast_gco2eq_kwh", "actual_gco2eq_kwh")
    with SOURCE.open(encoding="utf-8") as file:
        source = {tuple(row[name] for name in columns) for row in csv.DictReader(file)}
    with FILE.open(encoding="utf-8") as file:
        chosen = [tuple(row[name] for name in columns) for row in csv.DictReader(file)]
    assert set(chosen) <= source


def test_the_forecast_is_the_newest_that_was_issued(recording: Recording) -> None:
    """Between two issues the earlier one counts, before all of them the first."""
    first, second = (intervals for _, intervals in recording.issues[:2])
    assert recording.forecast(recording.start + timedelta(hours=23)) == first
    assert recording.forecast(recording.start + timedelta(hours=24)) == second
    assert recording.forecast(recording.start - timedelta(hours=1)) == first


def test_the_replay_maps_four_days_onto_two_minutes_and_back(recording: Recording, replay: Replay) -> None:
    """Wall clock and recorded clock agree at both ends."""
    end = recording.start + timedelta(days=DAYS)
    assert replay.wall(recording.start) == WALL
    assert replay.wall(end) == WALL + PLAYS
    assert replay.recorded(WALL + PLAYS) == end
    assert replay.hours(WALL + PLAYS / 2) == 24 * DAYS / 2


def test_the_intensity_of_a_moment_is_that_of_its_interval(recording: Recording) -> None:
    """Half-open: the end belongs to the next one."""
    first, second = recording.actual[:2]
    assert at(recording.actual, first.start) == first.gco2_per_kwh
    assert at(recording.actual, first.end) == second.gco2_per_kwh
    assert at(recording.actual, recording.actual[-1].end) is None


def test_profiles_hold_the_curve_that_the_emulated_boards_follow() -> None:
    """Power of one GPU; steps per second of the whole job, for the job's own number of GPUs."""
    curve = CURVES["a40-resnet50"]
    for profile, job in zip(documents("profiles.yaml"), (SOLO, DUO), strict=True):
        spec = profile["spec"]
        assert spec["gpuCount"] * 100 == job.steps_per_second
        for point in spec["points"]:
            assert float(point["averageWatts"]) == pytest.approx(curve.power_w(point["limitWatts"]), abs=0.01)
            throughput = job.steps_per_second * curve.speed(point["limitWatts"])
            assert float(point["throughput"]) == pytest.approx(throughput, abs=0.001)


def test_only_the_managed_jobs_are_annotated_and_each_with_a_profile_of_its_size() -> None:
    """The third job differs from the first in nothing but the annotations."""
    profiles = {one["metadata"]["name"]: one["spec"]["gpuCount"] for one in documents("profiles.yaml")}
    found = {one["metadata"]["name"]: one for one in documents("jobs.yaml")}
    assert set(found) == {job.name for job in JOBS}
    for job in JOBS:
        annotations = found[job.name]["metadata"].get("annotations", {})
        assert ("carbonzeus.dev/policy" in annotations) == job.managed
        if job.managed:
            replicas = found[job.name]["spec"]["pytorchReplicaSpecs"].values()
            gpus = sum(_gpus(replica) * replica["replicas"] for replica in replicas)
            assert profiles[annotations["carbonzeus.dev/profile"]] == gpus
    assert found["resnet-plain"]["spec"] == found["resnet-solo"]["spec"]


def test_jobs_get_the_steps_that_fill_their_time_at_the_allowed_slowdown() -> None:
    """103 s at 3 % are 100 s of work; the job without policy works all the time."""
    steps = {
        one["metadata"]["name"]: {
            replica["template"]["metadata"]["annotations"]["bed.carbonzeus.dev/steps"]
            for replica in one["spec"]["pytorchReplicaSpecs"].values()
        }
        for one in jobs({job.name: timedelta(seconds=103) for job in JOBS})
    }
    assert steps == {"resnet-solo": {"10000"}, "resnet-duo": {"40000"}, "resnet-plain": {"10300"}}


def test_values_carry_the_recording_and_the_moment_it_begins(replay: Replay) -> None:
    """As the chart's schema wants them."""
    grid = values(replay)["grid"]
    assert grid["file"]["data"] == {"US-CAL-CISO.csv": FILE.read_text(encoding="utf-8")}
    assert grid["replay"] == {
        "speed": 2880,
        "recordedStart": "2021-08-18T00:00:00Z",
        "wallStart": "2026-01-01T12:00:00Z",
    }
    assert (CHART / "Chart.yaml").exists()


def _gpus(replica: Any) -> int:
    containers = replica["template"]["spec"]["containers"]
    return sum(int(container["resources"]["limits"]["nvidia.com/gpu"]) for container in containers)
