"""Credentials in the mounted Secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbonzeus_operator.errors import Unavailable
from carbonzeus_operator.grid.credential import Credential


def test_a_credential_is_read_at_each_use(tmp_path: Path) -> None:
    """So that a new one is used without a restart."""
    credential = Credential(tmp_path, "token")
    for content in ("one\n", " two "):
        (tmp_path / "token").write_text(content)
        assert credential() == content.strip()
    assert "two" not in repr(credential)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no entry token: add it, or mend the provider's secretKey"),
        (b"", "holds no credential at token: put one there"),
        (b" \n", "holds no credential"),
        (b"hidden\nsecond", "holds no credential at token: put one there, in one line of text"),
        (b"hidden\x00", "holds no credential"),
        (b"hidden" * 9999, "holds no credential"),
        (b"\xffhidden", r"cannot be read at token: mend it \(UnicodeDecodeError\)"),
    ],
)
def test_an_entry_that_is_no_credential(tmp_path: Path, content: bytes | None, words: str) -> None:
    """Is told by its name, without what it holds; and asked for again."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(Unavailable, match=words) as refused:
        Credential(tmp_path, "token")()
    assert "hidden" not in str(refused.value)


def test_a_folder_in_place_of_a_credential(tmp_path: Path) -> None:
    """Is told, too."""
    (tmp_path / "token").mkdir()
    with pytest.raises(Unavailable, match="cannot be read at token: mend it"):
        Credential(tmp_path, "token")()
