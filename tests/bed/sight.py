"""What can be seen of carbonzeus on a bed, and what really happened: reads only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from carbonzeus_bed.agentclient import ask_agent
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.frame import Boards
from carbonzeus_bed.demo.ledger import Report
from carbonzeus_bed.demo.scenario import RELEASE
from carbonzeus_bed.gpus import Write
from carbonzeus_bed.pods import JOB_LABEL
from carbonzeus_bed.truth import Stretch, Truth
from carbonzeus_wire import EnergyPage, EnergyRecord
from tests.bed.carbon import Carbon, equation_6
from tests.bed.manifests import Object

SWITCHED = timedelta(seconds=1)
"""After a planned instant, long before the next, every board has its new limit, however busy this machine is."""
EDGE_MJ = 0.1 * 300 * 1000
"""A board's counter moves ten times a second: so much of what it drew nobody can tell where a stretch begins or ends."""


@dataclass(slots=True)
class Sight:
    """Carbonzeus' pods, the jobs of one namespace, their reports and boards."""

    cluster: Cluster
    namespace: str
    carbon: Carbon

    # carbonzeus itself

    def ready(self) -> bool:
        """Whether every pod of the current release is there and ready."""
        pods = [pod for pod in self.own_pods() if "deletionTimestamp" not in pod["metadata"]]
        wanted = 1 + sum(1 for node in self.cluster.nodes if node.gpus)
        return len(self.own_pods()) == len(pods) == wanted and all(_is_ready(pod) for pod in pods)

    def own_pods(self) -> list[Object]:
        """The pods of operator and agents."""
        found: list[Object] = self.cluster.api.get(f"/api/v1/namespaces/{RELEASE}/pods")["items"]
        return found

    def operator(self) -> str:
        """The name of the operator's pod."""
        return next(name for name in map(_name, self.own_pods()) if name.startswith("carbonzeus-operator"))

    def agent(self, node: str) -> Object:
        """The agent's pod on a node."""
        return next(
            pod
            for pod in self.own_pods()
            if pod["spec"].get("nodeName") == node and _name(pod).startswith("carbonzeus-agent")
        )

    def restarts(self) -> dict[str, int]:
        """How often each container of operator and agents was started again, by pod."""
        return {
            _name(pod): sum(state["restartCount"] for state in pod["status"].get("containerStatuses", []))
            for pod in self.own_pods()
        }

    def logs(self) -> str:
        """The end of the operator's log, for messages of failed tests."""
        return "\n".join(self.cluster.pods(RELEASE).log(self.operator()).splitlines()[-15:])

    # objects

    def job(self, name: str, namespace: str | None = None) -> Object:
        """A PyTorchJob as it is now."""
        path = f"/apis/kubeflow.org/v1/namespaces/{namespace or self.namespace}/pytorchjobs/{name}"
        found: Object = self.cluster.api.get(path)
        return found

    def pods(self, name: str, namespace: str | None = None) -> list[Object]:
        """The pods of a job."""
        query = f"labelSelector={JOB_LABEL}={name}"
        found: list[Object] = self.cluster.api.get(f"/api/v1/namespaces/{namespace or self.namespace}/pods?{query}")[
            "items"
        ]
        return found

    def trains(self, name: str, namespace: str | None = None) -> bool:
        """Whether all pods of a job run."""
        pods = self.pods(name, namespace)
        return bool(pods) and all(pod["status"].get("phase") == "Running" for pod in pods)

    def finished(self, name: str, namespace: str | None = None) -> bool:
        """Whether a job succeeded."""
        conditions = self.job(name, namespace).get("status", {}).get("conditions", [])
        return any(one["type"] == "Succeeded" and one["status"] == "True" for one in conditions)

    def raw_reports(self, namespace: str | None = None) -> dict[str, Object]:
        """All CarbonReports of a namespace by name of the job."""
        path = f"/apis/carbonzeus.dev/v1alpha1/namespaces/{namespace or self.namespace}/carbonreports"
        return {raw["spec"]["jobRef"]["name"]: raw for raw in self.cluster.api.get(path)["items"]}

    def report(self, name: str, namespace: str | None = None) -> Report | None:
        """What the report of a job says."""
        raw = self.raw_reports(namespace).get(name)
        return None if raw is None else Report.parse(raw)

    def conditions(self, name: str) -> dict[str, tuple[str, str, str]]:
        """Status, reason and message of each condition on a job's report, by type."""
        status = self.raw_reports().get(name, {}).get("status", {})
        return {
            one["type"]: (one["status"], one["reason"], one.get("message", "")) for one in status.get("conditions", [])
        }

    def warnings(self, name: str) -> dict[str, str]:
        """The Warning Events on a job: message by reason."""
        events = self.cluster.api.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return {
            event["reason"]: event["message"]
            for event in events
            if event["type"] == "Warning"
            and event["involvedObject"]["kind"] == "PyTorchJob"
            and event["involvedObject"]["name"] == name
        }

    # what happened

    def truth(self) -> Truth:
        """What the emulator says."""
        return Truth.read(self.cluster.state_dir / "truth")

    def limits_w(self) -> dict[str, float]:
        """The limit of every board, by UUID."""
        with Boards(self.cluster) as boards:
            return boards.by_uuid()

    def writes(self, uuids: Iterable[str], start: datetime, end: datetime) -> list[Write]:
        """The calls that would change a limit of these boards, in [start, end), in order of time."""
        with Boards(self.cluster) as boards:
            found = boards.writes()
        low, high = start.timestamp() * 1e9, end.timestamp() * 1e9
        return sorted(
            (write for write in found if write.uuid in set(uuids) and low <= write.at_ns < high),
            key=lambda write: write.at_ns,
        )

    def writes_of(self, name: str) -> list[Write]:
        """The calls that would change the limit of a job's boards while it held them."""
        found = []
        stretches = self.truth().select(job=self.full(name))
        for uuid in sorted({stretch.uuid for stretch in stretches}):
            of_gpu = [stretch for stretch in stretches if stretch.uuid == uuid]
            found += self.writes([uuid], utc(of_gpu[0].start_ns), utc(of_gpu[-1].end_ns))
        return sorted(found, key=lambda write: write.at_ns)

    def unfollowed(
        self, name: str, truth: Truth, start: datetime, end: datetime, *, node: str | None = None
    ) -> list[str]:
        """Where in [start, end) a board (of a node) of a job under `weighty` lacked the limit of Eq. 6 after the intensity changed."""
        found = []
        stretches = [each for each in truth.select(job=self.full(name)) if node in {None, each.node}]
        for at in self.carbon.boundaries(start, end - SWITCHED):
            wanted_w = equation_6(self.carbon.forecast(at))
            held = [each for each in stretches if _holds(each, at + SWITCHED)]
            found += [
                f"{at:%H:%M:%S}: {each.limit_w:g} W, not {wanted_w:g}" for each in held if each.limit_w != wanted_w
            ]
            found += [] if held else [f"{at:%H:%M:%S}: {name} held no board"]
        return found

    def full(self, name: str) -> str:
        """`namespace/name`, with our namespace where none is said."""
        return name if "/" in name else f"{self.namespace}/{name}"

    def records(self, name: str, namespace: str | None = None) -> list[EnergyRecord]:
        """All records of a job's pods, straight from the agents' ledgers."""
        names = {f"{pod['metadata']['namespace']}/{_name(pod)}" for pod in self.pods(name, namespace)}
        nodes = {pod["spec"]["nodeName"] for pod in self.pods(name, namespace)}
        return [record for node in sorted(nodes) for record in self.ledger(node) if record.pod in names]

    def folded_mj(self, name: str) -> tuple[int, int]:
        """What the report of a job that trains says, and the sum of the records up to where it read each ledger."""
        report = self.raw_reports()[name]["status"]
        names = {f"{self.namespace}/{_name(pod)}" for pod in self.pods(name)}
        total = 0
        for cursor in report["ledger"]["cursors"]:
            records = next(found for node in self._gpu_nodes() if (found := self.ledger(node, cursor["ledgerID"])))
            total += total_mj([one for one in records if one.pod in names and one.seq <= cursor["seq"]])
        return report["realised"]["energyMillijoules"], total

    def _gpu_nodes(self) -> list[str]:
        return [node.name for node in self.cluster.nodes if node.gpus]

    def ledger(self, node: str, ledger: str | None = None) -> list[EnergyRecord]:
        """All records of a node's agent; none where it keeps another ledger than asked for."""
        host = self.agent(node)["status"]["podIP"]
        found: list[EnergyRecord] = []
        while True:
            after = found[-1].seq if found else 0
            page = EnergyPage.model_validate_json(
                ask_agent(self.cluster.api, host, f"/v1/energy?after={after}&limit=2000")
            )
            if ledger not in {None, page.ledger_id}:
                return []
            found += page.records
            if not page.records or page.records[-1].seq >= page.last_seq:
                return found


def held(stretches: Sequence[Stretch]) -> tuple[datetime, datetime]:
    """From when to when boards were held."""
    return utc(min(each.start_ns for each in stretches)), utc(max(each.end_ns for each in stretches))


def total_mj(records: Sequence[EnergyRecord]) -> int:
    """The sum of the records' energy."""
    return sum(record.energy_millijoules for record in records)


def plain(raw: Object) -> str:
    """Metadata and spec of an object as text, without what every write of a status by its own controller changes."""
    metadata = {key: value for key, value in raw["metadata"].items() if key not in {"resourceVersion", "managedFields"}}
    return json.dumps({"metadata": metadata, "spec": raw["spec"]}, sort_keys=True)


def managers(raw: Object) -> set[str]:
    """Who wrote to an object."""
    return {entry["manager"] for entry in raw["metadata"]["managedFields"]}


def _name(raw: Object) -> str:
    return str(raw["metadata"]["name"])


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _holds(stretch: Stretch, at: datetime) -> bool:
    return utc(stretch.start_ns) <= at < utc(stretch.end_ns)


def utc(at_ns: int) -> datetime:
    """A moment of the truth's log."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC)
