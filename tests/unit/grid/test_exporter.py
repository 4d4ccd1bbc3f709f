"""The ConfigMap of the carbon intensity exporter: what is read of it, and how old that is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.check import checked
from carbonzeus_operator.grid.exporter import Exporter, parse
from carbonzeus_operator.grid.series import Factor, Series, Signal
from carbonzeus_operator.settings import Settings
from tests.unit.grid.fuzz import bodies, invents_nothing, thousand
from tests.unit.grid.samples import T0, Watch, at, intervals

ROANOKE = ("PJM_ROANOKE", Signal.MARGINAL)


def point(
    hours: float, value: float | None = None, *, minutes: int = 60, location: str = "PJM_ROANOKE"
) -> dict[str, Any]:
    """A value, as Go writes it: without what is zero."""
    made = {"location": location, "timestamp": f"{at(hours):%Y-%m-%dT%H:%M:%SZ}", "duration": minutes, "value": value}
    return {key: found for key, found in made.items() if found}


def config_map(*points: dict[str, Any], **more: str) -> dict[str, bytes]:
    """The keys, as the exporter writes them."""
    beside = {
        "forecastDateTime": f"{at(0.1):%Y-%m-%d %H:%M:%S} +0000 UTC",
        "lastHeartbeatTime": f"{at(0.05):%Y-%m-%d %H:%M:%S}.041158869 +0000 UTC m=+10.861427049",
        "message": "",
        "numOfRecords": str(len(points)),
        "minForecast": "1.000000",
        "maxForecast": "9.000000",
    }
    return {"data": json.dumps(points).encode()} | {key: text.encode() for key, text in (beside | more).items()}


def write(folder: Path, content: dict[str, bytes]) -> None:
    """As it is mounted, without links."""
    for key, value in content.items():
        (folder / key).write_bytes(value)


@pytest.fixture
def exporter(tmp_path: Path) -> Exporter:
    return Exporter(tmp_path, Watch(at(0.5)))


async def test_a_forecast(exporter: Exporter) -> None:
    """Of its location; as old as the earlier of its beginning and its heartbeat."""
    write(exporter.folder, config_map(point(0, 550.9853294805798), point(1, 551.5)))
    series = await exporter.forecast(*ROANOKE)
    assert (series.zone, series.signal, series.factor, series.source) == (*ROANOKE, Factor.DIRECT, "Exporter")
    assert series.intervals == intervals({0: 550.9853294805798, 1: 551.5})
    assert (series.issued_at, series.warnings) == (at(0.05), ())


async def test_as_the_exporter_shows_it(exporter: Exporter) -> None:
    """Five minutes each, and the times of its documentation."""
    five = ["2023-03-31T00:00:00Z", "2023-03-31T00:05:00Z"]
    data = [{"location": "PJM_ROANOKE", "timestamp": text, "duration": 5, "value": 550.5} for text in five]
    beside = {
        "forecastDateTime": b"2023-03-31 00:00:00 +0000 UTC",
        "lastHeartbeatTime": b"2023-03-30 23:57:26.041158869 +0000 UTC m=+10.861427049",
    }
    write(exporter.folder, {"data": json.dumps(data).encode(), **beside})
    series = await exporter.forecast(*ROANOKE)
    assert [(one.start.isoformat(), one.end - one.start) for one in series.intervals] == [
        ("2023-03-31T00:00:00+00:00", timedelta(minutes=5)),
        ("2023-03-31T00:05:00+00:00", timedelta(minutes=5)),
    ]
    assert series.issued_at == datetime(2023, 3, 30, 23, 57, 26, tzinfo=UTC)


async def test_a_heartbeat_makes_nothing_young(exporter: Exporter) -> None:
    """Where the exporter gets nothing new it writes the old data again, and says so."""
    again = f"{at(9):%Y-%m-%d %H:%M:%S} +0000 UTC m=+1.0"
    content = config_map(point(0, 5), lastHeartbeatTime=again, message="Unable to update forecast Data.\n")
    write(exporter.folder, content)
    series = await replace(exporter, now=Watch(at(10))).forecast(*ROANOKE)
    assert series.issued_at == at(0.1)
    assert series.warnings == ("the carbon intensity exporter says: Unable to update forecast Data.",)


@pytest.mark.parametrize(
    ("begins", "written", "issued"),
    [
        ("", "", 0),  # the data's own beginning
        ("2026-11-24 14:30:00 +0200 CEST", "", 0.5),
        ("2026-11-24 11:00:00 +0000 UTC", "2026-11-24 10:00:00 +0000 UTC", -2),
        ("2026-11-25 00:00:00 +0000 UTC", "2026-11-25 00:00:00 +0000 UTC", 1),  # no younger than now
        ("yesterday", "2026-99-99 00:00:00 +0000 UTC", 0),
        ("2026-11-24T11:00:00Z", "0001-01-01 00:00:00 +1400 X", 0),
    ],
)
def test_how_old_it_is(begins: str, written: str, issued: float) -> None:
    """By the words beside it, as far as they are there and can be read."""
    content = config_map(point(0, 5), point(1, 6), forecastDateTime=begins, lastHeartbeatTime=written)
    assert parse(content, *ROANOKE, Factor.DIRECT, at(1)).issued_at == at(issued)


async def test_what_go_leaves_out(exporter: Exporter) -> None:
    """A value or a length that is zero is not there: a gap, like what the SDK marks as missing."""
    write(exporter.folder, config_map(point(0, 5), point(1), point(2, 6, minutes=0), point(3, -1), point(4, 7)))
    assert (await exporter.forecast(*ROANOKE)).intervals == intervals({0: 5, 4: 7})


async def test_what_is_over_is_no_actual(exporter: Exporter) -> None:
    """It was never measured."""
    write(exporter.folder, config_map(point(-3, 5), point(-2, 6)))
    with pytest.raises(InvalidSpec, match="writes forecasts only, so PJM_ROANOKE cannot be settled") as refused:
        await exporter.actual(*ROANOKE, at(-3), at(0))
    assert refused.value.reason == "NoActual"


async def test_a_new_version_is_read(exporter: Exporter) -> None:
    """As the kubelet brings it: all keys at once, by a link."""
    for version, value in (("..1", 5.0), ("..2", 6.0)):
        made = exporter.folder / version
        made.mkdir()
        write(made, config_map(point(0, value)))
        link = exporter.folder / "..link"
        link.symlink_to(version)
        link.replace(exporter.folder / "..data")
        assert (await exporter.forecast(*ROANOKE)).intervals == intervals({0: value})


async def test_another_zone(exporter: Exporter) -> None:
    """Is refused with what to write."""
    write(exporter.folder, config_map(point(0, 5)))
    with pytest.raises(
        InvalidSpec, match=r"ConfigMap is of 'PJM_ROANOKE', not of US-MIDA-PJM: .* in zoneNames"
    ) as refused:
        await exporter.forecast("US-MIDA-PJM", Signal.MARGINAL)
    assert refused.value.reason == "InvalidZone"


async def test_values_of_two_places(exporter: Exporter) -> None:
    """Are not one zone's."""
    write(exporter.folder, config_map(point(0, 5), point(1, 6, location="CAISO_NORTH")))
    with pytest.raises(InvalidSpec, match="values of 'CAISO_NORTH' and 'PJM_ROANOKE'"):
        await exporter.forecast(*ROANOKE)


async def test_another_signal(exporter: Exporter) -> None:
    """Is what the exporter's source gives, as it is set."""
    write(exporter.folder, config_map(point(0, 5)))
    averaging = replace(exporter, signal=Signal.AVERAGE, factor=Factor.LIFECYCLE)
    series = await averaging.forecast("PJM_ROANOKE", Signal.AVERAGE)
    assert ([*averaging.signals], series.signal, series.factor) == ([Signal.AVERAGE], Signal.AVERAGE, Factor.LIFECYCLE)
    for asking in (averaging.forecast(*ROANOKE), averaging.actual(*ROANOKE, at(-1), at(0))):
        with pytest.raises(InvalidSpec, match="is set to the signal Average, not Marginal"):
            await asking


async def test_nothing_is_there(exporter: Exporter) -> None:
    """Says what to do; nor are words without data."""
    with pytest.raises(Unavailable, match=r"ConfigMap is not in .*: name it in grid\.file\.existingConfigMap"):
        await exporter.forecast(*ROANOKE)
    write(exporter.folder, {"message": b"x"})
    with pytest.raises(Unavailable, match="ConfigMap is not in"):
        await exporter.forecast(*ROANOKE)
    with pytest.raises(Unavailable, match="ConfigMap is not in"):
        await replace(exporter, folder=exporter.folder / "nowhere").forecast(*ROANOKE)


def test_where_it_is_looked_for() -> None:
    """In the folder of the files, which the chart mounts."""
    assert Exporter().folder == Settings().grid_dir


async def test_what_cannot_be_read(exporter: Exporter) -> None:
    """Is asked for again."""
    (exporter.folder / "data").mkdir()
    with pytest.raises(Unavailable, match=r"cannot be read: .*directory"):
        await exporter.forecast(*ROANOKE)


async def test_no_values(exporter: Exporter) -> None:
    """Are no forecast."""
    write(exporter.folder, config_map())
    with pytest.raises(Unavailable, match="has no values"):
        await exporter.forecast(*ROANOKE)


async def test_values_that_are_missing(exporter: Exporter) -> None:
    """The exporter says how many there are."""
    write(exporter.folder, config_map(point(0, 5), numOfRecords="288"))
    with pytest.raises(InvalidSpec, match="says that it has 288 values, but there are 1") as refused:
        await exporter.forecast(*ROANOKE)
    assert refused.value.reason == "InvalidGridData"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"location": "PJM_', "the whole: Invalid JSON"),
        (b"", "the whole: Invalid JSON"),
        (b"\x00\xff", "the whole: Invalid JSON"),
        (b"<html>", "the whole: Invalid JSON"),
        (b"{}", "the whole: Input should be a valid"),
        (b'[{"location": "X", "timestamp": "noon"}]', r"0\.timestamp: Input should be a valid datetime"),
        (b'[{"location": "X", "timestamp": "2026-11-24T12:00:00"}]', r"0\.timestamp: Input should have timezone"),
        (
            b'[{"location": "X", "timestamp": "2026-11-24T12:00:00Z", "value": "5"}]',
            r"0\.value: Input should be a valid number",
        ),
        (
            b'[{"location": "X", "timestamp": "2026-11-24T12:00:00Z", "value": NaN}]',
            r"0\.value: Input should be a finite",
        ),
        (b'[{"location": "X", "timestamp": "2026-11-24T12:00:00Z", "duration": "00:05:00"}]', r"0\.duration: "),
    ],
)
async def test_broken_data(exporter: Exporter, data: bytes, message: str) -> None:
    """Says where."""
    write(exporter.folder, {"data": data})
    with pytest.raises(InvalidSpec, match=f"the carbon intensity exporter's data cannot be read: {message}") as refused:
        await exporter.forecast(*ROANOKE)
    assert refused.value.reason == "InvalidGridData"


async def test_twice_contradicting_and_negative(exporter: Exporter) -> None:
    """The same twice stands once, in order; two values of one time are refused, and so is what cannot be."""
    write(exporter.folder, config_map(point(3, 5), point(0, 6), point(3, 5)))
    assert (await exporter.forecast(*ROANOKE)).intervals == intervals({0: 6, 3: 5})
    write(exporter.folder, config_map(point(0, 5), point(0, 6)))
    with pytest.raises(InvalidSpec, match="Exporter contradicts itself for PJM_ROANOKE"):
        await exporter.forecast(*ROANOKE)
    write(exporter.folder, config_map(point(0, -7)))
    series = await exporter.forecast(*ROANOKE)
    with pytest.raises(InvalidSpec, match=r"has -7.0 g/kWh"):
        checked(series, *ROANOKE)


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_the_days_on_which_clocks_change(day: datetime) -> None:
    """Have 24 hours like any other in UTC."""
    first = (day - T0) // timedelta(hours=1)
    content = config_map(*(point(first + hour, hour + 1) for hour in range(24)))
    series = parse(content, *ROANOKE, Factor.DIRECT, T0)
    assert [one.gco2_per_kwh for one in series.intervals] == list(range(1, 25))


VALID = [point(0, 3), point(1, 4.5), point(2)]


def parsed(content: dict[str, bytes]) -> Series | None:
    """What becomes of it; None where it says that it cannot be used."""
    refusal = ""
    series = None
    try:
        series = checked(parse(content, *ROANOKE, Factor.DIRECT, T0), *ROANOKE)
    except CarbonzeusError as error:
        refusal = str(error)
    assert refusal.isprintable()
    return series


@thousand
@given(bodies(VALID))
def test_any_data(body: bytes) -> None:
    """Becomes an error of ours, or numbers that stand in it."""
    assert invents_nothing(parsed({"data": body}), body)


@thousand
@given(
    st.dictionaries(
        st.sampled_from(["forecastDateTime", "lastHeartbeatTime", "message", "numOfRecords"]), st.binary(max_size=40)
    )
)
def test_any_words_beside_it(beside: dict[str, bytes]) -> None:
    """Change no value, and make nothing younger than now."""
    body = json.dumps(VALID).encode()
    series = parsed({"data": body, **beside})
    assert invents_nothing(series, body)
    assert series is None or (series.issued_at <= T0 and all(warning.isprintable() for warning in series.warnings))


def test_what_is_mutated_is_good() -> None:
    """Else the two tests above would show nothing."""
    series = parsed(config_map(*VALID))
    assert series is not None
    assert [one.gco2_per_kwh for one in series.intervals] == [3, 4.5]
