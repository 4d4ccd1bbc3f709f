"""A folder of files, as a ConfigMap is mounted."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from carbonzeus_operator.errors import CarbonzeusError, InvalidSpec, Unavailable
from carbonzeus_operator.grid.csvfile import parse
from carbonzeus_operator.grid.file import FileProvider
from carbonzeus_operator.grid.recording import Recording
from carbonzeus_operator.grid.series import Factor, Signal
from tests.unit.grid.samples import KEY, ZONE, Watch, at, intervals, issues, plain


class ConfigMap:
    """A volume as the kubelet keeps it: links to `..data`, which links to the folder of the moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.version = 0

    def publish(self, files: dict[str, str | bytes]) -> None:
        """Replaces all files at once."""
        self.version += 1
        made = self.folder / f"..version-{self.version}"
        made.mkdir()
        for name, content in files.items():
            (made / name).write_bytes(content.encode() if isinstance(content, str) else content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        beside = self.folder / "..data-new"
        beside.symlink_to(made.name)
        beside.replace(self.folder / "..data")


@pytest.fixture
def config_map(tmp_path: Path) -> ConfigMap:
    return ConfigMap(tmp_path)


@pytest.fixture
def watch() -> Watch:
    return Watch(at(1.5))


@pytest.fixture
def provider(tmp_path: Path, watch: Watch) -> FileProvider:
    return FileProvider(tmp_path, watch)


async def test_a_plain_file_is_forecast_and_actual(config_map: ConfigMap, provider: FileProvider) -> None:
    """With everything that an audit asks for."""
    config_map.publish({f"{ZONE}.csv": plain({0: 5, 1: 6, 2: 7})})
    forecast = await provider.forecast(*KEY)
    assert (forecast.zone, forecast.signal, forecast.factor, forecast.source) == (*KEY, Factor.LIFECYCLE, "File")
    assert forecast.intervals == intervals({0: 5, 1: 6, 2: 7})
    assert forecast.issued_at == at(1)
    actual = await provider.actual(*KEY, at(-24), at(1.5))
    assert actual.intervals == intervals({0: 5})
    assert actual.issued_at == at(1.5)


async def test_a_file_of_issues(config_map: ConfigMap, provider: FileProvider, watch: Watch) -> None:
    """The newest issue at each moment, as time goes on."""
    config_map.publish({f"{ZONE}.csv": issues((0, 0, 1, 5), (0, 1, 2, 6), (0, 2, 2, ""), (2, 2, 3, ""), (2, 3, 4, ""))})
    assert (await provider.forecast(*KEY)).issued_at == at(0)
    watch.now = at(2)
    assert (await provider.forecast(*KEY)).issued_at == at(2)
    assert (await provider.actual(*KEY, at(0), at(2))).intervals == intervals({0: 5, 1: 6})


async def test_publication_lag(config_map: ConfigMap, tmp_path: Path) -> None:
    """Actuals come later; the forecast reaches back to where they end."""
    config_map.publish({f"{ZONE}.csv": plain(dict.fromkeys(range(100), 5.0))})
    provider = FileProvider(tmp_path, Watch(at(90)), publication_lag=timedelta(hours=40))
    actual = await provider.actual(*KEY, at(0), at(90))
    assert actual.intervals[-1].end == at(50)
    assert (await provider.forecast(*KEY)).intervals[0].start <= at(50)


async def test_the_marginal_signal_has_a_file_of_its_own(config_map: ConfigMap, provider: FileProvider) -> None:
    """The signals are never mixed."""
    config_map.publish({f"{ZONE}.csv": plain({0: 5, 1: 6}), f"{ZONE}.marginal.csv": plain({0: 50, 1: 60})})
    marginal = await provider.forecast(ZONE, Signal.MARGINAL)
    assert marginal.intervals == intervals({0: 50, 1: 60})
    assert marginal.signal is Signal.MARGINAL
    config_map.publish({f"{ZONE}.csv": plain({0: 5, 1: 6})})
    with pytest.raises(Unavailable, match=r"there is no file US-CAL-CISO\.marginal\.csv in"):
        await provider.forecast(ZONE, Signal.MARGINAL)


@pytest.mark.parametrize(
    "zone", ["..", "../secret", "a/b", "/etc/passwd", "", ".", "-a", "a.b", "a\x00b", "é", "a\n", "x y"]
)
async def test_a_zone_never_leaves_the_folder(tmp_path: Path, watch: Watch, zone: str) -> None:
    """Names of zones come from policies: no path, no hidden file, no other signal."""
    (tmp_path / "secret.csv").write_text(plain({0: 5, 1: 6}))
    (tmp_path / "grid").mkdir()
    with pytest.raises(InvalidSpec, match="is no name of a zone") as refused:
        await FileProvider(tmp_path / "grid", watch).forecast(zone, Signal.AVERAGE)
    assert refused.value.reason == "InvalidZone"


async def test_a_missing_file_says_where_to_add_it(provider: FileProvider) -> None:
    """And is asked for again."""
    with pytest.raises(Unavailable, match=r"add it to the chart's grid.file.data or to the ConfigMap"):
        await provider.forecast(*KEY)


async def test_a_name_that_is_too_long_for_a_file(provider: FileProvider) -> None:
    """Is said, not raised as it comes."""
    with pytest.raises(Unavailable, match="cannot be read"):
        await provider.forecast("Z" * 300, Signal.AVERAGE)


async def test_a_folder_in_place_of_a_file(provider: FileProvider, tmp_path: Path) -> None:
    """Is said, not raised as it comes."""
    (tmp_path / f"{ZONE}.csv").mkdir()
    with pytest.raises(Unavailable, match="cannot be read"):
        await provider.forecast(*KEY)


async def test_a_new_version_of_the_config_map_is_read(config_map: ConfigMap, provider: FileProvider) -> None:
    """Though the path, the size and even the time of modification stay as they were."""
    for value in (5, 6):
        config_map.publish({f"{ZONE}.csv": plain({0: value, 1: value})})
        os.utime(config_map.folder / f"{ZONE}.csv", ns=(0, 0))
        assert (await provider.forecast(*KEY)).intervals[0].gco2_per_kwh == value


async def test_what_did_not_change_is_not_read_again(
    config_map: ConfigMap, provider: FileProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is parsed once, be it good or broken."""
    parsed: list[str] = []

    def noted(name: str, lines: Iterable[str]) -> Recording:
        parsed.append(name)
        return parse(name, lines)

    monkeypatch.setattr("carbonzeus_operator.grid.file.parse", noted)
    config_map.publish({f"{ZONE}.csv": plain({0: 5, 1: 6}), "BAD.csv": "start_utc\n"})
    for _ in range(3):
        await provider.forecast(*KEY)
        await provider.actual(*KEY, at(0), at(2))
        with pytest.raises(InvalidSpec):
            await provider.forecast("BAD", Signal.AVERAGE)
    assert parsed == [f"{ZONE}.csv", "BAD.csv"]


async def test_broken_removed_and_mended(config_map: ConfigMap, provider: FileProvider, tmp_path: Path) -> None:
    """Each state is told as it is, and the file that is mended is read."""
    good = plain({0: 5, 1: 6})
    config_map.publish({f"{ZONE}.csv": good})
    await provider.forecast(*KEY)
    config_map.publish({f"{ZONE}.csv": good.replace(",6", ",x")})
    for _ in range(2):
        with pytest.raises(InvalidSpec, match=r"US-CAL-CISO\.csv, line 3: gco2_per_kwh 'x"):
            await provider.forecast(*KEY)
    config_map.publish({})
    with pytest.raises(Unavailable, match="there is no file"):
        await provider.forecast(*KEY)
    config_map.publish({f"{ZONE}.csv": good})
    assert (await provider.forecast(*KEY)).intervals == intervals({0: 5, 1: 6})


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + plain({0: 5, 1: 6}).encode(),
        plain({0: 5, 1: 6}).replace("\n", "\r\n").encode(),
        plain({0: 5, 1: 6}).replace("\n", "\r").encode(),
        b"start_utc,gco2_per_kwh,note\n2026-11-24T12:00Z,5,\xb0\n2026-11-24T13:00Z,6,\n",
    ],
    ids=["byte order mark", "CRLF", "CR", "Latin-1 in a column that is passed over"],
)
async def test_bytes_as_editors_write_them(config_map: ConfigMap, provider: FileProvider, content: bytes) -> None:
    """No harm."""
    config_map.publish({f"{ZONE}.csv": content})
    assert (await provider.forecast(*KEY)).intervals == intervals({0: 5, 1: 6})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: there is no header"),
        (bytes(range(256)) * 40, "line 1: "),
        (plain({0: 5, 1: 6}).encode("utf-16"), "line 1: the header has no column"),
        (b"start_utc,gco2_per_kwh\n2026-11-24T12:00Z,5\xb0\n", r"line 2: gco2_per_kwh '5\udcb0' is no number"),
        (b"start_utc,gco2_per_kwh\n2026-11-24T12:00Z,\x00\n", r"line 2: gco2_per_kwh '\x00' is no number"),
    ],
    ids=["empty", "binary", "UTF-16", "a degree sign", "NUL"],
)
async def test_bytes_that_are_no_table(
    config_map: ConfigMap, provider: FileProvider, content: bytes, message: str
) -> None:
    """Refused with the line, in a sentence that the API server takes."""
    config_map.publish({f"{ZONE}.csv": content})
    with pytest.raises(InvalidSpec) as refused:
        await provider.forecast(*KEY)
    assert str(refused.value).startswith(f"{ZONE}.csv, {message}")
    assert str(refused.value).encode("utf-8")


async def test_a_file_beyond_all_measure_is_not_read(provider: FileProvider, tmp_path: Path) -> None:
    """A disk image mounted by mistake does not fill the memory."""
    with (tmp_path / f"{ZONE}.csv").open("wb") as sparse:
        sparse.truncate(200 * 1024 * 1024)
    with pytest.raises(InvalidSpec, match="has 209715200 bytes, more than the 134217728 that are read"):
        await provider.forecast(*KEY)


async def test_a_disk_that_hangs_holds_one_thread(provider: FileProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again joins the read under way; who gives up does not end it; and when it ends, all is well."""
    entered, leave = [], threading.Event()

    def stuck(self: FileProvider, name: str) -> CarbonzeusError:
        entered.append(name)
        leave.wait()
        return Unavailable("the disk was away")

    monkeypatch.setattr(FileProvider, "_read", stuck)
    asking = [asyncio.create_task(provider.forecast(*KEY)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking[0]
    asking.append(asyncio.create_task(provider.forecast(*KEY)))
    await asyncio.sleep(0)
    leave.set()
    ends = await asyncio.gather(*asking[1:], return_exceptions=True)
    assert [str(end) for end in ends] == ["the disk was away"] * 5
    assert entered == [f"{ZONE}.csv"]
