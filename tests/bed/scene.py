"""A stage for carbonzeus on a bed: installed for real, with a grid that tests may rewrite while jobs run.

What came of them is in `sight`.

Everything lives in real UTC time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from carbonzeus_bed.api import ApiError, wait_until
from carbonzeus_bed.cluster import Cluster
from carbonzeus_bed.demo.scenario import CHART, RELEASE, documents
from tests.bed.carbon import BEFORE, CARBON_WEIGHT, STEP, Carbon
from tests.bed.manifests import ZONE, Object, policy, profile
from tests.bed.sight import Sight

PATIENCE_S = 60.0
"""For everything that is waited for: far more than it takes."""
AGENT_SETTINGS = {"recordSeconds": 1, "sampleSeconds": 0.1, "enforceSeconds": 0.05}
"""A job's first moments, before the kubelet was asked who holds its GPUs, are nobody's: they must be few in a run of seconds."""


@dataclass(slots=True)
class Scene(Sight):
    """Carbonzeus on a bed, and one namespace in which jobs run. Everything is waited for with a limit, and said if it fails."""

    zones: dict[str, str] = field(default_factory=dict)
    """What the grid's ConfigMap holds, by file name."""

    # carbonzeus itself

    @classmethod
    def set_up(
        cls,
        cluster: Cluster,
        namespace: str,
        *,
        step: timedelta = STEP,
        files: Callable[[Carbon], Mapping[str, str]] = lambda _: {},
        grid: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Scene:
        """Installs the chart, creates the namespace, policies and profiles.

        Policies: `gentle` (3 %) and `weighty` (Eq. 6). Profiles of one and of two GPUs: `a40` and `a40x2`. `settings` are of the
        operator, by their names in the chart's values. The grid's intensity changes after each `step`. More `files` of the grid, there
        before any job is (what was drawn while nothing is known of a zone is settled by quarters of an hour), and more values of the chart's `grid`.
        """
        seconds = int((datetime.now(UTC) - BEFORE).timestamp()) // 16 * 16
        scene = cls(cluster, namespace, Carbon(datetime.fromtimestamp(seconds, UTC), step))
        for name in (RELEASE, namespace):
            cluster.api.create_if_absent("/api/v1/namespaces", {"metadata": {"name": name}})
        scene.show_grid({f"{ZONE}.csv": scene.carbon.csv(), **files(scene.carbon)})
        scene.helm_install(grid=grid, **settings)
        scene.apply(policy("gentle"), policy("weighty", carbonWeight=str(CARBON_WEIGHT)))
        scene.apply(profile("a40"), profile("a40x2", gpus=2))
        return scene

    def helm_install(
        self,
        *more: str,
        agent: Mapping[str, Any] | None = None,
        grid: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """`helm upgrade --install` with the demo's quick settings; returns when operator and agents are ready.

        `settings` of the operator, `agent` and `grid` change some of them, `more` are words for helm.
        """
        (values,) = documents("values.yaml")
        values["operator"]["settings"] |= settings
        values["agent"]["settings"] |= AGENT_SETTINGS | dict(agent or {})
        values["grid"] |= {"file": {"existingConfigMap": "grid"}} | dict(grid or {})
        path = self.cluster.state_dir / "values.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        where = ("--namespace", RELEASE, "--create-namespace", "--values", str(path))
        self.cluster.helm("upgrade", "--install", RELEASE, str(CHART), *where, *more)
        for workload in ("deployment/carbonzeus-operator", "daemonset/carbonzeus-agent"):
            # Agents are replaced one after the other: in between, all pods are ready and some of them old.
            wait = ("--namespace", RELEASE, f"--timeout={PATIENCE_S:.0f}s")
            self.cluster.kubectl("rollout", "status", workload, *wait)
        self.wait(self.ready, "operator and agents are ready")

    def tear_down(self) -> None:
        """Uninstalls the chart and removes what `set_up` and the tests made; only the namespaces may take a little longer."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")
        self.cluster.helm("uninstall", RELEASE, "--namespace", RELEASE, "--wait", "--ignore-not-found")
        self.cluster.kubectl("delete", "crd", "--selector=app.kubernetes.io/name=carbonzeus", "--ignore-not-found")

    def show_grid(self, files: Mapping[str, str]) -> None:
        """Makes these the grid's files; the others stay."""
        self.zones |= files
        body = {"metadata": {"name": "grid"}, "data": self.zones}
        path = f"/api/v1/namespaces/{RELEASE}/configmaps"
        try:
            self.cluster.api.create(path, body)
        except ApiError as error:
            if error.status != 409:
                raise
            self.cluster.api.merge(f"{path}/grid", body)

    # objects

    def apply(self, *objects: Object) -> None:
        """`kubectl apply`, namespaced objects into ours."""
        text = yaml.safe_dump_all(objects, sort_keys=False)
        self.cluster.kubectl("apply", "--namespace", self.namespace, "--filename", "-", stdin=text)

    def submit(self, *jobs: Object, namespace: str | None = None) -> list[Object]:
        """Creates jobs; returns them as the API server first had them."""
        path = f"/apis/kubeflow.org/v1/namespaces/{namespace or self.namespace}/pytorchjobs"
        return [self.cluster.api.create(path, each) for each in jobs]

    # waiting

    def wait(
        self,
        holds: Callable[[], bool],
        what: str,
        *,
        within_s: float = PATIENCE_S,
        found: Callable[[], str] = lambda: "",
    ) -> None:
        """Polls until something holds; AssertionError that says what did not, and what was `found` instead."""
        if not wait_until(holds, within_s):
            raise AssertionError(f"not within {within_s:.0f} s: {what}\n{found()}\n{self.logs()}")

    def wait_limit(self, name: str, holds: Callable[[float], bool], what: str) -> None:
        """Polls until the boards of a job are at such a limit."""

        def there() -> bool:
            held = {stretch.uuid for stretch in self.truth().select(job=self.full(name))}
            limits = self.limits_w()
            return bool(held) and all(holds(limits[uuid]) for uuid in held)

        self.wait(there, f"boards of {name}: {what}")

    def wait_enforced(self, *names: str) -> None:
        """Polls until the reports say that these jobs follow a plan."""

        def enforcing() -> bool:
            reports = self.raw_reports()
            return all(reports.get(name, {}).get("status", {}).get("state") == "Enforcing" for name in names)

        self.wait(enforcing, f"{', '.join(names)} follow a plan: {self.raw_reports().keys()}")

    def wait_closed(self, *names: str, within_s: float = PATIENCE_S) -> None:
        """Polls until the jobs' reports are finished and all of their carbon is final."""

        def closed() -> bool:
            reports = {name: self.report(name) for name in names}
            return all(report is not None and report.closed for report in reports.values())

        def found() -> str:
            return "\n".join(f"{name}: {self.report(name)}" for name in names)

        self.wait(closed, f"reports of {', '.join(names)} are final", within_s=within_s, found=found)
