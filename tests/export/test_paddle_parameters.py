"""Parameters that are whole, and every way in which they are not."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from toonface_contract.errors import ExportError
from toonface_export.families import EMBEDDERS
from toonface_export.paddle_model import PARAMETERS, PROGRAM, read_paddle_model
from toonface_export.paddle_parameters import check_parameters
from toonface_export.paddle_program import parameter_shapes, read_program

SHAPES = {"a.w": (2, 3), "b": (200,), "c": ()}


def _record(shape: tuple[int, ...], value: float = 1.0) -> bytes:
    """One tensor as Paddle writes it."""
    description = b"\x08\x05"
    for side in shape:
        description += b"\x10" + (bytes([side]) if side < 128 else bytes([side & 127 | 128, side >> 7]))
    head = struct.pack("<IQIi", 0, 0, 0, len(description)) + description
    return head + np.full(shape, value, np.float32).tobytes()


RECORDS = [_record(shape) for shape in SHAPES.values()]
WHOLE = b"".join(RECORDS)


def _check(folder: Path, content: bytes) -> None:
    (folder / PARAMETERS).write_bytes(content)
    check_parameters(folder / PARAMETERS, SHAPES)


def test_whole_ones_pass(tmp_path: Path) -> None:
    _check(tmp_path, WHOLE)


def test_the_shipped_ones_pass(embedder_folder: Path) -> None:
    shapes = parameter_shapes(read_program(embedder_folder / PROGRAM))
    assert len(shapes) == 283
    check_parameters(embedder_folder / PARAMETERS, shapes)


@pytest.mark.parametrize("missing", [1, 4, 300, 750, 800, 820])
def test_a_cut_in_the_middle_of_a_record(tmp_path: Path, missing: int) -> None:
    with pytest.raises(
        ExportError, match=r"inference.pdiparams is damaged or half-written: .*; export the model again"
    ):
        _check(tmp_path, WHOLE[:-missing])


@pytest.mark.parametrize(("kept", "name"), [(0, "a.w"), (1, "b"), (2, "c")])
def test_a_cut_between_two_records(tmp_path: Path, kept: int, name: str) -> None:
    with pytest.raises(ExportError, match=rf"ends before the parameter {name}; {3 - kept} of 3 are missing"):
        _check(tmp_path, b"".join(RECORDS[:kept]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE + RECORDS[0], "holds more than the 3 parameters of its program"),
        (
            RECORDS[1] + RECORDS[0] + RECORDS[2],
            r"parameter a.w has the shape \[200\] in it, and \[2, 3\] in the program",
        ),
        (_record((2, 3), float("nan")) + WHOLE, "parameter a.w holds numbers that are not finite"),
        (_record((2, 3), float("inf")) + WHOLE, "parameter a.w holds numbers that are not finite"),
        (WHOLE + b"\0", "is damaged or half-written"),
        (b"<html>" * 100, "is damaged or half-written: the record at byte 0 has"),
        (WHOLE[:17] + b"\xff" + WHOLE[18:], "is damaged or half-written"),
        (WHOLE[:20] + b"\x18" + WHOLE[21:], "the record at byte 0 has a description that is none"),
        (WHOLE[:21] + b"\x63" + WHOLE[22:], "the record at byte 0 has no known type of number"),
        (
            WHOLE[:21] + b"\x04" + WHOLE[22:],
            r"numbers of the type FP16 \(in the record at byte 0\); read are int32, int",
        ),
        (WHOLE[:21] + b"\x16" + WHOLE[22:], "of the type BF16 .*, float32, float64; export the model in FP32"),
        (WHOLE[:21] + b"\x00" + WHOLE[22:], "holds numbers of the type BOOL"),
        (WHOLE[:21] + b"\xff" * 7 + WHOLE[28:], "is damaged or half-written"),
        (WHOLE.replace(b"\x10\xc8\x01", b"\x10\xc8\x7f"), "says it is longer than the file"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        _check(tmp_path, content)


@pytest.mark.parametrize("keep", [-100, 2_000_000, 10])
def test_a_half_written_model_is_refused_before_paddle_sees_it(embedder_folder: Path, keep: int) -> None:
    weights = embedder_folder / PARAMETERS
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ExportError, match="damaged or half-written|ends before"):
        read_paddle_model(embedder_folder, known=EMBEDDERS)


def test_parameters_of_another_model_are_refused(embedder_folder: Path, detector_folder: Path) -> None:
    (embedder_folder / PARAMETERS).write_bytes((detector_folder / PARAMETERS).read_bytes())
    with pytest.raises(ExportError, match="is of another program than the one beside it"):
        read_paddle_model(embedder_folder, known=EMBEDDERS)
