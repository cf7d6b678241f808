"""Exported models: the two graphs of a model repository, run here as a server would run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.faces import find_faces
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_server.cpus import computed_precision, usable_cpus
from toonface_training.evaluation.metrics.detection import Detections
from toonface_training.evaluation.subjects import MOST_FACES, SCORE_FLOOR, Pixels, face_crop
from toonface_training.evaluation.subjects.batches import batches

Runtime = Literal["onnxruntime", "openvino"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
Precision = Literal["auto", "f32", "bf16"]

_FACES_AT_ONCE = 32


class Graph(Protocol):
    """A network with one input, on some runtime."""

    outputs: list[str]

    def __call__(self, values: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """The outputs by name, for the rows of one batch."""


class GraphDetector:
    """The exported detector of a repository.

    Args:
        graph: from `detector_input` to `boxes` and `scores`.
        name: of the model.
        detector_input: how a picture is laid into its input.
        nms: how to choose among its boxes.
    """

    def __init__(self, graph: Graph, name: str, detector_input: DetectorInput, nms: NmsParameters) -> None:
        self._graph, self._input, self._nms = graph, detector_input, nms
        self.name = name

    def detect(self, pictures: Iterable[Pixels], threshold: float = SCORE_FLOOR) -> Iterator[Detections]:
        """See `Detector`."""
        options = RecognitionOptions(det_threshold=threshold, max_faces=MOST_FACES)
        for picture in pictures:
            answer = self._graph(self._input.fit(picture)[np.newaxis])
            faces = find_faces(
                picture,
                answer["boxes"][0],
                answer["scores"][0],
                detector_input=self._input,
                nms=self._nms,
                options=options,
                most=MOST_FACES,
            )
            yield Detections(faces.boxes, faces.scores)


class GraphEmbedder:
    """The exported embedder of a repository, from `faces` to `embedding`."""

    def __init__(self, graph: Graph, name: str) -> None:
        self._graph = graph
        self.name = name

    def embed(self, faces: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
        """See `Embedder`."""
        for batch in batches(faces, _FACES_AT_ONCE):
            yield from self._graph(np.stack([face_crop(face) for face in batch]))["embedding"]


def load_graph(path: Path, runtime: Runtime, precision: Precision) -> Graph:
    """Load an ONNX file.

    Args:
        path: of the file.
        runtime: who computes. ONNX Runtime computes in f32.
        precision: of OpenVINO; `auto` is bf16 where it is faster, as on the server.

    Raises:
        ConfigError: the file cannot be loaded.
    """
    try:
        return _OnnxRuntimeGraph(path) if runtime == "onnxruntime" else _OpenVinoGraph(path, precision)
    except Exception as error:  # the runtimes raise types of their own
        raise ConfigError(f"{path} cannot be loaded by {runtime}: {error}") from error


def computed_in(runtime: Runtime, precision: str) -> str:
    """In what a network of a repository is computed here.

    Args:
        runtime: who computes.
        precision: the one that the repository names. FP16 and INT8 are in the network's file, whoever computes.
    """
    if runtime == "onnxruntime" and precision in ("auto", "bf16"):
        return "f32"
    return computed_precision(precision)


class _OnnxRuntimeGraph:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cpus()
        # Threads that wait by spinning take the processor from everything else that runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input: str = self._session.get_inputs()[0].name
        self.outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, values: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self.outputs, self._session.run(self.outputs, {self._input: values}), strict=True))


class _OpenVinoGraph:
    """Compiled for one row, as the server's backend compiles it: the arithmetic is the same."""

    def __init__(self, path: Path, precision: Precision) -> None:
        import openvino

        core = openvino.Core()
        network = core.read_model(path)
        network.reshape({tensor.any_name: [1, *list(tensor.partial_shape)[1:]] for tensor in network.inputs})
        hints = {"INFERENCE_NUM_THREADS": usable_cpus(), "INFERENCE_PRECISION_HINT": computed_precision(precision)}
        self._request: Any = core.compile_model(network, "CPU", hints).create_infer_request()
        self.outputs = [output.any_name for output in network.outputs]

    def __call__(self, values: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        rows = []
        for row in range(len(values)):
            self._request.infer([values[row : row + 1]])
            rows.append([self._request.get_tensor(name).data.copy() for name in self.outputs])
        return {
            name: np.concatenate(column) for name, column in zip(self.outputs, zip(*rows, strict=True), strict=True)
        }
