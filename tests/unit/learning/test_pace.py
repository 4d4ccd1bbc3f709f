"""How fast a window went by its clocks: never faster than it was."""

from __future__ import annotations

from typing import Any

import pytest

from carbonzeus_operator.learning.collector import Whole
from carbonzeus_operator.learning.pace import FINE, Pace
from carbonzeus_wire import Quality
from tests.unit.learning.records import record


def window(*, complete: bool = True, other: dict[str, Any] | None = None, **more: Any) -> Whole:
    others = {"GPU-1": (record(0, 60, gpu="GPU-1", **other),)} if other is not None else {}
    return Whole(record(0, 60, **more), others, complete)


def speed(pace: Pace, whole: Whole) -> float | None:
    steps = pace.steps(whole)
    return steps / FINE / 60 if steps is not None else None


REFERRED = Pace().seen(window(other={}), 300.0)


def test_the_lower_of_both_clocks_counts() -> None:
    """Each as a share of what it is at the reference limit."""
    assert speed(REFERRED, window(mean_sm_clock_mhz=1566.0)) == pytest.approx(0.9)
    assert speed(REFERRED, window(mean_sm_clock_mhz=1566.0, mean_memory_clock_mhz=5075.0)) == pytest.approx(0.7)
    assert speed(REFERRED, window(mean_memory_clock_mhz=7249.0)) == pytest.approx(1.0)


def test_the_slowest_gpu_sets_the_pace() -> None:
    """Whichever it is."""
    assert speed(REFERRED, window(mean_sm_clock_mhz=1653.0, other={"mean_sm_clock_mhz": 1479.0})) == pytest.approx(0.85)


@pytest.mark.parametrize(
    "odd",
    [
        {"mean_sm_clock_mhz": None},
        {"mean_memory_clock_mhz": None},
        {"mean_utilization": None},
        {"mean_utilization": 0.5},
        {"quality": Quality.GAP},
    ],
)
def test_what_is_not_seen_is_not_guessed(odd: dict[str, Any]) -> None:
    """No clock, no load, or another phase than that at the reference limit: the window teaches nothing."""
    assert speed(REFERRED, window(**odd)) is None
    assert speed(REFERRED, window(other=odd)) is None


def test_nothing_is_known_before_the_reference_limit_was_seen() -> None:
    """Nor of a GPU that came later, nor where a GPU is silent."""
    pace = Pace().seen(window(limit_watts=250.0), 300.0)
    assert speed(pace, window()) is None
    assert speed(Pace().seen(window(), 300.0), window(other={})) is None
    assert speed(REFERRED, window(complete=False)) is None


def test_the_first_window_at_the_reference_limit_is_what_counts() -> None:
    """Else its meaning would change under what was learned."""
    pace = REFERRED.seen(window(mean_sm_clock_mhz=1700.0), 300.0)
    assert pace is REFERRED
