"""Errors that both the store and the live galleries raise, worded once."""

from __future__ import annotations

from collections.abc import Iterable

from toonface_contract.errors import InvalidRequest, NotFound


def gallery_not_found(name: str, existing: Iterable[str]) -> NotFound:
    """No gallery has this name; these are the names of those that exist."""
    names = ", ".join(map(repr, sorted(existing))) or "none"
    return NotFound(
        f"there is no gallery {name!r}; the galleries are: {names}. Make it with the command 'build'",
        code="gallery_not_found",
    )


def embedder_mismatch(name: str, made_by: str, made_dimension: int, embedder: str, dimension: int) -> InvalidRequest:
    """A gallery holds the vectors of one embedder, and those at hand are of another."""
    return InvalidRequest(
        f"gallery {name!r} holds embeddings of the embedder {_short(made_by)} (dimension {made_dimension}), and these "
        f"are of {_short(embedder)} (dimension {dimension}): they cannot be compared. Embed the gallery's pictures "
        f"anew (`toonface gallery re-embed {name}`), or serve the embedder that it was made with",
        code="embedder_mismatch",
    )


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
