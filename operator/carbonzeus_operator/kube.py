"""The Kubernetes API, as far as we need it: raw JSON in and out. The only module that imports the kubernetes client.

Every call raises `Unavailable` (retry later), `Conflict` (read again) or `InvalidSpec` (the server refused what we sent).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from carbonzeus_operator.errors import Conflict, InvalidSpec, Unavailable

Raw = dict[str, Any]
"""An object as the API server sends it."""

TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object and where the API serves it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, or of one object. All namespaces where none is given."""
        parts = ["/apis", self.group] if self.group else ["/api"]
        parts.append(self.version)
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


POD = Kind("", "v1", "pods", "Pod")
NODE = Kind("", "v1", "nodes", "Node", namespaced=False)
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
EVENT = Kind("", "v1", "events", "Event")
SECRET = Kind("", "v1", "secrets", "Secret")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
PYTORCHJOB = Kind("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob")
CARBONPOLICY = Kind("carbonzeus.dev", "v1alpha1", "carbonpolicies", "CarbonPolicy", namespaced=False)
CARBONREPORT = Kind("carbonzeus.dev", "v1alpha1", "carbonreports", "CarbonReport")
POWERPROFILE = Kind("carbonzeus.dev", "v1alpha1", "powerprofiles", "PowerProfile")

PAGE = 500


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment of the API server's history."""

    items: tuple[Raw, ...]
    resource_version: int


class Kube:
    """A thin shell around the client library: builds paths, sends JSON, maps errors."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls) -> Kube:
        """With the pod's ServiceAccount; outside a cluster with `KUBECONFIG`, or `~/.kube/config`.

        Raises Unavailable where neither is there.
        """
        configuration = client.Configuration()
        try:
            if "KUBECONFIG" not in os.environ and TOKEN_FILE.exists():  # noqa: ASYNC240 - once, at start-up
                config.load_incluster_config(client_configuration=configuration)
            else:
                await config.load_kube_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise Unavailable(
                f"no way to the Kubernetes API: {error}. Run in a pod with a ServiceAccount, or set KUBECONFIG."
            ) from error
        return cls(client.ApiClient(configuration=configuration))

    async def close(self) -> None:
        """Closes the connections."""
        await self._api.close()

    async def connection(self) -> dict[str, Any]:
        """Server, CA file and authorization header value, for the watches that kopf keeps."""
        settings = self._api.configuration
        header: dict[str, str] = {}
        await self._api.update_params_for_auth(header, [], ["BearerToken"], "", "", None)
        scheme, _, token = header.get("authorization", "").partition(" ")
        return {
            "server": settings.host,
            "ca_path": settings.ssl_ca_cert,
            "insecure": not settings.verify_ssl,
            "certificate_path": settings.cert_file,
            "private_key_path": settings.key_file,
            "scheme": scheme or None,
            "token": token or None,
        }

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        timeout_s: float = 30.0,
    ) -> Raw:
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*request, _request_timeout=timeout_s, _preload_content=False)
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: the API server does not answer ({error!r})") from error
        except client.ApiException as error:
            raise Unavailable(f"{method} {path}: {error.status} {error.reason}") from error
        raw = _decode(data)
        if response.status >= 300:
            _raise(response.status, f"{method} {path}: {response.status} {raw.get('message', '')}", raw)
        return raw

    async def list(self, kind: Kind, *, namespace: str | None = None, selector: str | None = None) -> Listing | None:
        """All objects of a kind, page by page. None where the cluster does not know the kind (its CRD is absent)."""
        items: list[Raw] = []
        query = [("limit", str(PAGE))] + ([("labelSelector", selector)] if selector else [])
        token = ""
        while True:
            try:
                page = await self._call(
                    "GET", kind.path(namespace), query=[*query, ("continue", token)] if token else query
                )
            except LookupError:
                return None
            items += page.get("items") or []
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return Listing(tuple(items), int(meta.get("resourceVersion") or 0))

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Raw | None:
        """One object; None where it is not there."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except LookupError:
            return None

    async def create(self, kind: Kind, body: Mapping[str, Any], namespace: str | None = None) -> Raw:
        """Creates an object. Conflict where one of that name is there."""
        return await self._call(
            "POST", kind.path(namespace), body={"apiVersion": kind.api_version, "kind": kind.kind, **body}
        )

    async def replace(self, kind: Kind, body: Mapping[str, Any], *, subresource: str | None = None) -> Raw | None:
        """Writes a whole object (or its status) under its resourceVersion. Conflict where somebody wrote in between.

        None where the object is gone.
        """
        meta = body["metadata"]
        try:
            return await self._call("PUT", kind.path(meta.get("namespace"), meta["name"], subresource), body=dict(body))
        except LookupError:
            return None

    async def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Deletes an object; one that is not there is fine."""
        try:
            await self._call("DELETE", kind.path(namespace, name))
        except LookupError:
            return


def _decode(data: bytes) -> Raw:
    try:
        raw = json.loads(data)
    except ValueError:
        return {"message": data[:200].decode(errors="replace")}
    return raw if isinstance(raw, dict) else {"message": str(raw)[:200]}


def _raise(status: int, message: str, raw: Mapping[str, Any]) -> None:
    if status == 404:
        raise LookupError(message)
    if status == 409:
        raise Conflict(message)
    if status in {400, 422}:
        raise InvalidSpec(message, reason=str(raw.get("reason", "Invalid")))
    raise Unavailable(message)
