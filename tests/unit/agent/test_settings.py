"""The environment of the agent."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from carbonzeus_agent.__main__ import main
from carbonzeus_agent.settings import Settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What the chart sets at least."""
    for name, value in {"NODE_NAME": "gpu-a", "POD_IP": "10.1.2.3", "STATE_DIR": "/var/lib/carbonzeus"}.items():
        monkeypatch.setenv(f"CARBONZEUS_{name}", value)
    return monkeypatch


def test_three_variables_are_enough(environment: pytest.MonkeyPatch) -> None:
    """The rest has defaults fit for a cluster."""
    settings = Settings()
    assert (settings.node_name, settings.state_dir) == ("gpu-a", Path("/var/lib/carbonzeus"))
    assert (settings.record_seconds, settings.sample_seconds, settings.enforce_seconds) == (300, 1, 1)
    assert (settings.api_port, settings.health_port) == (9810, 9811)


@pytest.mark.parametrize(("name", "value"), [("SAMPLE_SECONDS", "0"), ("API_PORT", "0"), ("RECORD_SECONDS", "soon")])
def test_what_cannot_be_meant_is_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """At the start, by name."""
    environment.setenv(f"CARBONZEUS_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_missing_variable_ends_the_process_with_a_sentence(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not with a traceback."""
    environment.delenv("CARBONZEUS_NODE_NAME")
    assert main() == 2
    assert "node_name" in capsys.readouterr().err
