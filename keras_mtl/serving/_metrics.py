"""What Prometheus reads: requests, their times, what batching joined, which versions are there."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._repository import Repository


class Metrics:
    """The counters of one server, for both protocols.

    Args:
        repository: The versions to tell of.
        batcher: The batcher to tell of.
    """

    def __init__(self, repository: Repository, batcher: Batcher) -> None:
        import prometheus_client as prometheus

        self._registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "keras_mtl_requests",
            "Predict requests that were answered, by gRPC's code.",
            ["protocol", "code"],
            registry=self._registry,
        )
        self._seconds = prometheus.Histogram(
            "keras_mtl_request_seconds",
            "From a whole request to its answer.",
            ["protocol"],
            registry=self._registry,
            buckets=[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5],
        )
        self._under_way = prometheus.Gauge(
            "keras_mtl_requests_under_way", "Requests not yet answered.", registry=self._registry
        )
        self._registry.register(_Model(repository, batcher))

    @contextlib.contextmanager
    def observed(self, protocol: str) -> Iterator[None]:
        """Counts a request that is answered inside of the block."""
        start, code = time.perf_counter(), "OK"
        self._under_way.inc()
        try:
            yield
        except ServingError as error:
            code = error.code
            raise
        except BaseException:
            code = "INTERNAL"
            raise
        finally:
            self._under_way.dec()
            self._requests.labels(protocol, code).inc()
            self._seconds.labels(protocol).observe(time.perf_counter() - start)

    def text(self) -> bytes:
        """All of it, in Prometheus's text form."""
        import prometheus_client as prometheus

        return prometheus.generate_latest(self._registry)


class _Model:
    """What others count, read when it is asked for."""

    def __init__(self, repository: Repository, batcher: Batcher) -> None:
        self.repository = repository
        self.batcher = batcher

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core

        yield core.CounterMetricFamily(
            "keras_mtl_joined_requests",
            "Requests that reached the model.",
            value=self.batcher.requests,
        )
        yield core.CounterMetricFamily(
            "keras_mtl_model_calls", "Calls that answered them.", value=self.batcher.calls
        )
        versions = core.GaugeMetricFamily(
            "keras_mtl_model_version",
            "1 for each version and its state.",
            labels=["version", "state"],
        )
        for entry in self.repository.status():
            versions.add_metric([entry["version"], entry["state"]], 1)
        yield versions
