"""The agent's certificates, from files that are mounted and change under it: loaded only when the operator would accept them."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carbonzeus_agent.clock import Clock
from carbonzeus_agent.post import Fault
from carbonzeus_wire import agent_name, operator_name
from carbonzeus_wire.identity import CA, CERT, KEY

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Certificates that are in use."""

    context: ssl.SSLContext
    """For new connections; made anew with every change, so that nothing of an earlier one lingers in it."""
    bundle: str
    """All authorities that are trusted."""
    expires_s: float
    """End of our own certificate, in seconds since 1970."""


class Credentials:
    """`look` now and then; what was loaded last stays in use until something better is there."""

    def __init__(self, folder: Path, namespace: str, clock: Clock) -> None:
        self.loaded: Loaded | None = None
        self.problem: str | None = f"waiting for certificates in {folder}"
        """Why what lies in the folder is not what is in use."""
        self._peer = operator_name(namespace)
        self._name = agent_name(namespace)
        self._folder = folder
        self._clock = clock
        self._files: tuple[str, ...] = ()

    def look(self) -> bool:
        """Load the files if they changed; returns whether something new is in use."""
        try:
            folder = self._moment()
            files = tuple((folder / name).read_text(encoding="ascii") for name in (CA, CERT, KEY))
            if files == self._files:
                self.problem = None
                return False
            self.loaded = load(folder, self._name)
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            self._say(f"waiting for certificates in {self._folder}: {_sentence(error)}")
            return False
        self._files, self.problem = files, None
        log.info("certificates loaded from %s", self._folder)
        return True

    def stranger(self, certificate: Mapping[str, Any] | None) -> str | None:
        """Why this certificate of a peer, which one of our authorities signed, is not the operator's; None where it is."""
        names = [name for kind, name in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"]
        return None if self._peer in names else f"the certificate is of {names!r:.200}, not of {self._peer}"

    def warnings(self) -> list[Fault]:
        """What will become a trouble if nobody sees to it."""
        stale = self.problem is not None and not self.troubles()
        return [Fault("CertificatesStale", f"{self.problem}; the last good ones are in use")] if stale else []

    def troubles(self) -> list[Fault]:
        """Why nobody can be let in; empty while certificates are in use and valid."""
        if self.loaded is None:
            return [Fault("NoCertificates", self.problem or f"waiting for certificates in {self._folder}")]
        if self.loaded.expires_s <= self._clock.utc().timestamp():
            return [Fault("CertificateExpired", self.problem or f"nobody renewed the one in {self._folder}")]
        return []

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s%s", problem, "; the last good ones stay in use" if self.loaded is not None else "")
        self.problem = problem

    def _moment(self) -> Path:
        """Where all files are of one moment: a kubelet changes them at once, by pointing `..data` to another folder."""
        data = self._folder / "..data"
        return data.resolve(strict=True) if data.is_symlink() else self._folder


def load(folder: Path, name: str) -> Loaded:
    """Raises OSError or ValueError where the files do not belong together, are not valid now or not for this name."""
    ca = (folder / CA).read_text(encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # a resumed session would not be checked anew
    context.load_verify_locations(cadata=ca)
    context.load_cert_chain(folder / CERT, folder / KEY)
    return Loaded(context, ca, rehearse(context, ca, name))


def rehearse(context: ssl.SSLContext, ca: str, name: str) -> float:
    """Meet ourselves as a client that trusts `ca` and expects `name`; returns the end of our certificate [s since 1970]."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=ca)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(down, up, server_hostname=name)
    there = context.wrap_bio(up, down, server_side=True)
    for side in (here, there, here):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    shown = here.getpeercert()
    assert shown is not None
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def _sentence(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not readable").lower().replace("_", " ")
    if isinstance(error, FileNotFoundError):
        return f"{Path(str(error.filename)).name} is not there"
    return str(error.strerror or error) if isinstance(error, OSError) else "not text"
