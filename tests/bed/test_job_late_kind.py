"""The operator on a cluster where nobody installed Kubeflow yet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbonzeus_bed import programs
from carbonzeus_bed.api import Object, answers, wait_until
from carbonzeus_bed.control_plane import ControlPlane
from carbonzeus_bed.processes import Processes
from tests.bed.manifests import job, policy

pytestmark = pytest.mark.bed

KIND = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pytorchjobs.kubeflow.org"
JOBS = "/apis/kubeflow.org/v1/namespaces/default/pytorchjobs"
REPORTS = "/apis/carbonzeus.dev/v1alpha1/namespaces/default/carbonreports"
POLICIES = "/apis/carbonzeus.dev/v1alpha1/carbonpolicies"
NAME = "operator-under-test"


def operator_environment(plane: ControlPlane, folder: Path) -> dict[str, str]:
    """The operator outside of a pod, with the admin's rights; lists are too far apart to find anything."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "KUBECONFIG": str(plane.kubeconfig),
        "CARBONZEUS_NAMESPACE": "default",
        "CARBONZEUS_GRID_DIR": str(folder),
        "CARBONZEUS_CYCLE_SECONDS": "1",
        "CARBONZEUS_RELIST_SECONDS": "3600",
        "CARBONZEUS_HEALTH_HOST": plane.block.control_plane_ip,
    }


@pytest.fixture
def operator(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Processes]:
    """The operator, ready, on a real API server that knows our kinds and no training jobs."""
    control_plane.api.delete(KIND)
    processes = Processes(tmp_path)
    command = [sys.executable, "-m", "carbonzeus_operator"]
    processes.start(NAME, command, env=operator_environment(control_plane, tmp_path))
    try:
        health = f"http://{control_plane.block.control_plane_ip}:9812/readyz"
        if not wait_until(lambda: answers(health), 60):
            raise processes.failure(NAME, "was not ready")
        yield processes
    finally:
        processes.stop([NAME], 10)
        control_plane.api.delete(KIND)
        control_plane.kubectl("delete", "carbonreports,events", "--all", "--namespace", "default")
        control_plane.kubectl("delete", "carbonpolicies", "gentle", "--ignore-not-found")
        control_plane.kubectl("delete", "lease", "carbonzeus-operator", "--namespace", "default", "--ignore-not-found")


def test_a_job_kind_that_is_installed_later_is_picked_up(control_plane: ControlPlane, operator: Processes) -> None:
    """Its absence is no error; the first job of it has a report without a restart."""
    control_plane.api.create(POLICIES, policy("gentle"))
    path = programs.data("trainer") / "crds" / "kubeflow.org_pytorchjobs.yaml"
    control_plane.kubectl("create", "--filename", str(path))
    assert wait_until(lambda: control_plane.api.get(JOBS)["items"] == [], 30)
    made = control_plane.api.create(JOBS, job("late", seconds=1))

    def reports() -> list[Object]:
        found: list[Object] = control_plane.api.get(REPORTS)["items"]
        return [report for report in found if report["spec"]["jobRef"]["uid"] == made["metadata"]["uid"]]

    if not wait_until(lambda: bool(reports()), 60):
        raise operator.failure(NAME, "did not see the job")
    (report,) = reports()
    assert wait_until(lambda: reports()[0].get("status", {}).get("state") == "Pending", 30)
    assert report["metadata"]["name"].startswith("late-")
    assert operator.alive(NAME)
