"""What really happened on a bed: the log that the emulator writes, and a reader for self-checks.

It shares nothing with the code that it checks. Two CSV files lie in the bed's `truth` folder, both in order of time (unix ns):
`gpus.csv` has a line for each GPU at least four times a second and at every change: from `at_ns` on the GPU has this owner and this limit,
and up to then it drew `energy_mj` in all. `jobs.csv` has a line for each job at the same times: how many steps it has done and whether it trains
from then on.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import Self

MILLIJOULES_PER_KWH = 3.6e9
GPU_COLUMNS = ("at_ns", "uuid", "node", "pod", "job", "limit_w", "energy_mj")
JOB_COLUMNS = ("at_ns", "job", "uid", "steps", "running")


class TruthLog:
    """The writing side. Every line is on disk when the call returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [
            _appending(folder / name, columns)
            for name, columns in (("gpus.csv", GPU_COLUMNS), ("jobs.csv", JOB_COLUMNS))
        ]

    def gpu(self, at_ns: int, uuid: str, node: str, pod: str, job: str, limit_w: float, energy_mj: float) -> None:
        """`pod` and `job` are `namespace/name`, empty while the GPU is idle; of a shared GPU, several with spaces."""
        self._files[0].write(f"{at_ns},{uuid},{node},{pod},{job},{limit_w:.3f},{energy_mj:.3f}\n")

    def job(self, at_ns: int, job: str, uid: str, steps: float, *, running: bool) -> None:
        self._files[1].write(f"{at_ns},{job},{uid},{steps:.4f},{int(running)}\n")

    def flush(self) -> None:
        for file in self._files:
            file.flush()

    def close(self) -> None:
        for file in self._files:
            file.close()


@dataclass(frozen=True, slots=True)
class Stretch:
    """One GPU over [start, end), at one limit and in one hand."""

    start_ns: int
    end_ns: int
    uuid: str
    node: str
    pod: str
    job: str
    limit_w: float
    energy_mj: float

    def within(self, start_ns: int, end_ns: int) -> float:
        """The energy [mJ] of the part inside [start_ns, end_ns), at the stretch's mean power."""
        overlap_ns = min(self.end_ns, end_ns) - max(self.start_ns, start_ns)
        return self.energy_mj * overlap_ns / (self.end_ns - self.start_ns) if overlap_ns > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Switch:
    """The limit of a GPU changed."""

    at: datetime
    uuid: str
    from_w: float
    to_w: float
    pod: str
    job: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job was. `elapsed_s` counts only while all of its workers ran."""

    at: datetime
    steps: float
    elapsed_s: float
    running: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """The intensity over [start, end)."""

    start: datetime
    end: datetime
    gco2_per_kwh: float


@dataclass(frozen=True, slots=True)
class Truth:
    """The reading side: a picture of the log as it was when it was read."""

    stretches: tuple[Stretch, ...]
    """Of all GPUs; those of one GPU in order of time."""
    progress: dict[str, tuple[Progress, ...]]
    """By `namespace/name` of the job; of several runs of one name, the newest."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads a bed's `truth` folder. A line that is still being written is left out."""
        lines: dict[str, dict[str, str]] = {}
        stretches = []
        for line in _rows(folder / "gpus.csv", GPU_COLUMNS):
            before = lines.get(line["uuid"])
            if before is not None and line["at_ns"] != before["at_ns"]:
                stretches.append(_stretch(before, line))
            lines[line["uuid"]] = line
        return cls(tuple(stretches), _progress(_rows(folder / "jobs.csv", JOB_COLUMNS)))

    @property
    def uuids(self) -> list[str]:
        return sorted({stretch.uuid for stretch in self.stretches})

    @property
    def jobs(self) -> list[str]:
        return sorted(self.progress)

    def select(
        self,
        *,
        job: str | None = None,
        pod: str | None = None,
        uuid: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Stretch]:
        """The stretches of a job, a pod (`namespace/name` both) or a GPU, cut to [start, end). `pod=""` is idle."""
        low = 0 if start is None else _ns(start)
        high = 1 << 63 if end is None else _ns(end)
        return [
            Stretch(
                max(stretch.start_ns, low),
                min(stretch.end_ns, high),
                stretch.uuid,
                stretch.node,
                stretch.pod,
                stretch.job,
                stretch.limit_w,
                stretch.within(low, high),
            )
            for stretch in self.stretches
            if job in (None, stretch.job)
            and pod in (None, stretch.pod)
            and uuid in (None, stretch.uuid)
            and stretch.start_ns < high
            and stretch.end_ns > low
        ]

    def energy_mj(
        self,
        *,
        job: str | None = None,
        pod: str | None = None,
        uuid: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> float:
        """The energy [mJ] of what `select` finds."""
        return sum(stretch.energy_mj for stretch in self.select(job=job, pod=pod, uuid=uuid, start=start, end=end))

    def idle_energy_mj(self, *, start: datetime | None = None, end: datetime | None = None) -> float:
        """The energy [mJ] of GPUs while nobody held them."""
        return self.energy_mj(pod="", start=start, end=end)

    def carbon_g(
        self,
        grid: Sequence[Grid],
        *,
        job: str | None = None,
        pod: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> float:
        """The grams of what `select` finds, by the intensity of each moment. ValueError where `grid` has a gap."""
        intervals = sorted((_ns(each.start), _ns(each.end), each.gco2_per_kwh) for each in grid)
        starts = [low for low, _, _ in intervals]
        grams = 0.0
        for stretch in self.select(job=job, pod=pod, start=start, end=end):
            covered_ns = 0
            for low, high, gco2_per_kwh in intervals[max(0, bisect_right(starts, stretch.start_ns) - 1) :]:
                if low >= stretch.end_ns:
                    break
                grams += stretch.within(low, high) / MILLIJOULES_PER_KWH * gco2_per_kwh
                covered_ns += max(0, min(stretch.end_ns, high) - max(stretch.start_ns, low))
            if covered_ns != stretch.end_ns - stretch.start_ns:
                raise ValueError(f"no single intensity for all of {_utc(stretch.start_ns)} to {_utc(stretch.end_ns)}")
        return grams

    def switches(self, *, job: str | None = None, uuid: str | None = None) -> list[Switch]:
        """Every change of a limit, in order of time."""
        found = []
        last: dict[str, Stretch] = {}
        for stretch in self.stretches:
            before = last.get(stretch.uuid)
            last[stretch.uuid] = stretch
            if before is None or before.limit_w == stretch.limit_w:
                continue
            if job in (None, stretch.job) and uuid in (None, stretch.uuid):
                at = _utc(stretch.start_ns)
                found.append(Switch(at, stretch.uuid, before.limit_w, stretch.limit_w, stretch.pod, stretch.job))
        return sorted(found, key=lambda switch: switch.at)

    def limit_w(self, uuid: str) -> float:
        """The limit of a GPU at the end of the log. KeyError for a GPU that is not in it."""
        of_gpu = [stretch for stretch in self.stretches if stretch.uuid == uuid]
        if not of_gpu:
            raise KeyError(uuid)
        return of_gpu[-1].limit_w


def _appending(path: Path, columns: tuple[str, ...]) -> TextIOWrapper:
    file = path.open("a", encoding="utf-8")
    if path.stat().st_size == 0:
        file.write(",".join(columns) + "\n")
    return file


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    for row in csv.reader(whole[1:]):
        yield dict(zip(columns, row, strict=True))


def _stretch(before: dict[str, str], after: dict[str, str]) -> Stretch:
    return Stretch(
        int(before["at_ns"]),
        int(after["at_ns"]),
        before["uuid"],
        before["node"],
        before["pod"],
        before["job"],
        float(before["limit_w"]),
        float(after["energy_mj"]) - float(before["energy_mj"]),
    )


def _progress(rows: Iterable[dict[str, str]]) -> dict[str, tuple[Progress, ...]]:
    found: dict[str, list[Progress]] = {}
    last: dict[str, tuple[str, int]] = {}
    for row in rows:
        job, uid, at_ns = row["job"], row["uid"], int(row["at_ns"])
        if job not in last or last[job][0] != uid:
            found[job] = []
        samples = found[job]
        elapsed_s = samples[-1].elapsed_s if samples else 0.0
        if samples and samples[-1].running:
            elapsed_s += (at_ns - last[job][1]) / 1e9
        last[job] = (uid, at_ns)
        samples.append(Progress(_utc(at_ns), float(row["steps"]), elapsed_s, row["running"] == "1"))
    return {job: tuple(samples) for job, samples in found.items()}


def _ns(instant: datetime) -> int:
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_ns // 1000)
