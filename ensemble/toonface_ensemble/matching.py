"""Who the probes are: one search for all requests of a batch, and each request's own decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ToonfaceError
from toonface_contract.names import UNKNOWN_LABEL
from toonface_contract.options import Group, RecognitionOptions


class Matches(Protocol):
    """What a gallery answers for N probes: the K nearest faces of each, the most similar first.

    Where an index finds fewer than K, the rest of the row has id -1, label "" and score 0.
    """

    @property
    def ids(self) -> NDArray[np.int64]:
        """INT64 [N,K], the faces' ids."""

    @property
    def scores(self) -> NDArray[np.float32]:
        """FP32 [N,K], cosine similarities, -1 to 1."""

    @property
    def labels(self) -> list[list[str]]:
        """[N][K], the faces' labels."""


class Search(Protocol):
    """Looks probes up in a gallery. A failure is returned, not raised."""

    def __call__(
        self, gallery: str, embeddings: NDArray[np.float32], topk: int, group: Group
    ) -> Matches | ToonfaceError:
        """The `topk` nearest faces of each row of `embeddings` FP32 [N,D], of unit length; N may be 0.

        With `group` "label" they are of different labels.
        """


@dataclass(frozen=True, slots=True)
class Probes:
    """The faces of one request, N of them, perhaps none.

    Attributes:
        embeddings: FP32 [N,D], of unit length.
        options: `gallery`, `topk`, `group` and `rec_threshold` count here.
    """

    embeddings: NDArray[np.float32]
    options: RecognitionOptions


class Identities(TypedDict):
    """Who the N faces of one request are, with K = the lesser of `topk` and the gallery's faces or labels.

    A dictionary, because these are the output tensors of `gallery_search`.

    Attributes:
        label: str [N,1], the decision: the nearest face's label, or "Unknown".
        labels: str [N,K], the ranked labels.
        scores: FP32 [N,K], cosine similarities.
        ids: INT64 [N,K].
    """

    label: NDArray[np.object_]
    labels: NDArray[np.object_]
    scores: NDArray[np.float32]
    ids: NDArray[np.int64]


def identify(requests: Sequence[Probes | ToonfaceError], search: Search) -> list[Identities | ToonfaceError]:
    """Answer several requests with one search for each gallery that they name, in each of the groupings.

    Args:
        requests: in any order, of any galleries. One that has failed before is its own answer.
        search: called once a gallery and grouping, with the rows of all its requests and the largest `topk` among them.

    Returns:
        One answer for each request, in their order. Where a search failed, its error is the answer of every request
        to that gallery, and of no other.
    """
    together: dict[tuple[str, Group], list[tuple[int, Probes]]] = {}
    answers: dict[int, Identities | ToonfaceError] = {}
    for index, request in enumerate(requests):
        if isinstance(request, ToonfaceError):
            answers[index] = request
        else:
            wanted = (request.options.gallery, request.options.group)
            together.setdefault(wanted, []).append((index, request))

    for (gallery, group), members in together.items():
        rows = np.concatenate([probes.embeddings for _, probes in members])
        found = search(gallery, rows, max(probes.options.topk for _, probes in members), group)
        start = 0
        for index, probes in members:
            end = start + len(probes.embeddings)
            if isinstance(found, ToonfaceError):
                answers[index] = found
            else:
                answers[index] = _decide(found, slice(start, end), probes.options)
            start = end
    return [answers[index] for index in range(len(requests))]


def _decide(found: Matches, rows: slice, options: RecognitionOptions) -> Identities:
    ids = found.ids[rows, : options.topk]
    scores = found.scores[rows, : options.topk]
    labels = np.empty(ids.shape, np.object_)
    label = np.full((len(ids), 1), UNKNOWN_LABEL, np.object_)
    for row, ranked in enumerate(found.labels[rows]):
        labels[row] = ranked[: options.topk]
        # As in PaddleX, the first match alone is held against the threshold, in single precision.
        if ids.shape[1] and ids[row, 0] != -1 and scores[row, 0] >= np.float32(options.rec_threshold):
            label[row, 0] = ranked[0]
    return {"label": label, "labels": labels, "scores": scores, "ids": ids}
