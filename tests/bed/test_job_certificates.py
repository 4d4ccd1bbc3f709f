"""Certificates are renewed while jobs follow their plans: no agent falls silent, no switch is missed."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.scenario import RELEASE
from carbonzeus_operator import certs
from carbonzeus_operator.certs import Held, Role, Schedule
from carbonzeus_operator.trust import AGENT_SECRET, OPERATOR_SECRET
from tests.bed.manifests import job
from tests.bed.scene import Scene
from tests.bed.sight import held, utc

pytestmark = pytest.mark.bed

NAMES = ("left", "right", "spread")
SCHEDULE = Schedule()
OLD = SCHEDULE.leaf * SCHEDULE.renew_at + timedelta(days=2)
"""A certificate of this age is due."""


@pytest.fixture(scope="module")
def scene(bed: Cluster) -> Iterator[Scene]:
    made = Scene.set_up(bed, "certificates")
    yield made
    made.tear_down()


def test_certificates_are_renewed_under_a_running_plan(scene: Scene) -> None:
    """Both are made old by hand: the operator renews them within seconds, the agents take them up, and nobody notices."""
    scene.submit(
        job("left", seconds=45, policy="weighty", node="gpu-a"),
        job("right", seconds=45, policy="weighty", node="gpu-b"),
        job("spread", seconds=45, policy="weighty", workers=2, profile="a40x2"),
    )
    scene.wait_enforced(*NAMES)
    said = len(scene.cluster.pods(RELEASE).log(scene.operator()))
    first = held_by(scene)
    made_old(scene, first)
    aged = serials(held_by(scene))
    assert not set(aged) & set(serials(first))
    unheard: list[str] = []

    def renewed() -> bool:
        unheard.extend(
            f"{name}: {message}"
            for name in NAMES
            for status, reason, message in scene.conditions(name).values()
            if status == "False" and "Agent" in reason
        )
        return not set(serials(held_by(scene))) & set(aged)

    scene.wait(renewed, "both certificates are renewed")
    done = datetime.now(UTC)
    scene.wait(lambda: renewed() and datetime.now(UTC) > done + timedelta(seconds=10), "plans are pushed with them")
    assert not any(scene.finished(name) for name in NAMES), "the jobs must last until the certificates are in use"
    scene.wait_closed(*NAMES)
    assert unheard == []
    truth = scene.truth()
    for name in NAMES:
        _, end = held(truth.select(job=scene.full(name)))
        assert scene.unfollowed(name, truth, utc(scene.writes_of(name)[0].at_ns), end) == []
    assert set(scene.restarts().values()) == {0}
    log = scene.cluster.pods(RELEASE).log(scene.operator())
    assert log.count(f"Secret {AGENT_SECRET}: certificates renewed") == 2, "once at the installation, once now"
    assert [line for line in log[said:].splitlines() if "carbonzeus_operator.fleet" in line] == []


def held_by(scene: Scene) -> Held:
    """What both Secrets hold."""
    return certs.read(_data(scene, OPERATOR_SECRET), _data(scene, AGENT_SECRET))


def made_old(scene: Scene, now: Held) -> None:
    """Writes certificates of the same authority that are due; agents first, as the operator does."""
    then = datetime.now(UTC) - OLD
    leaves = {role: certs.make_leaf(now.authorities[-1], role, RELEASE, then, SCHEDULE) for role in Role}
    old = replace(now, operator=leaves[Role.OPERATOR], agent=leaves[Role.AGENT])
    for name, data in ((AGENT_SECRET, certs.for_agent(old)), (OPERATOR_SECRET, certs.for_operator(old))):
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        scene.cluster.api.merge(f"/api/v1/namespaces/{RELEASE}/secrets/{name}", {"data": encoded})


def serials(found: Held) -> list[int]:
    """Of the operator's and the agents' certificate."""
    return [pair.cert.serial_number for pair in (found.operator, found.agent) if pair is not None]


def _data(scene: Scene, name: str) -> Mapping[str, str]:
    secret: dict[str, Any] = scene.cluster.api.get(f"/api/v1/namespaces/{RELEASE}/secrets/{name}")
    return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
