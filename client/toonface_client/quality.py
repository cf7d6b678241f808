"""Whether a picture is fit to enrol from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from toonface_contract.errors import ConfigError, InvalidImage
from toonface_contract.names import FACE_SIZE

# From here on a picture counts as entirely sharp. Of the 72 pictures of the demo's gallery the least sharp has 141; a
# Gaussian blur of one pixel at the size of the crop leaves 22 to 555 of them, and one of two pixels 4 to 73.
_SHARP: Final = 100.0
_DECIMALS: Final = 3


@dataclass(frozen=True, slots=True)
class Measures:
    """What can be told of the face of one picture.

    Attributes:
        side: the shorter side of the face's box, in pixels of the picture.
        sharpness: variance of the Laplacian of the crop that the embedder sees, 112x112 grey values of 0 to 255
            (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000); 0 where nothing changes.
        detection_score: how sure the detector is, 0 to 1; None where it was not asked, since the picture is the face.
    """

    side: float
    sharpness: float
    detection_score: float | None = None

    @property
    def quality(self) -> float:
        """As good as the worst of them, 0 to 1: the side counts up to the embedder's own 112 pixels."""
        shares = [self.side / FACE_SIZE, self.sharpness / _SHARP]
        if self.detection_score is not None:
            shares.append(self.detection_score)
        return round(min(1.0, *shares), _DECIMALS)

    def as_dict(self) -> dict[str, Any]:
        """The measures for JSON."""
        return {
            "side": round(self.side, 1),
            "sharpness": round(self.sharpness, 1),
            "detection_score": None if self.detection_score is None else round(self.detection_score, _DECIMALS),
            "quality": self.quality,
        }


@dataclass(frozen=True, slots=True)
class QualityGate:
    """What a picture must reach to be enrolled. A bound of None is not held.

    Attributes:
        min_side: pixels of the shorter side of the face; the embedder sees 112, and makes up what is missing.
        min_sharpness: see `Measures`; the default refuses what is blurred by some two pixels at the embedder's size.
        min_detection_score: how sure the detector must be, where it was asked, 0 to 1.
        max_similarity: a face that is at least so similar to one of another label is refused, -1 to 1: it is most
            likely the same picture, or the same person, under two names.
    """

    min_side: float | None = 32
    min_sharpness: float | None = 20
    min_detection_score: float | None = 0.7
    max_similarity: float | None = 0.95

    def __post_init__(self) -> None:
        for name, low, high in (
            ("min_side", 0, np.inf),
            ("min_sharpness", 0, np.inf),
            ("min_detection_score", 0, 1),
            ("max_similarity", -1, 1),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} is {value:g}; it must be from {low} to {high}, or None for no bound")

    def check(self, measures: Measures) -> None:
        """Refuses a picture.

        Raises:
            InvalidImage: `face_too_small`, `face_blurred` or `face_uncertain`; with the value and the bound.
        """
        if self.min_side is not None and measures.side < self.min_side:
            raise InvalidImage(
                f"the face is {measures.side:.0f} pixels wide or high; at least {self.min_side:g} are asked for",
                code="face_too_small",
            )
        if self.min_sharpness is not None and measures.sharpness < self.min_sharpness:
            raise InvalidImage(
                f"the face is blurred: its sharpness is {measures.sharpness:.1f}; "
                f"at least {self.min_sharpness:g} is asked for",
                code="face_blurred",
            )
        score = measures.detection_score
        if self.min_detection_score is not None and score is not None and score < self.min_detection_score:
            raise InvalidImage(
                f"the detector is not sure of the face: its score is {score:.2f}; "
                f"at least {self.min_detection_score:g} is asked for",
                code="face_uncertain",
            )


DEFAULT_GATE: Final = QualityGate()


def measure(image: bytes, box: NDArray[np.float32], detection_score: float | None) -> Measures:
    """Measures the face of a picture.

    Args:
        image: an encoded picture that the server has accepted.
        box: FP32 [4], x1, y1, x2, y2 in pixels of the upright picture.
        detection_score: 0 to 1, or None where no detector was asked.

    Raises:
        InvalidImage: Pillow cannot decode the picture.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    try:
        with Image.open(io.BytesIO(image)) as opened:
            upright = ImageOps.exif_transpose(opened).convert("L")
            crop = upright.crop((int(x1), int(y1), max(int(x2), int(x1) + 1), max(int(y2), int(y1) + 1)))
            grey = np.asarray(crop.resize((FACE_SIZE, FACE_SIZE), Image.Resampling.BILINEAR), np.float32)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidImage(f"the picture cannot be decoded here to look at its quality: {error}") from error
    laplacian = (
        grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1] - 4 * grey[1:-1, 1:-1]
    )  # the four neighbours against the pixel
    return Measures(min(x2 - x1, y2 - y1), float(laplacian.var()), detection_score)
