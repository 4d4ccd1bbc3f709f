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
    back_at: datetime
    """When all boards were at one limit again."""
    ended_at: datetime
    limits_w: dict[str, float]
    """Of the job's boards, just before the slow one recovered."""
    told: tuple[str, str, str]
    """The condition at the same time."""

    def leading(self, start: datetime, end: datetime) -> list[Stretch]:
        """What the leader's board did between two moments."""
        return self.scene.truth().select(uuid=self.slow, start=start, end=end)

    def speed(self, start: datetime, end: datetime, board: float) -> float:
        """That of the job by the emulator's count, relative to what its leader's board of such a speed can do."""
        progress = self.scene.truth().progress[self.scene.full(NAME)]
        done = steps_at(progress, end) - steps_at(progress, start)
        rate = TRAINING["steps_per_second"] * WORKERS * board
        return float(done / sum(seconds(each) * TRUTH.speed(each.limit_w) * rate for each in self.leading(start, end)))


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
            scene.wait(lambda: waits(scene, slow.uuid, others) and reason(scene) == "Waiting", "and still do")
            limits_w, told = scene.limits_w(), scene.conditions(NAME)[CONDITION]
            recovered_at = datetime.now(UTC)
            node.set_speed(slow.uuid, 1.0)
            scene.wait(lambda: in_step(scene, slow.uuid, others), "all are at one limit again")
            back_at = datetime.now(UTC)
            scene.wait(lambda: datetime.now(UTC) >= back_at + WATCHED, "they trained for a while")
            scene.wait(lambda: reason(scene) == "AllInStep", "the report says so")
            ended_at = datetime.now(UTC)
            scene.wait(lambda: scene.truth().progress[scene.full(NAME)][-1].at > ended_at, "the log is written")
            yield Played(scene, slow.uuid, others, lowered_at, recovered_at, back_at, ended_at, limits_w, told)
        finally:
            node.set_speed(slow.uuid, 1.0)
            scene.tear_down()


def boards(scene: Scene) -> dict[str, Stretch]:
    """The board of each pod of the job."""
    return {stretch.pod: stretch for stretch in scene.truth().select(job=scene.full(NAME))}


def waits(scene: Scene, slow: str, others: tuple[str, ...]) -> bool:
    limits_w = scene.limits_w()
    return all(limits_w[uuid] < limits_w[slow] - LOWER_W for uuid in others)


def reason(scene: Scene) -> str:
    """What the report says of those that wait; empty before it does."""
    return scene.conditions(NAME).get(CONDITION, ("", "", ""))[1]


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
    """By the emulator's own count, within 1 %: that the others are lower costs nothing."""
    assert played.speed(played.lowered_at, played.recovered_at, SLOW) >= 0.99


def test_waiting_takes_less_energy(played: Played) -> None:
    """Less than the same boards would take that wait at the leader's limits."""
    truth = played.scene.truth()
    otherwise_mj = sum(
        1000 * seconds(each) * shared_power_w(TRUTH.power_w(each.limit_w), IDLE_W, SLOW)
        for each in played.leading(played.lowered_at, played.recovered_at)
    )
    for uuid in played.others:
        assert truth.energy_mj(uuid=uuid, start=played.lowered_at, end=played.recovered_at) < 0.95 * otherwise_mj


def test_all_go_back_when_the_slow_board_recovers(played: Played) -> None:
    """To the plan's limits: the job is as fast as a good board is at them."""
    assert played.speed(played.back_at, played.ended_at, 1.0) >= 0.99
    assert played.scene.conditions(NAME)[CONDITION][:2] == ("True", "AllInStep")


def test_nobody_is_told_by_events(played: Played) -> None:
    """It is the job's ordinary life."""
    events = played.scene.cluster.api.get(f"/api/v1/namespaces/{played.scene.namespace}/events")["items"]
    assert not {event["reason"] for event in events} & {"Waiting", "AllInStep"}
