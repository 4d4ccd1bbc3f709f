"""What the operator plans on a cluster is what `carbonzeus simulate` plans from the same forecast, curve and credit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic.alias_generators import to_snake

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.scenario import documents
from carbonzeus_cli.simulate.history import Forecast, History
from carbonzeus_cli.simulate.job import Job
from carbonzeus_operator.cycle import rules_of
from carbonzeus_operator.following import follow
from carbonzeus_operator.grid import csvfile
from carbonzeus_operator.plan.bound import margin_s
from carbonzeus_operator.plan.curve import Curve, Point
from carbonzeus_operator.settings import Settings
from carbonzeus_operator.world.snapshot import Measured, Rules
from tests.bed.manifests import A40, ZONE, job
from tests.bed.scene import Scene

pytestmark = pytest.mark.bed

SLOWDOWN = 0.03
NEAR = timedelta(milliseconds=1)
"""The report tells the credit in whole microseconds, and instants follow from it."""


@pytest.fixture(scope="module")
def scene(bed: Cluster) -> Iterator[Scene]:
    made = Scene.set_up(bed, "plans")
    try:
        yield made
    finally:
        made.tear_down()


def test_operator_plans_what_the_simulator_plans(scene: Scene) -> None:
    """Each plan that the job's report told while it ran: the same limits at the same instants."""
    scene.submit(job("train", seconds=14))
    scene.wait_enforced("train")
    told: dict[str, dict[str, Any]] = {}

    def watched() -> bool:
        plan = scene.raw_reports()["train"]["status"].get("plan")
        if plan is not None:
            told.setdefault(plan["madeAt"], plan)
        return scene.finished("train")

    scene.wait(watched, "the job ends")
    assert len(told) >= 3, "a plan is made every two seconds"
    for plan in told.values():
        assert differences(plan, simulated(scene, plan)) == []


def simulated(scene: Scene, plan: dict[str, Any]) -> list[tuple[datetime, str]]:
    """The steps of the plan that the simulator makes at the same moment with the same credit."""
    rules = rules_of(Settings(**{to_snake(name): value for name, value in settings().items()}))
    points = [Point(float(limit), float(watts), float(speed)) for limit, watts, speed in A40]
    subject = Job(Curve.from_points(points, 300.0, minimum_w=150.0), 14.0, SLOWDOWN, rules=rules)
    recording = csvfile.parse(f"{ZONE}.csv", scene.zones[f"{ZONE}.csv"].splitlines())
    now = datetime.fromisoformat(plan["madeAt"]) - rules.switch_lead
    feed = History.of(recording, Forecast.GIVEN).feed(rules.horizon)
    made = follow(None, _with_credit(plan, rules, now), subject.course, feed.at(now), rules, now, fresh=True)
    return [(step.at, f"{step.limits_w[subject.product]:.0f} W") for step in made.plan.steps]


def settings() -> dict[str, Any]:
    """What the bed's operator was told."""
    (values,) = documents("values.yaml")
    told: dict[str, Any] = values["operator"]["settings"]
    return told


def _with_credit(plan: dict[str, Any], rules: Rules, now: datetime) -> Measured:
    """A measurement, up to now, that leaves the plan's credit when its margin is held back."""
    unseen_s = (rules.replan + rules.switch_lead).total_seconds()
    spare_s = float(plan["creditSeconds"]) + margin_s(r_error=rules.curve_error, unseen_s=unseen_s)
    elapsed_s = 1000.0
    return Measured(elapsed_s, spare_s - rules.grace_s + elapsed_s / (1 + SLOWDOWN), now)


def differences(plan: dict[str, Any], simulated: list[tuple[datetime, str]]) -> list[str]:
    """Where the told steps from the plan's begin on are not the simulated ones."""
    begin = datetime.fromisoformat(plan["madeAt"])
    told = [(datetime.fromisoformat(step["at"]), step["limit"]) for step in plan["steps"]]
    told = [step for step in told if step[0] >= begin]
    assert told, f"no step of the plan of {begin} was told"
    found = []
    for (at, limit), (at_simulated, limit_simulated) in zip(told, simulated, strict=False):
        if limit != limit_simulated or abs(at - at_simulated) > NEAR:
            found.append(f"plan of {begin}: {limit} at {at}, simulated {limit_simulated} at {at_simulated}")
    return found
