"""How much each peer may ask for: a bucket of tokens that fills at a steady rate."""

from __future__ import annotations

from collections.abc import Callable

BURST_S = 4.0
"""A peer that was quiet may ask for as much at once as it may in so many seconds."""
REMEMBERED = 1024


class Allowance:
    """One bucket a peer; full ones are forgotten."""

    def __init__(self, per_s: float, now_s: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = max(per_s * BURST_S, 1.0)
        self._now_s = now_s
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, peer: str) -> float:
        """One token. Returns 0 where there was one, or after how many seconds there will be."""
        now_s = self._now_s()
        left = self._level(peer, now_s)
        if left < 1.0:
            return (1.0 - left) / self._per_s
        if peer not in self._left and len(self._left) >= REMEMBERED:
            self._forget(now_s)
        self._left[peer] = (left - 1.0, now_s)
        return 0.0

    def _level(self, peer: str, now_s: float) -> float:
        left, at_s = self._left.get(peer, (self._burst, now_s))
        return min(self._burst, left + (now_s - at_s) * self._per_s)

    def _forget(self, now_s: float) -> None:
        """Those that are full again; where none is, the one that asked least lately."""
        full = [peer for peer in self._left if self._level(peer, now_s) >= self._burst]
        for peer in full or [min(self._left, key=lambda it: self._left[it][1])]:
            del self._left[peer]
