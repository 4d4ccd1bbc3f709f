"""A bed comes up, stands beside others, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carbonzeus_bed.api import wait_until
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.control_plane import ControlPlane
from carbonzeus_bed.processes import StartFailed

pytestmark = [pytest.mark.bed, pytest.mark.usefixtures("bed_programs")]


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes on this machine that speak of a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


def test_bed_comes_up_in_a_deep_folder_and_leaves_no_process(tmp_path: Path) -> None:
    """All processes run while it is up, sockets included; afterwards nothing of it is left but its folder."""
    deep = tmp_path / "/".join(["a-folder-with-a-long-name"] * 5)
    cluster = Cluster(deep).start(until_we_end=True)
    try:
        names = [record.name for record in cluster.processes.records()]
        assert {"etcd", "kube-apiserver", "kube-scheduler", "kwok", "training-operator", "emulator"} <= set(names)
        assert all(cluster.processes.alive(name) for name in names)
        assert (cluster.node_dir("gpu-a") / "pod-resources" / "kubelet.sock").is_socket()
        short = cluster.short_dir
    finally:
        cluster.stop()
    assert processes_of(deep) == processes_of(short) == []
    assert not short.parent.exists()


def test_two_beds_stand_side_by_side(bed: Cluster, tmp_path: Path) -> None:
    """Both answer, with different addresses; stopping one leaves the other."""
    with ControlPlane(tmp_path / "second") as second:
        assert second.server != bed.server
        assert second.api.get("/api/v1/nodes")["items"] == []
        assert len(bed.api.get("/api/v1/nodes")["items"]) == len(bed.nodes)
    assert bed.api.get("/readyz") == "ok"


def test_a_bed_does_not_outlive_its_killed_owner(tmp_path: Path) -> None:
    """SIGKILL of the program that started a bed for itself stops the bed."""
    code = (
        "import sys, time; from carbonzeus_bed.control_plane import ControlPlane; "
        "ControlPlane(sys.argv[1]).start(until_we_end=True); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "bed")], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()
    assert wait_until(lambda: processes_of(tmp_path / "bed") == [], 20)


def test_ctrl_c_during_the_start_leaves_no_process(tmp_path: Path) -> None:
    """`up` interrupted half-way stops what it had started and says so."""
    folder = tmp_path / "bed"
    with subprocess.Popen(
        [sys.executable, "-m", "carbonzeus_bed", "up", "--dir", str(folder)], stderr=subprocess.PIPE
    ) as starting:
        assert wait_until((folder / "run" / "kube-apiserver.json").exists, 20)
        starting.send_signal(signal.SIGINT)
        _, errors = starting.communicate(timeout=30)
    assert b"interrupted" in errors
    assert starting.returncode == 130
    assert wait_until(lambda: processes_of(folder) == [], 5)


def test_the_command_line_brings_a_bed_up_and_down(tmp_path: Path) -> None:
    """`up` leaves a bed running, a second `up` is refused, `status` lists it, and `down` from elsewhere stops it."""
    folder = tmp_path / "bed"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "carbonzeus_bed", *words, "--dir", str(folder)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    started = run("up", "--node", "only:2:NVIDIA A40:us-east-1")
    try:
        assert started.returncode == 0, started.stderr
        assert re.search(r"up in \d+\.\d s", started.stdout)
        assert "already up" in run("up").stderr
        assert run("status").returncode == 0
        node = Cluster(folder).api.get("/api/v1/nodes/only")
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
        assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A40"
        assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == "us-east-1"
    finally:
        run("down")
    assert processes_of(folder) == []
    assert run("status").returncode == 1


def test_a_failed_start_shows_the_end_of_the_guilty_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the process and its log, and nothing keeps running."""
    monkeypatch.setattr("carbonzeus_bed.control_plane.ISSUER", "http://[")
    with pytest.raises(StartFailed, match=r"kube-apiserver ended before it was ready(.|\n)*service-account-issuer"):
        ControlPlane(tmp_path / "bed").start()
    assert processes_of(tmp_path / "bed") == []


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """A state folder is emptied at each start, so one that is not a bed's is left alone."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RuntimeError, match="neither empty nor a bed's"):
        ControlPlane(tmp_path).start()
    assert (tmp_path / "thesis.tex").exists()


def test_a_frozen_api_server_goes_on(bed: Cluster) -> None:
    """A paused API server answers nothing, and everything again after it is resumed."""
    bed.pause_api_server()
    try:
        with pytest.raises(OSError, match="timed out"):
            bed.api.call("GET", "/readyz", timeout_s=0.5)
    finally:
        bed.resume_api_server()
    assert bed.api.get("/readyz") == "ok"


def test_a_killed_process_is_started_again_on_demand(bed: Cluster) -> None:
    """`kill` and `start_process` take one part away and bring it back, the API server included."""
    for name in ("kube-scheduler", "kube-apiserver"):
        bed.kill(name)
        assert not bed.processes.alive(name)
        bed.start_process(name)
        assert bed.processes.alive(name)
    assert bed.api.get("/readyz") == "ok"
