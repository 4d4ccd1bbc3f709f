"""The processes of carbonzeus' pods, seen and disturbed from outside: by tests and the demo."""

from __future__ import annotations

import signal
from pathlib import Path

from carbonzeus_bed.processes import Processes

PREFIX = "pod."


def process_name(namespace: str, pod: str, container: str) -> str:
    """The name of the process of one container."""
    return f"{PREFIX}{namespace}.{pod}.{container}"


def hold_file(state_dir: Path, namespace: str, pod: str) -> Path:
    """While this file exists the pod's processes are not started again."""
    return state_dir / "run" / f"{PREFIX}{namespace}.{pod}.hold"


class PodProcesses:
    """The processes of the pods in one namespace. Names of pods are exact."""

    def __init__(self, state_dir: Path, namespace: str = "carbonzeus") -> None:
        self._state_dir = state_dir
        self._namespace = namespace
        self._processes = Processes(state_dir)

    def pods(self) -> list[str]:
        """The pods with a running process."""
        start = f"{PREFIX}{self._namespace}."
        names = [record.name for record in self._processes.records() if record.name.startswith(start)]
        return sorted({name.removeprefix(start).split(".")[0] for name in names if self._processes.alive(name)})

    def pid(self, pod: str) -> int | None:
        """The id of the pod's (first) running process."""
        for name in self._names(pod):
            record = self._processes.record(name)
            if record is not None and self._processes.alive(name):
                return record.pid
        return None

    def kill(self, pod: str, *, hold: bool = False, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the pod's processes; after SIGKILL they are gone on return.

        With `hold` they stay down until `release`, and then start at once: no back-off counts.
        """
        if hold:
            hold_file(self._state_dir, self._namespace, pod).touch()
        names = self._names(pod)
        for name in names:
            self._processes.signal(name, number)
        if number == signal.SIGKILL:
            for name in names:
                self._processes.wait(name, 10)

    def release(self, pod: str) -> None:
        """Let the processes of a held pod start again."""
        hold_file(self._state_dir, self._namespace, pod).unlink(missing_ok=True)

    def log(self, pod: str) -> str:
        """What the pod's processes wrote."""
        found = sorted((self._state_dir / "logs").glob(f"{process_name(self._namespace, pod, '*')}.log"))
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in found)

    def _names(self, pod: str) -> list[str]:
        start = process_name(self._namespace, pod, "")
        return [record.name for record in self._processes.records() if record.name.startswith(start)]
