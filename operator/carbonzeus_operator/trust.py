"""The certificates that operator and agents know each other by, kept in two Secrets.

The operator's Secret holds everything and is read through the API; the agents' holds what they are shown as files, and no key of an
authority. Only the leader writes. Where cert-manager writes them instead, the operator only reads its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from carbonzeus_operator import certs
from carbonzeus_operator.clock import utc_now
from carbonzeus_operator.errors import CarbonzeusError, Conflict, Unavailable
from carbonzeus_operator.kube import SECRET, Kube, Raw
from carbonzeus_operator.settings import TlsMode
from carbonzeus_wire.identity import CA, CERT, KEY

log = logging.getLogger(__name__)

OPERATOR_SECRET = "carbonzeus-operator-tls"  # noqa: S105 - a name
AGENT_SECRET = "carbonzeus-agent-tls"  # noqa: S105 - a name
LOOK_EVERY_S = 15.0


@dataclass(slots=True)
class Trust:
    """`look` once, then `keep` for as long as the process leads; `context` is what agents are spoken to with."""

    kube: Kube
    namespace: str
    mode: TlsMode
    clock: Callable[[], datetime] = utc_now
    schedule: certs.Schedule = field(default_factory=certs.Schedule)
    problem: str = "certificates were not read yet"
    held: certs.Held = field(default_factory=certs.Held)
    """What the Secrets held when they were last read or written."""
    _context: ssl.SSLContext | None = None
    _shown: tuple[str, str, str] | None = None
    """What the context was made from."""

    def context(self) -> ssl.SSLContext:
        """Another one after every change. Raises Unavailable while there is none."""
        if self._context is None:
            raise Unavailable(f"agents cannot be spoken to: {self.problem}")
        return self._context

    def expiries(self) -> dict[str, datetime]:
        """When each certificate ends: `operator`, `agent`, `authority`; of those not known, nothing."""
        return certs.ends(self.held)

    async def keep(self) -> None:
        """Looks again and again: renews what is due, puts right what somebody spoiled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Reads the Secrets and, where certificates are ours to make, writes what is due. A failure is kept in `problem`."""
        try:
            self._use(await self._renew() if self.mode is TlsMode.OPERATOR else await self._read())
        except Conflict as error:
            log.info("certificates were written by somebody else, reading them again: %s", error)
        except CarbonzeusError as error:
            if str(error) != self.problem:
                log.warning("certificates: %s", error)
            self.problem = str(error)

    async def _read(self) -> dict[str, str]:
        """Our own Secret, which somebody else writes; the agents' is theirs alone."""
        data = _data(await self._get(OPERATOR_SECRET))
        self.held = certs.read(data, {})
        return data

    async def _renew(self) -> dict[str, str]:
        operators, agents = await self._get(OPERATOR_SECRET), await self._get(AGENT_SECRET)
        self.held = certs.read(_data(operators), _data(agents))
        wanted = certs.renewed(self.held, self.namespace, self.clock(), self.schedule)
        # Agents first: what they trust never lags behind what we hold, also if this process ends in between.
        await self._put(agents, certs.for_agent(wanted))
        ours = certs.for_operator(wanted)
        await self._put(operators, ours)
        self.held = wanted
        return ours

    async def _get(self, name: str) -> Raw:
        found = await self.kube.get(SECRET, name, self.namespace)
        if found is None:
            raise Unavailable(f"Secret {self.namespace}/{name} is not there: install the chart again")
        return found

    async def _put(self, secret: Raw, data: Mapping[str, str]) -> None:
        if _data(secret) == data:
            return
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        if await self.kube.replace(SECRET, {**secret, "data": encoded}) is None:
            raise Unavailable(f"Secret {self.namespace}/{secret['metadata']['name']} was deleted just now")
        log.info("Secret %s: certificates renewed", secret["metadata"]["name"])

    def _use(self, data: Mapping[str, str]) -> None:
        try:
            shown = data[CA], data[CERT], data[KEY]
        except KeyError as error:
            raise Unavailable(f"Secret {self.namespace}/{OPERATOR_SECRET} has no {error} yet") from None
        if shown != self._shown:
            self._context = client_context(*shown)
            self._shown = shown


def client_context(ca: str, cert: str, key: str) -> ssl.SSLContext:
    """TLS 1.3 towards agents that `ca` vouches for, showing our certificate. Raises Unavailable where they cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=ca)
        with _in_memory(cert + "\n" + key) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise Unavailable(f"the certificates cannot be used: {getattr(error, 'reason', None) or 'not PEM'}") from error
    return context


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A file that no disk ever sees: `ssl` reads keys from files only."""
    handle = os.memfd_create("credentials")
    try:
        with os.fdopen(handle, "w", closefd=False) as file:
            file.write(text)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _data(secret: Raw) -> dict[str, str]:
    """The entries as text; what is not text is as good as absent."""
    found: dict[str, str] = {}
    for name, value in (secret.get("data") or {}).items():
        with contextlib.suppress(ValueError):
            found[name] = base64.b64decode(value).decode()
    return found
