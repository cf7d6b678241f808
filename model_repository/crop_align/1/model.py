"""The stage `crop_align`: the detector's boxes to faces, cut out at the embedder's size."""

import json

import cv2
import numpy as np

from toonface_contract.options import RecognitionOptions
from toonface_ensemble.faces import find_faces
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_server import stage


class TritonPythonModel:
    """Triton's interface to a python model."""

    def initialize(self, args):
        """Read the configuration."""
        cv2.setNumThreads(1)  # Triton runs several instances side by side
        parameters = stage.start(args)
        self._detector_input = DetectorInput.model_validate_json(parameters["detector_input"])
        self._nms = NmsParameters.model_validate_json(parameters["nms"])
        self._defaults = RecognitionOptions(**json.loads(parameters["options"]))
        self._embedder_batch = int(parameters["embedder_batch"])

    def execute(self, requests):
        """Answer each request."""
        return [stage.response(stage.attempt(self._crop_align, request)) for request in requests]

    def _crop_align(self, request):
        pixels = stage.tensor(request, "pixels")
        faces = find_faces(
            pixels,
            boxes=stage.tensor(request, "boxes")[0],
            scores=stage.tensor(request, "scores")[0],
            detector_input=self._detector_input,
            nms=self._nms,
            options=stage.request_options(request, self._defaults),
            most=self._embedder_batch,
        )
        return {
            "faces": faces.crops,
            "real": faces.real,
            "face_boxes": faces.boxes,
            "face_scores": faces.scores,
            "faces_found": np.array([faces.found], np.int32),
            "image_size": np.array(pixels.shape[:2], np.int32),
        }
