"""One inference folder as one Triton model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toonface_contract.options import RecognitionOptions
from toonface_export.bounds import BOUNDS, Bounds
from toonface_export.digests import MODEL_MANIFEST
from toonface_export.engines import build_engine
from toonface_export.evidence import gather_evidence
from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.forms import Progress
from toonface_export.gpu import INSTEAD, require_gpu
from toonface_export.network_folder import write_network
from toonface_export.network_stages import NetworkConfig, face_detection, face_embedding
from toonface_export.networks import ExportedDetector, ExportedEmbedder, export_detector, export_embedder
from toonface_export.output import assembled, check_output
from toonface_export.paddle_model import read_paddle_model
from toonface_export.serving import Serving


def export_model(
    folder: Path,
    output: Path,
    serving: Serving,
    options: RecognitionOptions,
    progress: Progress,
    *,
    bounds: Bounds = BOUNDS,
    force: bool = False,
    engine_later: bool = False,
) -> dict[str, Any]:
    """Export a detector or an embedder by itself.

    Args:
        folder: the inference folder.
        output: the model's folder, which is named as the model will be. May be absent, empty, or an older export of one
            model, but not within a repository.
        serving: how it is to be served. The user's pictures are one face each to an embedder.
        options: thresholds of the decisions that are compared.
        progress: is told of each step.
        bounds: of parity.
        force: replace `output` even if it is a folder of something else, or within a repository.
        engine_later: leave a TensorRT engine to `toonface_export.engines.rebuild`.

    Returns:
        The manifest that was written to model.json.

    Raises:
        ExportError: the model cannot be exported or misses its parity bound, `output` is not to be replaced, or there
            is no GPU for an engine.
        ConfigError: the user's pictures cannot be read.
    """
    check_output(output, MODEL_MANIFEST, force)
    builds = serving.backend == "tensorrt" and not engine_later
    if builds:
        require_gpu(INSTEAD)
    target = output.resolve()
    source = read_paddle_model(folder, known=(*DETECTORS, *EMBEDDERS))
    evidence = gather_evidence(serving, options, bounds)
    network: ExportedDetector | ExportedEmbedder
    config: NetworkConfig
    if source.name in DETECTORS:
        network = export_detector(source, serving, progress, evidence)
        config = face_detection(serving, network.form.precision, network.input, network.anchors, target.name)
    else:
        network = export_embedder(source, serving, progress, evidence)
        config = face_embedding(serving, network.form.precision, network.dimension, target.name)
    progress("write the model")
    with assembled(target, progress) as scratch:
        manifest = write_network(scratch, network, config, serving, bounds)
        return build_engine(scratch, *require_gpu(INSTEAD), progress) if builds else manifest
