"""helm install, upgrade and uninstall while jobs run: no board stays throttled, and what users own stays unless they say otherwise."""

from __future__ import annotations

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.scenario import RELEASE
from tests.bed.manifests import job
from tests.bed.scene import Scene

pytestmark = pytest.mark.bed

OURS = "app.kubernetes.io/name=carbonzeus"
REFERENCE_W = 300.0


def kinds(cluster: Cluster) -> set[str]:
    """Our CRDs that are installed."""
    return set(cluster.kubectl("get", "crd", f"--selector={OURS}", "--output=name").split())


def test_a_release_is_upgraded_and_removed_while_a_job_runs(bed: Cluster) -> None:
    """An upgrade hands the boards on; an uninstall gives them back and keeps kinds and reports; with keep=false those go too."""
    scene = Scene.set_up(bed, "release")
    scene.submit(job("long", seconds=600, policy="gentle"))
    scene.wait_enforced("long")
    scene.wait_limit("long", lambda limit_w: limit_w < REFERENCE_W, "capped by the first release")
    agents = {pod["metadata"]["uid"] for pod in scene.own_pods()}

    scene.helm_install(agent={"ownerGraceSeconds": 30}, retentionSeconds=3600)
    scene.wait_enforced("long")
    scene.wait_limit("long", lambda limit_w: limit_w < REFERENCE_W, "capped by the upgraded release")
    assert not agents & {pod["metadata"]["uid"] for pod in scene.own_pods()}

    bed.helm("uninstall", RELEASE, "--namespace", RELEASE, "--wait")
    assert set(scene.limits_w().values()) == {REFERENCE_W}
    assert len(kinds(bed)) == 3
    assert "long" in scene.raw_reports()
    assert scene.trains("long")

    scene.helm_install("--set", "crds.keep=false")
    scene.wait_enforced("long")
    bed.helm("uninstall", RELEASE, "--namespace", RELEASE, "--wait")
    assert kinds(bed) == set()
    assert set(scene.limits_w().values()) == {REFERENCE_W}
    assert scene.trains("long")
    bed.kubectl("delete", "namespace", scene.namespace, RELEASE)
