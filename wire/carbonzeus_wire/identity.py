"""By which names operator and agents know each other: the DNS names in their certificates, whatever their addresses are."""

from __future__ import annotations

CA, CERT, KEY = "ca.crt", "tls.crt", "tls.key"
"""The entries of a Secret, and the files it is mounted as. `ca.crt` is the bundle of all trusted authorities."""


def operator_name(namespace: str) -> str:
    """The operator of a namespace, as its agents know it."""
    return f"operator.{namespace}.carbonzeus"


def agent_name(namespace: str) -> str:
    """Any agent of a namespace, as its operator knows it."""
    return f"agent.{namespace}.carbonzeus"
