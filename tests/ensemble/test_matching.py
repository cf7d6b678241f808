"""The decision who a probe is, and the sharing of one search by several requests."""

from dataclasses import dataclass

import numpy as np

from toonface_contract.errors import InvalidRequest, NotFound, ToonfaceError
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.matching import Identities, Probes, identify

AXES = np.eye(4, dtype=np.float32)


@dataclass(frozen=True)
class Found:
    ids: np.ndarray
    scores: np.ndarray
    labels: list[list[str]]


class SmallGalleries:
    """Exact search over a few vectors; `padded` answers as an index does that finds too few."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.faces = {
            "sea": (np.array([10, 11, 12]), ["ariel", "nemo", "dory"], AXES[:3]),
            "sky": (np.array([20]), ["tinker bell"], AXES[3:]),
            "empty": (np.zeros(0, int), [], AXES[:0]),
        }

    def search(self, gallery: str, embeddings: np.ndarray, topk: int, group: str) -> Found | ToonfaceError:
        self.asked.append((gallery, len(embeddings), topk))
        if gallery == "padded":
            rows = len(embeddings)
            return Found(np.full((rows, 2), -1), np.zeros((rows, 2), np.float32), [["", ""]] * rows)
        if gallery not in self.faces:
            return NotFound(f"gallery {gallery!r} does not exist", code="gallery_not_found")
        ids, labels, vectors = self.faces[gallery]
        scores = embeddings @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :topk]
        return Found(ids[order], np.take_along_axis(scores, order, 1), [[labels[i] for i in row] for row in order])


def probes(*rows, **options) -> Probes:
    embeddings = np.array(rows, np.float32).reshape(-1, 4)
    return Probes(embeddings, RecognitionOptions(**{"gallery": "sea", **options}))


def identify_one(*rows, **options) -> Identities:
    (answer,) = identify([probes(*rows, **options)], SmallGalleries().search)
    assert not isinstance(answer, ToonfaceError)
    return answer


def test_ranked_names_and_the_decision():
    found = identify_one([0.1, 0.9, 0.3, 0], [0.7, 0, 0.6, 0])
    assert found["label"].ravel().tolist() == ["nemo", "ariel"]
    assert found["labels"].tolist() == [["nemo", "dory", "ariel"], ["ariel", "dory", "nemo"]]
    assert found["ids"].tolist() == [[11, 12, 10], [10, 12, 11]]
    np.testing.assert_array_equal(found["scores"], np.array([[0.9, 0.3, 0.1], [0.7, 0.6, 0]], np.float32))


def test_below_the_threshold_a_face_is_unknown_and_its_scores_still_reported():
    found = identify_one([0.3, 0.2, 0, 0], rec_threshold=0.5, topk=1)
    assert found["label"].ravel().tolist() == ["Unknown"]
    assert found["labels"].tolist() == [["ariel"]] and found["scores"].tolist() == [[np.float32(0.3)]]


def test_the_threshold_itself_is_enough():
    """0.7 in single precision is less than 0.7 in double precision."""
    assert identify_one([0.7, 0, 0, 0], rec_threshold=0.7)["label"].ravel().tolist() == ["ariel"]


def test_an_empty_gallery_knows_nobody():
    found = identify_one([1, 0, 0, 0], [0, 1, 0, 0], gallery="empty", rec_threshold=0.0)
    assert found["label"].ravel().tolist() == ["Unknown", "Unknown"]
    assert found["labels"].shape == found["scores"].shape == found["ids"].shape == (2, 0)


def test_padding_is_nobody_even_without_a_threshold():
    assert identify_one([1, 0, 0, 0], gallery="padded", rec_threshold=0.0)["label"].ravel().tolist() == ["Unknown"]


def test_a_request_without_faces_gets_empty_answers_of_the_right_shape():
    found = identify_one(topk=2)
    assert found["label"].shape == (0, 1) and found["labels"].shape == found["ids"].shape == (0, 2)
    assert found["scores"].dtype == np.float32


def test_requests_to_one_gallery_share_one_search_and_nothing_else():
    galleries = SmallGalleries()
    requests = [
        probes([1, 0, 0, 0], topk=1),
        probes([0, 0, 0, 1], gallery="sky"),
        probes(topk=2),
        probes([0, 0.5, 0, 0], [0, 0, 0.6, 0], topk=2, rec_threshold=0.55),
    ]
    answers = identify(requests, galleries.search)
    assert galleries.asked == [("sea", 3, 2), ("sky", 1, 5)]
    assert [answer["label"].ravel().tolist() for answer in answers] == [
        ["ariel"],
        ["tinker bell"],
        [],
        ["Unknown", "dory"],
    ]
    assert [answer["labels"].shape for answer in answers] == [(1, 1), (1, 1), (0, 2), (2, 2)]


def test_each_request_is_answered_as_if_it_were_alone():
    random = np.random.default_rng(3)
    requests = [
        probes(*random.normal(size=(random.integers(0, 4), 4)), topk=int(random.integers(1, 5)), gallery=gallery)
        for gallery in random.choice(["sea", "sky"], 20)
    ]
    for request, together in zip(requests, identify(requests, SmallGalleries().search), strict=True):
        (alone,) = identify([request], SmallGalleries().search)
        np.testing.assert_array_equal(together["ids"], alone["ids"])
        np.testing.assert_allclose(together["scores"], alone["scores"], rtol=1e-6)
        assert (
            together["label"].ravel().tolist() == alone["label"].ravel().tolist()
            and together["labels"].tolist() == alone["labels"].tolist()
        )


def test_a_failing_gallery_fails_its_own_requests_alone():
    requests = [probes([1, 0, 0, 0]), probes([1, 0, 0, 0], gallery="moon"), probes([0, 1, 0, 0])]
    first, failed, last = identify(requests, SmallGalleries().search)
    assert isinstance(failed, NotFound) and failed.code == "gallery_not_found"
    assert first["label"].ravel().tolist() == ["ariel"] and last["label"].ravel().tolist() == ["nemo"]


def test_an_unknown_gallery_is_an_error_even_without_faces():
    (answer,) = identify([probes(gallery="moon")], SmallGalleries().search)
    assert isinstance(answer, NotFound)


def test_a_request_that_failed_before_keeps_its_error_and_its_place():
    refused = InvalidRequest("option topk is 0")
    before, failed, after = identify([probes([1, 0, 0, 0]), refused, probes([0, 1, 0, 0])], SmallGalleries().search)
    assert failed is refused
    assert before["label"].ravel().tolist() == ["ariel"] and after["label"].ravel().tolist() == ["nemo"]


def test_no_requests():
    assert identify([], SmallGalleries().search) == []
