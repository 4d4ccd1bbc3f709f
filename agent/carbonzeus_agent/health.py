"""The plain port: /healthz, /readyz and /metrics. It can change nothing."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from carbonzeus_agent.agent import Agent
from carbonzeus_agent.credentials import Credentials
from carbonzeus_agent.outlook import troubles, warnings
from carbonzeus_agent.post import Fault

SILENT_AFTER_S = 30.0
"""An agent whose loops have not come round for so long had better be started anew."""


def health(agent: Agent, credentials: Credentials) -> web.Application:
    """The application of one agent."""
    registry = agent.tally.registry
    registry.register(_Now(agent, credentials))
    ProcessCollector(registry=registry)

    async def healthz(_: web.Request) -> web.Response:
        silent_s = agent.silent_s()
        alive = silent_s < SILENT_AFTER_S + agent.settings.sample_seconds
        return web.json_response({"alive": alive, "silentSeconds": round(silent_s, 1)}, status=200 if alive else 503)

    async def readyz(_: web.Request) -> web.Response:
        reasons = [{"reason": fault.reason, "message": fault.message} for fault in _troubles(agent, credentials)]
        notes = [{"reason": fault.reason, "message": fault.message} for fault in _warnings(agent, credentials)]
        body = {"ready": not reasons, "reasons": reasons, "warnings": notes}
        return web.json_response(body, status=503 if reasons else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _troubles(agent: Agent, credentials: Credentials) -> list[Fault]:
    return troubles(agent) + credentials.troubles()


def _warnings(agent: Agent, credentials: Credentials) -> list[Fault]:
    return warnings(agent) + credentials.warnings()


class _Now(Collector):
    """What the agent sees right now, read when asked."""

    def __init__(self, agent: Agent, credentials: Credentials) -> None:
        self._agent = agent
        self._credentials = credentials

    def describe(self) -> list[Metric]:
        return []  # names are known only when asked; nothing is collected on registering

    def collect(self) -> Iterator[Metric]:
        agent = self._agent
        ready = not _troubles(agent, self._credentials)
        yield GaugeMetricFamily("carbonzeus_agent_ready", "1: the agent can read and enforce.", int(ready))
        if self._credentials.loaded is not None:
            yield GaugeMetricFamily(
                "carbonzeus_agent_certificate_expiry_timestamp_seconds",
                "When the certificate in use is no longer valid.",
                self._credentials.loaded.expires_s,
            )
        yield GaugeMetricFamily(
            "carbonzeus_agent_lease_remaining_seconds", "How long the plans hold unheard.", agent.lease_left_s()
        )
        yield GaugeMetricFamily("carbonzeus_agent_plans", "Plans that stand.", len(agent.standing.plans))
        yield GaugeMetricFamily(
            "carbonzeus_agent_fence_term", "Fencing term of the newest leader.", agent.standing.fence.term
        )
        yield GaugeMetricFamily(
            "carbonzeus_agent_ledger_last_seq", "Number of the newest energy record.", agent.ledger.last_seq
        )
        yield CounterMetricFamily(
            "carbonzeus_agent_ledger_dropped_records",
            "Energy records given up before their time because the ledger had reached its cap.",
            agent.ledger.dropped,
        )
        yield GaugeMetricFamily(
            "carbonzeus_agent_progress_failing", "Pods whose progress is not read.", len(agent.meter.scrape_failures())
        )
        offset_s = agent.clock_offset_s()
        if offset_s is not None:
            yield GaugeMetricFamily(
                "carbonzeus_agent_clock_offset_seconds", "How far this clock is ahead of the operator's.", offset_s
            )
        yield from self._gpus()

    def _gpus(self) -> Iterator[Metric]:
        limit = GaugeMetricFamily("carbonzeus_agent_limit_watts", "Power limit.", labels=["gpu", "product"])
        reference = GaugeMetricFamily("carbonzeus_agent_reference_limit_watts", "Limit before us.", labels=["gpu"])
        power = GaugeMetricFamily("carbonzeus_agent_power_watts", "Power draw.", labels=["gpu"])
        counter = GaugeMetricFamily(
            "carbonzeus_agent_counter_joules",
            "The board's own energy counter: its rise is that of all energy.",
            labels=["gpu"],
        )
        faults = GaugeMetricFamily(
            "carbonzeus_agent_fault",
            "1: the GPU has this fault; the node, where gpu is empty.",
            labels=["gpu", "reason"],
        )
        for fault in _warnings(self._agent, self._credentials):
            faults.add_metric(["", fault.reason], 1)
        for gpu, post in sorted(self._agent.posts.items()):
            if post.limit_w is not None:
                limit.add_metric([gpu, post.board.product], post.limit_w)
            if post.reference_w is not None:
                reference.add_metric([gpu], post.reference_w)
            if post.sample is not None and post.sample.reading.power_w is not None:
                power.add_metric([gpu], post.sample.reading.power_w)
            if post.sample is not None and post.sample.reading.energy_mj is not None:
                counter.add_metric([gpu], post.sample.reading.energy_mj / 1000)
            for fault in post.faults(self._agent.settings.nvml_seconds):
                faults.add_metric([gpu, fault.reason], 1)
        energy = CounterMetricFamily(
            "carbonzeus_agent_energy_joules",
            "Energy in the ledger's records since the start: of pods under a plan, of other pods, of nobody.",
            labels=["gpu", "use"],
        )
        for (gpu, use), energy_mj in sorted(self._agent.meter.energy_mj.items()):
            energy.add_metric([gpu, use.value], energy_mj / 1000)
        yield from (limit, reference, power, counter, faults, energy)
