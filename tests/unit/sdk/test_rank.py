"""Of a job's processes one is served, and nobody has to say which."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from carbonzeus import Progress
from carbonzeus.rank import counts_here
from tests.unit.sdk.asking import count_at, free_port


@pytest.mark.parametrize(
    ("environment", "counts"),
    [
        ({}, True),
        ({"RANK": "0"}, True),
        ({"RANK": "1"}, False),
        ({"RANK": "", "OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_RANK": "3"}, False),
        ({"PMI_RANK": "1"}, False),
        ({"TORCHELASTIC_RUN_ID": "none", "RANK": "8", "LOCAL_RANK": "0"}, True),
        ({"TORCHELASTIC_RUN_ID": "none", "RANK": "9", "LOCAL_RANK": "1"}, False),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),
    ],
    ids=str,
)
def test_one_process_of_a_pod_is_served(
    environment: dict[str, str], counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0; under torchrun the first of each pod, since its rank 0 may be in any."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    with Progress(port=port) as progress:
        progress.step()
        assert (count_at(port) == 1) is counts


@pytest.mark.parametrize(
    ("rank", "initialized", "available", "counts"),
    [(0, True, True, True), (1, True, True, False), (1, False, True, True), (1, False, False, True)],
)
def test_torch_knows_better_than_the_environment(
    rank: int, initialized: bool, available: bool, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that a script spawned itself inherit one RANK. Torch is asked where it is there, and never imported."""
    distributed = SimpleNamespace(
        is_available=lambda: available, is_initialized=lambda: initialized, get_rank=lambda: rank
    )
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setitem(sys.modules, "torch.distributed", distributed)
    assert counts_here() is counts
