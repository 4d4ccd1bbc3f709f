"""Which provider the settings ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.replay import Clock, Replay
from carbonzeus_operator.settings import Settings


def _utc_now() -> datetime:
    return datetime.now(UTC)


def provider_of(settings: Settings) -> Provider:
    """Files, as they are or played back."""
    lag = timedelta(seconds=settings.grid_publication_lag_seconds)
    if settings.replay is None:
        return FileProvider(settings.grid_dir, _utc_now, lag)
    clock = Clock(*settings.replay)
    recorded = FileProvider(settings.grid_dir, lambda: clock.to_recorded(_utc_now()), lag * settings.grid_replay_speed)
    return Replay(recorded, clock)
