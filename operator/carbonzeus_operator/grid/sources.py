"""Which provider the settings ask for."""

from __future__ import annotations

from datetime import timedelta

from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.provider import Provider
from carbonzeus_operator.grid.replay import Clock, Replay
from carbonzeus_operator.settings import Settings


def provider_of(settings: Settings) -> Provider:
    """Files, as they are or played back."""
    lag = timedelta(seconds=settings.grid_publication_lag_seconds)
    if settings.replay is None:
        return FileProvider(settings.grid_dir, utc_now, lag)
    clock = Clock(*settings.replay)
    recorded = FileProvider(settings.grid_dir, lambda: clock.to_recorded(utc_now()), lag * settings.grid_replay_speed)
    return Replay(recorded, clock)
