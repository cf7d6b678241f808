"""The checks that every embedding passes: before it is enrolled, and whenever the store is verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import InvalidRequest

# Norm below which a vector has no direction; paddle.nn.functional.normalize and torch's take the same bound as epsilon.
_ZERO_NORM: Final = 1e-12

# How far from 1 the norm of a stored vector may be: it was scaled in double precision and then rounded to single.
_NORM_TOLERANCE: Final = 1e-4


def unit_rows(embeddings: NDArray[np.float32], rows: int, dimension: int) -> NDArray[np.float32]:
    """The embeddings with each row scaled to unit length.

    A served embedder gives unit length already, to about 1e-7; in half precision to 1e-3. Scaling makes it exact, so
    that inner products are cosines whoever made the embeddings.

    Args:
        embeddings: what a client sent.
        rows: N, the faces that it named.
        dimension: D, the length of the embedder's vectors.

    Returns:
        FP32 [N,D].

    Raises:
        InvalidRequest: `invalid_embedding`, the array is not FP32 [N,D], or a row holds NaN or infinity, or is zero.
    """
    if embeddings.dtype != np.float32 or embeddings.shape != (rows, dimension):
        raise _invalid(
            f"the embeddings are {embeddings.dtype} {list(embeddings.shape)}; for {rows} faces they must be "
            f"float32 [{rows}, {dimension}]"
        )
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise _invalid(f"embedding {np.argmin(finite)} (from 0) holds NaN or infinity; all its values must be finite")
    norms: NDArray[np.float64] = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    if (norms < _ZERO_NORM).any():
        raise _invalid(f"embedding {np.argmin(norms)} (from 0) is zero; it must have a direction")
    unit: NDArray[np.float32] = (embeddings / norms).astype(np.float32)
    return unit


def flaws(stored: Sequence[tuple[int, bytes]], dimension: int) -> Iterator[tuple[int, str]]:
    """The ids of those of the stored embeddings that no gallery of this dimension may hold, and why."""
    for face, data in stored:
        if len(data) != 4 * dimension:
            yield face, f"its embedding has {len(data)} bytes; {4 * dimension} are right"
    whole = [(face, data) for face, data in stored if len(data) == 4 * dimension]
    vectors = np.frombuffer(b"".join(data for _, data in whole), "<f4").reshape(len(whole), dimension)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    for row in np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE)):  # a NaN is not close to 1 either
        yield whole[row][0], f"its embedding has the norm {norms[row]:.6g}; 1 is right"


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(f"{message}; no face was enrolled", code="invalid_embedding")
