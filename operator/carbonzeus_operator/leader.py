"""Who leads: a coordination Lease. Its `leaseTransitions` is the fencing term that agents check.

A candidate trusts no clock but its own monotonic one: a lease is free when its record has not changed for its duration.
The term only looks at the calendar to stay above all earlier ones where the Lease was deleted (with its namespace, say):
agents remember the highest term they ever saw, and would refuse a leader that counts from 1 again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from carbonzeus_operator.errors import CarbonzeusError, Conflict
from carbonzeus_operator.kube import LEASE, Kube, Raw

log = logging.getLogger(__name__)

RELEASE_S = 2.0
"""How long the end of the process waits for the lease to be given back."""


class LeadershipLost(CarbonzeusError):
    """The lease could not be renewed in time: somebody else may lead now, so this process must end."""


@dataclass(slots=True)
class Leader:
    """One candidate. `await acquire()` once, then `await hold()` for as long as the process lives."""

    kube: Kube
    namespace: str
    name: str
    identity: str
    duration_s: float = 15.0
    term: int | None = field(default=None, init=False)
    """The fencing term, once leading."""
    _seen: object = field(default=None, init=False)
    _seen_at: float = field(default=0.0, init=False)
    _renewed_at: float = field(default=0.0, init=False)

    async def acquire(self) -> int:
        """Waits until this candidate leads. Returns the term [leaseTransitions]."""
        while True:
            try:
                if (term := await self._try()) is not None:
                    log.info("leading as %s, term %d", self.identity, term)
                    return term
            except CarbonzeusError as error:
                log.warning("cannot reach the lease, trying again: %s", error)
            await asyncio.sleep(self.duration_s / 5)

    async def hold(self) -> None:
        """Renews until that fails for two thirds of the lease's duration; then raises LeadershipLost.

        A server that does not answer at all is a failure too, however long its client would wait.
        """
        lease = f"lease {self.namespace}/{self.name}"
        while True:
            await asyncio.sleep(self.duration_s / 5)
            left_s = self._renewed_at + self.duration_s * 2 / 3 - time.monotonic()
            try:
                async with asyncio.timeout(max(left_s, 0.0)):
                    held = await self._try()
            except CarbonzeusError as error:
                log.warning("cannot renew the lease: %s", error)
            except TimeoutError as error:
                raise LeadershipLost(f"{lease} could not be renewed in time: somebody else may lead now") from error
            else:
                if held is None:
                    raise LeadershipLost(f"{lease} is no longer ours")

    async def release(self) -> None:
        """Gives the lease back, so that a successor need not wait. Failing is fine: it runs out by itself."""
        if self.term is None:
            return
        try:
            async with asyncio.timeout(RELEASE_S):
                lease = await self.kube.get(LEASE, self.name, self.namespace)
                if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
                    lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self.kube.replace(LEASE, lease)
        except (CarbonzeusError, TimeoutError) as error:
            log.info("the lease was not given back and will run out: %r", error)

    async def _try(self) -> int | None:
        started = time.monotonic()
        lease = await self.kube.get(LEASE, self.name, self.namespace)
        try:
            if lease is None:
                term = _term_after(0)
                body: Raw = {"metadata": {"name": self.name, "namespace": self.namespace}, "spec": self._spec(term)}
                await self.kube.create(LEASE, body, self.namespace)
                return self._won(term, started)
            spec = lease.get("spec") or {}
            if spec.get("holderIdentity") == self.identity and self.term is not None:
                lease["spec"] = {**spec, "renewTime": _now()}
                await self.kube.replace(LEASE, lease)
                return self._won(self.term, started)
            if not self._is_free(spec):
                return None
            term = _term_after(int(spec.get("leaseTransitions") or 0))
            lease["spec"] = self._spec(term)
            await self.kube.replace(LEASE, lease)
            return self._won(term, started)
        except Conflict:
            return None

    def _is_free(self, spec: Raw) -> bool:
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, time.monotonic()
        if not spec.get("holderIdentity"):
            return True
        return time.monotonic() - self._seen_at > float(spec.get("leaseDurationSeconds") or self.duration_s)

    def _spec(self, term: int) -> Raw:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(int(self.duration_s), 1),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": term,
        }

    def _won(self, term: int, started: float) -> int:
        self.term = term
        self._renewed_at = started
        return term


def _term_after(transitions: int) -> int:
    """The next term: at least the tens of seconds since 1970, which fit into the field's 32 bits for centuries."""
    return max(transitions + 1, int(time.time()) // 10)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
