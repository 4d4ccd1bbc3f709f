"""What can go wrong, split by what the caller can do about it.

CarbonzeusError
├── InvalidSpec    somebody wrote something that cannot be meant: becomes a condition and an Event, not retried
├── Unavailable    somebody does not answer: retried with backoff
└── Conflict       somebody wrote first: read again, then decide again
"""


class CarbonzeusError(Exception):
    """Base of all errors that carbonzeus raises on purpose. The message says what was wrong, where, and what to do."""


class InvalidSpec(CarbonzeusError):
    """An input cannot be used. `reason` is a CamelCase word for the condition."""

    def __init__(self, message: str, *, reason: str = "Invalid") -> None:
        super().__init__(message)
        self.reason = reason


class Unavailable(CarbonzeusError):
    """A service does not answer, or not now. `retry_after_s` [s] where it said when to ask again."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(CarbonzeusError):
    """Somebody else wrote in between."""
