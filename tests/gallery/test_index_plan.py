"""Which index a gallery gets."""

from __future__ import annotations

import pytest

from toonface_contract.admin import IndexSettings
from toonface_contract.errors import InvalidRequest
from toonface_gallery.plan import FLAT_MOST, check, lists_for, memory_budget, plan

PLENTY = 64 << 30


def name_of(kind: str | None, faces: int, memory: int = PLENTY, dimension: int = 512) -> str:
    return plan(IndexSettings(type=kind), faces, dimension, memory).name


@pytest.mark.parametrize(
    ("faces", "memory", "expected", "reason"),
    [
        (0, PLENTY, "Flat", "0 faces"),
        (999, 0, "Flat", "999 faces"),
        (FLAT_MOST, PLENTY, "Flat", "25,000 faces"),
        (FLAT_MOST, 10_000_000, "PQ64x4fs,Refine(SQfp16)", "Flat would take 0.054 GB, so all are compared by codes"),
        (FLAT_MOST + 1, PLENTY, "PQ64x4fs,Refine(SQfp16)", "0.026 GB in a file, which the system keeps in memory"),
        (1_000_000, PLENTY, "PQ64x4fs,Refine(SQfp16)", "codes (0.13 GB)"),
        (1_000_000, 1 << 30, "PQ64x4fs,Refine(SQfp16)", "1 GB in a file, most of which stay on the disk"),
        (1_000_000, 120_000_000, "PQ32x4fs,Refine(SQfp16)", "codes (0.12 GB, the longest that fit)"),
        (1_000_000, 100_000_000, "PQ16x4fs,Refine(SQfp16)", "do not fit, but there are none shorter"),
    ],
)
def test_the_automatic_choice_goes_by_size_and_memory(faces: int, memory: int, expected: str, reason: str) -> None:
    chosen = plan(IndexSettings(), faces, 512, memory)
    assert chosen.name == expected
    assert reason in chosen.reason


@pytest.mark.parametrize(
    ("dimension", "expected"), [(512, "PQ64x4fs"), (128, "PQ64x4fs"), (100, "PQ50x4fs"), (509, "SQ8")]
)
def test_codes_divide_the_dimensions_evenly(dimension: int, expected: str) -> None:
    chosen = plan(IndexSettings(), 100_000, dimension, PLENTY)
    assert chosen.factory == expected
    chosen.make(dimension, "IP", None)


@pytest.mark.parametrize(
    ("named", "faces", "expected"),
    [
        ("Flat", 10**7, "Flat"),
        ("IVF", 10_000, "IVF256,Flat;nprobe=64"),
        ("IVF", 100_000, "IVF1024,Flat;nprobe=256"),
        ("IVF,SQ8", 100_000, "IVF1024,SQ8;nprobe=256"),
        ("IVF64,SQ8;nprobe=3", 100_000, "IVF64,SQ8;nprobe=3"),
        ("HNSW32", 0, "HNSW32;efSearch=128"),
        ("HNSW32", 10_000, "HNSW32;efSearch=128"),
        ("HNSW32", 100_000, "HNSW32;efSearch=512"),
        ("HNSW32", 1_000_000, "HNSW32;efSearch=1024"),
        ("HNSW32;efSearch=64", 1_000_000, "HNSW32;efSearch=64"),
        ("SQfp16", 0, "SQfp16"),
        ("IVF,SQ8,RFlat", 100_000, "IVF1024,SQ8,RFlat;nprobe=256"),
        ("IVF", 10, "Flat"),
        ("SQ8", 999, "Flat"),
        ("SQ8", 1000, "SQ8"),
        ("PQ64", 9000, "Flat"),
        ("IVF1024,Flat", 39_935, "Flat"),
    ],
)
def test_a_named_type_is_taken_once_there_are_faces_to_learn_from(named: str, faces: int, expected: str) -> None:
    assert name_of(named, faces) == expected
    check(IndexSettings(type=named), 512)


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("Foo", "could not parse"),
        ("LSH", "METRIC_L2"),
        ("NSG32", "IndexNSG"),
        ("IDMap,Flat", "IndexIDMap"),
        ("IVF64,Flat;speed=3", "speed"),
    ],
)
def test_a_type_that_cannot_serve_is_refused_with_the_reason(named: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refused:
        check(IndexSettings(type=named), 512)
    assert refused.value.code == "invalid_command"
    assert repr(named) in refused.value.message
    assert "HNSW32" in refused.value.message


def test_hamming_distances_are_no_similarities() -> None:
    with pytest.raises(InvalidRequest, match="Hamming"):
        check(IndexSettings(type="LSH", metric="L2"), 512)


def test_lists_change_seldom_while_a_gallery_grows() -> None:
    counts = [lists_for(faces) for faces in (0, 1000, 10_000, 100_000, 1_000_000)]
    assert counts == [16, 16, 256, 1024, 4096]


def test_the_budget_is_a_part_of_the_machine() -> None:
    assert 0 < memory_budget() < 1 << 50
