"""The made-up faces of the benchmark of galleries, and the exact answers that recall is held against."""

from __future__ import annotations

import numpy as np

from toonface_benchmarks.gallery_faces import PICTURES_EACH, MadeUpFaces, nearest


def test_the_same_faces_come_each_time_and_people_are_alike_to_themselves() -> None:
    faces, again = MadeUpFaces(4000, 64), MadeUpFaces(4000, 64)
    (chunk,) = faces.chunks()
    vectors = faces.embeddings(chunk)
    assert vectors.tobytes() == again.embeddings(chunk).tobytes()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    labels = np.array(faces.labels(chunk))
    assert set(np.unique(labels, return_counts=True)[1]) == {PICTURES_EACH}
    same = vectors[labels == "person 7"] @ vectors[labels == "person 7"].T
    other = vectors[labels == "person 7"] @ vectors[labels != "person 7"].T
    assert same.mean() > 0.4 > other.mean() + 0.2


def test_the_exact_answers_are_those_of_one_large_product() -> None:
    """Over several chunks, of which the last is short."""
    faces = MadeUpFaces(120_000, 8)
    probes = faces.probes(20)
    everything = np.concatenate([faces.embeddings(chunk) for chunk in faces.chunks()])
    scores = probes @ everything.T
    found = nearest(faces, probes, 5)
    np.testing.assert_allclose(np.take_along_axis(scores, found, 1), -np.sort(-scores, axis=1)[:, :5], atol=1e-6)
