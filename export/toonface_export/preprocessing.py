"""Preprocessing as inference.yml writes it, with PaddleX's own defaults for what it leaves out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_contract.names import FACE_SIZE
from toonface_ensemble.placement import DetectorInput, Interpolation
from toonface_export.families import DetectorFamily
from toonface_export.paddle_model import SETTINGS, PaddleModel

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
# PaddleX's numbers for OpenCV's interpolations (paddlex/inference/models/object_detection/predictor.py, build_resize).
_INTERPOLATIONS: dict[int, Interpolation] = {0: "nearest", 1: "linear", 2: "cubic", 3: "area", 4: "lanczos4"}


@dataclass(frozen=True)
class Normalisation:
    """From pixels to what the network sees: `(pixel * scale - mean) / std`, for each of R, G, B."""

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def factor(self) -> NDArray[np.float32]:
        """FP32 [3]: the pixel's factor once the formula is multiplied out."""
        return np.float32(self.scale) / np.asarray(self.std, dtype=np.float32)

    @property
    def offset(self) -> NDArray[np.float32]:
        """FP32 [3]: the term to add once the formula is multiplied out."""
        return -np.asarray(self.mean, dtype=np.float32) / np.asarray(self.std, dtype=np.float32)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalise as PaddleX does, outside any graph.

        Args:
            pixels: UINT8 [B,h,w,3], RGB.

        Returns:
            FP32 [B,3,h,w].
        """
        scaled = pixels.astype(np.float32) * np.float32(self.scale)
        normal = (scaled - np.asarray(self.mean, dtype=np.float32)) / np.asarray(self.std, dtype=np.float32)
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


# What PaddleX writes for both of its embedders.
_USUAL_OF_EMBEDDERS = Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class DetectorPreprocessing:
    """How a picture becomes a detector's input: `input` is done by the stage `preprocess`, the rest by the graph."""

    input: DetectorInput
    normalisation: Normalisation


def detector_preprocessing(
    model: PaddleModel, family: DetectorFamily, canvas: tuple[int, int], divisor: int
) -> DetectorPreprocessing:
    """The preprocessing of a detector.

    Args:
        model: its inference.yml is read.
        family: decides between the size in inference.yml and the canvas.
        canvas: height and width for families that take any size.
        divisor: both sides must be multiples of it.

    Raises:
        ExportError: an operation or setting is unknown, or a side is no multiple of `divisor`.
    """
    listed = model.settings.get("Preprocess")
    operations = _operations(
        model, "Preprocess", [(op.get("type"), op) for op in _mappings(listed)], ("Resize", "NormalizeImage", "Permute")
    )
    if family.any_size:
        if operations["Resize"]:
            raise _problem(model, f"Preprocess has Resize, but {family.name} detectors take pictures as they are")
        placed = DetectorInput(height=canvas[0], width=canvas[1], keep_ratio=True, interpolation="area")
    else:
        placed = _resize(model, operations["Resize"])
    if placed.height % divisor or placed.width % divisor:
        raise ExportError(
            f"{model.name}: the detector's input is {placed.height}x{placed.width} pixels (height x width); "
            f"both must be multiples of {divisor}"
        )
    return DetectorPreprocessing(placed, _detector_normalisation(model, operations["NormalizeImage"]))


def embedder_normalisation(model: PaddleModel) -> Normalisation:
    """The normalisation of an embedder.

    Raises:
        ExportError: its inference.yml asks for another crop size or interpolation than the server's.
    """
    section = model.settings.get("PreProcess")
    listed = section.get("transform_ops") if isinstance(section, dict) else None
    operations = _operations(
        model,
        "PreProcess.transform_ops",
        [pair for op in _mappings(listed) for pair in op.items()],
        ("ResizeImage", "NormalizeImage", "ToCHWImage"),
    )
    resize = operations["ResizeImage"]
    size, interpolation = resize.get("size"), resize.get("interpolation", "bilinear")
    if size != [FACE_SIZE, FACE_SIZE] or interpolation != "bilinear":
        raise _problem(
            model,
            f"ResizeImage has size {size} and interpolation {interpolation!r}; crops are made at "
            f"[{FACE_SIZE}, {FACE_SIZE}], bilinear",
        )
    settings = operations["NormalizeImage"]
    return _normalisation(
        model, settings.get("scale", 1 / 255), settings.get("mean", _IMAGENET_MEAN), settings.get("std", _IMAGENET_STD)
    )


def embedder_digest(model: PaddleModel, normalisation: Normalisation) -> str:
    """`sha256:<hex>` that names what an embedder computes, however it is served.

    With the usual normalisation it is the digest of weights and program alone; any other changes every embedding, and
    so the digest.
    """
    usual = _USUAL_OF_EMBEDDERS
    # Decimals that were cut short in the file, such as 0.0039216, do not make another network.
    if np.allclose(normalisation.factor, usual.factor, rtol=1e-4) and np.allclose(
        normalisation.offset, usual.offset, rtol=1e-4
    ):
        return model.digest
    both = f"{model.digest}\n{json.dumps(asdict(normalisation))}\n"
    return "sha256:" + hashlib.sha256(both.encode()).hexdigest()


def _resize(model: PaddleModel, settings: Mapping[str, Any]) -> DetectorInput:
    if not settings:
        raise _problem(model, "Preprocess has no Resize, which gives the size of the detector's input")
    size, keep_ratio = settings.get("target_size"), settings.get("keep_ratio", False)
    number = settings.get("interp", 2)
    interpolation = _INTERPOLATIONS.get(number) if isinstance(number, int) else None
    if keep_ratio or interpolation is None or not isinstance(size, list) or not _is_size(size):
        raise _problem(
            model,
            f"Resize has target_size {size}, keep_ratio {keep_ratio}, interp {number}; known are "
            f"[height, width], false, and interp 0 to {max(_INTERPOLATIONS)}",
        )
    return DetectorInput(height=size[0], width=size[1], keep_ratio=False, interpolation=interpolation)


def _detector_normalisation(model: PaddleModel, settings: Mapping[str, Any]) -> Normalisation:
    # PaddleX takes norm_type `none` for `mean_std`, and any other one for no mean and no deviation.
    mean, std = settings.get("mean", _IMAGENET_MEAN), settings.get("std", _IMAGENET_STD)
    if (settings.get("norm_type") or "none") not in ("none", "mean_std"):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return _normalisation(model, 1 / 255 if settings.get("is_scale", True) else 1.0, mean, std)


def _normalisation(model: PaddleModel, scale: Any, mean: Any, std: Any) -> Normalisation:
    try:
        means, stds = tuple(map(float, mean)), tuple(map(float, std))
        if len(means) != 3 or len(stds) != 3 or min(stds) <= 0:
            raise ValueError
        return Normalisation(float(scale), means, stds)
    except (TypeError, ValueError):
        raise _problem(
            model, f"NormalizeImage has scale {scale}, mean {mean}, std {std}; three positive deviations are needed"
        ) from None


def _mappings(listed: Any) -> list[dict[Any, Any]]:
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _operations(
    model: PaddleModel, place: str, pairs: Sequence[tuple[Any, Any]], known: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """The settings of each known operation, empty for those that the file does not have."""
    if not pairs:
        raise _problem(model, f"{place} lists no operations; known are {', '.join(known)}")
    for name, settings in pairs:
        if name not in known or not isinstance(settings, dict | None):
            raise _problem(model, f"{place} has {name!r} with {settings!r}; known are {', '.join(known)}")
    given = dict(pairs)
    return {name: given.get(name) or {} for name in known}


def _is_size(value: list[Any]) -> bool:
    return len(value) == 2 and all(isinstance(side, int) and side > 0 for side in value)


def _problem(model: PaddleModel, text: str) -> ExportError:
    return ExportError(f"{model.folder / SETTINGS}: {text}")
