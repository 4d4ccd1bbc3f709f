"""A node on a stage, and the real agent process on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carbonzeus_bed.agentprocess import AgentProcess
from carbonzeus_bed.gpus import build_library
from carbonzeus_bed.stage import Stage

FAST = {
    "CARBONZEUS_RECORD_SECONDS": "1",
    "CARBONZEUS_SAMPLE_SECONDS": "0.1",
    "CARBONZEUS_ENFORCE_SECONDS": "0.1",
    "CARBONZEUS_OWNER_GRACE_SECONDS": "0.5",
    "CARBONZEUS_NVML_SECONDS": "0.5",
    "CARBONZEUS_REQUESTS_PER_SECOND": "1000",
}


@pytest.fixture(scope="session")
def lib_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libnvidia-ml.so.1 lies, compiled from the sources."""
    return build_library(tmp_path_factory.mktemp("lib")).parent


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Sets up nodes; the product and number of GPUs are told."""
    stages: list[Stage] = []

    def make(count: int = 2, product: str = "NVIDIA A40", replicas: int = 1) -> Stage:
        stages.append(Stage(tmp_path, product, count, replicas))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """A node with two A40."""
    return make_stage()


@pytest.fixture
def make_agent(lib_dir: Path, tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents on a stage."""
    agents: list[AgentProcess] = []

    def make(stage: Stage, **settings: str) -> AgentProcess:
        agents.append(AgentProcess(stage, lib_dir, tmp_path / "agent.log", **FAST | settings))
        agents[-1].start()
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture
def agent(stage: Stage, make_agent: Callable[..., AgentProcess]) -> AgentProcess:
    """An agent on that node."""
    return make_agent(stage)
