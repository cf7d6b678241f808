"""From an inference folder to a checked graph: the steps of the detector, and those of the embedder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_export.detector_graph import build_detector
from toonface_export.embedder_graph import build_embedder
from toonface_export.families import DETECTORS, EMBEDDERS, family_of
from toonface_export.fetch import official_model
from toonface_export.nms import read_nms
from toonface_export.onnx_graph import input_names, shape_of
from toonface_export.paddle_model import PaddleModel, read_paddle_model
from toonface_export.paddle_process import convert_to_onnx
from toonface_export.parity import check_detector, check_embedder
from toonface_export.pipeline import Module, Serving
from toonface_export.preprocessing import Normalisation, detector_preprocessing, embedder_normalisation

Progress = Callable[[str], None]
"""Is told of each step as it begins, in a few words."""


@dataclass(frozen=True)
class ExportedDetector:
    """A detector ready to be served.

    Attributes:
        source: the folder that it was made from.
        graph: see `toonface_export.detector_graph.build_detector`.
        input: what the detector wants to see.
        normalisation: fused into the graph.
        pyramid_levels: scales at which it looks.
        anchors: boxes it answers with for each picture.
        nms: how to choose among them.
        parity: figures of `toonface_export.parity`.
    """

    source: PaddleModel
    graph: onnx.ModelProto
    input: DetectorInput
    normalisation: Normalisation
    pyramid_levels: int
    anchors: int
    nms: NmsParameters
    parity: dict[str, float]


@dataclass(frozen=True)
class ExportedEmbedder:
    """An embedder ready to be served.

    Attributes:
        source: the folder that it was made from.
        graph: see `toonface_export.embedder_graph.build_embedder`.
        normalisation: fused into the graph.
        dimension: length of an embedding.
        parity: figures of `toonface_export.parity`.
    """

    source: PaddleModel
    graph: onnx.ModelProto
    normalisation: Normalisation
    dimension: int
    parity: dict[str, float]


def export_detector(module: Module, serving: Serving, progress: Progress) -> ExportedDetector:
    """Export the detector that the pipeline file names.

    Raises:
        ExportError: it cannot be exported, or misses its parity bound.
        FetchError: it is PaddleX's official model, and cannot be fetched.
    """
    source = _read_source(module, DETECTORS, progress)
    family = family_of(source.name)
    levels = serving.pyramid_levels if family.any_size else 1
    preprocessing = detector_preprocessing(source, family, serving.canvas, divisor=family.stride * 2 ** (levels - 1))
    nms = read_nms(source.program)
    progress(f"{source.name}: convert to ONNX")
    converted = convert_to_onnx(source)
    progress(f"{source.name}: cut the NMS, fuse the preprocessing, fold")
    graph = build_detector(converted, preprocessing, nms.face_class, levels)
    progress(f"{source.name}: compare with Paddle")
    return ExportedDetector(
        source=source,
        graph=graph,
        input=preprocessing.input,
        normalisation=preprocessing.normalisation,
        pyramid_levels=levels,
        anchors=shape_of(graph, "scores")[1],
        nms=nms.parameters,
        parity=check_detector(source, graph, preprocessing, nms, levels),
    )


def export_embedder(module: Module, progress: Progress) -> ExportedEmbedder:
    """Export the embedder that the pipeline file names.

    Raises:
        ExportError: it cannot be exported, or misses its parity bound.
        FetchError: it is PaddleX's official model, and cannot be fetched.
    """
    source = _read_source(module, EMBEDDERS, progress)
    normalisation = embedder_normalisation(source)
    progress(f"{source.name}: convert to ONNX")
    converted = convert_to_onnx(source)
    progress(f"{source.name}: fuse preprocessing and L2 norm, fold")
    graph = build_embedder(converted, normalisation)
    dimension = shape_of(graph, "embedding")[1]
    if dimension < 1:
        raise ExportError(f"{source.name}: the length of its embeddings is not fixed in {source.program}")
    progress(f"{source.name}: compare with Paddle")
    return ExportedEmbedder(
        source=source,
        graph=graph,
        normalisation=normalisation,
        dimension=dimension,
        parity=check_embedder(source, graph, normalisation, input_names(converted)[0]),
    )


def _read_source(module: Module, known: tuple[str, ...], progress: Progress) -> PaddleModel:
    if module.model_name not in known:
        raise ExportError(f"the pipeline file has the model_name {module.model_name!r}; known are {', '.join(known)}")
    folder = module.model_dir
    if folder is None:
        progress(f"{module.model_name}: fetch PaddleX's official inference model")
        folder = official_model(module.model_name)
    return read_paddle_model(folder, known=known, expected=module.model_name)
