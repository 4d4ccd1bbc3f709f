"""The life of a release while a job trains: installed, upgraded, uninstalled with what people wrote kept, and without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.scenario import RELEASE
from tests.bed.carbon import STEP
from tests.bed.manifests import Object, job
from tests.bed.scene import Scene

pytestmark = pytest.mark.bed

KINDS = {"carbonpolicies.carbonzeus.dev", "carbonreports.carbonzeus.dev", "powerprofiles.carbonzeus.dev"}
FOR_EVER_S = 600.0
"""Longer than any of these tests: the job is deleted in the end."""


def custom_kinds(cluster: Cluster) -> set[str]:
    """Our CustomResourceDefinitions that are there."""
    found: list[Object] = cluster.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    return {each["metadata"]["name"] for each in found} & KINDS


@pytest.fixture(scope="module")
def scene(bed: Cluster) -> Iterator[Scene]:
    """A release, and a job on both nodes that goes on whatever becomes of it."""
    scene = Scene.set_up(bed, "release")
    scene.submit(job("lasting", seconds=FOR_EVER_S, policy="weighty", workers=2, profile="a40x2"))
    scene.wait_enforced("lasting")
    yield scene
    scene.tear_down()


def pids(scene: Scene, start: datetime) -> set[int]:
    """The processes that set limits of the job's boards since then."""
    uuids = {stretch.uuid for stretch in scene.truth().select(job=scene.full("lasting"))}
    return {write.pid for write in scene.writes(uuids, start, datetime.now(UTC))}


def secrets(scene: Scene) -> list[Object]:
    """What operator and agents are known by."""
    path = f"/api/v1/namespaces/{RELEASE}/secrets"
    return [scene.cluster.api.get(f"{path}/carbonzeus-{role}-tls")["data"] for role in ("operator", "agent")]


def wait_followed(scene: Scene) -> None:
    """Polls until both boards have changed their limits together, twice, from now on."""
    since = datetime.now(UTC)

    def followed() -> bool:
        truth = scene.truth()
        uuids = {stretch.uuid for stretch in truth.select(job=scene.full("lasting"))}
        changes = [[one for one in truth.switches(uuid=uuid) if one.at > since + STEP / 4] for uuid in uuids]
        return len(uuids) == 2 and all(len(one) >= 2 for one in changes)

    scene.wait(followed, "both boards follow the plan")
    truth = scene.truth()
    assert scene.unfollowed("lasting", truth, since + STEP, datetime.now(UTC)) == []


def test_an_upgrade_restarts_the_agents_and_the_plan_goes_on(scene: Scene) -> None:
    """Each old agent gives its board back before it ends, each new one takes it over; the report goes on in the same ledgers."""
    scene.wait_limit("lasting", lambda limit_w: limit_w < 300, "boards are throttled")
    before, old = pids(scene, scene.carbon.start), {pod["metadata"]["uid"] for pod in scene.own_pods()}
    uuids = {stretch.uuid for stretch in scene.truth().select(job=scene.full("lasting"))}
    report = scene.raw_reports()["lasting"]
    upgraded, certificates = datetime.now(UTC), secrets(scene)
    scene.helm_install(agent={"ownerGraceSeconds": 30}, graceSeconds=2)
    assert not old & {pod["metadata"]["uid"] for pod in scene.own_pods()}
    wait_followed(scene)
    writes = scene.writes(uuids, upgraded, datetime.now(UTC))
    for uuid in uuids:
        by_old = [write for write in writes if write.uuid == uuid and write.pid in before]
        by_new = [write for write in writes if write.uuid == uuid and write.pid not in before]
        assert by_old
        assert by_old[-1].requested_mw == 300_000
        assert by_new
        assert by_new[0].at_ns > by_old[-1].at_ns
    after = scene.raw_reports()["lasting"]
    assert after["metadata"]["uid"] == report["metadata"]["uid"]
    ledgers = [{one["ledgerID"] for one in each["status"]["ledger"]["cursors"]} for each in (report, after)]
    assert ledgers[0] == ledgers[1]
    assert scene.raw_reports().keys() == {"lasting"}
    assert secrets(scene) == certificates


def test_uninstalling_leaves_no_board_throttled_and_keeps_what_people_wrote(scene: Scene) -> None:
    """The job trains on at its reference limit; policies, profiles and reports are still there, with what was accounted."""
    scene.wait_limit("lasting", lambda limit_w: limit_w < 300, "boards are throttled")
    scene.cluster.helm("uninstall", RELEASE, "--namespace", RELEASE, "--wait")
    scene.wait(lambda: scene.own_pods() == [], "operator and agents are gone")
    assert set(scene.limits_w().values()) == {300.0}
    assert custom_kinds(scene.cluster) == KINDS
    report = scene.report("lasting")
    assert report is not None
    assert report.energy_mj > 0
    assert "weighty" in scene.cluster.kubectl("get", "carbonpolicies")
    assert "a40x2" in scene.cluster.kubectl("get", "powerprofiles", "--namespace", scene.namespace)
    assert scene.trains("lasting")
    names = scene.cluster.kubectl("get", "clusterroles,clusterrolebindings", "--output", "name")
    assert "carbonzeus" not in names


def test_installing_again_goes_on_with_the_same_account(scene: Scene) -> None:
    """The same report, the time between as a gap, and the boards follow the plan again."""
    before = scene.raw_reports()["lasting"]
    scene.helm_install("--set", "crds.keep=false")
    scene.wait_enforced("lasting")
    wait_followed(scene)
    after = scene.raw_reports()["lasting"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    reported_mj, true_mj = scene.folded_mj("lasting")
    assert reported_mj == true_mj


def test_uninstalling_with_everything_takes_our_kinds_along(scene: Scene) -> None:
    """With `crds.keep=false` nothing of ours is left, and no board throttled."""
    scene.wait_limit("lasting", lambda limit_w: limit_w < 300, "boards are throttled")
    scene.cluster.helm("uninstall", RELEASE, "--namespace", RELEASE, "--wait")
    scene.wait(lambda: scene.own_pods() == [], "operator and agents are gone")
    scene.wait(lambda: custom_kinds(scene.cluster) == set(), "our kinds are gone")
    assert set(scene.limits_w().values()) == {300.0}
    assert scene.trains("lasting")
