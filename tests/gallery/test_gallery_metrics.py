from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from toonface_gallery.metrics import FAMILIES, GalleryMetrics, Sample


@dataclass(frozen=True)
class Loaded:
    name: str
    faces: int = 3
    labels: int = 2
    index: str = "Flat"
    sequence: int = 7
    rebuilds: int = 1


@dataclass
class Watched:
    loaded: list[Loaded] = field(default_factory=list)
    store_sequence: int = 9
    lag_seconds: float = 0.25

    def status(self) -> list[Loaded]:
        return self.loaded


def of(samples: list[Sample], gallery: str) -> dict[str, float]:
    return {
        sample.family.removeprefix("toonface_gallery_"): sample.value
        for sample in samples
        if sample.gallery == gallery and sample.family != "toonface_gallery_search_seconds"
    }


def labels(*names: str) -> np.ndarray:
    return np.array(names, object).reshape(-1, 1)


def test_every_family_is_told_for_every_gallery() -> None:
    metrics = GalleryMetrics(Watched([Loaded("a"), Loaded("b", faces=0, sequence=9)]))
    samples = metrics.samples()
    assert {sample.family for sample in samples} == {family.name for family in FAMILIES}
    assert of(samples, "") == {"lag_seconds": 0.25}
    assert of(samples, "a") == {
        "faces": 3,
        "labels": 2,
        "index_info": 1,
        "generation": 7,
        "lag_changes": 2,
        "rebuilds_total": 1,
        "searches_total": 0,
        "unknown_total": 0,
    }
    assert of(samples, "b")["lag_changes"] == 0
    assert {sample.index for sample in samples if sample.family.endswith("_info")} == {"Flat"}


def test_searches_are_counted_and_observed_once() -> None:
    metrics = GalleryMetrics(Watched([Loaded("a")]))
    metrics.answered("a", labels("Ada", "Unknown"))
    metrics.answered("a", labels())
    metrics.answered("a", labels("Unknown"))
    with metrics.timing("a"):
        pass
    with pytest.raises(ValueError), metrics.timing("a"):
        raise ValueError
    samples = metrics.samples()
    assert (of(samples, "a")["searches_total"], of(samples, "a")["unknown_total"]) == (3, 2)
    (observed,) = [sample.observed for sample in samples if sample.observed]
    assert len(observed) == 2
    assert all(seconds >= 0 for seconds in observed)
    again = metrics.samples()
    assert of(again, "a")["searches_total"] == 3
    assert not any(sample.observed for sample in again)


def test_what_is_no_gallery_any_more_is_forgotten() -> None:
    watched = Watched([Loaded("a"), Loaded("a.staging-01234567")])
    metrics = GalleryMetrics(watched)
    for name in ("a", "nowhere", "a.staging-01234567"):
        metrics.answered(name, labels("Ada"))
        with metrics.timing(name):
            pass
    assert {sample.gallery for sample in metrics.samples()} == {"", "a"}
    watched.loaded = []
    assert {sample.gallery for sample in metrics.samples()} == {""}
    watched.loaded = [Loaded("a"), Loaded("nowhere")]
    samples = metrics.samples()
    assert of(samples, "a")["searches_total"] == of(samples, "nowhere")["searches_total"] == 0


def test_an_unread_histogram_does_not_grow_for_ever() -> None:
    metrics = GalleryMetrics(Watched([Loaded("a")]))
    for _ in range(10_050):
        with metrics.timing("a"):
            pass
    (observed,) = [sample.observed for sample in metrics.samples() if sample.observed]
    assert len(observed) == 10_000
