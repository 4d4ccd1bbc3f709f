"""Which provider the settings ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.replay import Replay
from carbonzeus_operator.grid.sources import provider_of
from carbonzeus_operator.settings import Settings
from tests.unit.grid.samples import HOUR, KEY, T0, ZONE, plain, stamp


async def test_files_as_they_are(tmp_path: Path) -> None:
    """In real time, with the time that publication takes."""
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    rows = "".join(f"{stamp(begin + hour * HOUR)},{hour}\n" for hour in range(9))
    (tmp_path / f"{ZONE}.csv").write_text(f"start_utc,gco2_per_kwh\n{rows}")
    provider = provider_of(Settings(grid_dir=tmp_path, grid_publication_lag_seconds=7200))
    assert isinstance(provider, FileProvider)
    actual = await provider.actual(*KEY, begin, begin + 9 * HOUR)
    assert [one.gco2_per_kwh for one in actual.intervals] in ([0], [0, 1])  # the hour may end meanwhile
    assert (await provider.forecast(*KEY)).at(datetime.now(UTC)) is not None


async def test_files_played_back(tmp_path: Path) -> None:
    """The recorded moment begins at the wall moment; publication takes as long on the wall as is set."""
    (tmp_path / f"{ZONE}.csv").write_text(plain(dict.fromkeys(range(10_000), 5.0)))
    began = datetime.now(UTC) - timedelta(seconds=10)
    settings = Settings(
        grid_dir=tmp_path,
        grid_replay_speed=3600,
        grid_replay_recorded_start=T0,
        grid_replay_wall_start=began,
        grid_publication_lag_seconds=4,
    )
    provider = provider_of(settings)
    assert isinstance(provider, Replay)
    before = datetime.now(UTC)
    actual = await provider.actual(*KEY, began, before + HOUR)
    after = datetime.now(UTC)
    assert actual.intervals[0].start == began
    lag = timedelta(seconds=4)
    assert before - lag - timedelta(seconds=1) <= actual.intervals[-1].end <= after - lag
