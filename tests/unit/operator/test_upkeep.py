from __future__ import annotations

from typing import Any

from carbonzeus_operator import kube
from carbonzeus_operator.decide import Decisions
from carbonzeus_operator.upkeep import Upkeep
from carbonzeus_operator.world.picture import Picture


def policy(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": {"maxSlowdown": "3%"}}


async def test_objects_may_come_while_statuses_are_written():
    """The watches go on during a write: what comes meanwhile has its turn in the next round."""
    picture = Picture()
    picture.observe(kube.CARBONPOLICY, "ADDED", policy("first"))

    class Connection:
        async def replace(self, *_: Any, **__: Any) -> None:
            picture.observe(kube.CARBONPOLICY, "ADDED", policy("second"))

    await Upkeep(Connection(), picture).write(Decisions(()))  # type: ignore[arg-type]
    assert len(picture.policies.objects) == 2
