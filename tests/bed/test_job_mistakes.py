"""What people get wrong: said where they look, harmless to the job itself and to every other, and mended by mending it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carbonzeus_bed.cluster import Cluster
from tests.bed.manifests import A40, ZONE, job, policy, profile
from tests.bed.scene import Scene

pytestmark = pytest.mark.bed

REFERENCE_W = 300.0
MISTAKES = {
    "lost": ("PolicyNotFound", "nowhere"),
    "odd": ("InvalidAnnotation", "carbonzeus.dev/max-slowdown"),
    "greedy": ("SlowdownNotAllowed", "9%"),
    "typo": ("InvalidAnnotation", "carbonzeus.dev/max-slowdwon"),
    "bare": ("ProfileNotFound", "missing"),
}
"""By job: the reason of its condition and Event, and what the message must name."""


@pytest.fixture(scope="module")
def scene(bed: Cluster) -> Iterator[Scene]:
    """A good job, and beside it one for each mistake."""
    scene = Scene.set_up(bed, "mistakes")
    noisy = [(300, "244", "99"), (250, "216", "100"), (200, "179", "93")]
    scene.apply(policy("loose", maxSlowdown="3%", maxSlowdownLimit="5%"), profile("noisy", points=noisy))
    scene.submit(
        job("good", seconds=600),
        job("lost", seconds=600, policy="nowhere"),
        job("odd", seconds=600, annotations={"carbonzeus.dev/max-slowdown": "fast"}),
        job("greedy", seconds=600, policy="loose", annotations={"carbonzeus.dev/max-slowdown": "9%"}),
        job("typo", seconds=600, annotations={"carbonzeus.dev/max-slowdwon": "3%"}),
        job("bare", seconds=600, profile="missing"),
    )
    scene.wait_enforced("good")
    scene.wait(lambda: all(scene.trains(name) for name in MISTAKES), "all train")
    yield scene
    scene.tear_down()


@pytest.mark.parametrize(("name", "reason", "named"), [(name, *said) for name, said in MISTAKES.items()])
def test_a_mistake_is_said_on_the_report_and_on_the_job(scene: Scene, name: str, reason: str, named: str) -> None:
    """A condition and a Warning Event with the reason and what to mend; no board of the job is ever written."""
    scene.wait(lambda: scene.conditions(name).get("Accepted", ("", ""))[:2] == ("False", reason), f"{name}: {reason}")
    assert named in scene.conditions(name)["Accepted"][2]
    scene.wait(lambda: named in scene.warnings(name).get(reason, ""), f"Event on {name}")
    assert scene.writes_of(name) == []


def test_the_job_beside_them_never_noticed(scene: Scene) -> None:
    """It goes on being enforced, and nothing of ours was started again."""
    scene.wait_limit("good", lambda limit_w: limit_w < REFERENCE_W, "capped")
    assert scene.raw_reports()["good"]["status"]["state"] == "Enforcing"
    assert set(scene.restarts().values()) == {0}


def test_a_noisy_curve_is_repaired_and_says_so(scene: Scene) -> None:
    """Speed that rises while the limit falls: smoothed, with the reason in the profile's status."""

    def repaired() -> bool:
        path = f"/apis/carbonzeus.dev/v1alpha1/namespaces/{scene.namespace}/powerprofiles/noisy"
        status = scene.cluster.api.get(path).get("status", {})
        found = {one["type"]: (one["status"], one["message"]) for one in status.get("conditions", [])}
        return found.get("Usable", ("",))[0] == "True" and found.get("Repaired", ("",))[0] == "True"

    scene.wait(repaired, "the profile's conditions")


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (A40[:1], "at least two points"),
        ([(300, "244", "0"), (200, "179", "0.9")], "throughput"),
        ([(300, "244", "-1"), (200, "179", "0.9")], "throughput"),
    ],
)
def test_a_curve_that_cannot_be_meant_is_refused(scene: Scene, points: list[tuple[int, str, str]], said: str) -> None:
    """By the API server, with a sentence."""
    with pytest.raises(Exception, match=said):
        scene.apply(profile("broken", points=points))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: [rows[0].rsplit(",", 1)[0] + ",NaN", *rows[1:]], "is no number"),
        (lambda rows: [rows[0].rsplit(",", 1)[0] + ",-5", *rows[1:]], "negative"),
        (lambda rows: [rows[1], rows[0], *rows[2:]], "sort"),
    ],
)
def test_a_broken_grid_file_is_named_by_its_line_and_the_job_keeps_its_plan(scene: Scene, spoil, said: str) -> None:
    """The last good forecast is followed meanwhile; the mended file is taken up by itself."""
    scene.show_grid({f"{ZONE}.csv": scene.carbon.csv(change=spoil)})

    def told() -> bool:
        _, _, message = scene.conditions("good").get("ForecastFresh", ("", "", ""))
        return f"{ZONE}.csv, line" in message and said in message

    scene.wait(told, f"condition with {said!r}: {scene.conditions('good').get('ForecastFresh')}")
    assert scene.raw_reports()["good"]["status"]["state"] in {"Enforcing", "Holding"}
    assert set(scene.restarts().values()) == {0}
    scene.show_grid({f"{ZONE}.csv": scene.carbon.csv()})
    scene.wait(lambda: not told(), "mended")
    scene.wait_enforced("good")
