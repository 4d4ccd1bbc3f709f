"""Forecasts laid out for planning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from carbonzeus_operator.grid.series import Interval
from carbonzeus_operator.plan.outlook import look_ahead

MakeForecast = Callable[..., list[Interval]]
HOUR = timedelta(hours=1)


def test_slots_lie_end_to_end_from_now(now: datetime, hourly: MakeForecast) -> None:
    """The running interval is cut, gaps are slots marked as such."""
    forecast = hourly([100, 200]) + hourly([300], start=now + 4 * HOUR)
    outlook = look_ahead(forecast, now + HOUR / 2, horizon=4.5 * HOUR)
    assert outlook.start_s.tolist() == [0, 1800, 5400, 12600]
    assert outlook.seconds.tolist() == [1800, 3600, 7200, 3600]
    assert outlook.gap.tolist() == [False, False, True, False]
    assert outlook.forecast_end_s == 16200


def test_mean_counts_what_the_forecast_says(now: datetime, hourly: MakeForecast) -> None:
    """Weighed by time, without the gaps."""
    forecast = hourly([100, 200]) + hourly([600], start=now + 4 * HOUR)
    assert look_ahead(forecast, now).mean == pytest.approx(300)
    assert look_ahead(forecast, now + HOUR / 2).mean == pytest.approx((50 + 200 + 600) / 2.5)
    assert look_ahead([], now).mean == 1


def test_what_follows_a_day_of_forecast_is_its_last_day_again(now: datetime, hourly: MakeForecast) -> None:
    """Credit keeps the value that the time of day suggests."""
    values = [100.0] * 6 + [float(hour) for hour in range(24)]
    outlook = look_ahead(hourly(values), now, horizon=60 * HOUR)
    assert outlook.forecast_slots == 30
    assert outlook.gco2_per_kwh[30:].tolist() == [*range(24), *range(6)]
    assert outlook.start_s[30:].tolist() == [3600 * hour for hour in range(30, 60)]
    assert outlook.seconds[30:].tolist() == [3600] * 30


def test_what_follows_a_short_forecast_is_its_mean(now: datetime, hourly: MakeForecast) -> None:
    """Less than a day says nothing of the time of day."""
    outlook = look_ahead(hourly([100, 300]), now, horizon=10 * HOUR)
    assert outlook.seconds.tolist() == [3600, 3600, 8 * 3600]
    assert outlook.gco2_per_kwh[-1] == 200
    assert outlook.forecast_slots == 2


def test_intervals_without_length_and_overlaps_are_passed_over(now: datetime, hourly: MakeForecast) -> None:
    """The earlier interval stands."""
    forecast = [*hourly([100]), Interval(now + HOUR, now + HOUR, 5.0), Interval(now + HOUR / 2, now + 2 * HOUR, 200.0)]
    outlook = look_ahead(forecast, now, horizon=2 * HOUR)
    assert outlook.start_s.tolist() == [0, 3600]
    assert outlook.gco2_per_kwh.tolist() == [100, 200]


def test_cut_and_after_take_parts(now: datetime, hourly: MakeForecast) -> None:
    """Times keep counting from now."""
    outlook = look_ahead(hourly([100, 200, 300]), now, horizon=3 * HOUR)
    begun, ended = outlook.after(5400), outlook.cut(5400)
    assert begun.start_s.tolist() == [5400, 7200]
    assert begun.seconds.tolist() == [1800, 3600]
    assert begun.gco2_per_kwh.tolist() == [200, 300]
    assert begun.forecast_end_s == 10800
    assert ended.seconds.tolist() == [3600, 1800]
    assert ended.forecast_end_s == 5400
    assert outlook.cut(0).forecast_end_s == 0
    assert outlook.after(99_999).forecast_end_s == 0
