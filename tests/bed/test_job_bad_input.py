"""What people get wrong, all at once on one bed: each is told, runs at its reference limit or a safe one, and no other job notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.truth import Truth
from tests.bed.manifests import A40, job, policy, profile
from tests.bed.scene import Scene
from tests.bed.sight import EDGE_MJ, held, total_mj, utc

pytestmark = pytest.mark.bed

SECONDS = 20
REFUSED = {
    "no-policy": ("PolicyNotFound", "there is no CarbonPolicy 'absent'. Create it, or name another one"),
    "bad-override": ("InvalidAnnotation", "max-slowdown: 'a lot' is no percentage"),
    "high-override": ("SlowdownNotAllowed", "asks for 50%, but the policy allows 3% at most"),
    "misspelt": (
        "InvalidAnnotation",
        "carbonzeus.dev/max-slow is not known: did you mean carbonzeus.dev/max-slowdown?",
    ),
}
"""Reason and words for each job that cannot be followed."""

Change = Callable[[list[str]], list[str]]


def with_value(row: str, value: str) -> str:
    """A row of the grid's file with another forecast."""
    issued, start, _, actual = row.split(",")
    return f"{issued},{start},{value},{actual}"


SPOILT: dict[str, tuple[Change, str]] = {
    "NaN": (
        lambda rows: [*rows[:99], with_value(rows[99], "NaN"), *rows[100:]],
        "line 101: forecast_gco2eq_kwh 'NaN' is no number",
    ),
    "negative": (
        lambda rows: [*rows[:99], with_value(rows[99], "-3"), *rows[100:]],
        "line 101: forecast_gco2eq_kwh -3 is negative",
    ),
    "unsorted": (lambda rows: [*rows[:99], rows[100], rows[99], *rows[101:]], "line 102: start_utc"),
    "gap": (lambda rows: [*rows[:400], *rows[401:]], "line 402: nothing is said from"),
}
"""Ways to spoil the grid's file, and what is said of it."""


@dataclass(frozen=True, slots=True)
class Played:
    """What is left of the run."""

    scene: Scene
    truth: Truth
    said: dict[str, tuple[str, str, str]]
    """The condition ForecastFresh of the job `unsteady` while its file was spoilt so; `mended` after it was mended."""
    safe: tuple[str, tuple[str, str, str], set[float]]
    """State, ForecastFresh and limits of the job `blind` before its file was mended."""


def energy_mj(scene: Scene, name: str) -> int:
    """What the report says by now."""
    report = scene.report(name)
    return 0 if report is None else report.energy_mj


def fresh(scene: Scene, name: str) -> tuple[str, str, str]:
    """The condition ForecastFresh of a job."""
    return scene.conditions(name).get("ForecastFresh", ("", "", ""))


@pytest.fixture(scope="module")
def played(bed: Cluster) -> Iterator[Played]:
    """Seven wrong jobs and a good one run from start to end, while the grid's files are spoilt and mended."""
    nan, no_number = SPOILT["NaN"]
    scene = Scene.set_up(
        bed, "wrong", files=lambda carbon: {"BLIND.csv": carbon.csv(change=nan), "UNSTEADY.csv": carbon.csv()}
    )
    carbon = scene.carbon
    rising = [(limit, watts, "99.5" if limit == 225 else speed) for limit, watts, speed in A40]
    scene.apply(policy("blind", zone="BLIND"), policy("unsteady", zone="UNSTEADY"), profile("odd", points=rising))
    override = "carbonzeus.dev/max-slowdown"
    scene.submit(
        job("good", seconds=SECONDS, policy="weighty"),
        job("no-policy", seconds=SECONDS, policy="absent"),
        job("bad-override", seconds=SECONDS, annotations={override: "a lot"}),
        job("high-override", seconds=SECONDS, annotations={override: "50%"}),
        job("misspelt", seconds=SECONDS, annotations={"carbonzeus.dev/max-slow": "2%"}),
        job("odd-profile", seconds=SECONDS, profile="odd"),
        job("blind", seconds=SECONDS, policy="blind"),
        job("unsteady", seconds=SECONDS, policy="unsteady"),
    )
    scene.wait_enforced("good", "odd-profile", "unsteady")
    scene.wait(lambda: no_number in fresh(scene, "blind")[2], "the blind job is told")
    scene.wait_limit("blind", lambda limit_w: limit_w < 300, "a safe plan is followed")
    state = scene.raw_reports()["blind"]["status"]["state"]
    uuids = {stretch.uuid for stretch in scene.truth().select(job=scene.full("blind"))}
    safe = (state, fresh(scene, "blind"), {scene.limits_w()[uuid] for uuid in uuids})
    scene.show_grid({"BLIND.csv": carbon.csv()})
    said = {}
    for how, (change, words) in SPOILT.items():
        scene.show_grid({"UNSTEADY.csv": carbon.csv(change=change)})
        scene.wait(lambda words=words: words in fresh(scene, "unsteady")[2], f"what is wrong ({how}): {words}")  # type: ignore[misc]
        said[how] = fresh(scene, "unsteady")
    scene.show_grid({"UNSTEADY.csv": carbon.csv()})
    scene.wait(lambda: fresh(scene, "unsteady")[1] == "Fresh", "the mended file is followed")
    said["mended"] = fresh(scene, "unsteady")
    scene.wait_enforced("blind")
    names = ("good", "odd-profile", "blind", "unsteady", *REFUSED)
    scene.wait(lambda: all(scene.finished(name) for name in names), "all jobs end")
    scene.wait_closed("good", "odd-profile", "unsteady")
    yield Played(scene, scene.truth(), said, safe)
    scene.tear_down()


@pytest.mark.parametrize("name", REFUSED)
def test_a_job_that_cannot_be_followed_is_told_so(played: Played, name: str) -> None:
    """By a Warning Event on the job and a condition on its report, with the reason and what to do."""
    reason, words = REFUSED[name]
    assert words in played.scene.warnings(name)[reason]
    report = played.scene.raw_reports()[name]
    assert report["spec"]["jobRef"]["uid"] == played.scene.job(name)["metadata"]["uid"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_job_that_cannot_be_followed_runs_at_its_reference_limit(played: Played, name: str) -> None:
    """Its boards are never written."""
    assert played.scene.writes_of(name) == []
    assert {stretch.limit_w for stretch in played.truth.select(job=played.scene.full(name))} == {300.0}


@pytest.mark.parametrize("name", ["good", "odd-profile", "unsteady", "blind", *REFUSED])
def test_every_job_is_measured(played: Played, name: str) -> None:
    """Whatever is wrong with it, its energy is that of the truth."""
    played.scene.wait(
        lambda: energy_mj(played.scene, name) == total_mj(played.scene.records(name)), "all records are in"
    )
    true_mj = played.truth.energy_mj(job=played.scene.full(name))
    assert energy_mj(played.scene, name) == pytest.approx(true_mj, abs=0.005 * true_mj + EDGE_MJ)


def test_a_profile_with_one_point_is_refused(played: Played) -> None:
    """By the API server, with a sentence."""
    with pytest.raises(RuntimeError, match="needs at least two points, measured at different power limits"):
        played.scene.apply(profile("poor", points=A40[:1]))


def test_a_profile_with_no_throughput_is_refused(played: Played) -> None:
    """By the API server, with a sentence."""
    with pytest.raises(RuntimeError, match="must be a number above 0"):
        played.scene.apply(profile("idle", points=[*A40[:-1], (150, "144.26", "0")]))


def test_a_profile_that_speeds_up_at_a_lower_limit_is_repaired(played: Played) -> None:
    """The job runs with the smoothed curve, and the profile says what was done."""
    path = "/apis/carbonzeus.dev/v1alpha1/namespaces/wrong/powerprofiles/odd"
    status = played.scene.cluster.api.get(path)["status"]
    conditions = {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}
    assert conditions["Usable"][:2] == ("True", "Usable")
    assert conditions["Repaired"][:2] == ("True", "Smoothed")
    assert "225" in conditions["Repaired"][2]
    assert played.scene.writes_of("odd-profile")


def test_without_a_forecast_the_job_holds_one_safe_limit(played: Played) -> None:
    """The best constant one within the bound, and the condition names file and line."""
    state, (status, reason, message), limits_w = played.safe
    assert (state, status, reason) == ("Holding", "False", "NoForecast")
    assert "BLIND.csv, line 101: forecast_gco2eq_kwh 'NaN' is no number" in message
    (limit_w,) = limits_w
    assert 225 < limit_w < 300


def test_a_mended_file_is_followed_without_asking(played: Played) -> None:
    """The job that held a safe limit follows the grid again."""
    assert fresh(played.scene, "blind")[:2] == ("True", "Fresh")
    limits_w = {switch.to_w for switch in played.truth.switches(job=played.scene.full("blind"))}
    assert len(limits_w) >= 2


@pytest.mark.parametrize("how", ["NaN", "negative", "unsorted"])
def test_a_file_that_is_spoilt_is_named_by_line_and_the_last_good_followed(played: Played, how: str) -> None:
    """On the report of the job that needs it."""
    status, reason, message = played.said[how]
    assert (status, reason) == ("True", "LastGood")
    assert "UNSTEADY.csv" in message
    assert SPOILT[how][1] in message


def test_a_gap_in_a_file_is_named_and_the_rest_followed(played: Played) -> None:
    """It lies ahead, in ten minutes: the plan goes around it."""
    assert played.said["gap"][:2] == ("True", "Gaps")
    assert "UNSTEADY.csv, line 402" in played.said["gap"][2]


def test_the_good_job_next_to_them_is_enforced_all_the_while(played: Played) -> None:
    """Each change of the intensity changes its limit by Eq. 6, whatever happens to the others."""
    writes = played.scene.writes_of("good")
    _, end = held(played.truth.select(job="wrong/good"))
    assert played.scene.unfollowed("good", played.truth, utc(writes[0].at_ns), end) == []
    assert played.scene.warnings("good") == {}


def test_no_process_was_started_again(played: Played) -> None:
    """Nothing of all this is a reason to crash."""
    assert set(played.scene.restarts().values()) == {0}


def test_every_board_is_back_at_its_limit(played: Played) -> None:
    """After the last job."""
    assert set(played.scene.limits_w().values()) == {300.0}
