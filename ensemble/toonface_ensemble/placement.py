"""How a picture is laid into the detector's input, and how boxes come back."""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

# Mean RGB of BlazeFace's preprocessing (NormalizeImage in its inference.yml): after normalisation such pixels are 0.
PADDING_RGB: Final = (123, 117, 104)

Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos4"]

_CV2_INTERPOLATION: Final[dict[Interpolation, int]] = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}


class DetectorInput(BaseModel):
    """The picture that a detector wants to see. Travels as JSON in the stages' configurations.

    Attributes:
        height: height of the detector's input in pixels.
        width: width of the detector's input in pixels.
        keep_ratio: if false, the picture is stretched to height x width, as PaddleX does for PP-YOLOE and PicoDet. If
            true, it is scaled down, never up, until it fits, and put at the top left; the rest is `PADDING_RGB`.
            PaddleX does not resize for BlazeFace at all, whose anchors end at 128 pixels: large faces need scaling.
        interpolation: of the resizing, by OpenCV, on UINT8. PaddleX uses `cubic`. With `keep_ratio` use `area`: it
            averages all pixels that fall into one, while the others look at a few neighbours, and lose small faces in
            aliasing when a picture shrinks to less than half.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    keep_ratio: bool
    interpolation: Interpolation

    def fit(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lay a picture into the detector's input.

        Args:
            picture: UINT8 [H,W,3], RGB.

        Returns:
            UINT8 [height,width,3], RGB.
        """
        height, width = self._content_size(*picture.shape[:2])
        if (height, width) != picture.shape[:2]:
            resized = cv2.resize(picture, (width, height), interpolation=_CV2_INTERPOLATION[self.interpolation])
            picture = resized.astype(np.uint8, copy=False)
        if (height, width) == (self.height, self.width):
            return picture
        below, right = self.height - height, self.width - width
        canvas = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PADDING_RGB)
        return np.asarray(canvas, np.uint8)

    def blank(self) -> NDArray[np.uint8]:
        """UINT8 [height,width,3], where the detector is not asked."""
        return np.zeros((self.height, self.width, 3), np.uint8)

    def to_picture(self, boxes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Boxes in pixels of the detector's input, in pixels of the picture that was laid into it.

        Computed as Paddle's graphs do, by dividing by the scale in single precision.

        Args:
            boxes: FP32 [N,4], x1, y1, x2, y2.
            height: of the picture.
            width: of the picture.

        Returns:
            FP32 [N,4]; may reach beyond the picture.
        """
        content_height, content_width = self._content_size(height, width)
        x_scale, y_scale = content_width / width, content_height / height
        return boxes / np.array([x_scale, y_scale, x_scale, y_scale], np.float32)

    def _content_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture takes up within the input."""
        if not self.keep_ratio:
            return self.height, self.width
        scale = min(1.0, self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale))
