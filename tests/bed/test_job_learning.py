"""Jobs whose curve nobody knows, at ten seconds of training a second: what is measured, planned, kept, and used again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.physics import CURVES
from carbonzeus_bed.truth import Stretch
from tests.bed.manifests import job
from tests.bed.scene import Scene
from tests.bed.sight import utc

pytestmark = pytest.mark.bed

TIMELAPSE = 10.0
GRACE_S, SLOWDOWN = 60.0, 0.03
QUARTER_S = 900.0
DAY_S = 86_400.0
FIRST = ("counts", "slow", "silent")

SETTINGS: dict[str, Any] = {
    "learningTimelapse": TIMELAPSE,
    "graceSeconds": GRACE_S / TIMELAPSE,
    "survivalSeconds": DAY_S / TIMELAPSE,
    "cycleSeconds": 0.5,
    "replanSeconds": 5,
    "leaseSeconds": 30,
    "switchLeadSeconds": 0.3,
}
TRAINING: dict[str, Any] = {"profile": None, "steps_per_second": 5000.0, "noise": 0.0003}
SLOW: dict[str, Any] = {
    **TRAINING,
    "steps_per_second": 0.2 * TIMELAPSE,
    "counts": "Parts",
    "annotations": {"carbonzeus.dev/workload": "slow"},
}
"""Five seconds of training a step, counted as the SDK does."""
TRUTH = CURVES["a40-resnet50"]


@dataclass
class Played:
    """What is left of the run."""

    scene: Scene
    learned_at: dict[str, datetime] = field(default_factory=dict)
    """When a report first said that a curve is known, by the records it was learned from."""
    profiles: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Its PowerProfile then, by job."""


def learning(scene: Scene, name: str) -> Mapping[str, Any]:
    status = scene.raw_reports().get(name, {}).get("status", {})
    found: Mapping[str, Any] = status.get("learning", {})
    return found


def profile_of(scene: Scene, name: str) -> Mapping[str, Any]:
    """The PowerProfile that the job's report names."""
    profile = scene.raw_reports()[name]["status"]["profile"]
    path = f"/apis/carbonzeus.dev/v1alpha1/namespaces/{scene.namespace}/powerprofiles/{profile}"
    found: Mapping[str, Any] = scene.cluster.api.get(path)
    return found


@pytest.fixture(scope="module")
def played(bed: Cluster) -> Iterator[Played]:
    """A job that counts its steps, one with slow steps and one that counts nothing, side by side; then the first one again."""
    scene = Scene.set_up(bed, "learning", step=timedelta(seconds=20), **SETTINGS)
    played = Played(scene)
    scene.submit(
        job("counts", seconds=143, node="gpu-a", **TRAINING),
        job("slow", seconds=143, node="gpu-a", **SLOW),
        job("silent", seconds=143, node="gpu-b", progress=False, **TRAINING),
    )

    def watched() -> bool:
        for name in FIRST:
            now = learning(scene, name)
            if name not in played.learned_at and now.get("phase") == "Learned":
                played.learned_at[name] = datetime.fromisoformat(json.loads(now["state"])["until"])
        return all(scene.finished(name) for name in FIRST)

    scene.wait(watched, "all three jobs end", within_s=240)
    scene.wait_closed(*FIRST)
    played.profiles = {name: profile_of(scene, name) for name in FIRST}
    scene.submit(job("again", seconds=60, node="gpu-a", **TRAINING))
    scene.wait(lambda: scene.finished("again"), "the second run ends", within_s=120)
    scene.wait_closed("again")
    played.profiles["again"] = profile_of(scene, "again")
    try:
        yield played
    finally:
        scene.tear_down()


def progress_of(scene: Scene, name: str, until: datetime | None = None) -> list[tuple[float, float]]:
    """(elapsed, work) of a job of one board at each of its switches, by the emulator [s of training]."""
    rows, elapsed_s, work_s = [], 0.0, 0.0
    for stretch in scene.truth().select(job=scene.full(name)):
        end = min(utc(stretch.end_ns), until) if until is not None else utc(stretch.end_ns)
        seconds = (end - utc(stretch.start_ns)).total_seconds() * TIMELAPSE
        if seconds > 0:
            elapsed_s += seconds
            work_s += seconds * TRUTH.speed(stretch.limit_w)
            rows.append((elapsed_s, work_s))
    assert rows, f"{name} held no board"
    return rows


@pytest.mark.parametrize("name", ["counts", "slow"])
def test_curve_is_found_within_a_quarter_of_an_hour(played: Played, name: str) -> None:
    """Of a job that counts its steps and says nothing else, be they quick or slow."""
    began, _ = held(played.scene, name)
    seconds = (played.learned_at[name] - began).total_seconds() * TIMELAPSE
    assert seconds <= QUARTER_S


@pytest.mark.parametrize("name", ["counts", "slow"])
def test_learned_curve_is_the_emulators(played: Played, name: str) -> None:
    """Within 2 % at every limit that may be used: throughput by its curve, power by what the board drew at that limit (it wanders by 1 %)."""
    points = played.profiles[name]["spec"]["points"]
    assert len(points) >= 3
    stretches = played.scene.truth().select(job=played.scene.full(name))
    for point in points:
        limit_w = float(point["limitWatts"])
        assert float(point["throughput"]) == pytest.approx(TRUTH.speed(limit_w), rel=0.02)
        assert float(point["averageWatts"]) == pytest.approx(drawn_w(stretches, limit_w), rel=0.02)


def drawn_w(stretches: Iterable[Stretch], limit_w: float) -> float:
    """The mean power at a limit [W]."""
    there = [each for each in stretches if each.limit_w == limit_w]
    return sum(each.energy_mj for each in there) / sum(each.end_ns - each.start_ns for each in there) * 1e6


@pytest.mark.parametrize("name", [*FIRST, "again"])
def test_bound_holds_at_every_moment(played: Played, name: str) -> None:
    """By the emulator's own speed, while it is measured and after; the silent job, too."""
    behind_s = max(elapsed_s / (1 + SLOWDOWN) - work_s for elapsed_s, work_s in progress_of(played.scene, name))
    assert behind_s <= GRACE_S


@pytest.mark.parametrize("name", ["counts", "slow"])
def test_measuring_costs_little(played: Played, name: str) -> None:
    """Less than 0.3 % of the time of a job of a day, until a curve is there."""
    elapsed_s, work_s = progress_of(played.scene, name, played.learned_at[name])[-1]
    assert elapsed_s - work_s < 0.003 * DAY_S


def test_learned_curves_are_used(played: Played) -> None:
    """All jobs end with limits below their reference limit, and with something saved."""
    for name in FIRST:
        limits_w = [stretch.limit_w for stretch in played.scene.truth().select(job=played.scene.full(name))]
        assert min(limits_w) < 300
        report = played.scene.raw_reports()[name]["status"]
        assert float(report["saved"].rstrip("%")) > 0


def test_silent_job_is_thought_slower_than_it_is(played: Played) -> None:
    """Its clocks bound its speed from below, at every limit that it uses."""
    points = played.profiles["silent"]["spec"]["points"]
    assert len(points) >= 2
    for point in points:
        assert float(point["throughput"]) <= TRUTH.speed(float(point["limitWatts"])) + 0.002


def test_profile_says_what_was_measured(played: Played) -> None:
    """For people, and for the next run."""
    profile = played.profiles["counts"]
    spec, status = profile["spec"], profile["status"]
    assert (spec["source"], spec["gpuProduct"], spec["gpuCount"], spec["workload"]) == (
        "Measured",
        "NVIDIA A40",
        1,
        "train",
    )
    assert status["windows"] > 0
    assert status["runs"] == 1
    assert 0 < float(status["uncertainty"].rstrip("%")) < 2.0
    assert {one["limitWatts"] for one in spec["points"]} <= {one["limitWatts"] for one in status["measured"]}
    usable = next(one for one in status["conditions"] if one["type"] == "Usable")
    assert usable["status"] == "True"


def test_kubectl_shows_what_was_learned(played: Played) -> None:
    """One line a profile: what it is of, how well it is known, from how much."""
    told = played.scene.cluster.kubectl("get", "powerprofiles", "--namespace", played.scene.namespace)
    print(f"\n{told}")
    head, *lines = told.splitlines()
    assert head.split()[:8] == ["NAME", "GPU", "POINTS", "WINDOWS", "UNCERTAINTY", "RUNS", "SOURCE", "USABLE"]
    measured = [line for line in lines if "Measured" in line]
    assert len(measured) == 3, "two by steps, one by clocks"
    assert all("True" in line for line in measured)


def test_next_run_begins_with_the_curve(played: Played) -> None:
    """The same workload by its fingerprint: one profile, another run; it measures less."""
    first, again = played.profiles["counts"], played.profiles["again"]
    assert again["metadata"]["name"] == first["metadata"]["name"]
    assert again["status"]["runs"] == 2
    reports = played.scene.raw_reports()
    spent = {name: reports[name]["status"]["learning"]["profilingSeconds"] for name in ("counts", "again")}
    assert spent["again"] < spent["counts"]


def test_nothing_was_changed_about_the_jobs(played: Played) -> None:
    """One annotation is enough, and it is all there is."""
    asked = set(played.scene.job("silent")["metadata"]["annotations"])
    assert asked == {"carbonzeus.dev/policy"}
    assert played.scene.restarts() == dict.fromkeys(played.scene.restarts(), 0)


def held(scene: Scene, name: str) -> tuple[datetime, datetime]:
    """From when to when a job held its board."""
    stretches = scene.truth().select(job=scene.full(name))
    return utc(min(each.start_ns for each in stretches)), utc(max(each.end_ns for each in stretches))
