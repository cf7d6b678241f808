"""Faces of the user's pictures, found by the detector that has just been exported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toonface_contract.options import RecognitionOptions
from toonface_ensemble.faces import find_faces
from toonface_export.networks import ExportedDetector
from toonface_export.runners import onnx_runner
from toonface_export.samples import NamedFaces, Sample, as_face

_MOST_FACES = 16


class FoundFaces:
    """Cuts the faces out of the user's pictures that the exported detector finds in them.

    A picture in which it finds none is taken as one face, as PaddleX takes gallery pictures.
    """

    def __init__(self, detector: ExportedDetector, options: RecognitionOptions) -> None:
        """Take over a detector; `options` say which detections count as faces."""
        self._detector, self._options = detector, options

    def __call__(self, samples: Sequence[Sample]) -> NamedFaces:
        """Names and faces: see `toonface_export.samples.NamedFaces`."""
        run = onnx_runner(self._detector.form.graph)
        names: list[str] = []
        crops = []
        for sample in samples:
            pixels = sample.pixels
            answers = run(self._detector.input.fit(pixels)[np.newaxis])
            faces = find_faces(
                pixels,
                answers["boxes"][0],
                answers["scores"][0],
                detector_input=self._detector.input,
                nms=self._detector.nms,
                options=self._options,
                most=_MOST_FACES,
            )
            if faces.found:
                names += [f"{sample.name}, face {number}" for number in range(len(faces.crops))]
                crops.append(faces.crops)
            else:
                names.append(sample.name)
                crops.append(as_face(pixels)[np.newaxis])
        return tuple(names), np.concatenate(crops)
