from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toonface_contract.errors import ExportError
from toonface_ensemble.placement import DetectorInput
from toonface_export.families import DETECTORS, family_of
from toonface_export.paddle_model import PARAMETERS, PROGRAM, PaddleModel
from toonface_export.preprocessing import (
    Normalisation,
    detector_preprocessing,
    embedder_digest,
    embedder_normalisation,
)

# As PaddleX writes them into inference.yml.
RESIZE = {"type": "Resize", "interp": 2, "keep_ratio": False, "target_size": [640, 640]}
YOLOE_NORM = {"type": "NormalizeImage", "mean": [0.0] * 3, "std": [1.0] * 3, "norm_type": "none"}
PICODET_NORM = {"type": "NormalizeImage", "is_scale": True, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
BLAZE_NORM = {"type": "NormalizeImage", "is_scale": False, "mean": [123, 117, 104], "std": [127.502231] * 3}
PERMUTE = {"type": "Permute"}
FACE = {"size": [112, 112], "interpolation": "bilinear"}


def _detector(name: str, *operations: Any) -> PaddleModel:
    return _model(name, {"Preprocess": list(operations)})


def _embedder(*operations: Any) -> PaddleModel:
    return _model("MobileFaceNet", {"PreProcess": {"transform_ops": list(operations)}})


def _model(name: str, settings: dict[str, Any]) -> PaddleModel:
    folder = Path("folder")
    return PaddleModel(folder, name, settings, {}, folder / PROGRAM, folder / PARAMETERS)


def _read(model: PaddleModel, divisor: int = 32) -> tuple[DetectorInput, Normalisation]:
    read = detector_preprocessing(model, family_of(model.name), canvas=(480, 640), divisor=divisor)
    return read.input, read.normalisation


def test_every_detector_has_one_family() -> None:
    assert len(set(DETECTORS)) == len(DETECTORS)
    assert all(name in family_of(name).models for name in DETECTORS)


def test_pp_yoloe_is_stretched_to_its_own_size() -> None:
    placed, normalisation = _read(_detector("PP-YOLOE_plus-S_face", RESIZE, YOLOE_NORM, PERMUTE))
    assert placed == DetectorInput(height=640, width=640, keep_ratio=False, interpolation="cubic")
    assert normalisation == Normalisation(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_picodet_keeps_its_mean_and_deviation() -> None:
    size = {**RESIZE, "target_size": [1088, 1024], "interp": 1}
    placed, normalisation = _read(_detector("PicoDet_LCNet_x2_5_face", size, PICODET_NORM, PERMUTE))
    assert placed == DetectorInput(height=1088, width=1024, keep_ratio=False, interpolation="linear")
    assert normalisation == Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_blazeface_is_placed_on_the_canvas_and_not_scaled_to_one() -> None:
    placed, normalisation = _read(_detector("BlazeFace", BLAZE_NORM, PERMUTE))
    assert placed == DetectorInput(height=480, width=640, keep_ratio=True, interpolation="area")
    assert normalisation.scale == 1.0
    assert normalisation.mean == (123.0, 117.0, 104.0)


def test_paddlex_defaults_fill_what_the_file_leaves_out() -> None:
    _, normalisation = _read(_detector("BlazeFace", {"type": "NormalizeImage"}))
    assert normalisation == Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_another_norm_type_means_neither_mean_nor_deviation() -> None:
    _, normalisation = _read(_detector("BlazeFace", {**BLAZE_NORM, "norm_type": "min_max"}))
    assert normalisation == Normalisation(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((), "Preprocess lists no operations; known are Resize"),
        ((RESIZE, {"type": "Pad"}), "Preprocess has 'Pad' with"),
        ((YOLOE_NORM,), "Preprocess has no Resize"),
        (({**RESIZE, "keep_ratio": True},), "keep_ratio True"),
        (({**RESIZE, "interp": 9},), "interp 9"),
        (({**RESIZE, "target_size": 640},), "target_size 640"),
        (({**RESIZE, "target_size": [640, 0]},), r"target_size \[640, 0\]"),
        ((RESIZE, {**YOLOE_NORM, "std": [1, 0, 1]}), r"std \[1, 0, 1\]; three positive"),
        ((RESIZE, {**YOLOE_NORM, "mean": [1, 2]}), r"mean \[1, 2\]"),
        ((RESIZE, {**YOLOE_NORM, "mean": "grey"}), "mean grey"),
        (({**RESIZE, "target_size": [640, 650]},), "640x650 pixels .*; both must be multiples of 32"),
    ],
)
def test_what_cannot_be_served_is_named(operations: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        _read(_detector("PP-YOLOE_plus-S_face", *operations))


def test_a_canvas_must_suit_the_pyramid() -> None:
    with pytest.raises(ExportError, match="BlazeFace: the detector's input is 480x640 pixels .* multiples of 64"):
        _read(_detector("BlazeFace", BLAZE_NORM), divisor=64)


def test_blazeface_is_not_resized() -> None:
    with pytest.raises(ExportError, match="has Resize, but BlazeFace detectors take pictures as they are"):
        _read(_detector("BlazeFace", RESIZE, BLAZE_NORM))


def test_an_embedder_is_read() -> None:
    norm = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "order": "hwc"}
    model = _embedder({"ResizeImage": FACE}, {"NormalizeImage": norm}, {"ToCHWImage": None})
    assert embedder_normalisation(model) == Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((), "transform_ops lists no operations"),
        (({"ToCHWImage": None},), "ResizeImage has size None"),
        (({"ResizeImage": {**FACE, "size": [224, 224]}},), r"size \[224, 224\].*\[112, 112\], bilinear"),
        (({"ResizeImage": {**FACE, "interpolation": "bicubic"}},), "'bicubic'"),
        (({"ResizeImage": FACE}, {"CropImage": {"size": 100}}), "has 'CropImage' with"),
        (({"ResizeImage": FACE}, {"NormalizeImage": 3}), "has 'NormalizeImage' with 3"),
    ],
)
def test_an_embedder_that_cannot_be_served_is_named(operations: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        embedder_normalisation(_embedder(*operations))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), True),
        (Normalisation(0.0039216, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), True),
        (Normalisation(1.0, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)), True),
        (Normalisation(1 / 255, (0.5, 0.5, 0.49), (0.5, 0.5, 0.5)), False),
        (Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.6, 0.5, 0.5)), False),
    ],
)
def test_an_unusual_normalisation_makes_another_embedder(other: Normalisation, same: bool) -> None:
    folder = Path("folder")
    digests = {PROGRAM: "one", PARAMETERS: "two"}
    model = PaddleModel(folder, "MobileFaceNet", {}, digests, folder / PROGRAM, folder / PARAMETERS)
    digest = embedder_digest(model, other)
    assert (digest == model.digest) == same
    assert digest.startswith("sha256:") and len(digest) == len(model.digest)
    heavier = replace(model, sha256={**digests, PARAMETERS: "three"})
    assert embedder_digest(heavier, other) != digest


def test_the_multiplied_out_formula_is_the_formula() -> None:
    normalisation = Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    fused = (pixels * normalisation.factor + normalisation.offset).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(normalisation.apply(pixels), fused, atol=1e-6)
