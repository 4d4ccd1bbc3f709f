"""What must not be forgotten when the agent dies."""

from __future__ import annotations

import contextlib
import sqlite3
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


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone"])
def test_entries_survive_the_loss_of_the_database(tmp_path: Path, gone: bool) -> None:
    """The twin has them, and the new database again."""
    path = tmp_path / "journal.db"
    first = Journal(path)
    first.keep("GPU-1", 300, {150, 200})
    first.keep("GPU-2", 250, {150})
    first.forget("GPU-2")
    first.close()
    path.unlink()
    if not gone:
        path.write_bytes(b"no database at all" * 500)
    for _ in range(2):
        journal = Journal(path)
        entry = journal.entry("GPU-1")
        assert journal.gpus() == ("GPU-1",)
        assert entry is not None
        assert (entry.prior_w, entry.ours_w, journal.lost) == (300, frozenset({150, 200}), None)
        journal.close()
        (tmp_path / "journal.json").unlink(missing_ok=True)


@pytest.mark.parametrize("twin", [None, "", "[]", '{"GPU-1": 3}', '{"GPU-1": {"prior_w": "x"}}'])
def test_loss_of_both_files_is_said(tmp_path: Path, twin: str | None) -> None:
    """Then nobody knows what a GPU below its default limit had before us."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all" * 500)
    if twin is not None:
        (tmp_path / "journal.json").write_text(twin)
    journal = Journal(path)
    assert journal.lost is not None
    assert "set aside as journal.db.damaged-" in journal.lost
    journal.close()


def test_entries_of_a_database_that_cannot_be_opened_are_known(tmp_path: Path) -> None:
    """A full or failing disk must not keep a GPU throttled: the twin says what to restore."""
    path = tmp_path / "journal.db"
    first = Journal(path)
    first.keep("GPU-1", 300, {150})
    first.close()
    path.unlink()
    path.mkdir()
    journal = Journal(path)
    assert (journal.gpus(), journal.failure is None) == (("GPU-1",), False)
    journal.close()


def test_first_start_has_lost_nothing(tmp_path: Path) -> None:
    """No file at all is how every node begins."""
    journal = Journal(tmp_path / "journal.db")
    assert (journal.lost, journal.gpus()) == (None, ())
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


def test_journal_of_a_later_release_is_set_aside(tmp_path: Path) -> None:
    """Its limits are taken over from the twin, where that can be read."""
    path = tmp_path / "journal.db"
    first = Journal(path)
    first.keep("GPU-1", 300, {150})
    first.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    journal = Journal(path)
    assert (journal.gpus(), journal.lost) == (("GPU-1",), None)
    assert list(tmp_path.glob("journal.db.newer-*"))
    journal.close()


def test_yields_outlive_the_process_and_take_the_entry_along(tmp_path: Path) -> None:
    """What is left to somebody else is not restored by whoever comes next, also when the twin is all that is left."""
    first = Journal(tmp_path / "journal.db")
    first.keep("GPU-1", 300, {150})
    first.keep("GPU-2", 300, {150})
    first.note_yield("GPU-1", "uid-a")
    first.close()
    second = Journal(tmp_path / "journal.db")
    assert (second.gpus(), second.yielded("GPU-1"), second.yielded("GPU-2")) == (("GPU-2",), "uid-a", None)
    second.end_yield("GPU-1")
    second.close()
    third = Journal(tmp_path / "journal.db")
    assert third.yielded("GPU-1") is None
    third.close()
    (tmp_path / "journal.db").unlink()
    twin = Journal(tmp_path / "journal.db")
    assert twin.gpus() == ("GPU-2",)
    twin.close()


def test_journal_of_version_1_is_brought_up(tmp_path: Path) -> None:
    """Its entries and fence stay, and yields can be noted."""
    path = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            "CREATE TABLE entry (gpu TEXT PRIMARY KEY, prior_w REAL NOT NULL, ours_w TEXT NOT NULL) STRICT;"
            "CREATE TABLE fence (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL, revision INTEGER NOT NULL)"
            " STRICT; INSERT INTO entry VALUES ('GPU-1', 300, '[150]'); INSERT INTO fence VALUES (1, 7, 3);"
            "PRAGMA user_version = 1;"
        )
    journal = Journal(path)
    assert (journal.gpus(), journal.fence, journal.lost) == (("GPU-1",), Fence(term=7, revision=3), None)
    journal.note_yield("GPU-1", "uid-a")
    journal.close()
    again = Journal(path)
    assert (again.gpus(), again.yielded("GPU-1")) == ((), "uid-a")
    again.close()


def test_yield_that_cannot_be_noted_keeps_the_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both or neither: until it is written, our limits must still be told from others'."""
    journal = Journal(tmp_path / "journal.db")
    journal.keep("GPU-1", 300, {150})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_write_twin", full)
        with pytest.raises(JournalFailed):
            journal.note_yield("GPU-1", "uid-a")
    assert (journal.gpus(), journal.yielded("GPU-1")) == (("GPU-1",), None)
    journal.note_yield("GPU-1", "uid-a")
    assert (journal.gpus(), journal.yielded("GPU-1")) == ((), "uid-a")
    journal.close()
