"""WattTime at a server that knows its login."""

from __future__ import annotations

import pytest

from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.watttime import WattTime
from tests.unit.grid.replay_server import Answer, ReplayServer
from tests.unit.grid.samples import Watch, at
from tests.unit.grid.watt import CREDENTIAL, LOGIN, TOKEN


@pytest.fixture
def server(server: ReplayServer) -> ReplayServer:
    """Gives everybody the same token."""
    server.answers[LOGIN] = Answer({"token": TOKEN})
    return server


@pytest.fixture
def watch() -> Watch:
    """Some minutes past noon, until a test sets it."""
    return Watch(at(0.1))


@pytest.fixture
def watttime(http: Http, server: ReplayServer, watch: Watch) -> WattTime:
    """With the right credential."""
    return WattTime(http=http, url=server.url, credential=lambda: CREDENTIAL, now=watch)
