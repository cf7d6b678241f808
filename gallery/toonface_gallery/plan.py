"""Which index a gallery gets: the one that its settings name, or the one that fits its size and the memory."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import faiss

from toonface_contract.admin import IndexSettings
from toonface_contract.errors import InvalidRequest
from toonface_gallery.faiss_index import FaissIndex
from toonface_gallery.faiss_kinds import kind_of
from toonface_gallery.faiss_marked import GpuIndex, gpu_is_there
from toonface_gallery.index import FaceIndex
from toonface_gallery.two_stage import TwoStageIndex, VectorFile

# Up to here every face is looked at, exactly, within a few ms; benchmarks/README.md has the figures.
FLAT_MOST: Final = 25_000

# Lists to search: the product with the number of lists, so that some 20,000 faces are looked at however many there are;
# but no more than this share of the lists. benchmarks/README.md has the recall.
_PROBES_BY_LISTS: Final = 1 << 18
_PROBES_SHARE: Final = 4

# Vectors to learn a centroid from. FAISS recommends 39 at least.
_FOR_A_CENTROID: Final = 39

# Vectors to learn a quantiser from: product quantisers have 256 centroids in each part.
_FOR_A_PRODUCT: Final = 256 * _FOR_A_CENTROID
_FOR_A_RANGE: Final = 1000

# Vectors that codes without lists are learnt from, where there are so many.
_FOR_CODES: Final = 20_000

# Beyond FLAT_MOST, codes of 4 bits for each of so many parts of a vector, which FAISS compares by shuffling registers;
# fewer where there is no memory for these. With fewer parts than the second number they would say too little.
_CODE_PARTS: Final = 64
_CODE_PARTS_LEAST: Final = 16

# Candidates that a graph's search keeps: at least, and times the root of the number of faces. 128 find most at 10,000
# faces, but not at 100,000 (benchmarks/README.md). That it should be the root, as with lists, is a rule of thumb.
_CANDIDATES_LEAST: Final = 128
_CANDIDATES_BY_ROOT: Final = 1.28

# Bytes of one face beside its vector: ids, rows, labels, and the map from ids to lists.
_OVERHEAD: Final = 100

_SECOND_STAGE: Final = {"RFlat": "float32", "Refine(Flat)": "float32", "Refine(SQfp16)": "float16"}

# What FAISS has for GPUs, too.
_ON_GPU: Final = re.compile(r"Flat|IVF\d+,(Flat|SQ\w+|PQ\d+)")

_UNLIMITED: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What index to make.

    Attributes:
        factory: FAISS's factory string, of the first stage if there are two.
        parameters: of searches, as FAISS takes them.
        exact: `float16` or `float32` for a second stage with vectors so kept; empty for none.
        sample: faces to learn from; 0 when there is nothing to learn.
        faces: in the gallery when this was chosen, and learnt.
        reason: why this one, in a sentence.
    """

    factory: str
    parameters: str
    exact: str
    sample: int
    faces: int
    reason: str

    @property
    def name(self) -> str:
        """The plan as an index type that settings can name."""
        stages = self.factory
        if self.exact:
            stages += next(f",{suffix}" for suffix, dtype in _SECOND_STAGE.items() if dtype == self.exact)
        return f"{stages};{self.parameters}" if self.parameters else stages

    def make(self, dimension: int, metric: str, folder: Path | None) -> tuple[FaceIndex, FaissIndex]:
        """An empty index, and the part of it that has to be trained.

        Args:
            dimension: D.
            metric: `IP` or `L2`.
            folder: for files that the index needs as long as it lives; None for the system's temporary one.
        """
        kind = kind_of(self.factory, dimension, metric, self.faces)
        if gpu_is_there() and _ON_GPU.fullmatch(self.factory):
            kind = GpuIndex
        first = kind(self.factory, self.parameters, dimension, metric)
        if not self.exact:
            return first, first
        return TwoStageIndex(first, VectorFile(dimension, self.exact, folder)), first


def plan(settings: IndexSettings, faces: int, dimension: int, memory: int) -> IndexPlan:
    """The index for a gallery.

    Args:
        settings: of the gallery.
        faces: in it.
        dimension: of their vectors.
        memory: bytes that the index may take.

    Raises:
        InvalidRequest: `invalid_command`, FAISS does not know the type that the settings name, or it cannot serve.
    """
    if settings.type is None:
        return _automatic(faces, dimension, memory)
    named, _, parameters = settings.type.partition(";")
    factory, exact = _stages(named)
    factory = re.sub(r"\bIVF\b(?!\d)", f"IVF{lists_for(faces)}", factory)
    if factory.startswith("IVF") and "," not in factory:
        factory += ",Flat"
    least = _sample_needed(factory, dimension, settings.metric, settings.type)
    if faces < least:
        return _flat(faces, f"{settings.type} learns from {least:,} faces, and there are {faces:,}; Flat until then")
    lists = re.search(r"\bIVF(\d+)", factory)
    sample = max(least, int(lists[1]) * 64 if lists else _FOR_CODES) if least else 0
    parameters = parameters or _searching(factory, faces)
    return IndexPlan(factory, parameters, exact, sample, faces, f"{settings.type}, as was asked for")


def check(settings: IndexSettings, dimension: int) -> None:
    """Refuse settings that name an index type that cannot serve.

    Raises:
        InvalidRequest: `invalid_command`.
    """
    found = plan(settings, 100_000_000, dimension, _UNLIMITED)
    try:
        found.make(dimension, settings.metric, None)
    except RuntimeError as error:
        raise _refused(str(settings.type), _faiss_reason(error)) from None


def lists_for(faces: int) -> int:
    """The number of inverted lists for N faces: some 4 sqrt(N), as far as these are enough to learn so many from.

    It is a power of two, so that it seldom changes.
    """
    learnt = math.floor(math.log2(max(faces / _FOR_A_CENTROID, 16)))
    return int(2 ** min(learnt, round(math.log2(max(4 * math.sqrt(faces), 16)))))


def memory_budget() -> int:
    """Bytes that an index may take: a third of the machine's or the container's memory, as another is built aside."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return (total if limit == "max" else min(total, int(limit))) // 3


def _automatic(faces: int, dimension: int, memory: int) -> IndexPlan:
    flat = faces * (4 * dimension + _OVERHEAD)
    if faces < _FOR_A_RANGE or (faces <= FLAT_MOST and flat <= memory):
        return _flat(faces, f"{faces:,} faces: up to {FLAT_MOST:,} are quick enough to look at all of them")
    kinds = _codes(dimension)
    fitting = [(factory, code) for factory, code in kinds if faces * (code + _OVERHEAD) <= memory]
    factory, code = fitting[0] if fitting else kinds[-1]
    codes, exact = faces * (code + _OVERHEAD), faces * 2 * dimension
    why = f"Flat would take {flat / 1e9:.2g} GB, so " if faces <= FLAT_MOST else ""
    length = ""
    if kinds[0] not in fitting:
        length = ", the longest that fit" if fitting else ", which do not fit, but there are none shorter"
    where = "which the system keeps in memory" if codes + exact <= memory else "most of which stay on the disk"
    reason = (
        f"{faces:,} faces: {why}all are compared by codes ({codes / 1e9:.2g} GB{length}), the best of them by exact "
        f"vectors ({exact / 1e9:.2g} GB in a file, {where}, as an index may take {memory / 1e9:.2g} GB)"
    )
    return IndexPlan(factory, "", "float16", _FOR_CODES, faces, reason)


def _codes(dimension: int) -> list[tuple[str, int]]:
    """Factory strings of codes, and bytes of each, the longest first. Their parts divide the dimensions evenly."""
    parts = [parts for parts in range(_CODE_PARTS, _CODE_PARTS_LEAST - 1, -1) if dimension % parts == 0]
    return [(f"PQ{each}x4fs", -(-each // 2)) for each in parts] or [("SQ8", dimension)]


def _flat(faces: int, reason: str) -> IndexPlan:
    return IndexPlan("Flat", "", "", 0, faces, reason)


def _stages(named: str) -> tuple[str, str]:
    """The factory string of the first stage, and the type of the vectors of the second, empty if there is none."""
    for suffix, dtype in _SECOND_STAGE.items():
        if named.endswith(f",{suffix}"):
            return named.removesuffix(f",{suffix}"), dtype
    return named, ""


def _searching(factory: str, faces: int) -> str:
    """Parameters that suit the size; benchmarks/README.md has what they find and cost."""
    if lists := re.search(r"\bIVF(\d+)", factory):
        count = int(lists[1])
        return f"nprobe={max(16, min(count // _PROBES_SHARE, _PROBES_BY_LISTS // count))}"
    if "HNSW" in factory:
        wanted = max(_CANDIDATES_BY_ROOT * math.sqrt(faces), _CANDIDATES_LEAST)
        # A power of two, so that it seldom changes: each change is another index.
        return f"efSearch={2 ** round(math.log2(wanted))}"
    return ""


@lru_cache
def _sample_needed(factory: str, dimension: int, metric: str, named: str) -> int:
    """The faces that an index has to learn from at least; 0 when it learns nothing."""
    try:
        kind_of(factory, dimension, metric)
        needs = not faiss.index_factory(dimension, factory).is_trained
    except RuntimeError as error:
        raise _refused(named, _faiss_reason(error)) from None
    except ValueError as error:
        raise _refused(named, str(error)) from None
    if not needs:
        return 0
    lists = re.search(r"\bIVF(\d+)", factory)
    products = re.search(r"PQ|RQ|LSQ", factory)
    return max(
        _FOR_A_RANGE, _FOR_A_PRODUCT if products else 0, int(lists[1]) * _FOR_A_CENTROID if lists else 0, dimension
    )


def _faiss_reason(error: RuntimeError) -> str:
    return f"FAISS says: {str(error).rsplit('Error: ', 1)[-1].strip()}"


def _refused(named: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"a gallery cannot have the index type {named!r}: {reason}. Allowed are Flat, IVF, HNSW32, and FAISS's factory "
        "strings of flat, IVF and HNSW indices, such as SQ8, 'IVF1024,SQfp16;nprobe=32' or 'IVF,SQ8,Refine(SQfp16)'",
        code="invalid_command",
    )
