"""Certificates of operator and agents: made, judged and renewed as values, at a moment that is told. No I/O.

An authority is renewed long before it ends. Its successor is first only trusted, for `Schedule.settle`, so that every agent has
loaded the new bundle before anything signed by it appears; the old one stays trusted until all it signed has expired. So at any
moment both sides accept what the other may show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from carbonzeus_operator.issuing import issue_authority, issue_leaf
from carbonzeus_wire import agent_name, operator_name
from carbonzeus_wire.identity import CA, CERT, KEY

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)

CA_KEY = "ca.key"
"""The entry of the operator's Secret with the keys of the authorities that are ours."""

_PEM_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.+?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


class Role(Enum):
    """Whose certificate, and what it may be used for: an agent's cannot be shown as a client's, nor the other way round."""

    OPERATOR = ExtendedKeyUsageOID.CLIENT_AUTH
    AGENT = ExtendedKeyUsageOID.SERVER_AUTH

    def host(self, namespace: str) -> str:
        """The DNS name in the certificate."""
        return operator_name(namespace) if self is Role.OPERATOR else agent_name(namespace)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long certificates are valid and when they are renewed."""

    leaf: timedelta = timedelta(days=30)
    authority: timedelta = timedelta(days=365)
    renew_at: float = 2 / 3
    """The part of its life after which a certificate is renewed."""
    settle: timedelta = timedelta(hours=1)
    """For so long a new authority is trusted before it signs: a kubelet shows a changed Secret after some minutes."""
    skew: timedelta = timedelta(days=1)
    """Certificates are valid from so long before they were made, for clocks that are behind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and, where it is known, its private key."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None

    def due(self, now: datetime, schedule: Schedule) -> bool:
        """Whether it is time to renew it."""
        life = self.cert.not_valid_after_utc - self.cert.not_valid_before_utc
        return not self.cert.not_valid_before_utc <= now < self.cert.not_valid_before_utc + life * schedule.renew_at

    def valid(self, now: datetime) -> bool:
        """Whether it is in its time."""
        return self.cert.not_valid_before_utc <= now < self.cert.not_valid_after_utc


@dataclass(frozen=True, slots=True)
class Held:
    """Everything that the operator keeps: the authorities, oldest first, and both certificates."""

    authorities: tuple[Pair, ...] = ()
    operator: Pair | None = None
    agent: Pair | None = None


def ends(held: Held) -> dict[str, datetime]:
    """When the certificates end: the operator's, the agents', and the authority's that signed them, the first to end if several did."""
    found = {
        name: _ends(pair) for name, pair in (("operator", held.operator), ("agent", held.agent)) if pair is not None
    }
    signed = [pair for pair in (held.operator, held.agent) if pair is not None]
    issuers = [each for each in held.authorities if any(signed_by(pair.cert, each.cert) for pair in signed)]
    if issuers:
        found["authority"] = min(_ends(each) for each in issuers)
    return found


def renewed(held: Held, namespace: str, now: datetime, schedule: Schedule) -> Held:
    """What should be held at `now`: the same, where nothing is due."""
    authorities = _trusted(held.authorities, now, schedule)
    if not any(each.key is not None and not each.due(now, schedule) for each in authorities):
        authorities = (*authorities, make_authority(now, schedule))
    signer = _signer(authorities, now, schedule)

    def kept(pair: Pair | None, role: Role) -> Pair:
        if pair is not None and fits(pair, role, namespace):
            issuer = next((each for each in authorities if signed_by(pair.cert, each.cert)), None)
            # One that ends with its authority gains nothing by being made anew under the same.
            spent = issuer is signer and pair.valid(now) and _ends(pair) == _ends(signer)
            current = (
                issuer is not None and issuer.valid(now) and (issuer is signer or not _settled(signer, now, schedule))
            )
            if spent or (current and not pair.due(now, schedule)):
                return pair
        return make_leaf(signer, role, namespace, now, schedule)

    return Held(authorities, kept(held.operator, Role.OPERATOR), kept(held.agent, Role.AGENT))


def _trusted(authorities: Iterable[Pair], now: datetime, schedule: Schedule) -> tuple[Pair, ...]:
    """Without those that expired, and those whose successor has signed for so long that nothing of theirs is valid."""
    found = sorted(authorities, key=lambda each: each.cert.not_valid_before_utc)
    successors = [
        each.cert.not_valid_before_utc for each in found if each.key is not None and _settled(each, now, schedule)
    ]
    last = max((start for start in successors if start + _lasts(schedule) <= now), default=None)
    return tuple(
        each
        for each in found
        if now < each.cert.not_valid_after_utc and (last is None or each.cert.not_valid_before_utc >= last)
    )


def _lasts(schedule: Schedule) -> timedelta:
    """From the start of an authority's time until everything that its predecessor signed has expired."""
    return schedule.skew + schedule.settle + schedule.leaf + schedule.skew


def _ends(pair: Pair) -> datetime:
    return pair.cert.not_valid_after_utc


def _settled(authority: Pair, now: datetime, schedule: Schedule) -> bool:
    return authority.cert.not_valid_before_utc + schedule.skew + schedule.settle <= now


def _signer(authorities: Iterable[Pair], now: datetime, schedule: Schedule) -> Pair:
    """The youngest that everybody trusts by now; where there is none, as when the first was just made, the youngest."""
    able = [each for each in authorities if each.key is not None and each.valid(now)]
    lasting = [each for each in able if each.cert.not_valid_after_utc - now > 2 * schedule.settle]
    settled = [each for each in lasting if _settled(each, now, schedule)]
    return (settled or able)[-1]


def fits(pair: Pair, role: Role, namespace: str) -> bool:
    """Whether a certificate is of this role, and of this namespace, and its key is there."""
    names = _extension(pair.cert, x509.SubjectAlternativeName)
    usage = _extension(pair.cert, x509.ExtendedKeyUsage)
    return (
        pair.key is not None
        and names is not None
        and names.get_values_for_type(x509.DNSName) == [role.host(namespace)]
        and usage is not None
        and list(usage) == [role.value]
    )


def signed_by(cert: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority signed a certificate."""
    try:
        cert.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def make_authority(now: datetime, schedule: Schedule) -> Pair:
    """A new authority that signs itself."""
    return Pair(*issue_authority(now - schedule.skew, now + schedule.authority))


def make_leaf(authority: Pair, role: Role, namespace: str, now: datetime, schedule: Schedule) -> Pair:
    """A new certificate for one side; it does not outlive its authority."""
    assert authority.key is not None
    end = min(now + schedule.leaf, authority.cert.not_valid_after_utc)
    leaf = issue_leaf(
        (authority.cert, authority.key),
        name=role.name.lower(),
        host=role.host(namespace),
        usage=role.value,
        start=now - schedule.skew,
        end=end,
    )
    return Pair(*leaf)


# --- as text, in Secrets ----------------------------------------------------------------------------------------------


def read(of_operator: Mapping[str, str], of_agent: Mapping[str, str]) -> Held:
    """What two Secrets hold; what cannot be read is not there."""
    keys = _keys(of_operator.get(CA_KEY, ""))
    authorities = tuple(Pair(cert, keys.get(_identity(cert))) for cert in _certs(of_operator.get(CA, "")))
    return Held(authorities, read_pair(of_operator), read_pair(of_agent))


def read_pair(data: Mapping[str, str]) -> Pair | None:
    """The certificate of a Secret with its key; None where they are not there or do not belong together."""
    certs, keys = _certs(data.get(CERT, "")), _keys(data.get(KEY, ""))
    if not certs or _identity(certs[0]) not in keys:
        return None
    return Pair(certs[0], keys[_identity(certs[0])])


def for_operator(held: Held) -> dict[str, str]:
    """The operator's Secret: everything but the agents' key."""
    keys = "".join(key_text(each) for each in held.authorities if each.key is not None)
    return {CA: bundle(held), CA_KEY: keys} | _pair_text(held.operator)


def for_agent(held: Held) -> dict[str, str]:
    """The agents' Secret: no key of an authority, and nothing of the operator's."""
    return {CA: bundle(held)} | _pair_text(held.agent)


def bundle(held: Held) -> str:
    """All trusted authorities."""
    return "".join(cert_text(each) for each in held.authorities)


def cert_text(pair: Pair) -> str:
    """The certificate as PEM."""
    return pair.cert.public_bytes(Encoding.PEM).decode()


def key_text(pair: Pair) -> str:
    """The private key as PEM."""
    assert pair.key is not None
    return pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _pair_text(pair: Pair | None) -> dict[str, str]:
    return {} if pair is None else {CERT: cert_text(pair), KEY: key_text(pair)}


def _certs(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []


def _keys(text: str) -> dict[bytes, ec.EllipticCurvePrivateKey]:
    """Private keys by their public halves."""
    found: dict[bytes, ec.EllipticCurvePrivateKey] = {}
    for match in _PEM_KEY.finditer(text):
        try:
            key = load_pem_private_key(match[0].encode(), None)
        except (ValueError, TypeError):
            continue
        if isinstance(key, ec.EllipticCurvePrivateKey):
            found[_public(key.public_key())] = key
    return found


def _identity(cert: x509.Certificate) -> bytes:
    key = cert.public_key()
    return _public(key) if isinstance(key, ec.EllipticCurvePublicKey) else b""


def _public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _extension(cert: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    try:
        return cert.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
