"""A service of grid data on loopback, for a whole bed: it answers as Electricity Maps and Energy-Charts do, or fails."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

HOUR = timedelta(hours=1)
GRAMS = {"ElectricityMaps": 300.0, "EnergyCharts": 450.0}
"""What each says of every hour: so a report tells whose figures it was settled with."""


@dataclass(slots=True)
class Source:
    """`with`-less: `Source()` listens at `url` until `close()`."""

    zone: str
    tokens: list[str] = field(default_factory=list)
    """Each token that was shown, once, in order."""
    calls: int = 0
    failing: bool = False
    """Electricity Maps answers with 503."""
    _server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = source.answer(self.path, self.headers.get("auth-token"))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, token: str | None) -> tuple[int, Any]:
        """Status and body."""
        asked = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        self.calls += 1
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if asked.path.endswith("/co2eq"):
            hours = [now + HOUR * n for n in range(-24, 48)]
            over = [GRAMS["EnergyCharts"] if hour < now else None for hour in hours]
            return 200, {
                "unix_seconds": [round(hour.timestamp()) for hour in hours],
                "co2eq": over,
                "co2eq_forecast": [GRAMS["EnergyCharts"]] * len(hours),
                "deprecated": False,
            }
        if token is not None and token not in self.tokens:
            self.tokens.append(token)
        if self.failing:
            return 503, {"error": "maintenance"}
        if query.get("zone") != self.zone or token is None:
            return 401, {"error": "Invalid auth-token"}
        grams = GRAMS["ElectricityMaps"]
        if asked.path.endswith("/forecast"):
            rows = [{"carbonIntensity": grams, "datetime": _stamp(now + HOUR * n)} for n in range(48)]
            return 200, {"zone": self.zone, "forecast": rows, "updatedAt": _stamp(now), "temporalGranularity": "hourly"}
        rows = [_row(self.zone, now - HOUR * n, grams) for n in range(48, 0, -1)]
        key = "history" if asked.path.endswith("/history") else "data"
        return 200, {"zone": self.zone, key: rows, "temporalGranularity": "hourly"}


def _row(zone: str, hour: datetime, grams: float) -> dict[str, Any]:
    return {
        "zone": zone,
        "carbonIntensity": grams,
        "datetime": _stamp(hour),
        "updatedAt": _stamp(hour + HOUR),
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        "estimationMethod": None,
    }


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
