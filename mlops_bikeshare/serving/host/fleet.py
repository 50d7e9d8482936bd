"""The variants behind one endpoint and the choice between them.

Input    variants by name and their weights (>= 0; 0 takes no traffic unless targeted).
Output   the variant that answers next, by smooth weighted round robin: over any stretch of
         requests the shares follow the weights closely, so a 10 % canary is 10 %. Likewise the
         shadow is shown its share of requests; nobody waits for its answers.
Raises   ApiError when the target is unknown or every weight is 0.
"""

import asyncio
from collections.abc import Mapping

from mlops_bikeshare.serving.host.capture import Capture
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.workers import Variant

SHADOW_QUEUE = 8


class Shadow:
    """A variant that is shown a share of the requests, and skipped when it falls behind."""

    def __init__(self, variant: Variant, share: float) -> None:
        self.variant = variant
        self._share = share
        self._credit = 0.0

    def next(self) -> Variant | None:
        """The variant, when it is its turn."""
        self._credit += self._share
        if self._credit < 1:
            return None
        self._credit -= 1
        return self.variant if self.variant.in_flight < SHADOW_QUEUE else None


class Fleet:
    """Running variants with their weights, and what else an endpoint's config asks for."""

    def __init__(
        self,
        variants: Mapping[str, Variant],
        weights: Mapping[str, float],
        *,
        shadow: Shadow | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.variants = dict(variants)
        self.weights = dict(weights)
        self.capture = capture
        self._shadow = shadow
        self._credit = dict.fromkeys(variants, 0.0)

    async def start(self) -> None:
        """Start every variant at once; when one cannot load, stop all and raise its ModelError."""
        outcomes = await asyncio.gather(
            *(variant.start() for variant in self._all()), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            await self.stop()
            raise failures[0]

    def choose(self, target: str | None) -> Variant:
        """The targeted variant, or the next one by weight."""
        if target is not None:
            if target not in self.variants:
                raise ApiError("ValidationError", f"Variant {target} not found for Request")
            return self.variants[target]
        total = sum(self.weights.values())
        if total <= 0:
            raise ApiError("ValidationError", "No variant of the endpoint has a weight above 0")
        for name, weight in self.weights.items():
            self._credit[name] += weight
        chosen = max(self._credit, key=self._credit.__getitem__)
        self._credit[chosen] -= total
        return self.variants[chosen]

    def shown(self) -> Variant | None:
        """The shadow, when it is its turn to see a request too."""
        return self._shadow.next() if self._shadow else None

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """Take over new weights of some variants."""
        self.weights.update(weights)
        self._credit = dict.fromkeys(self.variants, 0.0)

    async def drain(self) -> None:
        """Finish what is in flight, then stop."""
        await asyncio.gather(*(variant.drain() for variant in self._all()))

    async def stop(self) -> None:
        """Stop every variant now."""
        await asyncio.gather(*(variant.stop() for variant in self._all()))

    def _all(self) -> list[Variant]:
        return [*self.variants.values(), *([self._shadow.variant] if self._shadow else [])]
