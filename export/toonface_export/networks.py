"""From an inference folder to what is served: the steps of the detector, and those of the embedder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ExportError
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_export.detector_graph import build_detector
from toonface_export.embedder_graph import build_embedder
from toonface_export.evidence import UNASKED, Evidence, FacesOf
from toonface_export.families import DETECTORS, EMBEDDERS, family_of
from toonface_export.fetch import official_model
from toonface_export.fetch_steps import as_steps
from toonface_export.forms import Form, Progress, Wanted, choose_form
from toonface_export.judges import DetectorJudge, EmbedderJudge
from toonface_export.nms import read_nms
from toonface_export.onnx_graph import input_names, shape_of
from toonface_export.paddle_model import PaddleModel, read_paddle_model
from toonface_export.paddle_process import convert_to_onnx
from toonface_export.pipeline import Module
from toonface_export.preprocessing import (
    Normalisation,
    detector_preprocessing,
    embedder_digest,
    embedder_normalisation,
)
from toonface_export.references import Reference, detector_answers, embedder_answers
from toonface_export.samples import as_faces
from toonface_export.serving import Serving
from toonface_export.top_k import keep_best
from toonface_export.triton_config import Precision


@dataclass(frozen=True)
class ExportedDetector:
    """A detector ready to be served.

    Attributes:
        source: the folder that it was made from.
        form: see `toonface_export.detector_graph.build_detector` for its tensors.
        reference: Paddle's answers that it was compared with.
        input: what the detector wants to see.
        normalisation: fused into the graph.
        pyramid_levels: scales at which it looks.
        anchors: boxes it answers with for each picture.
        nms: how to choose among them.
    """

    source: PaddleModel
    form: Form
    reference: Reference
    input: DetectorInput
    normalisation: Normalisation
    pyramid_levels: int
    anchors: int
    nms: NmsParameters

    @property
    def digest(self) -> str:
        """Names weights and program."""
        return self.source.digest


@dataclass(frozen=True)
class ExportedEmbedder:
    """An embedder ready to be served.

    Attributes:
        source: the folder that it was made from.
        form: see `toonface_export.embedder_graph.build_embedder` for its tensors.
        reference: Paddle's answers that it was compared with.
        normalisation: fused into the graph.
        dimension: length of an embedding.
    """

    source: PaddleModel
    form: Form
    reference: Reference
    normalisation: Normalisation
    dimension: int

    @property
    def digest(self) -> str:
        """Names what the embedder computes, to which galleries are tied: see `embedder_digest`."""
        return embedder_digest(self.source, self.normalisation)


def read_source(module: Module, known: tuple[str, ...], progress: Progress) -> PaddleModel:
    """Read and check the inference folder that the pipeline file names; PaddleX's official one is fetched.

    Raises:
        ExportError: it is none of the `known` models, or something is wrong with it.
        FetchError: it is PaddleX's official model, and cannot be fetched.
    """
    if module.model_name not in known:
        raise ExportError(f"the pipeline file has the model_name {module.model_name!r}; known are {', '.join(known)}")
    folder = module.model_dir
    if folder is None:
        progress(f"{module.model_name}: fetch PaddleX's official inference model")
        folder = official_model(module.model_name, as_steps(module.model_name, progress))
    return read_paddle_model(folder, known=known, expected=module.model_name)


def export_detector(
    module: Module | PaddleModel, serving: Serving, progress: Progress, evidence: Evidence = UNASKED
) -> ExportedDetector:
    """Export the detector that the pipeline file names, or one that has been read already.

    Raises:
        ExportError: it cannot be exported, or misses its parity bound.
        FetchError: it is PaddleX's official model, and cannot be fetched.
    """
    source = module if isinstance(module, PaddleModel) else read_source(module, DETECTORS, progress)
    family = family_of(source.name)
    levels = serving.pyramid_levels if family.any_size else 1
    preprocessing = detector_preprocessing(source, family, serving.canvas, divisor=family.stride * 2 ** (levels - 1))
    nms = read_nms(source)
    progress(f"{source.name}: convert to ONNX")
    converted = convert_to_onnx(source)
    progress(f"{source.name}: cut the NMS, fuse the preprocessing, fold")
    graph = build_detector(converted, preprocessing, nms.face_class, levels)
    if serving.candidates:
        graph = keep_best(graph, serving.candidates)
    progress(f"{source.name}: ask Paddle for its answers")
    placed = preprocessing.input
    names, pictures = evidence.scenes(placed)
    reference = Reference(
        names,
        pictures,
        detector_answers(source, pictures, preprocessing.normalisation, nms, levels),
        DetectorJudge(nms.parameters, nms.score_threshold, evidence.options.det_threshold),
    )
    calibration = evidence.calibration_scenes(placed)
    wanted = _wanted(serving, serving.detector_precision, serving.detection_batch, evidence, calibration)
    form = choose_form(source.name, graph, reference, wanted, progress)
    return ExportedDetector(
        source=source,
        form=with_note_of_no_faces(source.name, form),
        reference=reference,
        input=placed,
        normalisation=preprocessing.normalisation,
        pyramid_levels=levels,
        anchors=shape_of(graph, "boxes")[1],
        nms=nms.parameters,
    )


def export_embedder(
    module: Module | PaddleModel,
    serving: Serving,
    progress: Progress,
    evidence: Evidence = UNASKED,
    faces_of: FacesOf = as_faces,
) -> ExportedEmbedder:
    """Export the embedder that the pipeline file names, or one that has been read already.

    Args:
        module: names it, or is what was read.
        serving: how it is served.
        progress: is told of each step.
        evidence: what it is judged by.
        faces_of: cuts faces out of the user's pictures; unless given, each picture is one face.

    Raises:
        ExportError: it cannot be exported, or misses its parity bound.
        FetchError: it is PaddleX's official model, and cannot be fetched.
    """
    source = module if isinstance(module, PaddleModel) else read_source(module, EMBEDDERS, progress)
    normalisation = embedder_normalisation(source)
    progress(f"{source.name}: convert to ONNX")
    converted = convert_to_onnx(source)
    progress(f"{source.name}: fuse preprocessing and L2 norm, fold")
    graph = build_embedder(converted, normalisation)
    dimension = shape_of(graph, "embedding")[1]
    if dimension < 1:
        raise ExportError(f"{source.name}: the length of its embeddings is not fixed in {source.own_program}")
    progress(f"{source.name}: ask Paddle for its answers")
    names, faces = evidence.faces(faces_of)
    reference = Reference(
        names,
        faces,
        embedder_answers(source, faces, normalisation, input_names(converted)[0]),
        EmbedderJudge(evidence.options.rec_threshold),
    )
    calibration = evidence.calibration_faces(faces_of)
    wanted = _wanted(serving, serving.embedder_precision, serving.embedding_batch, evidence, calibration)
    form = choose_form(source.name, graph, reference, wanted, progress)
    return ExportedEmbedder(
        source=source, form=form, reference=reference, normalisation=normalisation, dimension=dimension
    )


def with_note_of_no_faces(name: str, form: Form) -> Form:
    """The form, with a note if neither side found a face in the pictures, so that raw answers alone were compared."""
    if any(figures["detections"].value for figures in form.parity.values()):
        return form
    note = f"{name} finds no face in the pictures it was compared on, so only its raw answers were; give --pictures"
    return replace(form, notes=(*form.notes, note))


def _wanted(
    serving: Serving, precision: Precision, batch: int, evidence: Evidence, calibration: NDArray[np.uint8] | None
) -> Wanted:
    return Wanted(
        target=serving.target,
        backend=serving.backend,
        precision=precision,
        fall_back=serving.fall_back,
        bounds=evidence.bounds,
        most_together=batch,
        calibration=calibration,
    )
