"""What Prometheus reads at /metrics: invocations and latencies per endpoint and variant.

Input    each acknowledged response: endpoint, variant, status, seconds.
Output   the text exposition format. Counts start at 0 with the host; what must survive it is in the
         metric store.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_OF = ("endpoint", "variant")
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Exposition:
    """Counters and histograms of one host, and what else `more` has to show."""

    def __init__(self, more: Callable[[], bytes] = bytes) -> None:
        self._more = more
        self._registry = CollectorRegistry()
        self._invocations = Counter(
            "bikeshare_invocations",
            "Requests that a model was asked.",
            (*_OF, "status"),
            registry=self._registry,
        )
        self._model = Histogram(
            "bikeshare_model_latency_seconds",
            "Time until the model answered.",
            _OF,
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._overhead = Histogram(
            "bikeshare_overhead_latency_seconds",
            "Time in the host besides the model.",
            _OF,
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def count(
        self, endpoint: str, variant: str, *, status: int, model_s: float, overhead_s: float
    ) -> None:
        """One response."""
        self._invocations.labels(endpoint, variant, str(status)).inc()
        self._model.labels(endpoint, variant).observe(model_s)
        self._overhead.labels(endpoint, variant).observe(overhead_s)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry) + self._more()
