"""Writing PowerProfiles that were measured: when a curve is known, when it says something new, and when its job ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from carbonzeus_operator import kube
from carbonzeus_operator.errors import CarbonzeusError
from carbonzeus_operator.learning import profiles
from carbonzeus_operator.learning.study import Study
from carbonzeus_operator.resources.profile import POWER_PROFILE, PowerProfileSpec, PowerProfileStatus, ProfileSource
from carbonzeus_operator.run import Run
from carbonzeus_operator.world.objects import Key
from carbonzeus_operator.world.picture import Picture, Profile, ours

log = logging.getLogger(__name__)

OFTEN = timedelta(hours=1)
"""A profile whose points are no news is written no more often, while its job runs."""


@dataclass(frozen=True, slots=True)
class ProfileWriter:
    """Writes what runs have learned. A failure is logged and made good in a later round."""

    connection: kube.Kube
    picture: Picture

    async def write(self, runs: Iterable[Run], now: datetime, retention: timedelta) -> None:
        """Writes what is new, and deletes what nobody has taught for `retention`."""
        in_use = set()
        for run in runs:
            study = run.study
            if study is None or study.windows == 0 or run.closed:
                continue
            in_use.add(Key(study.subject.namespace, study.subject.profile))
            try:
                await self._keep(run, study, now)
            except CarbonzeusError as error:
                log.info("PowerProfile %s was not written this time: %s", study.subject.profile, error)
        for profile in tuple(self.picture.profiles.objects.values()):
            if profile.key not in in_use:
                await self._age_out(profile, now, retention)

    async def _keep(self, run: Run, study: Study, now: datetime) -> None:
        spec = profiles.spec_of(study)
        if spec is None:
            return
        key = Key(study.subject.namespace, study.subject.profile)
        kept = self.picture.profiles.objects.get(key)
        if kept is None:
            kept = await self._create(key, spec)
        elif not isinstance(kept.spec, PowerProfileSpec) or kept.spec.source is not ProfileSource.MEASURED:
            return  # its owner has the last word
        status = kept.status if isinstance(kept.status, PowerProfileStatus) else PowerProfileStatus()
        ended = run.job.finished_at is not None and run.all_in
        if not self._is_due(run, study, spec, kept, status, now, ended=ended) or not profiles.knows_more(study, status):
            return
        if spec != kept.spec:
            kept = await self._replace({**kept.raw, "spec": spec.as_json()}, None) or kept
        told = profiles.status_of(study, status, study.until or now)
        if await self._replace({**kept.raw, "status": told.as_json()}, "status") is not None:
            run.kept = (study, ended)

    def _is_due(
        self,
        run: Run,
        study: Study,
        spec: PowerProfileSpec,
        kept: Profile,
        status: PowerProfileStatus,
        now: datetime,
        *,
        ended: bool,
    ) -> bool:
        if run.kept is not None and run.kept[0] is study and run.kept[1] == ended:
            return False
        if not isinstance(kept.spec, PowerProfileSpec):
            return False
        if status.last_run_time is None or ended:
            return status.last_run_time is None or study.until is None or status.last_run_time < study.until
        often = OFTEN / study.timelapse
        return profiles.is_news(spec, kept.spec) or now - status.last_run_time >= often

    async def _create(self, key: Key, spec: PowerProfileSpec) -> Profile:
        body = {"metadata": {"name": key.name, "namespace": key.namespace}, "spec": spec.as_json()}
        written = await self.connection.create(kube.POWERPROFILE, body, key.namespace)
        self.picture.observe(kube.POWERPROFILE, "ADDED", written)
        log.info("PowerProfile %s: a curve was learned", key)
        return ours(POWER_PROFILE, written)

    async def _replace(self, body: dict[str, Any], subresource: str | None) -> Profile | None:
        written = await self.connection.replace(kube.POWERPROFILE, body, subresource=subresource)
        if written is None:
            return None
        self.picture.observe(kube.POWERPROFILE, "MODIFIED", written)
        return ours(POWER_PROFILE, written)

    async def _age_out(self, profile: Profile, now: datetime, retention: timedelta) -> None:
        if not isinstance(profile.spec, PowerProfileSpec) or not isinstance(profile.status, PowerProfileStatus):
            return
        if not profiles.is_expired(profile.spec, profile.status, retention, now):
            return
        try:
            await self.connection.delete(kube.POWERPROFILE, profile.key.name, profile.key.namespace)
        except CarbonzeusError as error:
            log.info("PowerProfile %s was not deleted this time: %s", profile.key, error)
            return
        self.picture.observe(kube.POWERPROFILE, "DELETED", profile.raw)
        log.info("PowerProfile %s was not taught for %s: deleted", profile.key, retention)
