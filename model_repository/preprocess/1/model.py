"""The stage `preprocess`: an encoded image to upright pixels, and to what the detector wants to see of it."""

import json
import os
import warnings

import cv2
import numpy as np

from toonface_contract.options import RecognitionOptions
from toonface_ensemble.decode import decode_image
from toonface_ensemble.placement import DetectorInput
from toonface_server import stage

_NICENESS = 10


class TritonPythonModel:
    """Triton's interface to a python model."""

    def initialize(self, args):
        """Read the configuration."""
        cv2.setNumThreads(1)  # Triton runs several instances side by side
        warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata: senders could fill the log with them
        # Where the processor is short, what has been decoded comes first: or requests would be decoded only to be
        # refused at the detector's queue, which costs those that are answered.
        os.nice(_NICENESS)
        parameters = stage.start(args)
        self._defaults = RecognitionOptions(**json.loads(parameters["options"]))
        self._detector_input = DetectorInput.model_validate_json(parameters["detector_input"])

    def execute(self, requests):
        """Answer each request."""
        return [stage.response(stage.attempt(self._preprocess, request)) for request in requests]

    def _preprocess(self, request):
        # Wrong options are refused before any work is done.
        options = stage.request_options(request, self._defaults)
        pixels = decode_image(stage.one_bytes(request, "image"))
        placed = self._detector_input
        fitted = placed.blank() if options.crop == "whole" else placed.fit(pixels)
        return {"pixels": pixels, "detector_input": fitted[np.newaxis]}
