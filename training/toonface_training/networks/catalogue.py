"""The six models by PaddleX's names: what goes in, and what comes out. Plain data; imports nothing heavy.

Sizes and normalisation are those of PaddleX's own training files (PaddlePaddle/PaddleX,
paddlex/repo_apis/Paddle{Detection,Clas}_api/configs), which its inference repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

from toonface_contract.errors import ConfigError

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Normalisation:
    """From RGB pixels of 0 to 255 to what a network takes: `(pixel * scale - mean) / std`."""

    scale: float
    mean: Channels
    std: Channels


@dataclass(frozen=True, slots=True)
class Detector:
    """A face detector.

    Attributes:
        name: PaddleX's name.
        family: `YOLO`, `GFL` or `Face`, as PaddleX's inference.yml says under `arch`.
        size: side in pixels of the square that pictures are stretched to when the model is used; None takes them as
            they are, their sides being multiples of `stride`.
        train_sizes: sides in pixels of the square pictures that PaddleX trains on, one chosen for each batch.
        stride: the side of a training picture is a multiple of this.
        normalisation: of the input `image`.
    """

    name: str
    family: str
    size: int | None
    train_sizes: tuple[int, ...]
    stride: int
    normalisation: Normalisation


@dataclass(frozen=True, slots=True)
class Embedder:
    """A face embedder.

    Attributes:
        name: PaddleX's name.
        dimension: length of the embedding.
        size: side in pixels of its square input.
        normalisation: of the input `x`.
    """

    name: str
    dimension: int
    size: int = 112
    normalisation: Normalisation = Normalisation(1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


_BLAZE = Normalisation(1.0, (123.0, 117.0, 104.0), (127.502231, 127.502231, 127.502231))
_UNIT = Normalisation(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_IMAGENET = Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

DETECTORS = {
    model.name: model
    for model in (
        Detector("PP-YOLOE_plus-S_face", "YOLO", 640, tuple(range(320, 769, 32)), 32, _UNIT),
        Detector("PicoDet_LCNet_x2_5_face", "GFL", 1088, (704, 768, 896, 960, 1088, 1152, 1280), 64, _IMAGENET),
        Detector("BlazeFace", "Face", None, (640,), 16, _BLAZE),
        Detector("BlazeFace-FPN-SSH", "Face", None, (640,), 16, _BLAZE),
    )
}
EMBEDDERS = {model.name: model for model in (Embedder("MobileFaceNet", 128), Embedder("ResNet50_face", 512))}
MODELS: dict[str, Detector | Embedder] = {**DETECTORS, **EMBEDDERS}


def model(name: str) -> Detector | Embedder:
    """The model of this name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    if name not in MODELS:
        raise ConfigError(f"model {name!r} is not known; there are {', '.join(MODELS)}")
    return MODELS[name]
