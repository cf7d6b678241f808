from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from gallery_helpers import unit_vectors

from toonface_contract.errors import InvalidRequest
from toonface_gallery.calibration import Calibration, calibrate
from toonface_gallery.interchange.portable import PortableFaces, defaults

DIMENSION = 16


def identities(count: int, pictures: int, seed: int = 1, spread: float = 0.15) -> PortableFaces:
    """Some identities with some pictures each, around one random vector for each identity."""
    centres = np.repeat(unit_vectors(count, seed, DIMENSION), pictures, axis=0)
    vectors = centres + spread * np.random.default_rng(seed + 1).standard_normal(centres.shape)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = [f"label {number // pictures}" for number in range(len(unit))]
    _, qualities, created = defaults(len(unit))
    return PortableFaces(labels, [""] * len(unit), unit, np.arange(5, 5 + len(unit)), qualities, created)


def calibrated(faces: PortableFaces, far: float, portion: int = 64, **options: int) -> Calibration:
    def portions() -> Iterator[PortableFaces]:
        for start in range(0, len(faces), portion):
            yield faces.part(start, start + portion)

    return calibrate(portions, len(faces), far, **options)


def brute_force(faces: PortableFaces) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Best similarities to other labels and to the own; similarities of different and of same pairs."""
    scores = faces.embeddings.astype(np.float64) @ faces.embeddings.T.astype(np.float64)
    labels = np.array(faces.labels)
    same = labels[:, None] == labels
    np.fill_diagonal(same, False)
    other = labels[:, None] != labels
    upper = np.triu(np.ones_like(same), 1)
    best_other = np.where(other, scores, -np.inf).max(axis=1)
    best_own = np.where(same, scores, -np.inf).max(axis=1)
    return best_other, best_own, scores[other & upper], scores[same & upper]


@pytest.mark.parametrize("far", [0.3, 0.05, 0.001])
def test_the_thresholds_keep_the_wanted_rate_and_no_lower_one_does(far: float) -> None:
    faces = identities(60, 3)
    found = calibrated(faces, far)
    best_other, best_own, different, same = brute_force(faces)
    assert (found.faces, found.labels, found.known, found.same_pairs) == (180, 60, 180, len(same))
    assert found.searches is not None and found.pairs is not None
    for rate, impostors in ((found.searches, best_other), (found.pairs, different)):
        assert rate.trials == len(impostors)
        assert rate.rate == pytest.approx(np.mean(impostors >= rate.threshold), abs=1e-12)
        assert rate.rate <= far < np.mean(impostors >= rate.threshold - 1.01e-4)
    right = (best_own >= found.searches.threshold) & (best_own > best_other)
    assert found.found == pytest.approx(right.mean())
    assert found.pairs.threshold <= found.searches.threshold  # a search compares with everybody


def test_the_histograms_hold_every_pair_once() -> None:
    faces = identities(20, 2)
    found = calibrated(faces, 0.1, portion=7)
    _, _, different, same = brute_force(faces)
    bins = [0, 5000, 10000, 12500, 15000, 17500, 20000]  # coarse enough for single precision
    for counted, expected in ((found.different, different), (found.same, same)):
        assert counted.sum() == len(expected)
        coarse = [counted[low:high].sum() for low, high in zip(bins, bins[1:], strict=False)]
        assert coarse == np.histogram(expected, found.edges[bins])[0].tolist()
    assert found.strangers.sum() == found.acquaintances.sum() == 40


def test_a_sample_of_a_large_gallery_is_compared_with_all_of_it() -> None:
    faces = identities(300, 3)
    found = calibrated(faces, 0.05, samples=200)
    best_other, *_ = brute_force(faces)
    assert found.searches is not None
    assert (found.faces, found.searches.trials) == (900, 200)
    assert abs(np.mean(best_other >= found.searches.threshold) - 0.05) < 0.05
    assert calibrated(faces, 0.05, samples=200).searches == found.searches  # the seed decides


@pytest.mark.parametrize(("far", "enough"), [(0.1, True), (0.0999, False)])
def test_it_says_when_the_gallery_is_too_small(far: float, enough: bool) -> None:
    found = calibrated(identities(50, 2), far)
    assert found.searches is not None
    assert found.searches.smallest == pytest.approx(0.1)
    assert found.enough is enough


def test_one_label_tells_nothing_of_strangers() -> None:
    found = calibrated(identities(1, 5), 0.01)
    assert (found.searches, found.pairs, found.found, found.enough) == (None, None, None, False)
    assert found.same_pairs == 10


def test_single_pictures_tell_nothing_of_acquaintances() -> None:
    found = calibrated(identities(30, 1), 0.1)
    assert (found.known, found.found, found.same_pairs) == (0, None, 0)


def test_the_same_picture_under_two_names_leaves_no_threshold() -> None:
    faces = identities(2, 1)
    faces.embeddings[1] = faces.embeddings[0]
    found = calibrated(faces, 0.01)
    assert found.searches is not None
    assert found.searches.threshold >= 0.9999


@pytest.mark.parametrize(
    ("far", "faces", "samples", "reason"),
    [(0, 4, 10, "above 0"), (1, 4, 10, "below 1"), (0.1, 4, 1, "at least 2"), (0.1, 1, 10, "two or more")],
)
def test_impossible_wishes_are_refused(far: float, faces: int, samples: int, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        calibrated(identities(faces, 1), far, samples=samples)
