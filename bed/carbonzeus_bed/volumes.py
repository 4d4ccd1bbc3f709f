"""The volumes of a pod as local folders, refreshed as a kubelet does: all files of a volume change at once."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath

from carbonzeus_bed import containers
from carbonzeus_bed.api import ApiError, Object
from carbonzeus_bed.containers import Mounts, NotStartable, Sources
from carbonzeus_bed.watching import AsyncApi

TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
POD_RESOURCES = PurePosixPath("/var/lib/kubelet/pod-resources")
TOKEN_LIFETIME_S = 30 * 24 * 3600

Files = dict[str, str]


class Volumes:
    """The volumes of one pod."""

    def __init__(self, api: AsyncApi, pod: Object, pod_dir: Path, node_dir: Path) -> None:
        self._api = api
        self._pod = pod
        self._dir = pod_dir / "volumes"
        self._node_dir = node_dir
        self._namespace: str = pod["metadata"]["namespace"]
        self._shown: dict[str, Files] = {}
        self._tokens: dict[str, str] = {}

    async def prepare(self) -> None:
        """Make every volume, or write what changed in one; `NotStartable` when something it needs is not there."""
        for volume in self._pod["spec"].get("volumes", []):
            name = volume["name"]
            if "hostPath" in volume or "emptyDir" in volume:
                self._folder(volume).mkdir(parents=True, exist_ok=True)
                continue
            files = await self._files(volume)
            if self._shown.get(name) != files:
                show_files(self._dir / name, files)
                self._shown[name] = files

    def mounts(self, container: Object) -> Mounts:
        """Where the mounts of a container lie."""
        volumes = {volume["name"]: volume for volume in self._pod["spec"].get("volumes", [])}
        return Mounts(
            {
                mount["mountPath"]: self._folder(volumes[mount["name"]]) / mount.get("subPath", "")
                for mount in container.get("volumeMounts", [])
            }
        )

    async def sources(self) -> Sources:
        """The ConfigMaps and Secrets that the pod's environments refer to."""
        maps, secrets = containers.references(self._pod)
        return Sources(
            {name: found for name in maps if (found := await self._config_map(name)) is not None},
            {name: found for name in secrets if (found := await self._secret(name)) is not None},
        )

    def _folder(self, volume: Object) -> Path:
        if "hostPath" in volume:
            path = PurePosixPath(volume["hostPath"]["path"])
            if path == POD_RESOURCES:
                return self._node_dir / "pod-resources"
            return self._node_dir / path.relative_to("/")
        return self._dir / str(volume["name"])

    async def _files(self, volume: Object) -> Files:
        if "projected" in volume:
            files: Files = {}
            for source in volume["projected"]["sources"]:
                files |= await self._source(source)
            return files
        return await self._source(volume)

    async def _source(self, source: Object) -> Files:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted["path"]: await self._token(wanted.get("audience", ""))}
        if "downwardAPI" in source:
            return {
                item["path"]: containers.field(self._pod, item["fieldRef"]["fieldPath"])
                for item in source["downwardAPI"]["items"]
            }
        readers: Mapping[str, Callable[[str], Awaitable[Files | None]]] = {
            "configMap": self._config_map,
            "secret": self._secret,
        }
        for kind, read in readers.items():
            if kind in source:
                wanted = source[kind]
                name = wanted.get("name") or wanted["secretName"]
                return _chosen(kind, name, wanted, await read(name))
        raise NotStartable(f"this bed does not know the volume source {sorted(source)}")

    async def _config_map(self, name: str) -> Files | None:
        found = await self._get("configmaps", name)
        return None if found is None else dict(found.get("data", {}))

    async def _secret(self, name: str) -> Files | None:
        found = await self._get("secrets", name)
        if found is None:
            return None
        return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}

    async def _get(self, plural: str, name: str) -> Object | None:
        try:
            found: Object = await self._api.call("GET", f"/api/v1/namespaces/{self._namespace}/{plural}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def _token(self, audience: str) -> str:
        """A token of the pod's ServiceAccount, bound to the pod: it dies with it."""
        if audience not in self._tokens:
            pod = self._pod["metadata"]
            account = self._pod["spec"]["serviceAccountName"]
            reply = await self._api.call(
                "POST",
                f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token",
                {
                    "spec": {
                        "audiences": [audience] if audience else [],
                        "expirationSeconds": TOKEN_LIFETIME_S,
                        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod["name"], "uid": pod["uid"]},
                    }
                },
            )
            self._tokens[audience] = reply["status"]["token"]
        return self._tokens[audience]


def show_files(folder: Path, files: Files) -> None:
    """Show these files in the folder: written aside, then a link is swapped, so that no mixture is ever seen."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "..data"
    before = link.resolve() if link.is_symlink() else None
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    for name, text in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    scratch = folder / "..data_tmp"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(fresh.name)
    scratch.replace(link)
    roots = {PurePosixPath(name).parts[0] for name in files}
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in roots:
            entry.unlink()
    for root in roots:
        if not (folder / root).is_symlink():
            (folder / root).symlink_to(f"..data/{root}")
    if before is not None:
        shutil.rmtree(before)


def _chosen(kind: str, name: str, wanted: Object, found: Files | None) -> Files:
    if found is None:
        if wanted.get("optional"):
            return {}
        raise NotStartable(f"{kind} {name} does not exist")
    if "items" not in wanted:
        return found
    try:
        return {item["path"]: found[item["key"]] for item in wanted["items"]}
    except KeyError as error:
        raise NotStartable(f"{kind} {name} has no key {error}") from None
