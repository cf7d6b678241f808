"""Which kind of FAISS index a factory string is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import faiss as typed_faiss

from toonface_gallery.faiss_in_place import FlatIndex, ListIndex
from toonface_gallery.faiss_index import METRICS, FaissIndex
from toonface_gallery.faiss_marked import MarkedIndex
from toonface_gallery.faiss_parts import PartedIndex

# Its type stubs leave out half of it.
faiss: Any = typed_faiss


# Codes in blocks have a part for so many faces, but no more parts than that: two at a million.
_FOR_A_PART: Final = 500_000
_PARTS_MOST: Final = 8


def kind_of(factory: str, dimension: int, metric: str, faces: int = 0) -> Callable[[str, str, int, str], FaissIndex]:
    """Which of the kinds serves a factory string, for so many faces.

    Raises:
        RuntimeError: FAISS does not understand it.
        ValueError: it is understood, but cannot take additions and give cosine similarities; the message says why.
    """
    owner = faiss.index_factory(dimension, factory, METRICS[metric])
    index = faiss.downcast_index(owner)
    if isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    name = type(index).__name__
    if isinstance(index, faiss.IndexLSH):
        raise ValueError(f"{name} answers with Hamming distances")
    parts = min(round(faces / _FOR_A_PART), _PARTS_MOST)
    if isinstance(index, faiss.IndexFastScan) and parts > 1:
        return partial(PartedIndex, parts)
    if isinstance(index, faiss.IndexHNSW | faiss.IndexFastScan | faiss.IndexIVFFastScan):
        return MarkedIndex
    if isinstance(index, faiss.IndexIVF):
        return ListIndex
    if isinstance(index, faiss.IndexFlatCodes):
        return FlatIndex
    raise ValueError(f"{name} is none that takes additions one by one under ids of ours")
