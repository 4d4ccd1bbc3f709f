"""`kubectl logs` on a bed: the one call of a kubelet's own API that the API server needs for it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from aiohttp import web

from carbonzeus_bed.podprocesses import process_name

PORT = 10250
POLL_S = 0.2


class LogServer:
    """Serves the logs of the processes in a state folder to holders of a client certificate of the bed's CA."""

    def __init__(self, root: Path, ip: str) -> None:
        self._log_dir = root / "logs"
        self._ip = ip
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(root / "pki" / "ca.crt"))
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_cert_chain(root / "pki" / "kubelet.crt", root / "pki" / "kubelet.key")
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def start(self) -> None:
        """Listen on the address that the hollow nodes show."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._ip, PORT, ssl_context=self._tls).start()

    async def stop(self) -> None:
        """Close the port and what is open."""
        await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        path = self._log_dir / f"{process_name(where['namespace'], where['pod'], where['container'])}.log"
        if not path.exists():
            return web.Response(text="This pod is emulated: no process of its own writes a log.\n")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with path.open("rb") as log:
            content = log.read()
            if tail := request.query.get("tailLines"):
                lines = content.splitlines(keepends=True)
                content = b"".join(lines[len(lines) - min(int(tail), len(lines)) :])
            await response.write(content)
            while request.query.get("follow") == "true":
                await asyncio.sleep(POLL_S)
                if more := log.read():
                    await response.write(more)
        return response
