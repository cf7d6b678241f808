"""What networks are judged by: pictures, the user's or drawn ones, thresholds and bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toonface_contract.options import RecognitionOptions
from toonface_ensemble.placement import DetectorInput
from toonface_export.bounds import BOUNDS, Bounds
from toonface_export.pictures import face_crops, face_scenes
from toonface_export.samples import NamedFaces, Sample, load_samples
from toonface_export.serving import Serving

# Of the user's pictures so many are compared on, and so many taken statistics over.
_MOST_PICTURES, _MOST_CALIBRATION = 32, 200
# How many pictures are drawn where the user gives none.
_SCENES, _CROPS = 2, 16

FacesOf = Callable[[Sequence[Sample]], NamedFaces]
"""Cuts faces out of pictures."""


@dataclass(frozen=True)
class Evidence:
    """What a network is judged by.

    Attributes:
        options: `det_threshold` and `rec_threshold` make decisions of answers.
        bounds: see `toonface_export.bounds`.
        pictures: the user's own, to compare on; None for drawn ones.
        calibration: pictures for INT8.
    """

    options: RecognitionOptions = RecognitionOptions()
    bounds: Bounds = field(default_factory=lambda: BOUNDS)
    pictures: Sequence[Sample] | None = None
    calibration: Sequence[Sample] | None = None

    def scenes(self, placed: DetectorInput) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
        """Names, and pictures UINT8 [N,h,w,3] as a detector gets them, to compare on."""
        if self.pictures is None:
            names = tuple(f"drawn picture {number}" for number in range(_SCENES))
            return names, face_scenes(_SCENES, placed.height, placed.width)
        return tuple(sample.name for sample in self.pictures), _fitted(self.pictures, placed)

    def faces(self, faces_of: FacesOf) -> NamedFaces:
        """Faces to compare on, cut out of the user's pictures by `faces_of`, or drawn."""
        if self.pictures is None:
            return tuple(f"drawn face {number}" for number in range(_CROPS)), face_crops(_CROPS)
        return faces_of(self.pictures)

    def calibration_scenes(self, placed: DetectorInput) -> NDArray[np.uint8] | None:
        """Pictures UINT8 [N,h,w,3] as a detector gets them, to take statistics over, if there are any."""
        return None if self.calibration is None else _fitted(self.calibration, placed)

    def calibration_faces(self, faces_of: FacesOf) -> NDArray[np.uint8] | None:
        """Faces UINT8 [N,112,112,3] to take statistics over, if there are any."""
        return None if self.calibration is None else faces_of(self.calibration)[1]


UNASKED = Evidence()
"""What a network is judged by where the user says nothing."""


def gather_evidence(serving: Serving, options: RecognitionOptions, bounds: Bounds) -> Evidence:
    """What the networks are judged by.

    Raises:
        ConfigError: the user's pictures cannot be read.
    """
    return Evidence(
        options=options,
        bounds=bounds,
        pictures=load_samples(serving.pictures, _MOST_PICTURES) if serving.pictures else None,
        calibration=load_samples(serving.calibration, _MOST_CALIBRATION) if serving.calibration else None,
    )


def _fitted(samples: Sequence[Sample], placed: DetectorInput) -> NDArray[np.uint8]:
    return np.stack([placed.fit(sample.pixels) for sample in samples])
