"""Certificates as values: who may show what, and that renewing them leaves no gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carbonzeus_operator.certs import (
    CA_KEY,
    Held,
    Pair,
    Role,
    Schedule,
    bundle,
    fits,
    for_agent,
    for_operator,
    key_text,
    make_authority,
    make_leaf,
    read,
    renewed,
    signed_by,
)
from carbonzeus_wire.identity import CA, CERT, KEY

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPACE = "carbon-system"
SCHEDULE = Schedule()
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def fresh(now: datetime = NOON) -> Held:
    """What a first start makes."""
    return renewed(Held(), SPACE, now, SCHEDULE)


def accepts(bundled: tuple[Pair, ...], shown: Pair | None, role: Role, now: datetime) -> bool:
    """What a TLS stack checks: in its time, of the right name and use, and signed by somebody trusted in his time."""
    return (
        shown is not None
        and shown.valid(now)
        and fits(shown, role, SPACE)
        and any(each.valid(now) and signed_by(shown.cert, each.cert) for each in bundled)
    )


def test_a_first_start_makes_everything():
    """One authority and two certificates, each for its own side only."""
    held = fresh()
    assert len(held.authorities) == 1
    for role, pair in ((Role.OPERATOR, held.operator), (Role.AGENT, held.agent)):
        assert accepts(held.authorities, pair, role, NOON)
    assert held.operator is not None
    assert not fits(held.operator, Role.AGENT, SPACE)
    assert not fits(held.operator, Role.OPERATOR, "elsewhere")


def test_nothing_changes_while_nothing_is_due():
    """The same objects: no Secret is written."""
    held = fresh()
    assert renewed(held, SPACE, NOON + 19 * DAY, SCHEDULE) == held


def test_secrets_bring_everything_back():
    """What is written is what is read."""
    held = fresh()
    again = read(for_operator(held), for_agent(held))
    assert for_operator(again) == for_operator(held)
    assert for_agent(again) == for_agent(held)
    assert renewed(again, SPACE, NOON, SCHEDULE) == again


def test_agents_are_given_no_key_but_their_own():
    """Neither the authority's nor the operator's."""
    held = fresh()
    given_out = for_agent(held)
    assert given_out.keys() == {CA, CERT, KEY}
    assert held.operator is not None
    for secret in (*held.authorities, held.operator):
        assert key_text(secret) not in "".join(given_out.values())


@pytest.mark.parametrize("entry", [CA, CA_KEY, CERT, KEY])
@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\N{SNOWMAN}"])
def test_what_cannot_be_read_is_made_anew(entry, text):
    """A Secret that somebody spoiled heals, and what is still good stays."""
    held = fresh()
    healed = renewed(read(for_operator(held) | {entry: text}, for_agent(held)), SPACE, NOON + DAY, SCHEDULE)
    assert accepts(healed.authorities, healed.operator, Role.OPERATOR, NOON + DAY)
    assert accepts(healed.authorities, healed.agent, Role.AGENT, NOON + DAY)
    if entry in {CERT, KEY}:
        assert for_agent(healed) == for_agent(held)


def test_a_certificate_of_somebody_elses_authority_is_replaced():
    """Whoever wrote it there: agents would refuse it."""
    held, other = fresh(), make_authority(NOON, SCHEDULE)
    foreign = make_leaf(other, Role.OPERATOR, SPACE, NOON, SCHEDULE)
    healed = renewed(Held(held.authorities, foreign, held.agent), SPACE, NOON, SCHEDULE)
    assert accepts(held.authorities, healed.operator, Role.OPERATOR, NOON)


def test_a_new_authority_is_trusted_before_it_signs():
    """Agents get the time to load it; then everything is signed anew, and the old one goes when nothing of it is valid."""
    start = NOON + SCHEDULE.authority * 2 / 3 + DAY
    old = renewed(fresh(), SPACE, NOON + 230 * DAY, SCHEDULE)
    both = renewed(old, SPACE, start, SCHEDULE)
    assert len(both.authorities) == 2
    assert both.agent is not None
    assert signed_by(both.agent.cert, both.authorities[0].cert)
    assert renewed(both, SPACE, start + HOUR / 2, SCHEDULE) == both
    signing = renewed(both, SPACE, start + HOUR * 1.1, SCHEDULE)
    assert signing.agent is not None
    assert signed_by(signing.agent.cert, both.authorities[1].cert)
    assert signing.authorities == both.authorities
    later = renewed(signing, SPACE, start + 32 * DAY, SCHEDULE)
    assert later.authorities == both.authorities[1:]


def test_a_clock_that_was_far_ahead_costs_nothing():
    """An authority from the future does not sign until its time has come."""
    held = renewed(fresh(NOON + 300 * DAY), SPACE, NOON, SCHEDULE)
    assert accepts(held.authorities, held.operator, Role.OPERATOR, NOON)


@settings(deadline=None, max_examples=50)
@given(
    gaps=st.lists(
        st.one_of(
            st.floats(0.01, 0.4),  # of an hour: a process that runs
            st.floats(0, 40 * 24),
            st.floats(0, 500 * 24),
        ),
        min_size=1,
        max_size=40,
    )
)
@example(gaps=[8748.0])  # half a day before the authority ends
def test_whenever_it_runs_what_is_held_is_good(gaps):
    """After any time away: both certificates pass and last longer than a new authority needs, and the bundle stays small."""
    now, held = NOON, fresh()
    for gap in gaps:
        now += timedelta(hours=gap)
        held = renewed(held, SPACE, now, SCHEDULE)
        assert accepts(held.authorities, held.operator, Role.OPERATOR, now)
        assert accepts(held.authorities, held.agent, Role.AGENT, now)
        assert held.operator is not None
        assert held.operator.cert.not_valid_after_utc - now > SCHEDULE.settle
        assert len(held.authorities) <= 3
        assert renewed(held, SPACE, now, SCHEDULE) == held


@settings(deadline=None, max_examples=20)
@given(lag=st.floats(0, 0.9), step=st.floats(0.05, 0.25), behind=st.floats(0, 290))
def test_no_moment_of_a_rotation_is_without_a_handshake(lag, step, behind):
    """Agents that load what was written up to an hour late, and whose clock is behind, and the operator accept each other always."""
    begin = NOON + SCHEDULE.authority * 2 / 3 - timedelta(hours=2)
    held = renewed(fresh(), SPACE, begin - DAY, SCHEDULE)
    history = [(begin - DAY, held)]
    now = begin
    while now < begin + timedelta(hours=6):
        now += timedelta(hours=step)
        held = renewed(held, SPACE, now, SCHEDULE)
        history.append((now, held))
        agents = next(one for at, one in reversed(history) if at <= now - timedelta(hours=lag))
        theirs = now - timedelta(seconds=behind)
        assert accepts(agents.authorities, held.operator, Role.OPERATOR, theirs)
        assert accepts(held.authorities, agents.agent, Role.AGENT, now)
    assert len(held.authorities) == 2


def test_the_old_authority_goes_only_after_its_last_certificate():
    """Day by day through two years: whatever an agent that never reloaded shows is accepted until it expires."""
    now, held = NOON, fresh()
    shown: list[Pair] = []
    while now < NOON + 730 * DAY:
        now += DAY
        held = renewed(held, SPACE, now, SCHEDULE)
        assert held.agent is not None
        shown = [pair for pair in (*shown, held.agent) if pair.valid(now)]
        assert all(accepts(held.authorities, pair, Role.AGENT, now) for pair in shown)
        assert len(held.authorities) <= 2


def test_certificates_say_what_they_are_for():
    """Authorities sign and nothing else; the others may not sign."""
    held = fresh()
    assert held.agent is not None
    for pair, signs in ((held.authorities[0], True), (held.agent, False)):
        constraints = pair.cert.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = pair.cert.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (constraints.ca, usage.key_cert_sign, usage.digital_signature) == (signs, signs, not signs)
    assert bundle(held).count("BEGIN CERTIFICATE") == 1
