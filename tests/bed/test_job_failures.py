"""Processes die and the API server falls silent while jobs run: limits are followed, totals stay exact, all recovers by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.truth import Truth
from carbonzeus_wire import EnergyRecord, Quality
from tests.bed.carbon import STEP
from tests.bed.manifests import job
from tests.bed.scene import Scene
from tests.bed.sight import EDGE_MJ, held, total_mj, utc

pytestmark = pytest.mark.bed

LEASE_S = 60
"""Longer than the API server is silent: so long agents follow their plans unheard."""
SILENT = timedelta(seconds=30)
WRITTEN = timedelta(seconds=1)
"""What an agent measured is written down so soon; what was not is lost with it, up to a record's end if there was one."""


@pytest.fixture(scope="module")
def scene(bed: Cluster) -> Iterator[Scene]:
    """Carbonzeus, installed once for all failures."""
    scene = Scene.set_up(bed, "failures", leaseSeconds=LEASE_S)
    yield scene
    scene.tear_down()


def energy_mj(scene: Scene, name: str) -> int:
    """What the report says by now."""
    report = scene.report(name)
    return 0 if report is None else report.energy_mj


def last_switch(scene: Scene, name: str) -> datetime:
    """When a board of a job last changed its limit."""
    switches = scene.truth().switches(job=scene.full(name))
    return switches[-1].at if switches else datetime.fromtimestamp(0, UTC)


def assert_exact(scene: Scene, name: str, truth: Truth) -> list[EnergyRecord]:
    """The report is the sum of the ledgers, and that is the truth outside of gaps. Returns the records."""
    records = scene.records(name)
    gaps = [record for record in records if record.quality is Quality.GAP]
    missed_mj = sum(truth.energy_mj(uuid=gap.gpu_uuid, start=gap.start, end=gap.end) for gap in gaps)
    true_mj = truth.energy_mj(job=scene.full(name)) - missed_mj
    boards = {record.gpu_uuid for record in records}
    edges_mj = EDGE_MJ * (len(boards) + 2 * len({gap.gpu_uuid for gap in gaps}))
    assert energy_mj(scene, name) == total_mj(records)
    assert energy_mj(scene, name) == pytest.approx(true_mj, abs=0.005 * true_mj + edges_mj)
    return records


def test_a_killed_operator_loses_and_doubles_nothing(scene: Scene) -> None:
    """SIGKILL while energy flows in, again right after the new one wrote, and as the jobs end: totals are exact to the millijoule.

    The agents follow the plan meanwhile, as if nothing had happened.
    """
    names = ("kept", "kept-duo")
    scene.submit(job("kept", seconds=25, policy="weighty"), job("kept-duo", seconds=25, workers=2, profile="a40x2"))
    scene.wait_enforced(*names)
    scene.wait(lambda: energy_mj(scene, "kept") > 0, "energy comes in")
    for _ in range(2):
        before_mj = energy_mj(scene, "kept")
        scene.cluster.pods().kill(scene.operator())
        scene.wait(lambda mj=before_mj: energy_mj(scene, "kept") > mj, "the next operator goes on")  # type: ignore[misc]
    scene.wait(lambda: scene.finished("kept") and scene.finished("kept-duo"), "both jobs end")
    scene.cluster.pods().kill(scene.operator())
    scene.wait_closed(*names)
    truth = scene.truth()
    for name in names:
        records = assert_exact(scene, name, truth)
        assert {record.quality for record in records} == {Quality.COUNTER}
        counted = sum(record.progress or 0.0 for record in records)
        realised = scene.raw_reports()[name]["status"]["realised"]
        assert realised["progressThousandths"] / 1000 == pytest.approx(counted, abs=0.001 * len(records))
    _, end = held(truth.select(job=scene.full("kept")))
    assert scene.unfollowed("kept", truth, utc(scene.writes_of("kept")[0].at_ns), end) == []
    assert scene.restarts()[scene.operator()] == 3


def test_a_killed_agent_leaves_a_gap_and_takes_over_again(scene: Scene) -> None:
    """Its boards follow the plan again once it is back, and the time between is uncovered, not zero.

    The other node's boards never stop, even those of the job that is on both.
    """
    names = ("left", "right", "spread")
    scene.submit(
        job("left", seconds=18, policy="weighty", node="gpu-a"),
        job("right", seconds=18, policy="weighty", node="gpu-b"),
        job("spread", seconds=18, policy="weighty", workers=2, profile="a40x2"),
    )
    scene.wait_enforced(*names)
    scene.wait(lambda: energy_mj(scene, "left") > 0, "energy comes in")
    agent = scene.agent("gpu-a")["metadata"]["name"]
    killed = datetime.now(UTC)
    scene.cluster.pods().kill(agent, hold=True)
    scene.wait(lambda: last_switch(scene, "right") > killed + STEP, "the other goes on")
    scene.cluster.pods().release(agent)
    scene.wait(lambda: last_switch(scene, "left") > killed, "the killed one's boards go on")
    taken_over = last_switch(scene, "left")
    scene.wait_enforced(*names)
    scene.wait_closed(*names)
    truth = scene.truth()
    for name, node in {"left": "gpu-a", "right": None, "spread": "gpu-a"}.items():
        records = assert_exact(scene, name, truth)
        gaps = [record for record in records if record.quality is Quality.GAP]
        assert {stretch.node for gap in gaps for stretch in truth.select(uuid=gap.gpu_uuid)} == (
            {node} if node else set()
        )
        assert all(gap.energy_millijoules == 0 and gap.end > killed - WRITTEN for gap in gaps)
        coverage = scene.raw_reports()[name]["status"]["coverage"]
        measured = sum((one.end - one.start for one in records if one.quality is not Quality.GAP), timedelta())
        assert coverage["measuredGPUMilliseconds"] == pytest.approx(
            measured / timedelta(milliseconds=1), abs=len(records)
        )
        gap = sum((one.end - one.start for one in gaps), timedelta())
        # Kubernetes tells the end of a container in whole seconds, cut off: so much less of each GPU's time is known to have run.
        cut_off = timedelta(seconds=1) * len({record.gpu_uuid for record in records})
        share = float(coverage["measured"].removesuffix("%")) / 100
        assert share <= measured / (gap + measured - cut_off) + 0.001
        assert not gaps or share < 1
    for name in ("right", "spread"):
        _, end = held(truth.select(job=scene.full(name)))
        assert scene.unfollowed(name, truth, utc(scene.writes_of(name)[0].at_ns), end, node="gpu-b") == []
    assert scene.unfollowed("left", truth, taken_over, end) == []
    assert set(scene.limits_w().values()) == {300.0}


def test_a_silent_api_server_holds_up_no_plan(scene: Scene) -> None:
    """For 30 s nothing answers: the boards switch as planned, and afterwards the operator catches up by itself."""
    names = ("patient", "patient-duo")
    scene.submit(
        job("patient", seconds=37, policy="weighty"), job("patient-duo", seconds=37, workers=2, profile="a40x2")
    )
    scene.wait_enforced(*names)
    agents = {pod: count for pod, count in scene.restarts().items() if "agent" in pod}
    paused = datetime.now(UTC)
    scene.cluster.pause_api_server()
    try:
        last = scene.carbon.boundaries(paused, paused + SILENT)[-1]
        scene.wait(lambda: last_switch(scene, "patient") >= last, "boards switch on")
        scene.wait(lambda: datetime.now(UTC) >= paused + SILENT, "time passes")
    finally:
        scene.cluster.resume_api_server()
    scene.wait_closed(*names, within_s=120)
    truth = scene.truth()
    assert scene.unfollowed("patient", truth, paused, paused + SILENT) == []
    duo = [switch for switch in truth.switches(job=scene.full("patient-duo")) if paused < switch.at < paused + SILENT]
    assert len({switch.to_w for switch in duo}) >= 2
    for name in names:
        assert_exact(scene, name, truth)
    assert {pod: count for pod, count in scene.restarts().items() if "agent" in pod} == agents
    assert set(scene.limits_w().values()) == {300.0}
