"""The ways in which an API fails that every provider meets, and what each calls for."""

from __future__ import annotations

import re
from collections.abc import Awaitable

import pytest

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.series import Series
from tests.unit.grid.replay_server import Answer, ReplayServer

RETRY = {"Retry-After": "90"}
TIMEOUT_S = 0.2
"""How long a call may take where the server is slow on purpose."""
FAULTS: dict[str, tuple[Answer, type[CarbonzeusError], str]] = {
    "400": (Answer({"error": "No"}, 400), InvalidSpec, "refuses {what}: 400 (No)"),
    "401": (Answer(b"", 401), Unavailable, "refused the credential when asked for {what}: 401"),
    "403": (Answer(b"", 403), Unavailable, "refused the credential when asked for {what}: 403"),
    "404": (Answer(b"", 404), InvalidSpec, "refuses {what}: 404"),
    "422": (Answer({"detail": "No"}, 422), InvalidSpec, "refuses {what}: 422 (No)"),
    "429": (Answer(b"", 429, RETRY), Unavailable, "is asked too often: 429 for {what}"),
    "500": (Answer(b"", 500), Unavailable, "answered {what} with 500"),
    "503": (Answer(b"", 503, RETRY), Unavailable, "answered {what} with 503"),
    "redirect": (Answer(b"", 302, {"Location": "/x"}), Unavailable, "sends elsewhere for {what}: 302"),
    "HTML": (Answer("<html>Down</html>"), Unavailable, "answered {what} with something else: a web page, not JSON"),
    "truncated": (Answer('[{"location": "wes'), Unavailable, "{what} with something else: what is no JSON"),
    "binary": (Answer(b"\x00\xff"), Unavailable, "{what} with something else: what is no JSON"),
    "empty": (Answer(b""), Unavailable, "{what} with something else: nothing"),
    "another shape": (Answer("12"), Unavailable, "{what} with something else: the whole"),
    "hung up": (Answer({"x": 1}, hangs_up=True), Unavailable, "cannot be asked: the answer broke off"),
    "slow": (Answer({}, delay_s=3 * TIMEOUT_S), Unavailable, f"did not answer within {TIMEOUT_S:g} s"),
}


def patience_s(request: pytest.FixtureRequest) -> float:
    """How long the calls of this test may take: what is not slow on purpose has time, however busy the machine is."""
    callspec = getattr(request.node, "callspec", None)
    return TIMEOUT_S if callspec is not None and callspec.params.get("fault") == "slow" else 30.0


async def meets(server: ReplayServer, fault: str, asking: Awaitable[Series], what: str) -> None:
    """Asked for `what`, the provider raises what the fault calls for, in words that name it, after one call."""
    answer, kind, words = FAULTS[fault]
    server.answers["*"] = answer
    with pytest.raises(kind, match=re.escape(words.replace("{what}", what))) as raised:
        await asking
    assert len(server.asked) == 1 or fault == "slow"
    if isinstance(raised.value, Unavailable):
        assert raised.value.retry_after_s == (90 if answer.headers == RETRY else None)
