"""In which grid zone each pod of a job draws its power. Pure.

A job is planned by one zone's forecast. Its energy is weighed where it is drawn.
"""

from __future__ import annotations

from carbonzeus_operator.errors import InvalidSpec
from carbonzeus_operator.grid import zones
from carbonzeus_operator.resources.ledger import MAX_ZONES
from carbonzeus_operator.terms import terms_of
from carbonzeus_operator.world.snapshot import JobView, Rules, Snapshot


def pod_zones(view: JobView, snapshot: Snapshot, rules: Rules) -> dict[str, str]:
    """By pod UID, as in `JobPod.zone`; pods of which it is not known now are left out.

    A policy that names a zone names it for all of them: then each is in the job's.
    """
    try:
        terms = terms_of(view, snapshot)
    except InvalidSpec:
        return {}
    if terms is None:
        return {}
    if terms.policy.zone is not None:
        return dict.fromkeys((pod.uid for pod in view.pods), "")
    found: dict[str, str] = {}
    for pod in view.pods:
        node = snapshot.nodes.get(pod.node or "")
        zone = zones.zone_of(node.region, rules.zones) if node is not None and node.region is not None else None
        if zone is not None:
            found[pod.uid] = zone
    known = sorted(set(found.values()))[:MAX_ZONES]
    return {uid: zone if zone in known else "" for uid, zone in found.items()}
