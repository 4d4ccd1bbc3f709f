from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from carbonzeus_operator.errors import Conflict, InvalidSpec, Unavailable
from carbonzeus_operator.fleet.fleet import Fleet
from carbonzeus_operator.fleet.transport import AgentTransport
from carbonzeus_wire import (
    EnergyPage,
    EnergyRecord,
    Fence,
    NodeState,
    PlanReply,
    PlanRequest,
    PodPlan,
    Quality,
    Refusal,
    RefusalReason,
)
from tests.unit.operator import world

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGENT = replace(world.pod("agent-0", "n1"), ip="127.0.0.1")


class FakeAgent:
    """An agent's API over a list of records."""

    def __init__(self, records: int = 0) -> None:
        self.boot, self.ledger = "boot-1", "ledger-1"
        self.status = 200
        self.pushed: list[PlanRequest] = []
        self.refused: tuple[Refusal, ...] = ()
        self.records = [
            EnergyRecord(
                seq=seq,
                gpu_uuid="GPU-1",
                start=NOON + timedelta(seconds=seq - 1),
                end=NOON + timedelta(seconds=seq),
                energy_millijoules=1,
                quality=Quality.COUNTER,
            )
            for seq in range(1, records + 1)
        ]

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [web.get("/v1/node", self.node), web.put("/v1/plans", self.plans), web.get("/v1/energy", self.energy)]
        )
        return app

    async def node(self, _: web.Request) -> web.Response:
        state = NodeState(
            node="n1", boot_id=self.boot, ledger_id=self.ledger, clock=NOON, last_seq=len(self.records), gpus=()
        )
        return web.json_response(text=state.model_dump_json(by_alias=True))

    async def plans(self, request: web.Request) -> web.Response:
        asked = PlanRequest.model_validate_json(await request.text())
        if self.status == 200:
            self.pushed.append(asked)
        return web.json_response(
            text=PlanReply(fence=asked.fence, refused=self.refused).model_dump_json(by_alias=True), status=self.status
        )

    async def energy(self, request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), min(int(request.query["limit"]), 7)
        since = datetime.fromisoformat(request.query["since"]) if "since" in request.query else None
        found = [one for one in self.records if one.seq > after and (since is None or one.end > since)][:limit]
        page = EnergyPage(ledger_id=self.ledger, records=tuple(found), last_seq=len(self.records))
        return web.json_response(text=page.model_dump_json(by_alias=True))


@pytest.fixture
async def agent() -> AsyncIterator[tuple[FakeAgent, Fleet]]:
    fake = FakeAgent(records=20)
    async with TestServer(fake.app()) as server:
        transport = AgentTransport(port=server.port or 0, timeout_s=2, concurrency=4)
        fleet = Fleet(transport)
        fleet.found([AGENT], NOON)
        yield fake, fleet
        await transport.close()


async def push(fleet: Fleet, *plans: PodPlan, revision: int = 1, now: datetime = NOON) -> None:
    await fleet.push({"n1": plans}, fence=Fence(term=1, revision=revision), lease_s=30, now=now)


PLAN = PodPlan(pod_uid="u", pod="ml/w-0", job="ml/train")


async def test_energy_is_pulled_page_by_page_to_the_end(agent):
    """Nothing is left behind, whatever the page size."""
    _, fleet = agent
    await fleet.look(NOON)
    found = await fleet.energy({"n1": 3})
    assert [record.seq for record in found["ledger-1"]] == list(range(4, 21))


async def test_the_first_record_of_a_job_is_found_by_its_start(agent):
    """A report that is made late begins where its job did."""
    _, fleet = agent
    await fleet.look(NOON)
    assert await fleet.last_before("n1", NOON + timedelta(seconds=10.5)) == 10
    assert await fleet.last_before("n1", NOON + timedelta(days=1)) == 20


async def test_unchanged_plans_are_pushed_again_only_to_renew_the_lease(agent):
    """Quiet while nothing changes, but never so long that a lease runs out."""
    fake, fleet = agent
    await fleet.look(NOON)
    await push(fleet, PLAN)
    await push(fleet, PLAN, revision=2, now=NOON + timedelta(seconds=5))
    assert len(fake.pushed) == 1
    await push(fleet, PLAN, revision=3, now=NOON + timedelta(seconds=11))
    assert [request.fence.revision for request in fake.pushed] == [1, 3]


async def test_a_pod_that_the_kubelet_did_not_know_yet_is_told_again(agent):
    """The agent drops a plan whose pod is not there; the next round tells it once more."""
    fake, fleet = agent
    await fleet.look(NOON)
    fake.refused = (Refusal(pod_uid="u", reason=RefusalReason.UNKNOWN_POD),)
    await push(fleet, PLAN)
    fake.refused = ()
    await push(fleet, PLAN, revision=2)
    await push(fleet, PLAN, revision=3)
    assert [request.fence.revision for request in fake.pushed] == [1, 2]


async def test_an_agent_that_started_anew_is_told_again(agent):
    """It restored its GPUs and knows no plan."""
    fake, fleet = agent
    await fleet.look(NOON)
    await push(fleet, PLAN)
    fake.boot = "boot-2"
    await fleet.look(NOON)
    await push(fleet, PLAN, revision=2)
    assert len(fake.pushed) == 2


async def test_a_node_without_plans_is_told_so(agent):
    """Released pods are released at once, not when the lease ends."""
    fake, fleet = agent
    await fleet.look(NOON)
    await push(fleet, PLAN)
    await fleet.push({}, fence=Fence(term=1, revision=2), lease_s=30, now=NOON)
    assert fake.pushed[-1].plans == ()


async def test_an_agent_that_does_not_answer_fails_alone():
    """The problem is kept with the agent; nothing is raised."""
    transport = AgentTransport(port=9, timeout_s=0.5, concurrency=4)
    fleet = Fleet(transport)
    fleet.found([world.pod("agent-0", "n1")], NOON)
    await fleet.look(NOON)
    await push(fleet, PLAN)
    assert "does not answer" in (fleet.agents["n1"].problem or "")
    await transport.close()


@pytest.mark.parametrize(("status", "error"), [(409, Conflict), (400, InvalidSpec), (500, Unavailable)])
async def test_an_answer_is_told_apart_by_what_can_be_done_about_it(agent, status, error):
    """A newer leader, a refusal, a failure."""
    fake, fleet = agent
    fake.status = status
    with pytest.raises(error):
        await fleet.transport.put_plans("127.0.0.1", PlanRequest(fence=Fence(term=1, revision=1), lease_seconds=1))


async def test_what_was_heard_of_a_node_stands_while_its_agent_starts_anew(agent):
    """A job that is on other nodes too keeps its plan; nobody is called meanwhile, and the agent is told again at once."""
    fake, fleet = agent
    await fleet.look(NOON)
    await push(fleet, PLAN)
    fleet.found([replace(AGENT, running=False)], NOON + timedelta(seconds=5))
    await fleet.look(NOON + timedelta(seconds=5))
    await push(fleet, PLAN, revision=2)
    assert fleet.agents["n1"].state is not None
    assert fleet.agents["n1"].problem == "its agent is not running"
    fleet.found([AGENT], NOON + timedelta(seconds=10))
    await fleet.look(NOON + timedelta(seconds=10))
    await push(fleet, PLAN, revision=3)
    assert fleet.agents["n1"].problem is None
    assert [request.fence.revision for request in fake.pushed] == [1, 3]


async def test_a_node_without_an_agent_is_forgotten_after_a_while(agent):
    """Its agent's lease has run out: nothing is held there any more."""
    _, fleet = agent
    await fleet.look(NOON)
    fleet.found([], NOON + fleet.memory + timedelta(seconds=1))
    assert fleet.agents == {}
