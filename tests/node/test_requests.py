"""The real agent process is sent what is no plan: it says what is wrong with it, and goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from carbonzeus_bed.agentprocess import AgentProcess

instants = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.sampled_from(["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "tomorrow"]),
    st.integers(-(2**70), 2**70),
)
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=3))
json_values = st.fixed_dictionaries(
    {},
    optional={
        "fence": st.fixed_dictionaries({"term": numbers, "revision": numbers}),
        "leaseSeconds": numbers,
        "plans": st.lists(
            st.fixed_dictionaries(
                {"podUID": st.text(max_size=9), "pod": st.text(max_size=9), "job": st.text(max_size=9)},
                optional={
                    "mode": st.sampled_from(["Enforce", "Observe", "Other"]),
                    "steps": st.lists(st.fixed_dictionaries({"at": instants, "limitWatts": numbers}), max_size=3),
                    "progress": st.fixed_dictionaries({"port": numbers, "metric": st.text(max_size=9)}),
                    "podIP": st.text(max_size=9),
                },
            ),
            max_size=3,
        ),
    },
)


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode), json_values.map(json_bytes)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_breaks_the_agent(agent: AgentProcess, body: bytes) -> None:
    """Whatever is sent is answered with 200, 400 or 409, never with a failure of the server."""
    status, text = agent.ask("PUT", "/v1/plans", body)
    assert status in {200, 400, 409}, text


def test_bad_requests_are_answered_with_a_sentence(agent: AgentProcess) -> None:
    """Status 400 or 413, a JSON sentence, and the agent goes on."""
    for body, status in (("", 400), ("{", 400), ("[]", 400), ('{"leaseSeconds": "NaN"}', 400), ("x" * 5_000_000, 413)):
        answer, text = agent.ask("PUT", "/v1/plans", body)
        assert (answer, list(json.loads(text))) == (status, ["error"])
    assert agent.ready() == (True, [])
