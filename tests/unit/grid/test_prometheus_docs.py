"""The examples of what clusters have already, as the page about grid data shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from carbonzeus_operator.grid import prometheus
from carbonzeus_operator.grid.fallback import Fallback
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.series import Factor, Signal
from carbonzeus_operator.grid.sources import provider_of
from carbonzeus_operator.settings import Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "grid.md").read_text(encoding="utf-8")
SECTIONS = {
    "Carbon Aware SDK": (Signal.AVERAGE, Factor.LIFECYCLE),
    "Prometheus": (Signal.AVERAGE, Factor.LIFECYCLE),
    "The exporter's ConfigMap": (Signal.MARGINAL, Factor.DIRECT),
}


def section(title: str) -> str:
    """Up to the next one."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def example(title: str) -> dict[str, Any]:
    """The chart's values that it shows."""
    (text,) = re.findall(r"```yaml\n(.*?)```", section(title), re.DOTALL)
    grid: dict[str, Any] = yaml.safe_load(text)["grid"]
    return grid


@pytest.mark.parametrize("title", SECTIONS)
async def test_the_example_makes_a_provider(title: str) -> None:
    """Of the signal and the factor that it says."""
    http = Http()
    provider = provider_of(Settings.model_validate({"grid_providers": example(title)["providers"]}), http)
    assert isinstance(provider, Fallback)
    signal, factor = SECTIONS[title]
    (link,) = provider.links
    assert (link.factor, [*link.signals]) == (factor, [signal])
    await http.close()


def test_the_elements_that_it_shows() -> None:
    """Have the labels that are read."""
    shown = re.findall(r'carbon_intensity_forecast\{(zone="DE".*?)\} ([\d.]+)', section("Prometheus"))
    elements = [
        {"metric": dict(re.findall(r'(\w+)="(.*?)"', labels)), "value": (0.0, value)} for labels, value in shown
    ]
    issued_at, found = prometheus._newest("DE", [prometheus._Element.model_validate(one) for one in elements])
    assert issued_at is not None
    assert [one.gco2_per_kwh for one in prometheus._intervals("DE", found)] == [245.3, 251]


def test_the_figures() -> None:
    """As they are."""
    assert prometheus.STEP.total_seconds() == 300
    assert "at each full five minutes" in section("Prometheus")
