"""Jobs of 72 hours, replayed in a minute and a half: their reports against the raw ledgers, worked out a second time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.recording import FILE, ZONE, Recording, Replay
from carbonzeus_bed.truth import Grid
from carbonzeus_wire import EnergyRecord
from tests.bed.manifests import A40, STEPS_PER_SECOND, job, policy
from tests.bed.recompute import baseline_g, carbon_g
from tests.bed.scene import Scene
from tests.bed.sight import total_mj

pytestmark = pytest.mark.bed

LASTS = timedelta(hours=72)
SPEED = 2880.0
SECONDS = LASTS / timedelta(seconds=1) / SPEED
NAMES = {"solo": 1, "duo": 2}
"""Jobs and their workers."""
POINTS = [(float(limit), float(watts), float(speed)) for limit, watts, speed in A40]


@dataclass(frozen=True, slots=True)
class Played:
    """What is left of the run."""

    scene: Scene
    grid: tuple[Grid, ...]
    """What the grid really was, in real time."""
    records: dict[str, list[EnergyRecord]]


@pytest.fixture(scope="module")
def played(bed: Cluster) -> Iterator[Played]:
    """Both jobs from start to end, with final reports."""
    recording = Recording.parse(FILE.read_text(encoding="utf-8"))
    begins = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    replay = Replay(recording.start, begins, SPEED)
    scene = Scene.set_up(
        bed,
        "replay",
        files=lambda _: {f"{ZONE}.csv": FILE.read_text(encoding="utf-8")},
        grid={
            "replay": {
                "speed": SPEED,
                "recordedStart": f"{recording.start:%Y-%m-%dT%H:%M:%SZ}",
                "wallStart": f"{begins:%Y-%m-%dT%H:%M:%SZ}",
            }
        },
    )
    scene.apply(policy("replayed", zone=ZONE, maxSlowdown="5%"))
    scene.wait(lambda: datetime.now(UTC) > begins, "the recording begins")
    scene.submit(
        *(
            job(
                name,
                seconds=SECONDS,
                policy="replayed",
                workers=workers,
                profile="a40" if workers == 1 else f"a40x{workers}",
            )
            for name, workers in NAMES.items()
        )
    )
    scene.wait_enforced(*NAMES)
    scene.wait(lambda: all(scene.finished(name) for name in NAMES), "the jobs end", within_s=3 * SECONDS)
    scene.wait_closed(*NAMES)
    yield Played(scene, replay.on_wall(recording.actual), {name: scene.records(name) for name in NAMES})
    scene.tear_down()


@pytest.mark.parametrize("name", NAMES)
def test_energy_is_that_of_the_ledgers(played: Played, name: str) -> None:
    """To the millijoule."""
    report = played.scene.report(name)
    assert report is not None
    assert report.energy_mj == total_mj(played.records[name])


@pytest.mark.parametrize("name", NAMES)
def test_carbon_is_what_the_ledgers_and_the_grid_say(played: Played, name: str) -> None:
    """Within 0.1 %."""
    report = played.scene.report(name)
    assert report is not None
    assert report.carbon_ug / 1e6 == pytest.approx(carbon_g(played.records[name], played.grid), rel=0.001)


@pytest.mark.parametrize(("name", "workers"), NAMES.items())
def test_baseline_is_the_same_work_earlier(played: Played, name: str, workers: int) -> None:
    """Within 0.3 %, by the published curve and the steps counted.

    The account knows how far the job was behind at the ends of its cells, which are as long as the recording's intervals here:
    three hours.
    """
    report = played.scene.report(name)
    assert report is not None
    assert report.baseline_ug is not None
    expected_g = baseline_g(played.records[name], played.grid, POINTS, STEPS_PER_SECOND * workers)
    assert report.baseline_ug / 1e6 == pytest.approx(expected_g, rel=0.003)


@pytest.mark.parametrize("name", NAMES)
def test_something_was_saved(played: Played, name: str) -> None:
    """The limits were lowered: without that, the figures above would say little."""
    report = played.scene.report(name)
    assert report is not None
    assert float(report.saved.removesuffix("%")) > 5
    assert len({record.limit_watts for record in played.records[name]}) >= 3
