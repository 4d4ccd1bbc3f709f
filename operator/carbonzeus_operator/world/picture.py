"""The whole picture of the cluster: a store a kind, fed by the watches and set right by lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from carbonzeus_operator import kube
from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.resources.policy import CARBON_POLICY, CarbonPolicySpec, CarbonPolicyStatus
from carbonzeus_operator.resources.profile import POWER_PROFILE, PowerProfileSpec, PowerProfileStatus
from carbonzeus_operator.resources.report import CARBON_REPORT, CarbonReportSpec, CarbonReportStatus
from carbonzeus_operator.resources.resource import Resource
from carbonzeus_operator.world.cache import Store
from carbonzeus_operator.world.objects import (
    JOB_NAME_LABEL,
    Job,
    Key,
    Namespace,
    Node,
    Pod,
    job_from_raw,
    key_of,
    namespace_from_raw,
    node_from_raw,
    pod_from_raw,
)

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")


@dataclass(frozen=True, slots=True)
class Ours(Generic[SpecT, StatusT]):
    """An object of one of our kinds. Two are equal when their specs are: what we write into a status is no news."""

    key: Key
    uid: str
    generation: int
    spec: SpecT | InvalidSpec
    status: StatusT | InvalidSpec = field(compare=False)
    raw: Mapping[str, Any] = field(compare=False)


Policy = Ours[CarbonPolicySpec, CarbonPolicyStatus]
Profile = Ours[PowerProfileSpec, PowerProfileStatus]
Report = Ours[CarbonReportSpec, CarbonReportStatus]


def ours(resource: Resource[Any, Any], raw: Mapping[str, Any]) -> Ours[Any, Any]:
    """An object of one of our kinds; what cannot be read stands there as the error that says why."""
    meta = raw.get("metadata") or {}
    spec: object
    status: object
    try:
        spec = resource.read_spec(raw)
    except InvalidSpec as error:
        spec = error
    try:
        status = resource.read_status(raw)
    except InvalidSpec as error:
        status = error
    return Ours(key_of(raw), str(meta.get("uid", "")), int(meta.get("generation") or 0), spec, status, raw)


def _policy(raw: Mapping[str, Any]) -> Policy:
    return ours(CARBON_POLICY, raw)


def _profile(raw: Mapping[str, Any]) -> Profile:
    return ours(POWER_PROFILE, raw)


def _report(raw: Mapping[str, Any]) -> Report:
    return ours(CARBON_REPORT, raw)


@dataclass(slots=True)
class Picture:
    """What the cluster looks like now, as far as we know."""

    jobs: Store[Job] = field(default_factory=lambda: Store(job_from_raw))
    pods: Store[Pod] = field(default_factory=lambda: Store(pod_from_raw))
    namespaces: Store[Namespace] = field(default_factory=lambda: Store(namespace_from_raw))
    nodes: Store[Node] = field(default_factory=lambda: Store(node_from_raw))
    policies: Store[Policy] = field(default_factory=lambda: Store(_policy))
    profiles: Store[Profile] = field(default_factory=lambda: Store(_profile))
    reports: Store[Report] = field(default_factory=lambda: Store(_report))
    unwatched: set[kube.Kind] = field(default_factory=set)
    """Kinds that were absent when they were listed, and whose watch was not heard since.

    A watch may fail to begin when the CRD of its kind is installed: the API server announces a new group some time after
    its CRD. So these are listed again and again, until their watch is heard.
    """

    def observe(self, kind: kube.Kind, event: str | None, raw: Mapping[str, Any]) -> bool:
        """Takes a watch event. True if it is news."""
        self.unwatched.discard(kind)
        store = self._stores().get(kind)
        return store is not None and store.observe(event, raw)

    async def relist(self, connection: kube.Kube, kinds: Iterable[kube.Kind] | None = None) -> bool:
        """Sets the picture right by a full list of every kind, or of these. True if anything was wrong.

        A kind whose CRD is absent counts as empty: it is picked up when it appears.
        """
        wrong = False
        stores = self._stores()
        for kind in list(stores if kinds is None else kinds):
            store = stores[kind]
            listing = await connection.list(kind, selector=JOB_NAME_LABEL if kind == kube.POD else None)
            if listing is None:
                self.unwatched.add(kind)
                wrong |= bool(store.replace((), version=2**63))
            else:
                wrong |= bool(store.replace(listing.items, listing.resource_version))
        return wrong

    @property
    def synced(self) -> bool:
        """Whether every kind was listed once: before that, absence means nothing."""
        return all(store.synced for store in self._stores().values())

    def _stores(self) -> dict[kube.Kind, Store[Any]]:
        return {
            kube.PYTORCHJOB: self.jobs,
            kube.POD: self.pods,
            kube.NAMESPACE: self.namespaces,
            kube.NODE: self.nodes,
            kube.CARBONPOLICY: self.policies,
            kube.POWERPROFILE: self.profiles,
            kube.CARBONREPORT: self.reports,
        }
