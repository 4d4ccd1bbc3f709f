"""How much a peer may ask for, and what the log says of those who ask too much."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from carbonzeus_agent.allowance import BURST_S, REMEMBERED, Allowance
from carbonzeus_agent.refusals import Refusals

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClock


@given(gaps=st.lists(st.floats(0, 3), max_size=200), per_s=st.floats(1, 20))
def test_no_more_is_granted_than_the_rate_allows(gaps, per_s):
    """The burst and what has filled since, whatever the rhythm; and who waits as long as told is served."""
    now_s = [0.0]
    allowance = Allowance(per_s, lambda: now_s[0])
    granted = 0
    for gap in gaps:
        now_s[0] += gap
        wait_s = allowance.take("a")
        granted += not wait_s
        assert granted <= per_s * (BURST_S + now_s[0]) + 1e-6
        if wait_s:
            now_s[0] += wait_s + 1e-9
            assert allowance.take("a") == 0
            granted += 1


def test_peers_do_not_share(clock: FakeClock) -> None:
    """One that asks too much takes nothing from another, and the memory is bounded."""
    allowance = Allowance(1, clock.boot_s)
    for _ in range(10):
        allowance.take("greedy")
    assert allowance.take("greedy") > 0
    for number in range(2 * REMEMBERED):
        assert allowance.take(f"peer-{number}") == 0
    assert len(allowance._left) <= REMEMBERED


def test_refusals_are_said_once_a_while(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """All are counted."""
    caplog.set_level(logging.WARNING)
    registry = CollectorRegistry()
    refusals = Refusals(registry, clock.boot_s)
    for _ in range(1000):
        refusals.say("10.0.0.1", "Handshake", "certificate has expired")
    assert caplog.messages == ["refused 10.0.0.1: Handshake: certificate has expired"]
    clock.advance(11)
    refusals.say("10.0.0.1", "Handshake", "certificate has expired")
    assert caplog.messages[-1].endswith("(and 999 times before)")
    assert registry.get_sample_value("carbonzeus_agent_refused_total", {"reason": "Handshake"}) == 1001
