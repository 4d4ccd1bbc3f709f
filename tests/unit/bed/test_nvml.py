"""The emulated boards through the real pynvml: what real boards do, and every fault."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pynvml  # type: ignore[import-untyped]
import pytest

from carbonzeus_bed import gpus
from carbonzeus_bed.gpus import Fault, GpuState, Mig, Node, NodeState, build_library, gpu_uuid

if TYPE_CHECKING:
    from tests.unit.bed.conftest import Nvml


def refused(nvml: Nvml, code: int, name: str, device: int | str | None = None, *arguments: object) -> None:
    assert nvml.code(name, device, *arguments) == code


def test_python_and_c_agree_on_every_offset(tmp_path: Path) -> None:
    """The ctypes mirror and state.h are the same layout, field by field."""
    lines = []
    for name, mirror in (("gpu", GpuState), ("node", NodeState)):
        lines.append(f'printf("%zu\\n", sizeof(struct {name}));')
        lines += [f'printf("%zu\\n", offsetof(struct {name}, {field[0]}));' for field in mirror._fields_]
    source = tmp_path / "offsets.c"
    body = "\n".join(lines)
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "state.h"\nint main(void) {{ {body} return 0; }}'
    )
    include = Path(gpus.__file__).parents[1] / "nvml"
    subprocess.run(["gcc", f"-I{include}", "-o", tmp_path / "offsets", source], check=True)
    seen = subprocess.run([tmp_path / "offsets"], check=True, capture_output=True, text=True).stdout.split()

    expected = []
    for mirror in (GpuState, NodeState):
        expected.append(ctypes.sizeof(mirror))
        expected += [getattr(mirror, field[0]).offset for field in mirror._fields_]
    assert [int(value) for value in seen] == expected


def test_library_is_compiled_once(tmp_path: Path) -> None:
    """A library newer than its sources is left as it is."""
    first = build_library(tmp_path).stat().st_mtime_ns
    assert build_library(tmp_path).stat().st_mtime_ns == first


def test_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="install gcc"):
        build_library(tmp_path)


def test_board_says_what_it_is(nvml: Nvml, node: Node) -> None:
    """Count, identity, product and the limits of an A40, in milliwatts."""
    uuid = gpu_uuid("gpu-a", 1)
    assert nvml.call("nvmlDeviceGetCount") == 3
    assert nvml.call("nvmlDeviceGetUUID", 1) == uuid
    assert nvml.call("nvmlDeviceGetName", uuid) == "NVIDIA A40"
    assert nvml.call("nvmlDeviceGetIndex", uuid) == 1
    assert nvml.call("nvmlDeviceGetMinorNumber", uuid) == 1
    assert nvml.call("nvmlDeviceGetPciInfo", uuid)["busId"] == "00000000:11:00.0"
    assert nvml.call("nvmlDeviceGetArchitecture", uuid) == pynvml.NVML_DEVICE_ARCH_AMPERE
    assert nvml.call("nvmlDeviceGetPowerManagementDefaultLimit", uuid) == 300_000
    assert nvml.call("nvmlDeviceGetPowerManagementLimitConstraints", uuid) == [100_000, 300_000]
    assert nvml.call("nvmlDeviceGetPowerManagementLimit", uuid) == 300_000
    assert nvml.call("nvmlSystemGetDriverVersion") == gpus.DRIVER_VERSION


def test_limit_that_is_set_is_read_back_and_logged(nvml: Nvml, node: Node) -> None:
    """A set takes, both limits show it, and writes.log has who asked for what when."""
    before_ns = time.time_ns()
    nvml.call("nvmlDeviceSetPowerManagementLimit", 0, 212_500)

    assert nvml.call("nvmlDeviceGetPowerManagementLimit", 0) == 212_500
    assert nvml.call("nvmlDeviceGetEnforcedPowerLimit", 0) == 212_500
    (write,) = node.writes()
    assert (write.pid, write.uuid, write.requested_mw, write.result) == (
        nvml.process.pid,
        gpu_uuid("gpu-a", 0),
        212_500,
        "SUCCESS",
    )
    assert before_ns <= write.at_ns <= time.time_ns()
    assert node.gpu(0).limit_changed_ns == write.at_ns


def test_set_that_changes_nothing_moves_no_instant(nvml: Nvml, node: Node) -> None:
    """Setting the limit that is there already is logged, but is no switch."""
    nvml.call("nvmlDeviceSetPowerManagementLimit", 0, 300_000)
    assert node.gpu(0).limit_changed_ns == 0
    assert len(node.writes()) == 1


@pytest.mark.parametrize("limit_mw", [99_999, 300_001, 0])
def test_limit_outside_the_range_is_refused(nvml: Nvml, node: Node, limit_mw: int) -> None:
    """Boards do not clamp: the answer is INVALID_ARGUMENT and nothing changes."""
    refused(nvml, pynvml.NVML_ERROR_INVALID_ARGUMENT, "nvmlDeviceSetPowerManagementLimit", 0, limit_mw)
    assert node.gpu(0).limit_mw == 300_000
    assert node.writes()[-1].result == "INVALID_ARGUMENT"


def test_set_without_privilege_is_refused(nvml: Nvml, node: Node) -> None:
    """Who may not set may still read."""
    node.set_privileged(privileged=False)
    refused(nvml, pynvml.NVML_ERROR_NO_PERMISSION, "nvmlDeviceSetPowerManagementLimit", 0, 200_000)
    refused(nvml, pynvml.NVML_ERROR_NO_PERMISSION, "nvmlDeviceSetPersistenceMode", 0, 0)
    assert nvml.call("nvmlDeviceGetPowerManagementLimit", 0) == 300_000
    assert node.writes()[-1].result == "NO_PERMISSION"
    node.set_privileged(privileged=True)
    nvml.call("nvmlDeviceSetPowerManagementLimit", 0, 200_000)


def test_lost_board_answers_lost_and_the_others_go_on(nvml: Nvml, node: Node) -> None:
    """A kept handle and a new one both say GPU_IS_LOST; the count stays."""
    nvml.call("nvmlDeviceGetPowerUsage", 0)
    node.inject(0, Fault.LOST)
    refused(nvml, pynvml.NVML_ERROR_GPU_IS_LOST, "nvmlDeviceGetPowerUsage", 0)
    refused(nvml, pynvml.NVML_ERROR_GPU_IS_LOST, "nvmlDeviceGetPowerUsage", gpu_uuid("gpu-a", 0))
    refused(nvml, pynvml.NVML_ERROR_GPU_IS_LOST, "nvmlDeviceSetPowerManagementLimit", 0, 200_000)
    assert nvml.call("nvmlDeviceGetCount") == 3
    assert nvml.call("nvmlDeviceGetPowerUsage", 1) == 30_000
    node.clear(0)
    assert nvml.call("nvmlDeviceGetPowerUsage", 0) == 30_000


def test_hung_call_returns_when_the_fault_is_cleared(connect: Callable[..., Nvml], node: Node) -> None:
    """A call to a hung board waits, calls to the others do not, and what was asked is done at last."""
    stuck, other = connect(), connect()
    stuck.call("nvmlDeviceGetUUID", 0)
    node.inject(0, Fault.HUNG)
    stuck.ask("nvmlDeviceSetPowerManagementLimit", 0, 200_000)
    assert other.call("nvmlDeviceGetPowerManagementLimit", 1) == 300_000
    assert node.gpu(0).limit_mw == 300_000
    assert node.writes() == []

    node.clear(0, Fault.HUNG)
    assert stuck.answer() is None
    assert node.gpu(0).limit_mw == 200_000


def test_set_can_fail_with_a_chosen_error(nvml: Nvml, node: Node) -> None:
    """SET_FAILS answers with its code and changes nothing."""
    node.inject(0, Fault.SET_FAILS, set_error=pynvml.NVML_ERROR_NOT_SUPPORTED)
    refused(nvml, pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceSetPowerManagementLimit", 0, 200_000)
    assert node.gpu(0).limit_mw == 300_000
    assert node.writes()[-1].result == "NOT_SUPPORTED"


def test_set_can_be_silently_ignored(nvml: Nvml, node: Node) -> None:
    """SET_IGNORED says success; only the read-back shows that nothing happened."""
    node.inject(0, Fault.SET_IGNORED)
    nvml.call("nvmlDeviceSetPowerManagementLimit", 0, 200_000)
    assert nvml.call("nvmlDeviceGetPowerManagementLimit", 0) == 300_000
    assert node.writes()[-1].result == "IGNORED"


def test_counter_can_be_absent_or_start_anew(nvml: Nvml, node: Node) -> None:
    """NO_COUNTER is NOT_SUPPORTED; a reset counts from zero while the true energy goes on."""
    node.inject(0, Fault.NO_COUNTER)
    refused(nvml, pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetTotalEnergyConsumption", 0)
    node.clear(0)
    gpu = node.gpu(0)
    truth_mj = gpu.energy_mj
    assert nvml.call("nvmlDeviceGetTotalEnergyConsumption", 0) == gpu.counter_mj
    node.reset_counter(0)
    gpu.counter_mj += 1234
    assert nvml.call("nvmlDeviceGetTotalEnergyConsumption", 0) == 1234
    assert gpu.energy_mj == truth_mj


def test_reorder_moves_indices_and_keeps_uuids(connect: Callable[..., Nvml], node: Node) -> None:
    """After a re-order an index means another board, and a UUID still the same one."""
    node.reorder([2, 0, 1])
    nvml = connect()
    assert nvml.call("nvmlDeviceGetUUID", 0) == gpu_uuid("gpu-a", 1)
    assert nvml.call("nvmlDeviceGetIndex", gpu_uuid("gpu-a", 0)) == 2
    nvml.call("nvmlDeviceSetPowerManagementLimit", 0, 150_000)
    assert [gpu.limit_mw for gpu in node] == [300_000, 150_000, 300_000]


def test_driver_reload_needs_a_new_init_and_forgets_limits(nvml: Nvml, node: Node) -> None:
    """While it is away nothing works; afterwards limits are the defaults and counters start at zero."""
    nvml.call("nvmlDeviceSetPowerManagementLimit", 0, 200_000)
    node.unload_driver()
    refused(nvml, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "nvmlDeviceGetPowerUsage", 0)
    node.load_driver()
    refused(nvml, pynvml.NVML_ERROR_UNINITIALIZED, "nvmlDeviceGetPowerUsage", 0)
    nvml.call("nvmlShutdown")
    nvml.call("nvmlInit")
    uuid = gpu_uuid("gpu-a", 0)
    assert nvml.call("nvmlDeviceGetPowerManagementLimit", uuid) == 300_000
    assert nvml.call("nvmlDeviceGetTotalEnergyConsumption", uuid) == 0


def test_mig_mode_is_not_supported_until_switched(nvml: Nvml, node: Node) -> None:
    """An A40 has no MIG; a board that has it gives no utilisation while it is on."""
    refused(nvml, pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetMigMode", 0)
    node.set_mig(0, Mig.DISABLED)
    assert nvml.call("nvmlDeviceGetMigMode", 0) == [0, 0]
    assert nvml.call("nvmlDeviceGetUtilizationRates", 0) == {"gpu": 0, "memory": 0}
    node.set_mig(0, Mig.ENABLED)
    assert nvml.call("nvmlDeviceGetMigMode", 0) == [1, 1]
    refused(nvml, pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetUtilizationRates", 0)


def test_power_reading_is_the_mean_or_the_moment(nvml: Nvml, node: Node) -> None:
    """Which of the two nvmlDeviceGetPowerUsage gives is the board's kind; field values give both."""
    gpu = node.gpu(0)
    gpu.power_mw, gpu.average_power_mw = 250_000, 180_000
    assert nvml.call("nvmlDeviceGetPowerUsage", 0) == 180_000
    node.set_instantaneous(0, instantaneous=True)
    assert nvml.call("nvmlDeviceGetPowerUsage", 0) == 250_000


def test_unknown_boards_and_uninitialised_callers_are_refused(connect: Callable[..., Nvml]) -> None:
    """An index or UUID that is not there, and a call before nvmlInit."""
    nvml = connect()
    refused(nvml, pynvml.NVML_ERROR_INVALID_ARGUMENT, "nvmlDeviceGetUUID", 3)
    refused(nvml, pynvml.NVML_ERROR_NOT_FOUND, "nvmlDeviceGetUUID", "GPU-none")
    nvml.call("nvmlShutdown")
    refused(nvml, pynvml.NVML_ERROR_UNINITIALIZED, "nvmlDeviceGetCount")


def test_node_without_boards_has_no_driver(connect: Callable[..., Nvml], tmp_path: Path) -> None:
    """The call nvmlInit says DRIVER_NOT_LOADED where no state file is."""
    nvml = connect(folder=tmp_path / "nowhere", initialise=False)
    refused(nvml, pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "nvmlInit")


def test_node_that_is_there_keeps_its_limits(node: Node) -> None:
    """Creating a node again opens it: boards outlive the emulator."""
    node.set_limit(0, 150)
    with Node.create(node.folder, "NVIDIA A40", 3) as again:
        assert again.gpu(0).limit_mw == 150_000
    with Node.create(node.folder, "NVIDIA A40", 2) as other:
        assert [gpu.limit_mw for gpu in other] == [300_000, 300_000]


def test_state_of_another_version_is_refused(node: Node) -> None:
    """A bed of an older checkout is told apart."""
    node.state.version = 99
    with pytest.raises(ValueError, match="another version"):
        Node(node.folder)


def test_error_texts_are_nvidias(lib_dir: Path) -> None:
    """Messages that users see read like the real ones."""
    library = ctypes.CDLL(os.fspath(lib_dir / "libnvidia-ml.so.1"))
    library.nvmlErrorString.restype = ctypes.c_char_p
    assert library.nvmlErrorString(pynvml.NVML_ERROR_NO_PERMISSION) == b"Insufficient Permissions"
    assert library.nvmlErrorString(pynvml.NVML_ERROR_GPU_IS_LOST) == b"GPU is lost"
