"""The last good data on disk."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from carbonzeus_operator.grid import keep
from carbonzeus_operator.grid.series import Interval, Signal
from tests.unit.grid.samples import KEY, T0, ZONE, at, examples, interval_lists, intervals, series

FILE = "grid-US-CAL-CISO-average-forecast.json"
ONE = series(intervals({0: 5, 1: 6}))


@settings(examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(interval_lists())
def test_what_is_written_is_read(tmp_path: Path, found: tuple[Interval, ...]) -> None:
    """Equal in all that it says; what is in between is gone."""
    keep.write(tmp_path, "forecast", series(found))
    assert keep.read(tmp_path, "forecast", *KEY) == series(found)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_forecast_actual_and_signals_have_files_of_their_own(tmp_path: Path) -> None:
    """One never stands for the other. The folder is made where it is missing."""
    folder = tmp_path / "state"
    marginal = series(intervals({0: 7}), signal=Signal.MARGINAL)
    keep.write(folder, "forecast", ONE)
    keep.write(folder, "forecast", marginal)
    assert keep.read(folder, "forecast", *KEY) == ONE
    assert keep.read(folder, "forecast", ZONE, Signal.MARGINAL) == marginal
    assert keep.read(folder, "actual", *KEY) is None


@pytest.mark.parametrize("zone", ["../..", "/etc/passwd", "..", "a b", "a/b\\c", "ü"])
def test_any_name_of_a_zone_stays_in_the_folder(tmp_path: Path, zone: str) -> None:
    """Zones of other sources may have other names."""
    folder = tmp_path / "state"
    one = series(intervals({0: 5}), zone=zone)
    keep.write(folder, "actual", one)
    assert keep.read(folder, "actual", zone, Signal.AVERAGE) == one
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert len(list(folder.iterdir())) == 1


def changed(**more: Any) -> str:
    """What is on disk, with something else in it."""
    whole = {
        "zone": ZONE,
        "signal": "Average",
        "factor": "Lifecycle",
        "source": "Sample",
        "issued_at": T0.isoformat(),
        "intervals": [{"start": T0.isoformat(), "end": at(1).isoformat(), "gco2_per_kwh": 5.0, "estimated": False}],
        "warnings": [],
    }
    return json.dumps(whole | more)


def test_the_file_is_as_these_tests_think(tmp_path: Path) -> None:
    """Else the refusals below would be for another reason."""
    (tmp_path / FILE).write_text(changed())
    assert keep.read(tmp_path, "forecast", *KEY) == series(intervals({0: 5}))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00" * 100,
        changed()[:-20],
        changed(zone="DE"),
        changed(signal="Marginal"),
        changed(factor="Guess"),
        changed(issued_at="2026-11-24T12:00:00"),
        changed(issued_at="yesterday"),
        changed(intervals=[{"start": T0.isoformat(), "end": at(1).isoformat(), "gco2_per_kwh": "much"}]),
        changed(intervals=[{"start": T0.isoformat(), "end": at(1).isoformat(), "gco2_per_kwh": -5}]),
        changed(intervals=[{"start": T0.isoformat(), "end": T0.isoformat(), "gco2_per_kwh": 5}]),
        changed(intervals=[{"start": "2026-11-24T12:00:00", "end": "2026-11-24T13:00:00", "gco2_per_kwh": 5}]),
        changed(intervals=[[1, 2, 3]]),
    ],
)
def test_a_broken_file_is_passed_over(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    """Cut off, of another zone, or nonsense: it is logged, and there is nothing."""
    (tmp_path / FILE).write_text(content)
    assert keep.read(tmp_path, "forecast", *KEY) is None
    assert FILE in caplog.text
    assert "is passed over" in caplog.text


def test_a_full_disk_is_logged_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole or not at all: half a file beside it is taken away."""
    keep.write(tmp_path, "forecast", ONE)
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        write(self, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    keep.write(tmp_path, "forecast", series(intervals({0: 9})))
    assert "the last good forecast of US-CAL-CISO is not kept" in caplog.text
    assert "No space left on device" in caplog.text
    assert keep.read(tmp_path, "forecast", *KEY) == ONE
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing else happens."""
    (tmp_path / "state").write_text("a file where a folder should be")
    keep.write(tmp_path / "state", "forecast", ONE)
    assert "is not kept" in caplog.text
    assert keep.read(tmp_path / "state", "forecast", *KEY) is None
