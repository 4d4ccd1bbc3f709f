"""Everybody who is not the operator, against the real agent process: refused, said in the log, and nothing is written."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbonzeus_bed.agentprocess import AgentConnection
from carbonzeus_operator.certs import Pair, Role, Schedule, key_text, make_authority, make_leaf

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess
    from carbonzeus_bed.stage import Stage

SPACE, SCHEDULE = "carbonzeus", Schedule()
REFUSED = (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)


def said(stage: Stage, agent: AgentProcess, *words: str) -> None:
    """One line of the log has all these words; and no line has any key material."""

    def there() -> bool:
        return any(all(word in line for word in words) for line in agent.log.read_text().splitlines())

    stage.waits(there, f"the log says {words}")
    log = agent.log.read_text()
    held = agent.identities.held
    pairs = [pair for pair in (*held.authorities, held.operator, held.agent) if pair is not None]
    assert "PRIVATE KEY" not in log
    assert not any(line in log for pair in pairs for line in key_text(pair).splitlines()[1:-1])


def assert_untouched(stage: Stage, agent: AgentProcess) -> None:
    """The operator is still served, and no limit was written."""
    assert agent.ask("GET", "/v1/node")[0] == 200
    assert stage.node.writes() == []


def body(agent: AgentProcess, fence: tuple[int, int] = (1, 1), limit_w: float = 150) -> str:
    term, revision = fence
    plans = [agent.plan("a", (-1, limit_w))]
    return json.dumps({"fence": {"term": term, "revision": revision}, "leaseSeconds": 60, "plans": plans})


def push(connection: http.client.HTTPConnection, agent: AgentProcess) -> None:
    with contextlib.closing(connection):
        connection.request("PUT", "/v1/plans", body(agent))
        connection.getresponse()


def raw(agent: AgentProcess) -> ssl.SSLSocket:
    """The operator's connection, to send anything on."""
    plain = socket.create_connection(("127.0.0.1", agent.api_port), timeout=20)
    return agent.tls.wrap_socket(plain, server_hostname="agent.carbonzeus.carbonzeus")


def without_certificate(_: AgentProcess) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


def of_another_authority(agent: AgentProcess) -> ssl.SSLContext:
    now = datetime.now(UTC)
    other = make_authority(now, SCHEDULE)
    return agent.identities.client(make_leaf(other, Role.OPERATOR, SPACE, now, SCHEDULE))


def signed(agent: AgentProcess, role: Role, space: str, at: datetime) -> Pair:
    return make_leaf(agent.identities.held.authorities[0], role, space, at, SCHEDULE)


def expired(agent: AgentProcess) -> ssl.SSLContext:
    return agent.identities.client(signed(agent, Role.OPERATOR, SPACE, datetime.now(UTC) - timedelta(days=31)))


def of_another_namespace(agent: AgentProcess) -> ssl.SSLContext:
    return agent.identities.client(signed(agent, Role.OPERATOR, "elsewhere", datetime.now(UTC)))


def the_agents_own(agent: AgentProcess) -> ssl.SSLContext:
    return agent.identities.client(agent.identities.held.agent)


def of_tls_1_2(agent: AgentProcess) -> ssl.SSLContext:
    found = agent.identities.client()
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.maximum_version = ssl.TLSVersion.TLSv1_2
    return found


@pytest.mark.parametrize(
    ("attacker", "reason"),
    [
        (without_certificate, "did not return a certificate"),
        (of_another_authority, "unable to get local issuer certificate"),
        (expired, "certificate has expired"),
        (of_another_namespace, "operator.elsewhere.carbonzeus"),
        (the_agents_own, "certificate purpose"),
        (of_tls_1_2, "unsupported protocol"),
    ],
    ids=lambda it: it.__name__ if callable(it) else "",
)
def test_whoever_is_not_the_operator_is_refused(
    stage: Stage, agent: AgentProcess, attacker: Callable[[AgentProcess], ssl.SSLContext], reason: str
) -> None:
    """By certificate, by name, by use, by time, by protocol."""
    stage.pods(stage.pod("a"))
    connection = AgentConnection("127.0.0.1", agent.api_port, attacker(agent))
    with pytest.raises(REFUSED):
        push(connection, agent)
    said(stage, agent, "refused 127.0.0.1", reason)
    assert_untouched(stage, agent)


def test_plain_http_is_refused(stage: Stage, agent: AgentProcess) -> None:
    """On the API's port nothing is understood but TLS."""
    stage.pods(stage.pod("a"))
    connection = http.client.HTTPConnection("127.0.0.1", agent.api_port, timeout=10)
    with pytest.raises((*REFUSED, http.client.BadStatusLine)):
        push(connection, agent)
    said(stage, agent, "refused 127.0.0.1", "http request")
    assert_untouched(stage, agent)


def test_the_plain_port_can_change_nothing(stage: Stage, agent: AgentProcess) -> None:
    """It knows no plans."""
    stage.pods(stage.pod("a"))
    assert agent.ask("PUT", "/v1/plans", body(agent), health=True)[0] == 404
    assert agent.ask("POST", "/metrics", b"x", health=True)[0] == 405
    assert_untouched(stage, agent)


def test_a_replayed_or_stale_push_changes_nothing(stage: Stage, agent: AgentProcess) -> None:
    """Of an older term or revision: 409. The very same one again: what stands, stands."""
    stage.pods(stage.pod("a"))
    first = body(agent, (7, 1), 150)
    assert agent.ask("PUT", "/v1/plans", first)[0] == 200
    assert agent.ask("PUT", "/v1/plans", first)[0] == 200
    assert [write.requested_mw for write in stage.node.writes()] == [150_000]
    assert agent.ask("PUT", "/v1/plans", body(agent, (7, 2), 200))[0] == 200
    for old in (first, body(agent, (6, 99), 100)):
        assert agent.ask("PUT", "/v1/plans", old)[0] == 409
    assert stage.limit_w(0) == 200
    assert [write.requested_mw for write in stage.node.writes()] == [150_000, 200_000]
    said(stage, agent, "refused", "6.99")


def test_a_plan_for_a_pod_of_another_node_is_not_followed(stage: Stage, agent: AgentProcess) -> None:
    """UnknownPod, and no write."""
    stage.pods(stage.pod("b"))
    reply = agent.push(agent.plan("a", (-1, 150)))
    assert [it.reason for it in reply.refused] == ["UnknownPod"]
    assert_untouched(stage, agent)


def test_a_huge_body_is_refused_at_once(stage: Stage, agent: AgentProcess) -> None:
    """413 long before its 100 MB have come."""
    with raw(agent) as connection:
        connection.sendall(b"PUT /v1/plans HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        began = time.monotonic()
        for _ in range(5):
            connection.sendall(b"x" * 1_000_000)
        assert connection.recv(20).startswith(b"HTTP/1.1 413")
        assert time.monotonic() - began < 3
    said(stage, agent, "refused 127.0.0.1", "413")
    assert_untouched(stage, agent)


@pytest.mark.parametrize(
    ("start", "status", "within_s", "reason"),
    [
        (b"GET /v1/node HTTP/1.1\r\nHost: a\r\nX", b"", 8, "TooSlow"),
        (b"PUT /v1/plans HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 408", 15, "408"),
    ],
    ids=["head", "body"],
)
def test_a_request_that_drips_is_cut_off(
    stage: Stage, agent: AgentProcess, start: bytes, status: bytes, within_s: float, reason: str
) -> None:
    """However steadily it does."""
    began, answer = time.monotonic(), b""
    with raw(agent) as connection:
        connection.settimeout(0.2)
        connection.sendall(start)
        while time.monotonic() - began < within_s + 5:
            try:
                connection.sendall(b"x")
                answer = connection.recv(100)
                break
            except TimeoutError:
                continue
            except OSError:
                break
    assert time.monotonic() - began < within_s
    assert answer.startswith(status)
    said(stage, agent, "refused 127.0.0.1", reason)
    assert_untouched(stage, agent)


def test_silent_connections_keep_nobody_out_for_long(stage: Stage, agent: AgentProcess) -> None:
    """One address may have sixteen open; those that never shake hands are let go."""
    silent = [socket.create_connection(("127.0.0.1", agent.api_port)) for _ in range(40)]
    said(stage, agent, "refused 127.0.0.1", "TooManyConnections")
    said(stage, agent, "refused 127.0.0.1", "Handshake", "not finished after 5 s")
    assert_untouched(stage, agent)
    for each in silent:
        each.close()


def test_who_asks_too_often_is_told_to_wait(stage: Stage, make_agent: Callable[..., AgentProcess]) -> None:
    """429 with a time, and served again after it."""
    agent = make_agent(stage, CARBONZEUS_REQUESTS_PER_SECOND="2")
    connection = AgentConnection("127.0.0.1", agent.api_port, agent.tls)
    for _ in range(20):
        connection.request("GET", "/v1/node")
        response = connection.getresponse()
        response.read()
        if response.status == 429:
            break
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    time.sleep(1)
    connection.request("GET", "/v1/node")
    assert connection.getresponse().status == 200
    connection.close()
    said(stage, agent, "refused 127.0.0.1", "429")


BODIES = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 300
junk = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["fence", "term", "plans", "steps", "leaseSeconds", "x"]), inner, max_size=4
            )
        ),
        max_leaves=20,
    ).map(lambda it: json.dumps(it).encode()),
)


def test_no_body_breaks_the_agent(stage: Stage, agent: AgentProcess) -> None:
    """Whatever the body: never a failure of the server, and it answers afterwards."""
    connection = AgentConnection("127.0.0.1", agent.api_port, agent.tls)

    @given(data=junk)
    @settings(max_examples=BODIES, deadline=None, suppress_health_check=list(HealthCheck))
    def send(data: bytes) -> None:
        connection.request("PUT", "/v1/plans", data)
        response = connection.getresponse()
        response.read()
        assert response.status in {200, 400, 409, 429}

    send()
    connection.close()
    assert_untouched(stage, agent)
