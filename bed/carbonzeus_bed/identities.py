"""Throw-away certificates for an agent without a cluster, shown in a folder as a kubelet shows a Secret."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from carbonzeus_bed.volumes import show_files
from carbonzeus_operator.certs import Held, Pair, Schedule, bundle, cert_text, for_agent, key_text, renewed
from carbonzeus_operator.trust import client_context

NAMESPACE = "carbonzeus"


class Identities:
    """What operator and agents of one stage are known by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held = renewed(Held(), NAMESPACE, datetime.now(UTC), Schedule())
        self.show(self.held)

    def show(self, held: Held) -> None:
        """The agent finds these from now on."""
        self.held = held
        show_files(self.folder, for_agent(held))

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        """What the operator speaks with, or somebody who shows another certificate."""
        shown = pair or self.held.operator
        assert shown is not None
        return client_context(bundle(self.held), cert_text(shown), key_text(shown))
