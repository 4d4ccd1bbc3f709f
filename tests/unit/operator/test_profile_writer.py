"""Profiles that were measured are written when they are news, never over their owner's, and go when nobody teaches them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from carbonzeus_operator import kube
from carbonzeus_operator.errors import Conflict
from carbonzeus_operator.profile_writer import ProfileWriter
from carbonzeus_operator.resources.profile import PowerProfileSpec, PowerProfileStatus
from carbonzeus_operator.upkeep import profile_status
from carbonzeus_operator.world.objects import Key
from carbonzeus_operator.world.picture import Picture
from tests.unit.learning.workshop import Workshop
from tests.unit.operator.world import A40

TRUTH = {float(limit): (float(watts), float(r)) for limit, watts, r in A40}
HALF_A_YEAR = timedelta(days=180)


@dataclass
class Server:
    """The PowerProfiles of an API server, and what was asked of it."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    version: int = 0
    failing: bool = False

    def _stored(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        stored = copy.deepcopy(body)
        stored["metadata"] |= {"resourceVersion": str(self.version), "uid": "u"}
        self.objects[stored["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    async def create(self, kind: kube.Kind, body: dict[str, Any], namespace: str) -> dict[str, Any]:
        self.asked.append("create")
        return self._stored(body)

    async def replace(self, kind: kube.Kind, body: dict[str, Any], *, subresource: str | None) -> dict[str, Any]:
        self.asked.append(subresource or "replace")
        if self.failing:
            raise Conflict("somebody wrote in between")
        before = self.objects[body["metadata"]["name"]]
        part = {"status": body["status"]} if subresource else {"spec": body["spec"]}
        return self._stored(before | part)

    async def delete(self, kind: kube.Kind, name: str, namespace: str) -> None:
        self.asked.append("delete")
        del self.objects[name]


@dataclass
class Desk:
    """A job that is learned of, and the writer."""

    shop: Workshop = field(default_factory=lambda: Workshop(TRUTH))
    server: Server = field(default_factory=Server)
    picture: Picture = field(default_factory=Picture)

    @property
    def writer(self) -> ProfileWriter:
        return ProfileWriter(self.server, self.picture)  # type: ignore[arg-type]

    async def minutes(self, count: float) -> list[str]:
        """Lets the job train, with a write after each minute; returns what was asked of the API server."""
        before = len(self.server.asked)
        for _ in range(round(count)):
            self.shop.minutes(1)
            await self.writer.write([self.shop.run], self.shop.now, HALF_A_YEAR)
        return self.server.asked[before:]

    @property
    def profile(self) -> tuple[PowerProfileSpec, PowerProfileStatus]:
        (profile,) = self.picture.profiles.objects.values()
        assert isinstance(profile.spec, PowerProfileSpec)
        assert isinstance(profile.status, PowerProfileStatus)
        return profile.spec, profile.status


@pytest.fixture
async def desk() -> Desk:
    """After an hour, when the curve is known."""
    desk = Desk()
    await desk.minutes(60)
    return desk


async def test_a_curve_is_written_once_it_is_known() -> None:
    """Nothing before; then its points, and what they were learned from."""
    desk = Desk()
    assert await desk.minutes(3) == []
    asked = await desk.minutes(57)
    assert asked[:2] == ["create", "status"]
    spec, status = desk.profile
    assert (spec.source, spec.gpu_product, spec.fingerprint) == ("Measured", "NVIDIA A40", "0123456789abcdef")
    assert {one.limit_w for one in spec.to_points()} >= {300.0, 275.0, 250.0}
    assert status.runs == 1
    assert status.state is not None
    assert {one.limit_watts for one in spec.points} <= {one.limit_watts for one in status.measured}


async def test_no_news_is_written_once_an_hour(desk: Desk) -> None:
    """A curve that stays as it is costs the API server next to nothing."""
    asked = await desk.minutes(180)
    assert 2 <= asked.count("status") <= 6


async def test_upkeep_keeps_what_was_learned(desk: Desk) -> None:
    """Both write the same status: neither forgets what the other wrote."""
    (profile,) = desk.picture.profiles.objects.values()
    _, learned = desk.profile
    kept = profile_status(profile, desk.shop.now)
    assert (kept.state, kept.windows, kept.measured) == (learned.state, learned.windows, learned.measured)
    assert kept.points is not None


async def test_an_owners_profile_is_left_alone(desk: Desk) -> None:
    """Whoever sets source to User has the last word, while the job still trains, too."""
    (raw,) = desk.server.objects.values()
    raw["spec"]["source"] = "User"
    desk.picture.observe(kube.POWERPROFILE, "MODIFIED", raw)
    assert await desk.minutes(120) == []


async def test_a_failed_write_is_made_good(desk: Desk) -> None:
    """Somebody wrote in between: later it is written all the same."""
    desk.server.failing = True
    desk.server.asked.clear()
    await desk.minutes(90)
    assert desk.server.asked
    written = desk.profile[1].last_run_time
    desk.server.failing = False
    await desk.minutes(2)
    later = desk.profile[1].last_run_time
    assert written is not None
    assert later is not None
    assert later > written


async def test_another_run_that_knows_less_does_not_overwrite(desk: Desk) -> None:
    """Two runs at a time: the one that saw more is kept."""
    await desk.minutes(60)
    _, before = desk.profile
    other = Workshop(TRUTH, seed=3, now=desk.shop.now)
    for _ in range(20):
        other.minutes(1)
        await desk.writer.write([other.run], other.now, HALF_A_YEAR)
    assert other.run.study is not None
    assert other.run.study.learner.known
    assert desk.profile[1] == before


async def test_a_profile_that_nobody_teaches_ages_out(desk: Desk) -> None:
    """Half a year after its last run; a person's stays."""
    later = desk.shop.now + HALF_A_YEAR + timedelta(hours=1)
    (key,) = desk.picture.profiles.objects
    mine = {"metadata": {"name": "mine", "namespace": "ml", "uid": "m", "resourceVersion": "1"}, "spec": _spec()}
    desk.picture.observe(kube.POWERPROFILE, "ADDED", mine)
    await desk.writer.write([], desk.shop.now + timedelta(days=179), HALF_A_YEAR)
    assert key in desk.picture.profiles.objects
    await desk.writer.write([], later, HALF_A_YEAR)
    assert list(desk.picture.profiles.objects) == [Key("ml", "mine")]


def _spec() -> dict[str, Any]:
    points = [{"limitWatts": limit, "averageWatts": watts, "throughput": speed} for limit, watts, speed in A40]
    return {"gpuProduct": "NVIDIA A40", "points": points}
