"""Three lines in a loop: they count, and whatever goes wrong with them is no matter of the training."""

from __future__ import annotations

import copy
import logging
import pickle
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonzeus import Progress
from tests.unit.sdk.asking import count_at, free_port, port_of


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings so far."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("clock")
def test_steps_are_counted_while_they_are_made() -> None:
    """From 0, one by one and several at a time."""
    with Progress(total_steps=10, port=0) as progress:
        port = port_of(progress)
        assert count_at(port) == 0
        progress.step()
        assert count_at(port) == 1
        progress.step(4)
        assert count_at(port) == 5
    assert count_at(port) is None


@given(st.lists(st.integers(0, 1_000_000)))
def test_the_count_is_the_sum_of_the_steps(steps: list[int]) -> None:
    """Whatever they are."""
    progress = Progress()
    for number in steps:
        progress.step(number)
    assert progress._done == sum(steps)


@pytest.mark.parametrize("error", [ValueError("of the training"), KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_the_training_gets_through_unchanged(error: BaseException) -> None:
    """And the port is free again."""
    port = free_port()

    def train() -> None:
        with Progress(port=port) as progress:
            progress.step()
            raise error

    with pytest.raises(type(error)) as caught:
        train()
    assert caught.value is error
    assert caught.value.__context__ is None
    assert count_at(port) is None


def test_a_taken_port_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is tried. It says what to do."""
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        for _ in range(3):
            with Progress(port=port) as progress:
                progress.step()
                assert progress._done == 1
    (warning,) = warned(caplog)
    assert str(port) in warning
    assert "training goes on" in warning
    assert "CARBONZEUS_PORT" in warning


@pytest.mark.parametrize("port", ["http", "-1", "70000", "9100.5"])
def test_what_is_no_port_costs_one_warning(
    port: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not replaced by a guess."""
    monkeypatch.setenv("CARBONZEUS_PORT", port)
    with Progress() as progress:
        progress.step()
        assert f"port={port}," in progress.annotation
    (warning,) = warned(caplog)
    assert port in warning


def test_a_machine_without_threads_costs_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no port."""
    port = free_port()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Progress(port=port) as progress:
        progress.step()
    assert count_at(port) is None
    (warning,) = warned(caplog)
    assert "can't start new thread" in warning


@pytest.mark.parametrize("steps", [-1, 1.5, "1", None])
def test_what_is_no_number_of_steps_is_not_counted(steps: object, caplog: pytest.LogCaptureFixture) -> None:
    """A counter that falls would be taken for one that was started anew. One warning, and no error."""
    progress = Progress()
    progress.step(5)
    progress.step(steps)  # type: ignore[arg-type]
    progress.step(steps)  # type: ignore[arg-type]
    assert progress._done == 5
    assert len(warned(caplog)) == 1


def test_numbers_of_other_libraries_are_numbers() -> None:
    """As long as they are whole."""

    class Scalar:
        def __index__(self) -> int:
            return 3

    progress = Progress()
    progress.step(Scalar())  # type: ignore[arg-type]
    progress.step(True)
    assert progress._done == 4


def test_the_environment_has_the_last_word_on_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pod spec says beside the annotation."""
    port = free_port()
    monkeypatch.setenv("CARBONZEUS_PORT", str(port))
    with Progress(port=1) as progress:
        assert port_of(progress) == port
        assert count_at(port) == 0


@pytest.mark.parametrize(("value", "served"), [("1", False), ("true", False), ("0", True), ("", True)])
def test_it_can_be_switched_off(
    value: str, served: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a word."""
    monkeypatch.setenv("CARBONZEUS_DISABLED", value)
    port = free_port()
    with Progress(port=port) as progress:
        progress.step()
        assert (count_at(port) == 1) is served
    assert warned(caplog) == []


@pytest.mark.usefixtures("clock")
def test_the_last_one_started_is_served() -> None:
    """A training that was left behind by an exception does not keep the port from the next one."""
    port = free_port()
    left_behind = Progress(port=port).start()
    left_behind.step(7)
    with Progress(port=port) as progress:
        progress.step()
        assert count_at(port) == 1
        left_behind.step()
        left_behind.close()
        assert count_at(port) == 1


@pytest.mark.usefixtures("clock")
def test_a_count_that_is_started_again_goes_on() -> None:
    """A counter that fell would count its steps twice."""
    progress = Progress(port=0)
    with progress:
        progress.step(3)
    with progress:
        assert progress.start() is progress
        progress.step()
        assert count_at(port_of(progress)) == 4


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("copied", [lambda progress: pickle.loads(pickle.dumps(progress)), copy.deepcopy])
def test_a_copy_counts_for_itself(copied) -> None:
    """As in a worker of a data loader. It is served where it is started, and nowhere else."""
    with Progress(total_steps=9, port=0) as progress:
        progress.step(2)
        other = copied(progress)
        other.step(5)
        other.close()
        assert count_at(port_of(progress)) == 2
    with other:
        assert count_at(port_of(other)) == 7
        assert other.annotation.endswith(",total=9")
