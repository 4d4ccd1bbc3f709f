"""What no provider gets past the cache."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.series import Interval, Series, Signal
from tests.unit.grid.samples import HOUR, KEY, T0, at, examples, interval_lists, series

NAIVE = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - what is refused


@examples
@given(interval_lists())
def test_a_series_in_order_passes_unchanged(found: tuple[Interval, ...]) -> None:
    """Gaps and all."""
    one = series(found)
    assert checked(one, *KEY) is one


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (series(zone="DE"), "of DE (Average), where US-CAL-CISO (Average) was asked for"),
        (series(signal=Signal.MARGINAL), "of US-CAL-CISO (Marginal)"),
        (series(issued=NAIVE), "time of issue 2026-11-24 12:00:00 has no offset"),
        (series([Interval(NAIVE, at(1), 1.0)]), "has no offset"),
        (series([Interval(T0, NAIVE + HOUR, 1.0)]), "has no offset"),
        (series([Interval(T0, T0, 1.0)]), "ends at 2026-11-24 12:00:00+00:00"),
        (series([Interval(at(1), T0, 1.0)]), "ends at"),
        (series([Interval(T0, at(1), 1.0), Interval(at(0.5), at(2), 1.0)]), "begins before the one ahead of it ends"),
        (series([Interval(at(1), at(2), 1.0), Interval(T0, at(1), 1.0)]), "begins before the one ahead of it ends"),
        (series([Interval(T0, at(1), math.nan)]), "nan g/kWh"),
        (series([Interval(T0, at(1), math.inf)]), "inf g/kWh"),
        (series([Interval(T0, at(1), -0.1)]), "-0.1 g/kWh"),
        (series([Interval(T0, at(1), 250_000.0)]), "not between 0 and 10000"),
    ],
)
def test_what_a_series_may_not_be(broken: Series, words: str) -> None:
    """The message names source and zone."""
    with pytest.raises(InvalidSpec) as refused:
        checked(broken, *KEY)
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"what Sample says of {broken.zone} cannot be used: ")
    assert refused.value.reason == "InvalidGridData"


def test_any_offset_will_do() -> None:
    """Times are compared as moments."""
    one = series([Interval(T0.astimezone(), (T0 + timedelta(hours=1)).astimezone(), 1.0)])
    assert checked(one, *KEY) is one
