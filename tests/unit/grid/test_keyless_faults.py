"""Every way in which the sources without a key fail, over a real connection: what is raised, and what users read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.cache import GridCache
from carbonzeus_operator.grid.energy_charts import EnergyCharts
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.neso import Neso
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.series import Series, Signal
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import Watch, at

AVERAGE = Signal.AVERAGE
ASKS: dict[str, tuple[str, type[Neso | EnergyCharts], Callable[[Provider], Awaitable[Series]]]] = {
    "NESO's forecast": ("the forecast of zone GB", Neso, lambda one: one.forecast("GB", AVERAGE)),
    "NESO's regional forecast": ("the forecast of zone GB-2", Neso, lambda one: one.forecast("GB-2", AVERAGE)),
    "NESO's actual": ("the actual of zone GB", Neso, lambda one: one.actual("GB", AVERAGE, at(-1), at(0))),
    "the forecast of Energy-Charts": ("the forecast of zone DE", EnergyCharts, lambda one: one.forecast("DE", AVERAGE)),
    "the actual of Energy-Charts": (
        "the actual of zone DE",
        EnergyCharts,
        lambda one: one.actual("DE", AVERAGE, at(-1), at(0)),
    ),
}


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    made = Http(timeout_s=0.2)
    yield made
    await made.close()


@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            Answer({"error": {"code": "400 Bad Request", "message": "No"}}, 400),
            InvalidSpec,
            r"refuses {what}: 400 \(No\)",
        ),
        (Answer(b"", 404), InvalidSpec, "refuses {what}: 404$"),
        (Answer({"detail": [{"msg": "x"}]}, 422), InvalidSpec, "refuses {what}: 422$"),
        (Answer(b"", 401), Unavailable, "refused the credential when asked for {what}: 401"),
        (Answer(b"", 403), Unavailable, "refused the credential when asked for {what}: 403"),
        (Answer(b"", 429, {"Retry-After": "90"}), Unavailable, "is asked too often: 429 for {what}$"),
        (Answer(b"", 500), Unavailable, "answered {what} with 500$"),
        (Answer(b"", 503, {"Retry-After": "90"}), Unavailable, "answered {what} with 503$"),
        (Answer(b"", 302, {"Location": "/x"}), Unavailable, "sends elsewhere for {what}: 302"),
        (Answer("<html>Maintenance</html>"), Unavailable, "answered {what} with something else: a web page, not JSON"),
        (Answer('{"data": [{"from'), Unavailable, "answered {what} with something else: what is no JSON"),
        (Answer(b"\x00\xff"), Unavailable, "answered {what} with something else: what is no JSON"),
        (Answer(b""), Unavailable, "answered {what} with something else: nothing"),
        (Answer({}), Unavailable, "answered {what} with something else: (data|unix_seconds): Field required"),
        (Answer([]), Unavailable, "answered {what} with something else: the whole"),
        (Answer({"x": 1}, hangs_up=True), Unavailable, "cannot be asked: the answer broke off"),
        (Answer({}, delay_s=0.6), Unavailable, r"did not answer within 0\.2 s"),
    ],
    ids=lambda one: f"{one.status} {one.content[:12]!r}" if isinstance(one, Answer) else "",
)
async def test_a_fault(
    server: ReplayServer, http: Http, asked: str, answer: Answer, kind: type[CarbonzeusError], words: str
) -> None:
    """Raises what its kind of fault calls for, with the words for who meets it. Nothing else is asked."""
    what, source, ask = ASKS[asked]
    server.answers["*"] = answer
    with pytest.raises(kind, match=words.replace("{what}", what)) as raised:
        await ask(source(http, server.url, Watch(at(0.1))))
    assert len(server.asked) == 1
    if isinstance(raised.value, Unavailable) and "Retry-After" in answer.headers:
        assert raised.value.retry_after_s == 90


@pytest.mark.parametrize("source", [Neso, EnergyCharts])
async def test_what_is_too_slow_for_the_cache_is_given_up(
    server: ReplayServer, http: Http, source: type[Neso | EnergyCharts]
) -> None:
    """The call ends with it, and the next one has its turn."""
    never = asyncio.Event()
    server.answers["*"] = Answer({}, until=never)
    zone = "GB" if source is Neso else "DE"
    slow = Http(timeout_s=5)
    cache = GridCache(source(slow, server.url), state_dir=None, refresh_s=300, call_limit_s=0.05)
    await cache.refresh({(zone, AVERAGE): None})
    view = cache.views()[zone, AVERAGE]
    assert view.problem == view.actual_problem == "the source did not answer in time"
    never.set()
    server.answers["*"] = Answer(b"", 500)
    with pytest.raises(Unavailable, match="500"):
        await source(slow, server.url).forecast(zone, AVERAGE)
    await cache.close()
    await slow.close()
