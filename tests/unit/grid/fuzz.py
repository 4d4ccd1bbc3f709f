"""Answers of an API that went wrong in every way, and how to see that a provider invents nothing."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from carbonzeus_operator.errors import CarbonzeusError
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.http import Http, Reply, Request
from carbonzeus_operator.grid.series import Series
from tests.unit.grid.samples import T0

thousand = settings(max_examples=1000, deadline=None)

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([-1, 0, -0.0, 1e308, 10_000, 10_001, "", "NaN", "12", [], {}, [None], 1.8e12, "2026-11-24T12:00Z"]),
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(node, (dict, list)):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _places(child, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, valid: Any) -> bytes:
    """A good answer with one to three things taken out, put twice or made something else; as JSON with NaN and all."""
    made = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_places(made))))
        if not path:
            made = copy.deepcopy(draw(JUNK))
            continue
        parent = made
        for step in path[:-1]:
            parent = parent[step]
        how = draw(st.sampled_from(["junk", "gone", "twice"]))
        if how == "gone":
            del parent[path[-1]]
        elif how == "twice" and isinstance(parent, list):
            parent.insert(draw(st.integers(0, len(parent))), copy.deepcopy(parent[path[-1]]))
        else:
            parent[path[-1]] = copy.deepcopy(draw(JUNK))
    return json.dumps(made).encode()


def bodies(valid: Any) -> st.SearchStrategy[bytes]:
    """Mutated, cut off, of another shape, no JSON at all."""
    whole = json.dumps(valid).encode()
    return st.one_of(
        mutated(valid),
        mutated(valid),
        st.integers(0, len(whole)).map(lambda length: whole[:length]),
        st.recursive(JUNK, lambda inner: st.lists(inner, max_size=3)).map(lambda one: json.dumps(one).encode()),
        st.binary(max_size=40),
    )


@dataclass(slots=True)
class Canned(Http):
    """Answers everything with one body."""

    body: bytes
    status: int = 200
    at: datetime = T0

    async def get(self, request: Request) -> Reply:
        return Reply(self.status, self.body, self.at)


def answered(ask: Callable[[], Awaitable[Series]]) -> Series | None:
    """What a provider made of it, as the cache would take it; None where it says that it cannot be used."""

    async def asked() -> Series | None:
        try:
            series = await ask()
            return checked(series, series.zone, series.signal)
        except CarbonzeusError as error:
            refusals.append(str(error))
            return None

    refusals: list[str] = []
    series = asyncio.run(asked())
    assert all(refusal.isprintable() for refusal in refusals)
    return series


def numbers(node: Any) -> set[float]:
    """All that occur in a JSON."""
    if isinstance(node, (dict, list)):
        children = node.values() if isinstance(node, dict) else node
        return {number for child in children for number in numbers(child)}
    return (
        {float(node)} if isinstance(node, (int, float)) and not isinstance(node, bool) and abs(node) < 1e300 else set()
    )


def invents_nothing(series: Series | None, body: bytes) -> bool:
    """Whether every value of it stands in the body."""
    return series is None or {one.gco2_per_kwh for one in series.intervals} <= numbers(json.loads(body))
