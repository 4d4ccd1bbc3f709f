"""The real API server and the whole bed, started once for all tests that need them; and the count of what ran."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from carbonzeus_bed import programs
from carbonzeus_bed.api import wait_until
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.control_plane import ControlPlane

THOROUGH = os.environ.get("CARBONZEUS_THOROUGH") or os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
# The same examples every time, so that a change is judged by itself; new ones at random in the long runs, which a release is judged by.
# However slow the machine is: no test is about its speed.
SLOW = (HealthCheck.too_slow,)
settings.register_profile("carbonzeus", derandomize=not THOROUGH, deadline=None, suppress_health_check=SLOW)
settings.load_profile("carbonzeus")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def bed_programs(request: pytest.FixtureRequest) -> None:
    """The bed's programs, built now if they are missing: minutes, with the progress shown."""
    if programs.built():
        return
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        programs.build()


@pytest.fixture(scope="session")
def control_plane(bed_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Etcd and the real API server with our CustomResourceDefinitions."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        assert wait_until(lambda: _established(plane), 30), "the API server does not serve our kinds"
        yield plane


def _established(plane: ControlPlane) -> bool:
    """Whether the API server serves all our kinds; right after a create their conditions are null."""
    listed = plane.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    ours = [crd for crd in listed if crd["spec"]["group"] == "carbonzeus.dev"]
    return len(ours) == len(list((ROOT / "crds").glob("*.yaml"))) and all(
        any(
            one["type"] == "Established" and one["status"] == "True"
            for one in crd.get("status", {}).get("conditions") or []
        )
        for crd in ours
    )


@pytest.fixture(scope="session")
def bed(bed_programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The whole bed: hollow GPU nodes `gpu-a`, `gpu-b` (4 A40 each) and `system`; nothing of ours installed."""
    with Cluster(tmp_path_factory.mktemp("bed")) as cluster:
        yield cluster


KINDS = {"api": "on the real API server", "bed": "on the bed", "property": "with generated examples"}
kinds_of = pytest.StashKey[dict[str, set[str]]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remember of which kinds each test is."""
    config.stash[kinds_of] = {
        item.nodeid: {kind for kind in ("api", "bed") if item.get_closest_marker(kind)}
        | ({"property"} if getattr(getattr(item, "obj", None), "is_hypothesis_test", False) else set())
        for item in items
    }


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests of each kind passed and failed."""
    ran: Counter[tuple[str, str]] = Counter()
    kinds = config.stash.get(kinds_of, {})
    for category, outcome in {"passed": "passed", "failed": "failed", "error": "failed", "skipped": "skipped"}.items():
        for report in terminalreporter.getreports(category):
            ran.update((kind, outcome) for kind in kinds.get(report.nodeid, ()))
    terminalreporter.section("kinds of tests")
    for kind, meaning in KINDS.items():
        counts = ", ".join(f"{ran[kind, outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
        terminalreporter.line(f"{kind} tests ({meaning}): {counts}")
