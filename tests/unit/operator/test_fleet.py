from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from tempfile import NamedTemporaryFile

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from carbonzeus_operator.certs import Held, Schedule, for_agent, for_operator, renewed
from carbonzeus_operator.errors import Conflict, InvalidSpec, Unavailable
from carbonzeus_operator.fleet.fleet import Fleet
from carbonzeus_operator.fleet.transport import AgentTransport
from carbonzeus_operator.trust import client_context
from carbonzeus_wire import (
    EnergyPage,
    EnergyRecord,
    Fence,
    GpuState,
    NodeState,
    Override,
    PlanReply,
    PlanRequest,
    PodPlan,
    Quality,
    Refusal,
    RefusalReason,
    agent_name,
)
from carbonzeus_wire.identity import CA, CERT, KEY
from tests.unit.operator import world

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPACE = "carbonzeus"
IDENTITIES = renewed(Held(), SPACE, datetime.now(UTC), Schedule())
AGENT = replace(world.pod("agent-0", "n1"), ip="127.0.0.1")


def identities(now: datetime | None = None) -> Held:
    """An authority and both certificates."""
    return IDENTITIES if now is None else renewed(Held(), SPACE, now, Schedule())


def speaking(port: int, held: Held) -> AgentTransport:
    """A transport that shows the operator's certificate."""
    data = for_operator(held)
    context = client_context(data[CA], data[CERT], data[KEY])
    return AgentTransport(port=port, timeout_s=2, concurrency=4, tls=lambda: context, name=agent_name(SPACE))


@asynccontextmanager
async def secured(app: web.Application, held: Held | None = None) -> AsyncIterator[TestServer]:
    """A server that shows the agents' certificate and demands one."""
    data = for_agent(held or IDENTITIES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=data[CA])
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(data[CERT] + data[KEY])
        file.flush()
        context.load_cert_chain(file.name)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    try:
        yield server
    finally:
        await server.close()


class FakeAgent:
    """An agent's API over a list of records."""

    def __init__(self, records: int = 0) -> None:
        self.boot, self.ledger = "boot-1", "ledger-1"
        self.status = 200
        self.pushed: list[PlanRequest] = []
        self.refused: tuple[Refusal, ...] = ()
        self.gpus: tuple[GpuState, ...] = ()
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
            node="n1",
            boot_id=self.boot,
            ledger_id=self.ledger,
            clock=NOON,
            last_seq=len(self.records),
            gpus=self.gpus,
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
    async with secured(fake.app()) as server:
        transport = speaking(server.port or 0, identities())
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


async def test_an_agent_that_left_a_gpu_to_somebody_else_is_asked_what_stands(agent):
    """Its reply is of before; asked once more, it refuses the GPU, and again when it follows the plan."""
    fake, fleet = agent
    await push(fleet, PLAN)
    fake.gpus = (GpuState(uuid="GPU-1", product="A40", override=Override(limit_watts=280, yielded=True, message="m")),)
    fake.refused = (Refusal(pod_uid="u", gpu_uuid="GPU-1", reason=RefusalReason.LIMIT_OVERRIDDEN),)
    for revision in (2, 3):
        await fleet.look(NOON)
        await push(fleet, PLAN, revision=revision)
    fake.gpus, fake.refused = (), ()
    for revision in (4, 5):
        await fleet.look(NOON)
        await push(fleet, PLAN, revision=revision)
    assert [request.fence.revision for request in fake.pushed] == [1, 2, 4]


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
    transport = speaking(9, identities())
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


async def test_somebody_else_at_an_agents_address_is_not_spoken_to():
    """A certificate of another authority, or one of the right authority but not an agent's."""
    fake = FakeAgent()
    other = identities(datetime.now(UTC))
    swapped = replace(IDENTITIES, agent=IDENTITIES.operator)
    for held in (other, swapped):
        async with secured(fake.app(), held) as server:
            transport = speaking(server.port or 0, IDENTITIES)
            with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await transport.node("127.0.0.1")
            await transport.close()


async def test_an_agent_that_is_asked_too_often_is_left_alone(agent):
    """For as long as it says."""
    fake, fleet = agent
    fake.status = 429
    request = PlanRequest(fence=Fence(term=1, revision=1), lease_seconds=1)
    for sentence in ("asked too often", "asked to be left alone"):
        with pytest.raises(Unavailable, match=sentence) as caught:
            await fleet.transport.put_plans("127.0.0.1", request)
        assert caught.value.retry_after_s == pytest.approx(1, abs=0.5)
