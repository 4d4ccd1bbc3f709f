"""What must not be forgotten when the agent dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbonzeus_agent.journal import Journal, JournalFailed
from carbonzeus_wire import Fence


def test_entries_and_fence_outlive_the_process(tmp_path: Path) -> None:
    """A journal that nobody closed is read by the next."""
    first = Journal(tmp_path / "journal.db")
    first.keep("GPU-1", 300, {150, 200})
    first.raise_fence(Fence(term=4, revision=2))
    second = Journal(tmp_path / "journal.db")
    entry = second.entry("GPU-1")
    assert entry is not None
    assert (entry.prior_w, entry.ours_w) == (300, frozenset({150, 200}))
    assert second.fence == Fence(term=4, revision=2)
    first.close()
    second.close()


def test_forgotten_entry_is_gone(tmp_path: Path) -> None:
    """A GPU that was given back is not restored again."""
    first = Journal(tmp_path / "journal.db")
    first.keep("GPU-1", 300, {150})
    first.forget("GPU-1")
    first.close()
    second = Journal(tmp_path / "journal.db")
    assert second.gpus() == ()
    second.close()


def test_damaged_journal_is_set_aside(tmp_path: Path) -> None:
    """It is kept for whoever wants to know, and a new one serves."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all" * 500)
    journal = Journal(path)
    journal.keep("GPU-1", 300, {150})
    assert journal.failure is None
    assert [it.read_bytes()[:11] for it in tmp_path.glob("journal.db.damaged-*")] == [b"no database"]
    journal.close()


def test_journal_that_cannot_be_written_says_so_and_recovers(tmp_path: Path) -> None:
    """The folder is in the way of a file: no entry, a named failure; once it is fixed, all is well."""
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    journal = Journal(blocked / "journal.db")
    assert journal.failure is not None
    with pytest.raises(JournalFailed, match=r"journal\.db"):
        journal.keep("GPU-1", 300, {150})
    assert journal.entry("GPU-1") is None
    blocked.unlink()
    journal.keep("GPU-1", 300, {150})
    assert journal.failure is None
    journal.close()


def test_rounding_does_not_make_a_limit_foreign(tmp_path: Path) -> None:
    """Boards take whole watts."""
    journal = Journal(tmp_path / "journal.db")
    entry = journal.keep("GPU-1", 300, {187.4})
    assert entry.is_ours(187)
    assert not entry.is_ours(189)
    journal.close()
