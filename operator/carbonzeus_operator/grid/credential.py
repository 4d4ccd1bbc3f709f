"""A credential in a mounted Secret, read each time that it is used, so that a new one is used without a restart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from carbonzeus_operator.errors import Unavailable

MAX_BYTES = 16_384
"""What is longer is no credential."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One entry of the Secret. Call it for what it holds now; Unavailable where that is nothing. Messages name the entry only."""

    folder: Path
    """Where the Secret is mounted."""
    key: str

    def __call__(self) -> str:
        """The entry's content, without blanks and line ends around it."""
        try:
            with (self.folder / self.key).open("rb") as file:
                held = file.read(MAX_BYTES + 1)
            text = held.decode("utf-8").strip() if len(held) <= MAX_BYTES else ""
        except FileNotFoundError:
            raise Unavailable(self._wrong("has no entry", "add it, or mend the provider's secretKey")) from None
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(self._wrong("cannot be read at", f"mend it ({type(error).__name__})")) from None
        if not text or not text.isprintable():
            raise Unavailable(self._wrong("holds no credential at", "put one there, in one line of text"))
        return text

    def _wrong(self, what: str, do: str) -> str:
        return f"the Secret of grid.existingSecret {what} {self.key}: {do}"
