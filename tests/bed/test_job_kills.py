"""The agents of both nodes are killed again and again while jobs run and limits switch each second.

Four kills; a hundred with CARBONZEUS_THOROUGH=1.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.truth import Truth
from carbonzeus_wire import EnergyRecord, Quality
from tests.bed.carbon import LEVELS, equation_6
from tests.bed.manifests import job
from tests.bed.scene import Scene
from tests.bed.sight import EDGE_MJ, held, total_mj

pytestmark = pytest.mark.bed

KILLS = 100 if os.environ.get("CARBONZEUS_THOROUGH") == "1" else 4
NODES = ("gpu-a", "gpu-b")
NAMES = ("left", "right", "spread")
SECONDS = 20 + 9 * KILLS
"""Of each job: longer than the kills take."""
UNSEEN = timedelta(seconds=1)
"""So much before a kill is not on disk: a sample, and the commit after it, on a machine with much to do."""
REFERENCE_W = 300.0


@dataclass(frozen=True, slots=True)
class Played:
    """What is left of the run."""

    scene: Scene
    killed: tuple[tuple[str, datetime], ...]
    """(node, when), in order of time."""
    restarted_at_w: tuple[float, ...]
    """The limits of the node's boards after each restart."""
    truth: Truth
    records: Mapping[str, list[EnergyRecord]]
    """By job."""


@pytest.fixture(scope="module")
def played(bed: Cluster) -> Iterator[Played]:
    """All kills, from the jobs' start to their end."""
    scene = Scene.set_up(bed, "kills", step=timedelta(seconds=1))
    rng = random.Random(3)
    scene.submit(
        job("left", seconds=SECONDS, policy="weighty", node="gpu-a"),
        job("right", seconds=SECONDS, policy="weighty", node="gpu-b"),
        job("spread", seconds=SECONDS, policy="weighty", workers=2, profile="a40x2"),
    )
    scene.wait_enforced(*NAMES)
    killed: list[tuple[str, datetime]] = []
    limits_w: list[float] = []
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.2, 2.5))
        node = rng.choice(NODES)
        agent, restarts = scene.agent(node)["metadata"]["name"], scene.restarts()
        killed.append((node, datetime.now(UTC)))
        bed.pods().kill(agent, hold=True)
        scene.wait(partial(ended_since, scene, agent, restarts), "its end is noticed")
        bed.pods().release(agent)
        scene.wait(scene.ready, "it is ready again")
        limits_w += [stretch.limit_w for stretch in scene.truth().stretches if stretch.node == node][-2:]
    assert not any(scene.finished(name) for name in NAMES), "the jobs ended before the last kill: let them run longer"
    scene.wait(lambda: all(scene.finished(name) for name in NAMES), "the jobs end", within_s=60 + 2 * SECONDS)
    scene.wait_closed(*NAMES)
    yield Played(scene, tuple(killed), tuple(limits_w), scene.truth(), {name: scene.records(name) for name in NAMES})
    scene.tear_down()


def ended_since(scene: Scene, agent: str, restarts: Mapping[str, int]) -> bool:
    """Whether an agent's pod counts more restarts than it did."""
    return scene.restarts()[agent] > restarts[agent]


@pytest.mark.parametrize("name", NAMES)
def test_energy_is_the_truth_outside_of_gaps(played: Played, name: str) -> None:
    """Within 0.1 %, and at each kill the counter's last step, which nobody read; a start waits until the counter moves."""
    records = played.records[name]
    gaps = [record for record in records if record.quality is Quality.GAP]
    truth = played.truth
    missed_mj = sum(truth.energy_mj(uuid=gap.gpu_uuid, start=gap.start, end=gap.end) for gap in gaps)
    true_mj = truth.energy_mj(job=played.scene.full(name)) - missed_mj
    slack_mj = 0.001 * true_mj + EDGE_MJ * len({record.gpu_uuid for record in records})
    report = played.scene.report(name)
    assert report is not None
    assert report.energy_mj == total_mj(records)
    assert -slack_mj - EDGE_MJ * len(gaps) <= report.energy_mj - true_mj <= slack_mj


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_begins_a_second_before_a_kill_at_most(played: Played, name: str) -> None:
    """What was not seen is said, and is no more than what a kill may cost."""
    times = [at for _, at in played.killed]
    gaps = [record for record in played.records[name] if record.quality is Quality.GAP]
    first: dict[str, datetime] = {}
    for gap in sorted(gaps, key=lambda gap: gap.start):
        # A gap is cut where a record would end: its parts lie end to end.
        if first.get(gap.gpu_uuid) != gap.start:
            assert any(timedelta(0) <= at - gap.start <= UNSEEN for at in times), gap
        first[gap.gpu_uuid] = gap.end


@pytest.mark.parametrize("node", NODES)
def test_no_number_is_used_twice(played: Played, node: str) -> None:
    """The ledger counts from 1 to its end, whoever wrote it, and each GPU's records lie end to end."""
    records = played.scene.ledger(node)
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    for gpu in {record.gpu_uuid for record in records}:
        mine = [record for record in records if record.gpu_uuid == gpu]
        assert all(later.start == earlier.end for earlier, later in pairwise(mine))


def test_after_each_restart_boards_are_restored_or_under_plan(played: Played) -> None:
    """Never at a limit that nobody asks for."""
    planned = {equation_6(level) for level in LEVELS}
    assert set(played.restarted_at_w) <= {REFERENCE_W, *planned}


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_followed_again(played: Played, name: str) -> None:
    """From some seconds after the last kill to the end of the job."""
    _, end = held(played.truth.select(job=played.scene.full(name)))
    start = played.killed[-1][1] + timedelta(seconds=10)
    assert end > start
    switches = played.truth.switches(job=played.scene.full(name))
    assert [one for one in switches if start <= one.at < end]


def test_every_board_is_back_at_its_limit(played: Played) -> None:
    """After the last job."""
    assert set(played.scene.limits_w().values()) == {REFERENCE_W}
