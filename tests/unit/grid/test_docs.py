"""What the page about grid data shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.breaker import FAILURES, LONGEST_OPEN_S, OPEN_S
from carbonzeus_operator.grid.cache import CALL_LIMIT_S, PATIENCE_S, GridCache
from carbonzeus_operator.grid.check import MAX_GCO2_PER_KWH
from carbonzeus_operator.grid.csvfile import parse
from carbonzeus_operator.grid.file import MAX_BYTES
from carbonzeus_operator.grid.http import Http
from carbonzeus_operator.grid.metrics import families
from carbonzeus_operator.grid.part import RETRY_S
from carbonzeus_operator.grid.sources import CALL_S, MADE_BY, provider_of
from carbonzeus_operator.settings import Settings
from tests.unit.grid.chain import Chain
from tests.unit.grid.samples import KEY

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "grid.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_are_files() -> None:
    """Both shapes."""
    plain, issues = (parse("X.csv", example.splitlines(keepends=True)) for example in EXAMPLES)
    assert (len(plain.actuals.values), len(plain.issues)) == (3, 0)
    assert (len(issues.actuals.values), len(issues.issues)) == (1, 2)


def test_the_message_of_a_broken_file() -> None:
    """As it is written there."""
    rows = "".join(f"2026-11-24T{12 + hour}:00Z,{value}\n" for hour, value in enumerate([1, 2, 3, 4, 5, "NaN"]))
    with pytest.raises(InvalidSpec) as refused:
        parse("US-CAL-CISO.csv", f"start_utc,gco2_per_kwh\n{rows}".splitlines())
    assert str(refused.value) in " ".join(PAGE.split())


def test_the_figures() -> None:
    """Bounds and times."""
    assert (MAX_GCO2_PER_KWH, MAX_BYTES / 2**20, RETRY_S, PATIENCE_S, CALL_LIMIT_S) == (10_000, 128, 15, 3, 60)
    words = " ".join(PAGE.split())
    for said in (
        "from 0 to 10,000",
        "At most 128 MiB",
        "after 15 seconds",
        "waits for them 3 seconds",
        "after a minute",
    ):
        assert said in words


def test_the_figures_of_asking() -> None:
    """When a provider is left alone, and for how long."""
    assert (CALL_S, FAILURES, OPEN_S, LONGEST_OPEN_S) == (10, 3, 60, 300)
    assert Settings().grid_stale_seconds == 6 * 3600
    words = " ".join(PAGE.split())
    for said in (
        "takes ten seconds is given up",
        "three times in a row is left alone for a minute",
        "up to five minutes",
    ):
        assert said in words


def test_the_examples_of_providers_are_settings(tmp_path: Path) -> None:
    """All of them make a provider, and every type is in one."""
    found = [yaml.safe_load(text)["grid"] for text in re.findall(r"```yaml\n(grid:.*?)```", PAGE, re.DOTALL)]
    entries = [grid["providers"] for grid in found if "providers" in grid]
    assert {entry["type"] for one in entries for entry in one} == set(MADE_BY)
    for one in entries:
        provider_of(Settings.model_validate({"grid_providers": one, "grid_dir": tmp_path}), Http())


async def test_the_metrics() -> None:
    """Each has its line."""
    chain = Chain()
    cache = GridCache(chain.fallback, state_dir=None, refresh_s=300, now=chain.watch)
    await cache.refresh({KEY: None})
    names = {sample.name for family in families(cache) for sample in family.samples}
    assert set(re.findall(r"`(carbonzeus_(?:forecast|grid)_[a-z_]+)", PAGE)) == names
    await cache.close()
