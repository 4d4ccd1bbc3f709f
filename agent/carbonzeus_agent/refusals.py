"""What was refused at a port: counted, and said in the log now and then, never with what was sent."""

from __future__ import annotations

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter

log = logging.getLogger(__name__)

SAID_EVERY_S = 10.0
REMEMBERED = 256
"""So many kinds of refusals are told apart; of more the log says nothing for a while, but the metrics do."""


class Refusals:
    """For each peer and reason one line at once, and then at most one every ten seconds."""

    def __init__(self, registry: CollectorRegistry, now_s: Callable[[], float]) -> None:
        self._count = Counter(
            "carbonzeus_agent_refused", "Connections and requests refused, by reason.", ["reason"], registry=registry
        )
        self._now_s = now_s
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def say(self, peer: str, reason: str, detail: str) -> None:
        """`reason` is one CamelCase word out of a few, `detail` a phrase without anything that the peer could choose freely."""
        self._count.labels(reason=reason).inc()
        now_s = self._now_s()
        if len(self._said) >= REMEMBERED:
            self._said = {key: it for key, it in self._said.items() if now_s - it[0] < SAID_EVERY_S}
        said_s, kept_back = self._said.get((peer, reason), (now_s - SAID_EVERY_S, 0))
        if now_s - said_s < SAID_EVERY_S or len(self._said) >= REMEMBERED:
            if (peer, reason) in self._said:
                self._said[peer, reason] = (said_s, kept_back + 1)
            return
        self._said[peer, reason] = (now_s, 0)
        more = f" (and {kept_back} times before)" if kept_back else ""
        log.warning("refused %s: %s: %s%s", peer, reason, detail, more)
