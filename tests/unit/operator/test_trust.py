"""The two Secrets, on a stand-in for the API server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from carbonzeus_operator.certs import CA_KEY, Schedule
from carbonzeus_operator.errors import Conflict, Unavailable
from carbonzeus_operator.kube import Kind, Kube
from carbonzeus_operator.metrics import Metrics
from carbonzeus_operator.settings import TlsMode
from carbonzeus_operator.trust import AGENT_SECRET, OPERATOR_SECRET, Trust
from carbonzeus_wire.identity import CA, CERT, KEY

Raw = dict[str, Any]


class Secrets:
    """Both Secrets, as the chart makes them; writes are remembered by name."""

    def __init__(self) -> None:
        self.objects: dict[str, Raw] = {name: {"metadata": {"name": name}} for name in (OPERATOR_SECRET, AGENT_SECRET)}
        self.writes: list[str] = []
        self.refuses: str | None = None

    async def get(self, kind: Kind, name: str, namespace: str) -> Raw | None:
        assert kind.plural == "secrets"
        return self.objects.get(name)

    async def replace(self, kind: Kind, body: Mapping[str, Any]) -> Raw | None:
        name = body["metadata"]["name"]
        if name == self.refuses:
            raise Conflict("written in between")
        self.writes.append(name)
        self.objects[name] = dict(body)
        return self.objects[name]


class Time:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


@pytest.fixture
def time() -> Time:
    return Time()


def trust(secrets: Secrets, time: Time, mode: TlsMode = TlsMode.OPERATOR) -> Trust:
    return Trust(cast("Kube", secrets), "carbonzeus", mode, time)


async def test_a_first_look_fills_both_secrets_agents_first(secrets, time):
    """And only once; the authority's key is in the operator's alone."""
    kept = trust(secrets, time)
    with pytest.raises(Unavailable, match="not read yet"):
        kept.context()
    await kept.look()
    first = kept.context()
    await kept.look()
    assert kept.context() is first
    assert secrets.writes == [AGENT_SECRET, OPERATOR_SECRET]
    assert secrets.objects[AGENT_SECRET]["data"].keys() == {CA, CERT, KEY}
    assert secrets.objects[OPERATOR_SECRET]["data"].keys() == {CA, CA_KEY, CERT, KEY}


async def test_certificates_are_renewed_in_time_and_spoken_with(secrets, time):
    """After two thirds of their life; by the same authority."""
    kept = trust(secrets, time)
    await kept.look()
    first, bundle = kept.context(), secrets.objects[AGENT_SECRET]["data"][CA]
    time.now += Schedule().leaf * 3 / 4
    await kept.look()
    assert kept.context() is not first
    assert secrets.writes == [AGENT_SECRET, OPERATOR_SECRET] * 2
    assert secrets.objects[AGENT_SECRET]["data"][CA] == bundle


async def test_another_leader_goes_on_with_what_is_there(secrets, time):
    """Nothing is made anew."""
    await trust(secrets, time).look()
    await trust(secrets, time).look()
    assert secrets.writes == [AGENT_SECRET, OPERATOR_SECRET]


async def test_a_write_that_failed_half_way_is_made_good(secrets, time):
    """Whatever agents were told, both sides agree after the next look."""
    kept = trust(secrets, time)
    secrets.refuses = OPERATOR_SECRET
    await kept.look()
    with pytest.raises(Unavailable):
        kept.context()
    secrets.refuses = None
    await kept.look()
    kept.context()
    assert secrets.objects[AGENT_SECRET]["data"][CA] == secrets.objects[OPERATOR_SECRET]["data"][CA]


async def test_what_somebody_wiped_is_made_anew(secrets, time):
    """A Secret without data, or with rubbish."""
    kept = trust(secrets, time)
    await kept.look()
    secrets.objects[AGENT_SECRET] = {"metadata": {"name": AGENT_SECRET}, "data": {CERT: "%%%", KEY: "AAAA"}}
    time.now += timedelta(minutes=1)
    await kept.look()
    assert secrets.objects[AGENT_SECRET]["data"].keys() == {CA, CERT, KEY}


async def test_a_missing_secret_is_said(secrets, time):
    """With what to do."""
    del secrets.objects[AGENT_SECRET]
    kept = trust(secrets, time)
    await kept.look()
    with pytest.raises(Unavailable, match="carbonzeus-agent-tls is not there: install the chart again"):
        kept.context()


async def test_with_cert_manager_nothing_is_written(secrets, time):
    """Only read, and waited for."""
    kept = trust(secrets, time, TlsMode.CERT_MANAGER)
    await kept.look()
    with pytest.raises(Unavailable, match=r"has no 'ca.crt' yet"):
        kept.context()
    other = Secrets()
    await trust(other, time).look()
    secrets.objects = other.objects
    await kept.look()
    kept.context()
    assert secrets.writes == []


@pytest.mark.parametrize("mode", list(TlsMode))
async def test_the_end_of_each_certificate_is_told(secrets, time, mode):
    """For alerts: before a first look of none, of the agents' only where it is ours, and not moved by a renewal that failed."""
    maker = trust(secrets, time)
    assert maker.expiries() == {}
    await maker.look()
    kept = trust(secrets, time, mode)
    metrics = Metrics()
    metrics.watch_certificates(kept.expiries)
    await kept.look()
    schedule = Schedule()
    expected = {"operator": schedule.leaf, "agent": schedule.leaf, "authority": schedule.authority}
    if mode is TlsMode.CERT_MANAGER:
        del expected["agent"]
    name = "carbonzeus_certificate_expiry_timestamp_seconds"
    for certificate, life in expected.items():
        end_s = metrics.registry.get_sample_value(name, {"certificate": certificate})
        assert end_s == pytest.approx((time.now + life).timestamp(), abs=1)
    assert kept.expiries().keys() == expected.keys()

    before = kept.expiries()
    time.now += schedule.leaf * schedule.renew_at
    secrets.refuses = AGENT_SECRET
    await kept.look()
    assert kept.expiries() == before
