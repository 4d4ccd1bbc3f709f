"""The real agent process and the certificates that it is shown: late, spoiled, replaced under way, and when they end."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from carbonzeus_operator.certs import Held, Role, Schedule, make_authority, make_leaf, renewed

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage

SPACE, SCHEDULE = "carbonzeus", Schedule()


def test_certificates_are_replaced_while_plans_are_pushed(stage: Stage, agent: AgentProcess) -> None:
    """A new authority, then new certificates, then the old authority goes: no push fails and no switch is missed."""
    stage.pods(stage.pod("a"))
    now, first = datetime.now(UTC), agent.identities.held
    second = make_authority(now - timedelta(days=1), SCHEDULE)
    both = replace(first, authorities=(*first.authorities, second))
    operators = make_leaf(second, Role.OPERATOR, SPACE, now, SCHEDULE)
    agents = make_leaf(second, Role.AGENT, SPACE, now, SCHEDULE)
    stages = [(2.0, both), (5.0, Held(both.authorities, operators, agents)), (8.0, Held((second,), operators, agents))]
    steps = [(0.5 * number, (200, 150)[number % 2]) for number in range(24)]
    plan, began = agent.plan("a", *steps), time.monotonic()
    while (passed_s := time.monotonic() - began) < 11.5:
        if stages and passed_s > stages[0][0]:
            agent.identities.show(stages.pop(0)[1])
            agent.tls = agent.identities.client()
        agent.push(plan)
        time.sleep(0.05)
    wanted = [watts * 1000 for at_s, watts in steps if at_s < 11]
    assert [write.requested_mw for write in stage.node.writes()][: len(wanted)] == wanted
    assert agent.log.read_text().count("certificates loaded") == 4


def test_without_certificates_the_port_is_closed_and_readiness_says_so(stage: Stage, agent: AgentProcess) -> None:
    """Nobody is let in; when they come, the operator is."""
    agent.end()
    held = agent.identities.held
    for file in agent.identities.folder.iterdir():
        if not file.name.startswith("."):
            file.unlink()
    data = agent.identities.folder / "..data"
    for file in data.resolve().iterdir():
        file.unlink()
    agent.launch()

    def refused() -> bool:
        try:
            return agent.ready() == (False, ["NoCertificates"])
        except ConnectionError:
            return False

    stage.waits(refused, "readiness says so")
    assert "waiting for certificates in" in agent.ask("GET", "/readyz", health=True)[1]
    with pytest.raises(ConnectionRefusedError):
        agent.ask("GET", "/v1/node")
    agent.identities.show(held)
    stage.waits(lambda: agent.ready() == (True, []), "it is ready")
    assert agent.ask("GET", "/v1/node")[0] == 200


def test_a_spoiled_certificate_keeps_the_old_one_in_use(stage: Stage, agent: AgentProcess) -> None:
    """Said as a warning; the operator is served meanwhile."""
    held = agent.identities.held
    other = renewed(Held(), SPACE, datetime.now(UTC), SCHEDULE)
    agent.identities.show(replace(held, agent=other.agent))
    stage.waits(lambda: "CertificatesStale" in agent.ask("GET", "/readyz", health=True)[1], "it is said")
    assert agent.ready() == (True, [])
    assert agent.ask("GET", "/v1/node")[0] == 200


def test_the_end_of_the_certificate_in_use_is_told(stage: Stage, agent: AgentProcess) -> None:
    """For alerts, also after it was replaced by one that ends sooner."""

    def told() -> float:
        name = "carbonzeus_agent_certificate_expiry_timestamp_seconds"
        return next(float(line.split()[1]) for line in agent.metrics().splitlines() if line.startswith(name))

    held = agent.identities.held
    assert held.agent is not None
    assert told() == held.agent.cert.not_valid_after_utc.timestamp()
    shorter = replace(SCHEDULE, leaf=timedelta(days=2))
    sooner = make_leaf(held.authorities[0], Role.AGENT, SPACE, datetime.now(UTC), shorter)
    agent.identities.show(replace(held, agent=sooner))
    stage.waits(lambda: told() == sooner.cert.not_valid_after_utc.timestamp(), "the new end is told")
