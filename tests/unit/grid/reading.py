"""A model that the tests of HTTP ask for."""

from __future__ import annotations

from pydantic import BaseModel

from carbonzeus_operator.grid.http import Http, Request, expect
from tests.unit.grid.replay_server import ReplayServer


class Reading(BaseModel):
    """What tests ask for."""

    values: list[int]


async def reading(http: Http, server: ReplayServer) -> Reading:
    """Asks, and takes the answer."""
    return expect(await http.get(Request(f"{server.url}/x")), "Sample", "the forecast of zone DE", model=Reading)
