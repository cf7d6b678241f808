"""Figures of a stage on Triton's metrics port. Runs inside Triton's python stub, as `stage` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import triton_python_backend_utils as pb_utils

from toonface_server.repeated import Repeated

_Key: TypeAlias = tuple[str, str, str]

# Each figure is a message to tritonserver, which searches shall not wait for: they are sent aside, this often.
_SECONDS: Final = 1.0


class Family(Protocol):
    """A metric, as `toonface_gallery.metrics.Family` has it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def description(self) -> str:
        """What it is."""

    @property
    def kind(self) -> str:
        """`gauge`, `counter` or `histogram`."""

    @property
    def buckets(self) -> tuple[float, ...]:
        """Upper bounds of a histogram's buckets."""


class Sample(Protocol):
    """A metric of one gallery, as `toonface_gallery.metrics.Sample` has it."""

    @property
    def family(self) -> str:
        """The metric's name."""

    @property
    def gallery(self) -> str:
        """The gallery, or ""."""

    @property
    def index(self) -> str:
        """The type of its index, or ""."""

    @property
    def value(self) -> float:
        """Of a gauge, or of a counter since the start."""

    @property
    def observed(self) -> tuple[float, ...]:
        """What a histogram observed since the last time."""


class Publisher:
    """Publishes a stage's figures once a second, in a thread of its own, until it is closed."""

    def __init__(self, families: Sequence[Family], samples: Callable[[], Sequence[Sample]]) -> None:
        """Make the metrics and begin.

        Args:
            families: all metrics there may be.
            samples: tells the figures.
        """
        self._families = {family.name: family for family in families}
        self._published = {family.name: _made(family) for family in families}
        self._samples = samples
        self._metrics: dict[_Key, Any] = {}
        self._counted: dict[_Key, float] = {}
        self._repeated = Repeated(self._publish, _SECONDS, "the metrics of the galleries cannot be published")

    def close(self) -> None:
        """Publish no more."""
        self._repeated.close()
        self._metrics.clear()
        self._published.clear()

    def _publish(self) -> None:
        samples = self._samples()
        there = {_key(sample) for sample in samples}
        for key in set(self._metrics) - there:
            # The python backend holds every metric as long as its family, so it cannot be taken back, only set to 0.
            if self._families[key[0]].kind == "gauge":
                self._metrics[key].set(0)
            self._counted.pop(key, None)
        for sample in samples:
            key = _key(sample)
            if key not in self._metrics:
                self._metrics[key] = self._metric(sample)
            self._set(key, sample)

    def _metric(self, sample: Sample) -> Any:
        family = self._families[sample.family]
        labels = {name: value for name, value in (("gallery", sample.gallery), ("index", sample.index)) if value}
        buckets = {"buckets": list(family.buckets)} if family.buckets else {}
        return self._published[sample.family].Metric(labels=labels, **buckets)

    def _set(self, key: _Key, sample: Sample) -> None:
        metric, kind = self._metrics[key], self._families[sample.family].kind
        if kind == "gauge":
            metric.set(sample.value)
        elif kind == "counter":
            more = sample.value - self._counted.get(key, 0)
            if more > 0:
                metric.increment(more)
            self._counted[key] = sample.value
        else:
            for value in sample.observed:
                metric.observe(value)


def _key(sample: Sample) -> _Key:
    return sample.family, sample.gallery, sample.index


def _made(family: Family) -> Any:
    kinds = {
        "gauge": pb_utils.MetricFamily.GAUGE,
        "counter": pb_utils.MetricFamily.COUNTER,
        "histogram": pb_utils.MetricFamily.HISTOGRAM,
    }
    return pb_utils.MetricFamily(name=family.name, description=family.description, kind=kinds[family.kind])
