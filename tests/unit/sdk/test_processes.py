"""Real processes: those that a training forks, spawns and starts, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAD = """\
import multiprocessing, os, signal, socket, subprocess, sys, threading, time
from carbonzeus import Progress, progress as module
from tests.unit.sdk.asking import count_at, free_port, port_of
module.perf_counter_ns = lambda: 1  # no step is under way, and counts are whole
"""


def run(tmp_path: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a training script to its end."""
    path = tmp_path / "train.py"
    path.write_text(HEAD + textwrap.dedent(script))
    return subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}", "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def expect(done: subprocess.CompletedProcess[str], stdout: str = "") -> None:
    assert (done.returncode, done.stderr, done.stdout) == (0, "", stdout)


def test_a_forked_worker_neither_counts_nor_keeps_the_port(tmp_path: Path) -> None:
    """As data loaders have them: it may live longer than the training, and its steps are nobody's."""
    script = """
    port = free_port()
    said, tell = os.pipe()
    wait, go = os.pipe()
    with Progress(port=port) as progress:
        progress.step(3)
        child = os.fork()
        if not child:
            os.close(go)
            progress.step(100)
            progress.close()
            tell and os.write(tell, b".")
            os.read(wait, 1)
            os._exit(0)
        os.read(said, 1)
        assert [thread.name for thread in threading.enumerate()] == ["MainThread", "carbonzeus"]
        assert count_at(port) == 3, count_at(port)
        progress.step()
        assert count_at(port) == 4
    assert count_at(port) is None
    with Progress(port=port) as another:
        assert count_at(port) == 0
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child is gone already"
    os.close(go)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    expect(run(tmp_path, script))


def test_a_forked_process_may_count_for_itself(tmp_path: Path) -> None:
    """Where a launcher forks the training, and looked at the port before."""
    script = """
    port = free_port()
    progress = Progress(port=port).start()
    child = os.fork()
    if not child:
        with Progress(port=free_port()) as own:
            own.step(2)
            assert count_at(port_of(own)) == 2
            assert count_at(port) == 0
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert count_at(port) == 0
    progress.close()
    """
    expect(run(tmp_path, script))


def test_a_program_that_a_training_starts_does_not_keep_the_port(tmp_path: Path) -> None:
    """Monitors and loggers that outlive it."""
    script = """
    port = free_port()
    with Progress(port=port):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    assert count_at(port) is None
    with Progress(port=port):
        assert count_at(port) == 0
    child.kill()
    child.wait()
    """
    expect(run(tmp_path, script))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_all_kinds_can_hold_it(tmp_path: Path, method: str) -> None:
    """A data set that holds the progress is sent to its workers."""
    script = f"""
    class Data:
        def __init__(self, progress):
            self.progress = progress
        def __call__(self, index):
            self.progress.step(100)
            return index

    def main():
        with Progress(port=0) as progress:
            data = Data(progress)
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                for index in pool.map(data, range(8)):
                    progress.step()
                assert count_at(port_of(progress)) == 8
                pool.close()
                pool.join()

    if __name__ == "__main__":
        main()
    """
    expect(run(tmp_path, script))


def test_a_training_that_forgets_to_close_ends_all_the_same(tmp_path: Path) -> None:
    """In the middle of whatever it does."""
    expect(run(tmp_path, "progress = Progress(port=0).start()\nprogress.step()\nprint('done')\n"), "done\n")


def test_exceptions_look_as_without_us(tmp_path: Path) -> None:
    """One trace, of the training."""
    done = run(tmp_path, "with Progress(port=0) as progress:\n    raise LookupError('of the training')\n")
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("LookupError: of the training\n")


@pytest.mark.parametrize("busy", [True, False], ids=["computing", "waiting"])
def test_an_interrupted_training_ends_as_without_us(tmp_path: Path, busy: bool) -> None:
    """Ctrl-C: one trace, and the same status; also where these tests run in the background of a shell, which ignores it."""
    work = "progress.step()" if busy else "time.sleep(60)"
    script = f"""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Progress(port=0) as progress:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            {work}
    """
    done = run(tmp_path, script)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith("KeyboardInterrupt\n")


def test_a_taken_port_is_told_once_on_the_terminal(tmp_path: Path) -> None:
    """Though nobody has set up logging: one line."""
    script = """
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        for _ in range(3):
            with Progress(port=port) as progress:
                progress.step()
    """
    done = run(tmp_path, script)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("carbonzeus: training goes on")
