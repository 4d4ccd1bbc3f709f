"""Real grid data: real outages, real revisions, real forecasts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbonzeus_operator.grid.csvfile import ISSUES, PLAIN, parse
from carbonzeus_operator.grid.recording import Recording, Rows

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "carbon"
HOUR = timedelta(hours=1)
NO_LAG = timedelta(0)


@pytest.fixture(autouse=True)
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the measured data is not at {DATA}")
    return DATA


def rows_of(name: str) -> Iterator[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def plain_of(name: str, column: str) -> Recording:
    """A column of a published file, as a file of ours; a blank is a row that is not there."""
    rows = [f"{row['start_utc']},{row[column]}\n" for row in rows_of(name) if row[column]]
    return parse(name, [",".join(PLAIN) + "\n", *rows])


def issues_of(name: str, columns: tuple[str, ...]) -> Recording:
    """The same of forecasts."""
    rows = [",".join(row[column] for column in columns) + "\n" for row in rows_of(name)]
    return parse(name, [",".join(ISSUES) + "\n", *rows])


def everything(recording: Recording) -> tuple[int, tuple[str, ...]]:
    """How many actuals there are, and what is said of gaps."""
    found = recording.actual(
        datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), NO_LAG
    )
    return len(found.intervals), found.warnings


@pytest.mark.parametrize("zone", ["CISO", "DE", "PJM"])
def test_carboncast_is_read_as_it_is(zone: str) -> None:
    """28 daily issues of 96 hours, and every hour's actual."""
    name = f"carboncast_2021-08_{zone}_lca_forecast96h_actual.csv"
    with (DATA / name).open(encoding="utf-8-sig", newline="") as lines:
        recording = parse(name, lines)
    assert recording.step == HOUR
    assert [len(rows.values) for rows in recording.issues.values()] == [96] * 28
    assert everything(recording) == (27 * 24 + 96, ())
    now = datetime(2021, 8, 10, 13, 30, tzinfo=UTC)
    found = recording.forecast(now, NO_LAG)
    assert found.issued_at == datetime(2021, 8, 10, tzinfo=UTC)
    assert len(found.intervals) == 96 - 13


@pytest.mark.parametrize("zone", ["US-CAL-CISO", "US-MIDW-MISO", "GB", "DE", "FR", "PL"])
def test_a_year_of_hours(zone: str) -> None:
    """Without a gap, of six zones."""
    name = "emaps_2022_hourly_lca_6zones.csv"
    recording = plain_of(name, zone)
    assert recording.step == HOUR
    assert everything(recording) == (sum(1 for _ in rows_of(name)), ())


@pytest.mark.parametrize("column", ["direct_gco2eq_kwh", "lca_gco2eq_kwh"])
def test_a_year_of_two_factors(column: str) -> None:
    """What is not there is no zero."""
    name = "emaps_2023_US-CAL-CISO_direct_lca_flags.csv"
    count, _ = everything(plain_of(name, column))
    assert count == sum(1 for row in rows_of(name) if row[column])


def test_two_vintages_of_the_same_hours() -> None:
    """Each by itself is a file; together they contradict each other, which is why a file has one actual for each hour."""
    name = "emaps_2022_US-CAL-CISO_two_vintages_4weeks.csv"
    earlier, later = plain_of(name, "lca_earlier_vintage"), plain_of(name, "lca_later_vintage")
    assert everything(earlier)[0] == everything(later)[0] == 4 * 7 * 24
    assert list(earlier.actuals.values) != list(later.actuals.values)


def test_the_outage_of_great_britain_is_a_gap() -> None:
    """Two days without an actual: named, by line, and not filled."""
    recording = plain_of("gb_neso_2023_halfhourly_forecast_actual.csv", "actual_gco2_kwh")
    assert recording.step == HOUR / 2
    outage = datetime(2023, 10, 20, 22, 0, tzinfo=UTC)
    around = recording.actual(outage - HOUR, outage + 72 * HOUR, outage + 90 * 24 * HOUR, NO_LAG)
    assert any("nothing is said from 2023-10-20T22:00:00+00:00 to 2023-10-2" in warning for warning in around.warnings)
    assert [one.start for one in around.intervals][:2] == [outage - HOUR, outage - HOUR / 2]
    assert around.intervals[2].start > outage + 24 * HOUR
    during = recording.forecast(outage + 5 * HOUR, NO_LAG)
    assert during.issued_at == outage - HOUR / 2
    assert during.intervals[0].start > outage + 5 * HOUR


def test_snapshots_of_forecasts_as_they_were_issued() -> None:
    """Six real issues of 48 hours; between the newest and the next there is the newest."""
    columns = ("scraped_utc", "start_utc", "forecast_gco2_kwh", "actual_gco2_kwh")
    recording = issues_of("gb_neso_2023-03_fw48h_snapshots.csv", columns)
    assert recording.step == HOUR / 2
    assert len(recording.issues) == 6
    counts: list[Rows] = list(recording.issues.values())
    assert all(90 <= len(rows.values) <= 97 for rows in counts)
    issued = list(recording.issues)
    found = recording.forecast(issued[3] + HOUR, NO_LAG)
    assert found.issued_at == issued[3]
    assert found.intervals[0].start <= issued[3] + HOUR < found.intervals[0].end
