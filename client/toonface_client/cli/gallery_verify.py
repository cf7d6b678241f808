"""The command `toonface gallery verify`."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from toonface_client.cli.options import json_option, progress, tables, with_admin_client, write_json
from toonface_client.client import ToonfaceClient
from toonface_client.results import Match
from toonface_contract.admin import MAX_PAGE, FaceInfo, Galleries

# A change is searchable within a second; faces that are not found are looked for once more after this.
_PATIENCE = 2.0
# Matches among which a face must find itself: others may have the very same embedding.
_TOPK = 20
# Problems of one gallery that are named.
_NAMED = 100
# Similarities of the very same embedding, as an index computes them, differ by no more.
_ROUNDING = 1e-5
# How much lower than its own similarity of 1 a face's best match may be in an index that keeps most of each vector.
_TOLERANCE = 0.02
# Those indices. Others, such as PQ64, keep too little of a vector for any bound, unless a second stage has it whole.
_PART = r"(Flat|IVF\d*|HNSW\d*|SQ8|SQfp16|SQbf16)"
_ACCURATE = re.compile(rf"{_PART}(,{_PART})*|.+,(RFlat|Refine\((Flat|SQfp16)\))")


@dataclass(frozen=True, slots=True)
class _Verified:
    """What was found of one gallery."""

    gallery: str
    faces: int
    searched: int
    saved_index: str
    problems: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--searches",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Faces of each gallery to search for, at most; 0 looks at the store alone.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which faces are searched for.")
@json_option
@with_admin_client
def verify(client: ToonfaceClient, names: tuple[str, ...], searches: int, seed: int, as_json: bool) -> None:
    """Check galleries: what is stored, and whether it is found.

    The server looks at every stored embedding of the galleries NAME, or of all, and at the indices that it has saved
    for its next start. Then stored faces are searched for with their own embeddings: each must be found, under its
    label, so a wrong or stale index shows. Ends with 1 when something is wrong.

    \b
    Examples:
      toonface gallery verify
      toonface gallery verify friends --searches 100000
    """
    found = client.gallery_list()
    chosen = names or tuple(each.name for each in found.galleries)
    with progress(shown=not as_json) as bar:
        results = [_verified(client, found, name, searches, seed) for name in bar.track(chosen)]
    if as_json:
        write_json({"galleries": [each.as_dict() for each in results]})
    else:
        table = Table("gallery", "faces stored", "searched for", "saved index", "problems")
        for each in results:
            table.add_row(
                Text(each.gallery),
                str(each.faces),
                str(each.searched),
                Text(each.saved_index),
                str(len(each.problems) or "none"),
            )
        tables().print(table)
    for each in results:
        for problem in each.problems[:_NAMED]:
            click.echo(f"error: gallery {each.gallery!r}: {problem}", err=True)
        if len(each.problems) > _NAMED:
            click.echo(f"error: gallery {each.gallery!r}: and {len(each.problems) - _NAMED:,} more", err=True)
    if any(each.problems for each in results):
        click.get_current_context().exit(1)


def _verified(client: ToonfaceClient, found: Galleries, name: str, searches: int, seed: int) -> _Verified:
    stored = client.verify(name)
    problems = list(stored.problems)
    info = next((each for each in found.galleries if each.name == name), None)
    if info is not None and info.embedder != found.embedder:
        # Not broken, but not searchable either: it waits for its embedder, or to be embedded anew.
        return _Verified(name, stored.faces, 0, stored.saved_index, problems)
    chosen = _sample([face.id for face in client.faces(name)] if searches else [], searches, seed)
    least = lowest_score(None if info is None else info.index_type)
    missing = _not_found(client, name, chosen, least)
    if missing:
        time.sleep(_PATIENCE)
        missing = _not_found(client, name, [face.id for face in missing], least)
    problems += [f"a search for face {face.id} ({face.label!r}) does not find it" for face in missing]
    return _Verified(name, stored.faces, len(chosen), stored.saved_index, problems)


def lowest_score(index_type: str | None) -> float:
    """What a face's similarity to itself must be at least in an index of this type; None is the server's choice."""
    accurate = index_type is None or _ACCURATE.fullmatch(index_type.partition(";")[0])
    return 1 - _TOLERANCE if accurate else -np.inf


def _sample(ids: list[int], size: int, seed: int) -> list[int]:
    chosen: NDArray[np.int64] = np.random.default_rng(seed).permutation(np.array(ids, np.int64))[:size]
    return sorted(chosen.tolist())


def _not_found(client: ToonfaceClient, name: str, ids: list[int], least: float) -> list[FaceInfo]:
    """Those of the faces, as far as they are still there, that do not find themselves with the least score or more."""
    missing: list[FaceInfo] = []
    for start in range(0, len(ids), MAX_PAGE):
        for page in client.face_pages(name, ids=ids[start : start + MAX_PAGE], embeddings=True):
            if page.embeddings is None or not page.faces:
                continue
            found = client.search(name, page.embeddings, topk=_TOPK)
            missing += [
                face for face, matches in zip(page.faces, found, strict=True) if not is_found(face, matches, least)
            ]
    return missing


def is_found(face: FaceInfo, matches: Sequence[Match], least: float) -> bool:
    """Whether a search for a face's own embedding finds it under its label, as far as can be told.

    Where as many faces as are asked for are all equally near, it may be one more of them.

    Args:
        face: what was searched for.
        matches: the nearest faces, the most similar first; `_TOPK` of them in a gallery of so many.
        least: what its similarity to itself must be at least.
    """
    own = next((match for match in matches if match.id == face.id), None)
    if own is not None:
        return own.label == face.label and own.score >= least
    equally_near = len(matches) == _TOPK and matches[0].score - matches[-1].score <= _ROUNDING
    return equally_near and matches[-1].score >= least
