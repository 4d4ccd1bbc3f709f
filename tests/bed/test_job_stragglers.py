"""A job of three workers of which one has a slow board, at twenty seconds of training a second: the others wait at lower limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.gpus import Node
from carbonzeus_bed.physics import CURVES, PRODUCTS, shared_power_w
from carbonzeus_bed.truth import Progress, Stretch
from tests.bed.manifests import job
from tests.bed.scene import Scene
from tests.bed.test_job_learning import SETTINGS, TRAINING

pytestmark = pytest.mark.bed

NAME = "paced"
WORKERS = 3
SLOW = 0.85
CLEAN = timedelta(minutes=8)
"""How long the intensity stays the same: the job begins with the lowest, when plans are near the reference limit."""
WATCHED = timedelta(seconds=15)
LOWER_W = 20.0
"""So much lower is no rounding."""
TRUTH = CURVES["a40-resnet50"]
IDLE_W = PRODUCTS["NVIDIA A40"].idle_w
CONDITION = "StragglersWatched"


@dataclass
class Played:
    """What is left of the run."""

    scene: Scene
    slow: str
    """The leader's board, by UUID."""
    others: tuple[str, ...]
    lowered_at: datetime
    recovered_at: datetime
    limits_w: dict[str, float]
    """Of the job's boards, just before the slow one recovered."""
    told: tuple[str, str, str]
    """The condition at the same time."""
    limits_after_w: dict[str, float]

    def leading(self) -> list[Stretch]:
        """The slow board between the two moments."""
        truth = self.scene.truth()
        return truth.select(uuid=self.slow, start=self.lowered_at, end=self.recovered_at)


@pytest.fixture(scope="module")
def played(bed: Cluster) -> Iterator[Played]:
    """The slow board is a good one again when the others have waited for a while."""
    scene = Scene.set_up(bed, "stragglers", step=CLEAN, agent={"recordSeconds": 3}, **SETTINGS)
    scene.submit(job(NAME, seconds=600, workers=WORKERS, spread=False, **TRAINING))
    scene.wait(lambda: len(boards(scene)) == WORKERS, "all workers hold their boards")
    held = boards(scene)
    slow = held[f"{scene.namespace}/{NAME}-master-0"]
    others = tuple(each.uuid for pod, each in held.items() if each is not slow)
    with Node(bed.node_dir(slow.node)) as node:
        try:
            node.set_speed(slow.uuid, SLOW)
            scene.wait(lambda: waits(scene, slow.uuid, others), "the others wait at lower limits", within_s=120)
            lowered_at = datetime.now(UTC)
            scene.wait(lambda: datetime.now(UTC) >= lowered_at + WATCHED, "they waited for a while")
            limits_w, told = scene.limits_w(), scene.conditions(NAME)[CONDITION]
            recovered_at = datetime.now(UTC)
            node.set_speed(slow.uuid, 1.0)
            scene.wait(lambda: in_step(scene, slow.uuid, others), "all are at one limit again")
            limits_after_w = scene.limits_w()
            scene.wait(lambda: scene.conditions(NAME)[CONDITION][1] == "AllInStep", "the report says so")
            yield Played(scene, slow.uuid, others, lowered_at, recovered_at, limits_w, told, limits_after_w)
        finally:
            node.set_speed(slow.uuid, 1.0)
            scene.tear_down()


def boards(scene: Scene) -> dict[str, Stretch]:
    """The board of each pod of the job."""
    return {stretch.pod: stretch for stretch in scene.truth().select(job=scene.full(NAME))}


def waits(scene: Scene, slow: str, others: tuple[str, ...]) -> bool:
    limits_w = scene.limits_w()
    return all(limits_w[uuid] < limits_w[slow] - LOWER_W for uuid in others)


def in_step(scene: Scene, slow: str, others: tuple[str, ...]) -> bool:
    limits_w = scene.limits_w()
    return all(limits_w[uuid] == limits_w[slow] for uuid in others)


def seconds(stretch: Stretch) -> float:
    return (stretch.end_ns - stretch.start_ns) / 1e9


def steps_at(progress: tuple[Progress, ...], at: datetime) -> float:
    """Between two lines of the log, in proportion."""
    before = max((each for each in progress if each.at <= at), key=lambda each: each.at)
    after = min((each for each in progress if each.at > at), key=lambda each: each.at)
    return before.steps + (after.steps - before.steps) * ((at - before.at) / (after.at - before.at))


def test_those_that_wait_are_lower_than_the_plan(played: Played) -> None:
    """The leader is at the plan's step, and the report says how many wait."""
    status = played.scene.raw_reports()[NAME]["status"]
    assert status["state"] == "Enforcing"
    assert all(played.limits_w[uuid] < played.limits_w[played.slow] - LOWER_W for uuid in played.others)
    assert played.told[:2] == ("True", "Waiting")
    assert played.told[2].startswith("2 of 3 workers wait")


def test_job_is_as_fast_as_its_slow_board(played: Played) -> None:
    """By the emulator's own count, within 1 %."""
    progress = played.scene.truth().progress[played.scene.full(NAME)]
    done = steps_at(progress, played.recovered_at) - steps_at(progress, played.lowered_at)
    rate = TRAINING["steps_per_second"] * WORKERS
    could = sum(seconds(each) * SLOW * TRUTH.speed(each.limit_w) * rate for each in played.leading())
    assert done >= 0.99 * could


def test_waiting_takes_less_energy(played: Played) -> None:
    """Less than the same boards would take that wait at the leader's limits."""
    truth = played.scene.truth()
    otherwise_mj = sum(
        1000 * seconds(each) * shared_power_w(TRUTH.power_w(each.limit_w), IDLE_W, SLOW) for each in played.leading()
    )
    for uuid in played.others:
        assert truth.energy_mj(uuid=uuid, start=played.lowered_at, end=played.recovered_at) < 0.95 * otherwise_mj


def test_all_go_back_when_the_slow_board_recovers(played: Played) -> None:
    """To one limit: the plan's."""
    assert len({played.limits_after_w[uuid] for uuid in (played.slow, *played.others)}) == 1
    assert played.scene.conditions(NAME)[CONDITION][:2] == ("True", "AllInStep")


def test_nobody_is_told_by_events(played: Played) -> None:
    """It is the job's ordinary life."""
    events = played.scene.cluster.api.get(f"/api/v1/namespaces/{played.scene.namespace}/events")["items"]
    assert not {event["reason"] for event in events} & {"Waiting", "AllInStep"}
