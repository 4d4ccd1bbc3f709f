"""The Lease that says who leads, on a stand-in for the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from carbonzeus_operator.errors import Conflict
from carbonzeus_operator.kube import Kind, Kube
from carbonzeus_operator.leader import Leader, LeadershipLost

Raw = dict[str, Any]


class Leases:
    """One Lease, with the API server's optimistic locking."""

    def __init__(self) -> None:
        self.lease: Raw | None = None
        self.version = 0
        self.silent = False

    async def get(self, kind: Kind, name: str, namespace: str) -> Raw | None:
        if self.silent:
            await asyncio.Event().wait()
        return None if self.lease is None else {**self.lease, "spec": dict(self.lease["spec"])}

    async def create(self, kind: Kind, body: Mapping[str, Any], namespace: str) -> Raw:
        if self.lease is not None:
            raise Conflict("there is one")
        return self._keep(body)

    async def replace(self, kind: Kind, body: Mapping[str, Any]) -> Raw | None:
        if self.lease is None:
            return None
        if body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("written in between")
        return self._keep(body)

    def _keep(self, body: Mapping[str, Any]) -> Raw:
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


def candidate(leases: Leases, identity: str, duration_s: float = 0.05) -> Leader:
    return Leader(cast("Kube", leases), "carbonzeus", "carbonzeus-operator", identity, duration_s)


async def test_the_first_candidate_leads() -> None:
    """It writes itself into a new Lease, with its term."""
    leases = Leases()
    term = await candidate(leases, "a").acquire()
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == "a"
    assert leases.lease["spec"]["leaseTransitions"] == term < 2**31


async def test_each_leader_has_a_higher_term_than_the_one_before() -> None:
    """After a lease that ran out, and after one that was given back."""
    leases = Leases()
    terms = []
    for identity in ("a", "b", "c"):
        leader = candidate(leases, identity)
        terms.append(await leader.acquire())
        if identity == "a":
            await leader.release()
    assert terms[0] < terms[1] < terms[2]


async def test_a_lease_that_was_deleted_does_not_set_terms_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents remember the highest term for ever: a new installation must come after every earlier one."""
    leases, clock = Leases(), [1_800_000_000.0]
    monkeypatch.setattr("carbonzeus_operator.leader.time.time", lambda: clock[0])
    terms = []
    for identity in ("a", "b", "c"):
        leader = candidate(leases, identity)
        terms.append(await leader.acquire())
        await leader.release()
    leases.lease = None
    clock[0] += 60
    assert await candidate(leases, "d").acquire() > max(terms)


async def test_a_leader_whose_lease_was_taken_is_lost() -> None:
    """Somebody else holds it now, so this process must end."""
    leases = Leases()
    old = candidate(leases, "a")
    await old.acquire()
    await candidate(leases, "b").acquire()
    with pytest.raises(LeadershipLost, match="no longer ours"):
        await old.hold()


async def test_a_leader_that_gets_no_answer_is_lost_before_its_lease_runs_out() -> None:
    """It does not wait as long as a call may take: by then somebody else would lead."""
    leases = Leases()
    leader = candidate(leases, "a")
    await leader.acquire()
    leases.silent = True
    with pytest.raises(LeadershipLost, match="could not be renewed in time"):
        await leader.hold()


async def test_a_silent_server_does_not_keep_a_process_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is not given back then; it runs out by itself."""
    monkeypatch.setattr("carbonzeus_operator.leader.RELEASE_S", 0.05)
    leases = Leases()
    leader = candidate(leases, "a")
    await leader.acquire()
    leases.silent = True
    await leader.release()
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == "a"
