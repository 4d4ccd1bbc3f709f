"""Asks the agents of an installed chart, with the operator's certificate out of its Secret."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from carbonzeus_bed.agentprocess import AgentConnection
from carbonzeus_operator.trust import OPERATOR_SECRET, client_context
from carbonzeus_wire.identity import CA, CERT, KEY

if TYPE_CHECKING:
    from carbonzeus_bed.api import Api

PORT = 9810


def ask_agent(api: Api, host: str, path: str, *, namespace: str = "carbonzeus") -> str:
    """GET; the text of the answer. OSError where the agent does not answer."""
    secret = api.get(f"/api/v1/namespaces/{namespace}/secrets/{OPERATOR_SECRET}")["data"]
    tls = client_context(*(base64.b64decode(secret[entry]).decode() for entry in (CA, CERT, KEY)))
    connection = AgentConnection(host, PORT, tls, namespace=namespace)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
