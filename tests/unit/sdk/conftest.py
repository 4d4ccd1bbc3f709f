"""A process in which nothing was said and nothing is set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carbonzeus import Progress, notice
from carbonzeus import progress as module


class Clock:
    """Stands until time passes."""

    def __init__(self) -> None:
        self.now_ns = 1

    def __call__(self) -> int:
        return self.now_ns

    def passes(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one by which steps take their time. While it stands no step is under way, and counts are whole."""
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter_ns", clock)
    return clock


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variables of a launcher, no warning said yet; and nothing is left open."""
    for name in (
        "RANK",
        "LOCAL_RANK",
        "OMPI_COMM_WORLD_RANK",
        "PMI_RANK",
        "TORCHELASTIC_RUN_ID",
        "CARBONZEUS_PORT",
        "CARBONZEUS_DISABLED",
    ):
        monkeypatch.delenv(name, raising=False)
    notice._said.clear()
    yield
    assert Progress._served is None, "a test left its count served"
