"""What the simulator's tests share: small recordings, and the published curve."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_cli.simulate import example
from carbonzeus_cli.simulate.job import Job
from carbonzeus_operator.plan.curve import Curve

BEGIN = datetime(2022, 1, 1, tzinfo=UTC)
CURVE = "power_limit_w,average_power_w,throughput"
PLAIN = "start_utc,gco2_per_kwh"
ISSUES = "issued_utc,start_utc,forecast_gco2eq_kwh,actual_gco2eq_kwh"


def hour(number: float) -> str:
    return f"{BEGIN + timedelta(hours=number):%Y-%m-%dT%H:%MZ}"


def plain_rows(hours: int) -> list[str]:
    """A grid with an evening peak."""
    return [f"{hour(number)},{200 + 150 * (16 <= number % 24 < 21)}" for number in range(hours)]


def issue_rows(days: int, reach: int) -> list[str]:
    """A forecast at each midnight, `reach` hours ahead."""
    return [
        f"{hour(24 * day)},{hour(24 * day + ahead)},{210 + ahead},{200 + (24 * day + ahead) % 24}"
        for day in range(days)
        for ahead in range(reach)
    ]


WriteCsv = Callable[..., Path]


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    """A file of lines."""

    def write(*lines: str, name: str = "file.csv") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def a40() -> Curve:
    return Curve.from_points(example.points(), 300.0, minimum_w=150.0)


@pytest.fixture
def job(a40: Curve) -> Job:
    return Job(a40, work_s=20 * 3600.0, slowdown=0.03)
