"""Errors that both the store and the live galleries raise, worded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from toonface_contract.errors import InvalidRequest, NotFound

# Missing ids or labels that an error names.
_NAMED: Final = 10


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


def check_none_missing(gallery: str, missing: Sequence[str], done: str) -> None:
    """Refuse a request that names ids or labels that the gallery does not have; `done` is what was not done with them.

    Raises:
        NotFound: some are missing.
    """
    if missing:
        named = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" * (len(missing) > _NAMED))
        raise NotFound(f"gallery {gallery!r} has no face with {named}; nothing was {done}")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
