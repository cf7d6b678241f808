"""Figures of the live galleries for monitoring, as plain values. Whoever publishes them asks for them now and then."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from numpy.typing import NDArray

from toonface_contract.names import STAGING_MARK, UNKNOWN_LABEL

# Seconds, from a small exact index to a large one under load.
LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

# Observations that are kept until they are asked for; beyond that the oldest go. A second of searches is far less.
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what it is, and of which kind."""

    name: str
    description: str
    kind: Literal["gauge", "counter", "histogram"]
    buckets: tuple[float, ...] = ()


FAMILIES: Final = (
    Family("toonface_gallery_faces", "Faces that can be found.", "gauge"),
    Family("toonface_gallery_labels", "Different labels among them.", "gauge"),
    Family("toonface_gallery_index_info", "1, with the type of the index.", "gauge"),
    Family("toonface_gallery_generation", "Change of the store up to which searches take account of it.", "gauge"),
    Family("toonface_gallery_lag_changes", "Changes of the store that searches do not take account of yet.", "gauge"),
    Family("toonface_gallery_lag_seconds", "Time since the store was last looked at.", "gauge"),
    Family("toonface_gallery_rebuilds_total", "Indices built anew since the start.", "counter"),
    Family("toonface_gallery_searches_total", "Faces that were searched for.", "counter"),
    Family("toonface_gallery_unknown_total", "Faces among them that were not named.", "counter"),
    Family(
        "toonface_gallery_search_seconds",
        "Time of one search of the index, for all faces of a batch.",
        "histogram",
        LATENCY_BUCKETS,
    ),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a metric says of one gallery, or of all where `gallery` is empty.

    Attributes:
        family: the metric's name.
        gallery: a gallery's name, or "".
        index: the type of its index, of the metric that is there to tell it; else "".
        value: of a gauge or, since the start, of a counter.
        observed: of a histogram, what was observed since the last time.
    """

    family: str
    gallery: str = ""
    value: float = 0
    index: str = ""
    observed: tuple[float, ...] = ()


class Status(Protocol):
    """One loaded gallery, as `live.GalleryStatus` has it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def faces(self) -> int:
        """Faces in it."""

    @property
    def labels(self) -> int:
        """Different labels among them."""

    @property
    def index(self) -> str:
        """Its index type."""

    @property
    def sequence(self) -> int:
        """The store's change up to which it is what the store holds."""

    @property
    def rebuilds(self) -> int:
        """How often its index was built anew since the start."""


class Galleries(Protocol):
    """What is watched, as `live.LiveGalleries` has it."""

    def status(self) -> Sequence[Status]:
        """The loaded galleries."""

    @property
    def store_sequence(self) -> int:
        """Number of the last change in the store, as of the last look at it."""

    @property
    def lag_seconds(self) -> float:
        """How long ago the store was looked at."""


class GalleryMetrics:
    """Counts searches, and tells the figures of galleries. Safe to use from several threads.

    Galleries that are made aside are left out: their names would only ever come and go.
    """

    def __init__(self, galleries: Galleries) -> None:
        """Watch these galleries."""
        self._galleries = galleries
        self._lock = threading.Lock()
        self._searches: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._seconds: dict[str, list[float]] = {}

    @contextmanager
    def timing(self, gallery: str) -> Iterator[None]:
        """Times a search, one that fails too."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begin
            with self._lock:
                observed = self._seconds.setdefault(gallery, [])
                observed.append(seconds)
                del observed[:-_KEPT]

    def answered(self, gallery: str, label: NDArray[Any]) -> None:
        """Counts the decisions of a request, str [N,1]."""
        with self._lock:
            self._searches[gallery] += label.size
            self._unknown[gallery] += int((label == UNKNOWN_LABEL).sum())

    def samples(self) -> list[Sample]:
        """All figures as they are now."""
        found = [Sample("toonface_gallery_lag_seconds", value=self._galleries.lag_seconds)]
        newest = self._galleries.store_sequence
        loaded = [each for each in self._galleries.status() if STAGING_MARK not in each.name]
        with self._lock:
            for each in loaded:
                found += [
                    Sample("toonface_gallery_faces", each.name, each.faces),
                    Sample("toonface_gallery_labels", each.name, each.labels),
                    Sample("toonface_gallery_index_info", each.name, 1, index=each.index),
                    Sample("toonface_gallery_generation", each.name, each.sequence),
                    Sample("toonface_gallery_lag_changes", each.name, max(0, newest - each.sequence)),
                    Sample("toonface_gallery_rebuilds_total", each.name, each.rebuilds),
                    Sample("toonface_gallery_searches_total", each.name, self._searches[each.name]),
                    Sample("toonface_gallery_unknown_total", each.name, self._unknown[each.name]),
                    Sample(
                        "toonface_gallery_search_seconds", each.name, observed=tuple(self._seconds.pop(each.name, ()))
                    ),
                ]
            self._forget_all_but({each.name for each in loaded})
        return found

    def _forget_all_but(self, names: set[str]) -> None:
        """Galleries that are gone, and names that never were one, take no memory."""
        for counts in (self._searches, self._unknown, self._seconds):
            for name in set(counts) - names:
                del counts[name]
