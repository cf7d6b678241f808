"""Paddle models in PaddleX's inference folders, run by Paddle itself, on pictures prepared as they are served."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_ensemble.nms import select_faces
from toonface_export.families import DETECTORS, EMBEDDERS, family_of
from toonface_export.nms import read_nms
from toonface_export.paddle_model import PROGRAM, PaddleModel, read_paddle_model
from toonface_export.paddle_program import operations, read_program
from toonface_export.preprocessing import detector_preprocessing, embedder_normalisation
from toonface_export.serving import Serving
from toonface_server.cpus import usable_cpus
from toonface_training.evaluation.metrics.detection import Detections
from toonface_training.evaluation.subjects import SCORE_FLOOR, Pixels, face_crop, within_picture
from toonface_training.evaluation.subjects.batches import batches

_FACES_AT_ONCE = 32
# Smallest norm to divide by, as in the exported graph.
_MIN_NORM = 1e-12
# No overlap is larger than 1; -1 is no limit.
_LET_PASS = {"nms_threshold": 1.0, "nms_top_k": -1, "keep_top_k": -1}


class PaddleDetector:
    """A detector's inference folder.

    The picture is laid into the detector's input as the stage `preprocess` does it. Detectors of the BlazeFace family,
    which PaddleX feeds pictures as they are, look at the same canvas at the same scales as the exported graph. The
    scales' boxes must suppress one another, so the program's own NMS is told to let all pass, and one of the same
    parameters follows.

    Args:
        folder: holds inference.json, inference.pdiparams and inference.yml.
        serving: `canvas` and `pyramid_levels`, which matter to the BlazeFace family.

    Raises:
        ExportError: the folder is not one that can be exported, or a size does not suit it.
    """

    def __init__(self, folder: Path, serving: Serving) -> None:
        self._model = read_paddle_model(folder, known=DETECTORS)
        family = family_of(self._model.name)
        self._levels = serving.pyramid_levels if family.any_size else 1
        self._preprocessing = detector_preprocessing(
            self._model, family, serving.canvas, divisor=family.stride * 2 ** (self._levels - 1)
        )
        self._nms = read_nms(self._model)
        with tempfile.TemporaryDirectory(prefix="toonface-") as scratch:
            model = _without_suppression(self._model, Path(scratch)) if self._levels > 1 else self._model
            self._predictor = Predictor(model)

    @property
    def name(self) -> str:
        """PaddleX's name of the model."""
        return self._model.name

    def detect(self, pictures: Iterable[Pixels], threshold: float = SCORE_FLOOR) -> Iterator[Detections]:
        """See `Detector`."""
        for picture in pictures:
            boxes, scores = self._boxes(picture)
            passing = scores > np.float32(threshold)
            boxes, scores = boxes[passing], scores[passing]
            if self._levels > 1:
                boxes, scores = select_faces(boxes, scores, threshold, self._nms.parameters)
            yield within_picture(boxes, scores, picture)

    def _boxes(self, picture: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the program finds at all levels: boxes FP32 [N,4] in pixels of the picture, and scores FP32 [N]."""
        placed = self._preprocessing.input
        height, width = placed.height, placed.width
        unit_box = placed.to_picture(np.ones((1, 4), np.float32), *picture.shape[:2])
        image = self._preprocessing.normalisation.apply(placed.fit(picture)[np.newaxis])
        rows = []
        for level in range(self._levels):
            if level:
                image = image.reshape(1, 3, image.shape[2] // 2, 2, image.shape[3] // 2, 2).mean(axis=(3, 5))
            rows.append(
                self._predictor.run(
                    {
                        "image": np.ascontiguousarray(image),
                        "im_shape": np.array([[height, width]], np.float32),
                        # Height, then width: by what they were multiplied.
                        "scale_factor": 1 / unit_box[:, [1, 0]],
                    }
                )
            )
        # Class, score, x1, y1, x2, y2.
        found = np.concatenate(rows)
        return found[:, 2:], found[:, 1]


class PaddleEmbedder:
    """An embedder's inference folder.

    Args:
        folder: holds inference.json, inference.pdiparams and inference.yml.

    Raises:
        ExportError: the folder is not one that can be exported.
    """

    def __init__(self, folder: Path) -> None:
        self._model = read_paddle_model(folder, known=EMBEDDERS)
        self._normalisation = embedder_normalisation(self._model)
        self._predictor = Predictor(self._model)

    @property
    def name(self) -> str:
        """PaddleX's name of the model."""
        return self._model.name

    def embed(self, faces: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
        """See `Embedder`."""
        for batch in batches(faces, _FACES_AT_ONCE):
            pixels = self._normalisation.apply(np.stack([face_crop(face) for face in batch]))
            features = self._predictor.run({self._predictor.inputs[0]: pixels})
            yield from features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _MIN_NORM)


class Predictor:
    """A program in this process, in FP32 on the CPU; with oneDNN as in PaddleX, 3 to 8 times as fast as without."""

    def __init__(self, model: PaddleModel) -> None:
        inference = import_paddle().inference
        config = inference.Config(str(model.program), str(model.parameters))
        config.disable_gpu()
        config.disable_glog_info()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(usable_cpus())
        with _standard_output_kept():
            self._predictor: Any = inference.create_predictor(config)
        self.inputs: list[str] = list(self._predictor.get_input_names())

    def run(self, feed: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The program's first output. Of `feed` it takes what it has inputs for."""
        for name in self.inputs:
            self._predictor.get_input_handle(name).copy_from_cpu(feed[name])
        with _standard_output_kept():
            self._predictor.run()
        output: NDArray[np.float32] = self._predictor.get_output_handle(
            self._predictor.get_output_names()[0]
        ).copy_to_cpu()
        return output


def import_paddle() -> Any:
    """The module `paddle`, without its warnings of what only compiling needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
        import paddle.inference
    return paddle


def _without_suppression(model: PaddleModel, folder: Path) -> PaddleModel:
    """The model with an NMS that drops nothing above its score threshold; the program is written to a folder."""
    content = read_program(model.program)
    (suppression,) = operations(content, "multiclass_nms3")
    for entry in suppression["A"]:
        if entry["N"] in _LET_PASS:
            entry["AT"]["D"] = _LET_PASS[entry["N"]]
    program = folder / PROGRAM
    program.write_text(json.dumps(content), encoding="utf-8")
    return replace(model, program=program)


@contextmanager
def _standard_output_kept() -> Iterator[None]:
    """What is written to standard output goes to standard error: Paddle's passes talk, and JSON may be asked for."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
