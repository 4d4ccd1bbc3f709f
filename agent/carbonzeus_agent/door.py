"""The agent's ports: who may connect, how many at a time, how often and how slowly.

The API's port speaks TLS 1.3 with a certificate on both sides and lets in nobody but the operator; it opens when there are
certificates. The health port is plain. Both have the same limits.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from carbonzeus_agent.allowance import Allowance
from carbonzeus_agent.clock import Clock
from carbonzeus_agent.credentials import Credentials
from carbonzeus_agent.gate import Gate
from carbonzeus_agent.refusals import Refusals

log = logging.getLogger(__name__)

MAXIMUM_CONNECTIONS = 64
MAXIMUM_PER_PEER = 16
HANDSHAKE_WITHIN_S = 5.0
IDLE_S = 360.0
"""Longer than the operator keeps an idle connection, so that it never sends into one that is just being closed."""
LINGER_S = 2.0
"""For so long the rest of a refused body is read and dropped, so that the peer sees the answer."""
LOOK_EVERY_S = 1.0
"""How often the certificates are looked at."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """One port: `open`, and in the end `close`."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        clock: Clock,
        refusals: Refusals,
        requests_per_s: float,
        credentials: Credentials | None = None,
    ) -> None:
        self._address = (host, port)
        self._clock = clock
        self._refusals = refusals
        self._credentials = credentials
        self._connecting = Allowance(requests_per_s, clock.boot_s)
        self._asking = Allowance(requests_per_s, clock.boot_s)
        self._peers: Counter[str] = Counter()
        self._gates: dict[object, Gate] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        app.middlewares.insert(0, self._guard())
        complaints = logging.Logger("carbonzeus_agent.http")  # noqa: LOG001 - one a port, gone with it
        complaints.parent = log
        complaints.addFilter(self._unreadable)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=2,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            logger=complaints,
        )

    async def open(self) -> None:
        """Let peers in from now on; with credentials only once those are there."""
        await self._runner.setup()
        loops = [self._accept()]
        if self._credentials is None:
            self._listen()
        else:
            self._look(self._credentials)
            loops.append(self._keep_looking(self._credentials))
        self._loops = asyncio.gather(*loops)

    async def failed(self) -> None:
        """Raises what ended one of the loops; until then it waits."""
        await asyncio.shield(self._loops)

    async def close(self) -> None:
        """Close the port, and every connection once its request is answered."""
        self._loops.cancel()
        await asyncio.gather(self._loops, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._runner.cleanup()

    # --- certificates -------------------------------------------------------------------------------------------------

    async def _keep_looking(self, credentials: Credentials) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._look(credentials)

    def _look(self, credentials: Credentials) -> None:
        before = credentials.loaded
        credentials.look()
        if credentials.loaded is not None and self._socket is None:
            self._listen()
        # Who was recognised by an authority that may be gone now has to show a certificate again.
        others = before is not None and credentials.loaded is not None and before.bundle != credentials.loaded.bundle
        now_s = self._clock.utc().timestamp()
        for gate in list(self._gates.values()):
            if others or gate.expires_s <= now_s:
                gate.close()

    def _stranger(self, transport: asyncio.BaseTransport) -> str | None:
        if self._credentials is None:
            return None
        return self._credentials.stranger(transport.get_extra_info("peercert"))

    # --- connections --------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=MAXIMUM_CONNECTIONS)
        self._socket.setblocking(False)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._socket is None:
                await asyncio.sleep(LOOK_EVERY_S / 4)
                continue
            try:
                connection, address = await loop.sock_accept(self._socket)
            except OSError as error:  # no more files, or the peer has gone already
                self._refusals.say("anybody", "NotAccepted", str(error.strerror))
                await asyncio.sleep(0.1)
                continue
            peer = str(address[0])
            too_much = self._too_much(peer)
            if too_much is not None:
                self._refusals.say(peer, "TooManyConnections", too_much)
                connection.close()
                continue
            task = asyncio.create_task(self._connected(connection, peer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    def _too_much(self, peer: str) -> str | None:
        if self._peers.total() >= MAXIMUM_CONNECTIONS:
            return f"{MAXIMUM_CONNECTIONS} are open"
        if self._peers[peer] >= MAXIMUM_PER_PEER:
            return f"{MAXIMUM_PER_PEER} of this peer are open"
        if self._connecting.take(peer):
            return "too many a second"
        self._peers[peer] += 1
        return None

    async def _connected(self, connection: socket.socket, peer: str) -> None:
        """From the first byte to the last: shake hands, then leave it to the gate and to aiohttp."""
        assert self._runner.server is not None
        gate = Gate(
            self._runner.server, self._stranger, lambda reason, detail: self._refusals.say(peer, reason, detail)
        )
        self._gates[gate.handler] = gate
        try:
            transport = await self._shake_hands(connection, gate)
            shown = transport.get_extra_info("peercert")
            if shown:
                gate.expires_s = ssl.cert_time_to_seconds(shown["notAfter"])
            await gate.gone.wait()
        except (OSError, TimeoutError) as error:
            self._refusals.say(peer, "Handshake", _why(error))
            connection.close()
        finally:
            del self._gates[gate.handler]
            self._peers[peer] -= 1
            self._peers += Counter()  # forgets those at zero

    async def _shake_hands(self, connection: socket.socket, gate: Gate) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        if self._credentials is None:
            transport, _ = await loop.connect_accepted_socket(lambda: gate, connection)
            return transport
        assert self._credentials.loaded is not None
        async with asyncio.timeout(HANDSHAKE_WITHIN_S):
            transport, _ = await loop.connect_accepted_socket(
                lambda: gate,
                connection,
                ssl=self._credentials.loaded.context,
                ssl_handshake_timeout=2 * HANDSHAKE_WITHIN_S,
                ssl_shutdown_timeout=LINGER_S,
            )
            return transport

    # --- requests -----------------------------------------------------------------------------------------------------

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            peer = request.remote or "somebody"
            gate = self._gates.get(request.protocol)
            if gate is not None:
                gate.began()
            try:
                response = await self._answer(request, handler, peer)
            finally:
                if gate is not None:
                    gate.ended()
            if 400 <= response.status < 500 and response.status != 409:
                self._refusals.say(peer, "Request", f"answered with {response.status} {response.reason}")
            if response.status in {400, 408, 413}:
                response.force_close()
            return response

        return guard

    async def _answer(self, request: web.Request, handler: Handler, peer: str) -> web.StreamResponse:
        wait_s = self._asking.take(peer)
        if wait_s:
            answer = {"error": "too many requests: ask less often"}
            return web.json_response(answer, status=429, headers={"Retry-After": str(math.ceil(wait_s))})
        try:
            return await handler(request)
        except (web.RequestPayloadError, ConnectionError):
            return web.json_response({"error": "the body is broken off or not encoded as its head says"}, status=400)

    def _unreadable(self, record: logging.LogRecord) -> bool:
        """Requests that aiohttp cannot read are refusals like others; what else it complains of goes to the log."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        peer = record.args[0] if isinstance(record.args, tuple) and record.args else "somebody"
        self._refusals.say(str(peer), "Request", f"not HTTP: {type(error).__name__}")
        return False


def _why(error: Exception) -> str:
    """Why a handshake failed, in the words of the TLS library, which quotes nothing of what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return f"not finished after {HANDSHAKE_WITHIN_S:g} s"
    return "the peer went away"
