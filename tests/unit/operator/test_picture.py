"""The picture of the cluster where a kind is not installed, or comes late."""

from __future__ import annotations

from typing import Any, cast

from carbonzeus_operator import kube
from carbonzeus_operator.world.objects import Key
from carbonzeus_operator.world.picture import Picture

JOB = {"metadata": {"namespace": "ml", "name": "late", "uid": "u", "resourceVersion": "7"}}


class Lists:
    """An API server that has no objects but these, and knows all kinds but the absent ones."""

    def __init__(self) -> None:
        self.absent = {kube.PYTORCHJOB}
        self.items: dict[kube.Kind, tuple[dict[str, Any], ...]] = {}
        self.asked: list[kube.Kind] = []

    async def list(self, kind: kube.Kind, *, selector: str | None = None) -> kube.Listing | None:
        self.asked.append(kind)
        return None if kind in self.absent else kube.Listing(self.items.get(kind, ()), resource_version=10)


async def relist(picture: Picture, lists: Lists, *, only_unwatched: bool = False) -> bool:
    return await picture.relist(cast("kube.Kube", lists), picture.unwatched if only_unwatched else None)


async def test_an_absent_kind_is_no_error() -> None:
    """There are no jobs of it, that is all."""
    picture, lists = Picture(), Lists()
    await relist(picture, lists)
    assert picture.synced
    assert picture.jobs.objects == {}
    assert picture.unwatched == {kube.PYTORCHJOB}


async def test_a_kind_that_came_late_is_listed_until_its_watch_is_heard() -> None:
    """The watch may never begin: kopf looks for a new kind once, and the API server may announce it later."""
    picture, lists = Picture(), Lists()
    await relist(picture, lists)
    lists.absent.clear()
    lists.items[kube.PYTORCHJOB] = (JOB,)
    lists.asked.clear()
    for _ in range(2):
        await relist(picture, lists, only_unwatched=True)
    assert lists.asked == [kube.PYTORCHJOB, kube.PYTORCHJOB]
    assert set(picture.jobs.objects) == {Key("ml", "late")}
    picture.observe(kube.PYTORCHJOB, "MODIFIED", JOB)
    assert picture.unwatched == set()
