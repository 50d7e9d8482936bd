"""Endpoints over time: Creating, Updating, InService, RollingBack, Failed, Deleting.

Input    names of endpoints and configs that exist in HostState; archives below the object store.
Output   endpoint documents in HostState; running fleets by endpoint name.
Raises   ApiError as SageMaker would answer.

As in SageMaker, an update is blue/green (the new fleet is ready before it takes traffic, the old
one is drained), and a config whose model cannot be loaded leaves the old config InService with a
FailureReason.
Source   SageMaker API reference, DescribeEndpoint and UpdateEndpoint.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.capture import checked
from mlops_bikeshare.serving.host.faults import invalid, not_found
from mlops_bikeshare.serving.host.fleet import Fleet, Shadow
from mlops_bikeshare.serving.host.names import arn
from mlops_bikeshare.serving.host.objects import ObjectStore
from mlops_bikeshare.serving.host.state import HostState
from mlops_bikeshare.serving.host.workers import Variant

log = logging.getLogger(__name__)


class Lifecycle:
    """Moves endpoints between their states and owns their fleets."""

    def __init__(
        self, state: HostState, *, store: ObjectStore, folder: Path, allow_pickle: bool = False
    ) -> None:
        self.fleets: dict[str, Fleet] = {}
        self._state = state
        self._store = store
        self._folder = folder
        self._allow_pickle = allow_pickle
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, name: str, config: str) -> None:
        """Start an endpoint; it is Creating until its models are loaded."""
        if self._state.get("endpoint", name):
            raise invalid(f'Cannot create already existing endpoint "{arn("endpoint", name)}".')
        self._config(config)
        now = time.time()
        document = {"name": name, "config": config, "weights": {}, "created": now}
        self._save(document, status="Creating")
        self._begin(self._create(document))

    def update(self, name: str, config: str) -> None:
        """Move an endpoint to another config, blue/green."""
        document = self._settled(name)
        self._config(config)
        # `next` is not `config` until the new fleet answers: a crash in between keeps the old one.
        self._save({**document, "next": config}, status="Updating", reason=None)
        self._begin(self._update(document, config))

    def reweigh(self, name: str, weights: Mapping[str, float]) -> None:
        """Change the weights of some variants."""
        document = self._settled(name)
        fleet = self.fleets[name]
        for variant in weights:
            if variant not in fleet.variants:
                raise invalid(f"Variant {variant} does not exist in endpoint {name}")
        fleet.reweigh(weights)
        self._save({**document, "weights": dict(fleet.weights)}, status="InService")

    def delete(self, name: str) -> None:
        """Take an endpoint out of service and forget it."""
        document = self.get(name)
        if document["status"] in ("Creating", "Updating", "RollingBack", "Deleting"):
            raise invalid(f'Cannot update in-progress endpoint "{arn("endpoint", name)}".')
        self._save(document, status="Deleting")
        self._begin(self._delete(name))

    def get(self, name: str) -> dict[str, Any]:
        """The document of an endpoint; ApiError when there is none."""
        document = self._state.get("endpoint", name)
        if document is None:
            raise not_found("endpoint", arn("endpoint", name))
        return document

    async def resume(self) -> None:
        """Bring back every endpoint that a former host served, then return."""
        await asyncio.gather(*(self._resume(doc) for doc in self._state.all("endpoint")))

    async def close(self) -> None:
        """Stop transitions and fleets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(fleet.stop() for fleet in self.fleets.values()))
        self.fleets.clear()

    async def _create(self, document: dict[str, Any]) -> None:
        try:
            fleet = await self._fleet(document["config"], document["weights"])
        except ModelError as error:
            self._save(document, status="Failed", reason=str(error))
            return
        self.fleets[document["name"]] = fleet
        self._save({**document, "weights": fleet.weights}, status="InService", reason=None)

    async def _update(self, document: dict[str, Any], config: str) -> None:
        try:
            fleet = await self._fleet(config, {})
        except ModelError as error:
            self._save(document, status="RollingBack", reason=str(error))
            self._save(document, status="InService", reason=str(error))
            return
        old = self.fleets[document["name"]]
        self.fleets[document["name"]] = fleet
        moved = {**document, "config": config, "weights": fleet.weights}
        self._save(moved, status="InService", reason=None)
        await old.drain()

    async def _delete(self, name: str) -> None:
        fleet = self.fleets.pop(name, None)
        if fleet is not None:
            await fleet.drain()
        self._state.delete("endpoint", name, owner=arn("endpoint", name))

    async def _resume(self, document: dict[str, Any]) -> None:
        status = document["status"]
        document.pop("next", None)
        if status == "Deleting":
            await self._delete(document["name"])
        elif status != "Failed":
            await self._create(document)

    async def _fleet(self, config: str, weights: Mapping[str, float]) -> Fleet:
        """A fleet that answers; ModelError whatever kept it from starting, so that none waits."""
        try:
            return await self._started(config, weights)
        except ModelError:
            raise
        except Exception as error:
            log.exception("config %s could not be started", config)
            msg = f"config {config} could not be started ({type(error).__name__})"
            raise ModelError(f"{msg}; the host's log says more") from error

    async def _started(self, config: str, weights: Mapping[str, float]) -> Fleet:
        document = self._config(config)
        variants = document["ProductionVariants"]
        initial = {variant["VariantName"]: initial_weight(variant) for variant in variants}
        fleet = Fleet(
            {variant["VariantName"]: self._variant(variant, config) for variant in variants},
            {**initial, **weights},
            shadow=self._shadow(document, config),
            capture=checked(document.get("DataCaptureConfig"), self._store),
        )
        await fleet.start()
        return fleet

    def _shadow(self, document: dict[str, Any], config: str) -> Shadow | None:
        for shadow in document.get("ShadowProductionVariants") or ():
            whole = initial_weight(document["ProductionVariants"][0])
            share = min(initial_weight(shadow) / whole, 1.0) if whole else 0.0
            return Shadow(self._variant(shadow, config), share)
        return None

    def _variant(self, variant: dict[str, Any], config: str) -> Variant:
        model = self._state.get("model", variant["ModelName"])
        if model is None:
            raise ModelError(f"model {variant['ModelName']} of config {config} was deleted")
        archive = self._store.archive(model["PrimaryContainer"]["ModelDataUrl"])
        name, trust = variant["VariantName"], self._allow_pickle
        return Variant(name, archive, self._folder, allow_pickle=trust)

    def _settled(self, name: str) -> dict[str, Any]:
        document = self.get(name)
        if document["status"] != "InService":
            raise invalid(
                f'Cannot update endpoint "{arn("endpoint", name)}" in status {document["status"]}.'
            )
        return document

    def _config(self, name: str) -> dict[str, Any]:
        config = self._state.get("endpoint-config", name)
        if config is None:
            raise not_found("endpoint configuration", arn("endpoint-config", name))
        return config

    def _save(self, document: dict[str, Any], *, status: str, reason: str | None = None) -> None:
        self._state.put(
            "endpoint",
            document["name"],
            {**document, "status": status, "reason": reason, "updated": time.time()},
        )

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def initial_weight(variant: Mapping[str, Any]) -> float:
    """A variant's weight as its config says."""
    return float(variant.get("InitialVariantWeight", 1.0))
