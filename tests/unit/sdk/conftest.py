"""A process in which nothing was said and nothing is set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carbonzeus import Progress, notice


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
