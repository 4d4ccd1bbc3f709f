"""One run of seven jobs side by side, each asking for something else: what is done for each, and that nothing is done to any."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.truth import MILLIJOULES_PER_KWH, Truth
from tests.bed.manifests import Object, job, policy
from tests.bed.scene import Scene
from tests.bed.sight import EDGE_MJ, held, managers, plain, total_mj, utc

pytestmark = pytest.mark.bed

SECONDS = 16
MANAGED = ("enforced", "advised", "observed", "weighted")
TEAM = "modes-team"


@dataclass(frozen=True, slots=True)
class Played:
    """What is left of the run."""

    scene: Scene
    before: Mapping[str, Object]
    """Each job as it was created, and each pod as it was when it ran, by `job` and `job/pod`."""
    truth: Truth


def seen(scene: Scene, name: str, namespace: str | None = None) -> dict[str, Object]:
    """A job and its pods as they are."""
    found = {name: scene.job(name, namespace)}
    for pod in scene.pods(name, namespace):
        found[f"{name}/{pod['metadata']['name']}"] = pod
    return found


@pytest.fixture(scope="module")
def played(bed: Cluster) -> Iterator[Played]:
    """All jobs from start to end, with final reports."""
    scene = Scene.set_up(bed, "modes")
    scene.apply(
        policy("advice", mode="Recommend"),
        policy("watch", mode="Observe"),
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": TEAM, "annotations": {"carbonzeus.dev/policy": "watch"}},
        },
    )
    created = scene.submit(
        job("enforced", seconds=SECONDS),
        job("advised", seconds=SECONDS, policy="advice"),
        job("observed", seconds=SECONDS, policy="watch"),
        job("weighted", seconds=SECONDS, policy="weighty"),
        job("plain", seconds=SECONDS, policy=None),
    )
    scene.submit(
        job("by-default", seconds=SECONDS, policy=None),
        job("opted-out", seconds=SECONDS, policy="none"),
        namespace=TEAM,
    )
    names = [each["metadata"]["name"] for each in created]
    scene.wait(lambda: all(scene.trains(name) for name in names), "all jobs train")
    before = {each["metadata"]["name"]: each for each in created}
    for name in names:
        before |= {key: raw for key, raw in seen(scene, name).items() if "/" in key}
    scene.wait_enforced("enforced", "weighted")
    states = scene.raw_reports()
    assert states["advised"]["status"]["state"] == "Recommending"
    assert states["observed"]["status"]["state"] == "Observing"
    scene.wait_closed(*MANAGED)
    scene.wait(lambda: all(scene.finished(name, TEAM) for name in ("by-default", "opted-out")), "the team's jobs end")
    scene.wait(lambda: scene.finished("plain"), "the job without annotation ends")
    yield Played(scene, before, scene.truth())
    bed.kubectl("delete", "namespace", TEAM, "--wait=false")
    scene.tear_down()


@pytest.mark.parametrize("name", MANAGED)
def test_energy_is_that_of_the_truth_and_of_the_ledgers(played: Played, name: str) -> None:
    """Within 0.5 % of what the boards drew, and to the millijoule the sum of what the agents wrote down.

    A board's counter moves ten times a second: where a job of some seconds begins and ends, so much cannot be known.
    """
    report = played.scene.report(name)
    assert report is not None
    assert report.energy_mj == total_mj(played.scene.records(name))
    true_mj = played.truth.energy_mj(job=f"modes/{name}")
    assert report.energy_mj == pytest.approx(true_mj, abs=0.005 * true_mj + EDGE_MJ)


@pytest.mark.parametrize("name", MANAGED)
def test_carbon_is_energy_times_what_the_grid_really_was(played: Played, name: str) -> None:
    """Within 0.5 % of the boards' draw times the actual intensity of each moment.

    It jumps by up to a factor of 8 every 4 s here, and a board's energy counter tells the time to 0.1 s: at each end of the
    job so much may be missed, and at each jump so much may count at the wrong intensity; each errs by itself.
    """
    report = played.scene.report(name)
    assert report is not None
    grid = played.scene.carbon.actual()
    start, end = held(played.truth.select(job=f"modes/{name}"))
    levels = [0.0, *(each.gco2_per_kwh for each in grid if each.start < end and each.end > start), 0.0]
    edges_g = EDGE_MJ / MILLIJOULES_PER_KWH * math.dist(levels[1:], levels[:-1])
    true_g = played.truth.carbon_g(grid, job=f"modes/{name}")
    assert report.carbon_ug / 1e6 == pytest.approx(true_g, abs=0.005 * true_g + edges_g)


@pytest.mark.parametrize("name", [*MANAGED, "plain"])
def test_the_job_and_its_pods_are_byte_identical_afterwards(played: Played, name: str) -> None:
    """Metadata and spec as before: generation, annotations, labels, finalizers, owners and all."""
    after = seen(played.scene, name)
    before = {key: raw for key, raw in played.before.items() if key.split("/")[0] == name}
    assert before.keys() == after.keys()
    assert {key: plain(raw) for key, raw in before.items()} == {key: plain(raw) for key, raw in after.items()}


@pytest.mark.parametrize("name", MANAGED)
def test_nobody_new_wrote_to_the_job_or_its_pods(played: Played, name: str) -> None:
    """The managers of all fields, status included, are those of a job that we do not know."""
    managed, plain_ = seen(played.scene, name), seen(played.scene, "plain")
    assert managers(managed[name]) <= managers(plain_["plain"])
    assert managers(managed[f"{name}/{name}-master-0"]) <= managers(plain_["plain/plain-master-0"])


def test_there_is_no_finalizer_anywhere(played: Played) -> None:
    """Neither on jobs nor pods nor nodes nor namespaces, nor on our own kinds."""
    found: list[str] = []
    for kinds in ("pytorchjobs,pods", "nodes,namespaces", "carbonreports,powerprofiles", "carbonpolicies"):
        listed = json.loads(played.scene.cluster.kubectl("get", kinds, "--all-namespaces", "--output", "json"))
        found += [each["metadata"]["name"] for each in listed["items"] if each["metadata"].get("finalizers")]
    assert found == []


@pytest.mark.parametrize("name", ["advised", "observed", "plain", f"{TEAM}/by-default", f"{TEAM}/opted-out"])
def test_boards_of_jobs_that_are_not_enforced_are_never_written(played: Played, name: str) -> None:
    """Recommend and Observe touch nothing; nor do jobs without a policy or with `none` have anything to do with us."""
    assert played.truth.select(job=name if "/" in name else f"modes/{name}")
    assert played.scene.writes_of(name) == []


def test_recommend_says_what_would_have_been_saved(played: Played) -> None:
    """In `status.planned` and the column Saved, beside what really was, where nothing was saved."""
    status = played.scene.raw_reports()["advised"]["status"]
    assert percent(status["saved"]) > 5
    assert status["saved"] == status["planned"]["saved"]
    assert percent(status["realised"]["saved"]) == pytest.approx(0, abs=2)
    assert status["planned"]["energyMillijoules"] < status["realised"]["energyMillijoules"]


def test_recommended_savings_are_near_to_those_of_the_job_that_took_them(played: Played) -> None:
    """The same job under the same bound beside it really saved about as much; its plan may begin a second or two of 16 later."""
    reports = played.scene.raw_reports()
    really = percent(reports["enforced"]["status"]["realised"]["saved"])
    assert percent(reports["advised"]["status"]["planned"]["saved"]) == pytest.approx(really, abs=5)


def test_observe_only_measures(played: Played) -> None:
    """No plan, no what-if, energy and carbon all the same."""
    status = played.scene.raw_reports()["observed"]["status"]
    assert "planned" not in status
    assert played.scene.conditions("observed")["Planned"][:2] == ("False", "ObserveMode")


def test_the_weight_is_followed_by_equation_6(played: Played) -> None:
    """From the first plan on, the boards always have the limit that minimises (eta P c + (1 - eta) P_max c_max) / r."""
    writes = played.scene.writes_of("weighted")
    _, end = held(played.truth.select(job="modes/weighted"))
    assert played.scene.unfollowed("weighted", played.truth, utc(writes[0].at_ns), end) == []
    assert len({write.requested_mw for write in writes}) >= 2


def test_reports_of_the_namespace_default(played: Played) -> None:
    """A job without annotation runs under its namespace's policy, one that says `none` has no report."""
    reports = played.scene.raw_reports(TEAM)
    assert list(reports) == ["by-default"]
    assert reports["by-default"]["status"]["policy"] == "watch"


def test_the_job_without_annotation_has_no_report(played: Played) -> None:
    """Nobody asked for one."""
    assert sorted(played.scene.raw_reports()) == sorted(MANAGED)


def test_every_board_is_back_at_its_limit(played: Played) -> None:
    """After the last job."""
    assert set(played.scene.limits_w().values()) == {300.0}


def test_no_process_was_started_again(played: Played) -> None:
    """Nothing crashed."""
    assert set(played.scene.restarts().values()) == {0}


def percent(text: Any) -> float:
    """A figure such as 12.3%."""
    return float(str(text).removesuffix("%"))
