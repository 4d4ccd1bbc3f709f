"""A small client of the Kubernetes API for the bed and its tests: JSON in, JSON out, the admin's rights."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused; `status` is the HTTP code and the text is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Calls with the identity of a kubeconfig that holds a client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        self.ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca)
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]))
            pem.write(base64.b64decode(user["client-key-data"]))
            pem.flush()
            context.load_cert_chain(pem.name)
        self.tls = context
        # No proxy, whatever the environment says: everything is on loopback.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def call(
        self,
        method: str,
        path: str,
        body: Object | list[Any] | bytes | None = None,
        *,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Any:
        """One request; bytes go out as they are."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.server + path,
            data=data,
            method=method,
            headers={"Content-Type": content_type, "Accept": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=timeout_s) as reply:
                content = reply.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, _message(error.read())) from None
        return json.loads(content) if content.startswith((b"{", b"[")) else content.decode()

    def get(self, path: str) -> Any:
        """GET."""
        return self.call("GET", path)

    def create(self, path: str, body: Object) -> Any:
        """POST."""
        return self.call("POST", path, body)

    def create_if_absent(self, path: str, body: Object | bytes, *, content_type: str = "application/json") -> None:
        """POST; an object of that name is left as it is."""
        try:
            self.call("POST", path, body, content_type=content_type)
        except ApiError as error:
            if error.status != 409:
                raise

    def merge(self, path: str, patch: Object) -> Any:
        """PATCH with a JSON merge patch."""
        return self.call("PATCH", path, patch, content_type="application/merge-patch+json")

    def delete(self, path: str) -> None:
        """DELETE; an object that is not there is no error."""
        try:
            self.call("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise


def answers(url: str) -> bool:
    """Whether a health endpoint on loopback says 200; its certificate is its own and nobody's business."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=2.0) as reply:
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float, *, every_s: float = 0.1) -> bool:
    """Ask until the condition holds; connections that fail mean not yet. False after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return True
        except (OSError, ApiError):
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
