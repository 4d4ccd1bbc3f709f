"""The one warning that a training may hear from us."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger("carbonzeus")
"""The log of all that is said here."""

_said = threading.Event()


def warn(message: str, *args: object) -> None:
    """Logs a warning, the first in this process; whatever comes after it is none of a training's business."""
    if not _said.is_set():
        _said.set()
        log.warning("carbonzeus: " + message, *args)  # noqa: G003 - without a handler nothing else says whose line it is
