"""From what a user calls a model to something that answers."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from toonface_client.connection import Connection, Tls, find_token
from toonface_contract.errors import ConfigError
from toonface_contract.names import ADMIN_TOKEN_ENV, FACE_DETECTION, FACE_EMBEDDING, TOKEN_ENV
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_export.digests import MANIFEST
from toonface_export.families import DETECTORS, EMBEDDERS, family_of
from toonface_export.fetch import official_model
from toonface_export.paddle_model import read_paddle_model
from toonface_export.pipeline import Module, read_pipeline
from toonface_export.serving import Serving
from toonface_export.triton_config import MODEL_FILENAME, QUANTISED_FILENAME
from toonface_training.evaluation.subjects import Chained, Detector, Embedder, Recogniser
from toonface_training.evaluation.subjects.floors import FLOORS, floor
from toonface_training.evaluation.subjects.graphs import (
    RUNTIMES,
    Graph,
    GraphDetector,
    GraphEmbedder,
    Precision,
    Runtime,
    computed_in,
    load_graph,
)
from toonface_training.evaluation.subjects.live import LiveServer
from toonface_training.evaluation.subjects.paddle import PaddleDetector, PaddleEmbedder, import_paddle
from toonface_training.networks import MODELS, build
from toonface_training.networks.inference import write_inference
from toonface_training.networks.parameters import read_parameters, set_parameters, without_head

_ADDRESS = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
_DEFAULTS = RecognitionOptions()


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        name: for tables: what it is, and what computes it.
        detector: finds faces, if it can.
        embedder: embeds faces, if it can.
        recogniser: does both, if it can.
        det_threshold: the deployed one.
        rec_threshold: the deployed one.
    """

    name: str
    detector: Detector | None = None
    embedder: Embedder | None = None
    recogniser: Recogniser | None = None
    det_threshold: float = _DEFAULTS.det_threshold
    rec_threshold: float = _DEFAULTS.rec_threshold

    def must_detect(self) -> Detector:
        """The detector.

        Raises:
            ConfigError: it has none.
        """
        if self.detector is None:
            raise ConfigError(f"{self.name} finds no faces; name a detector, one of {', '.join(DETECTORS)}")
        return self.detector

    def must_embed(self) -> Embedder:
        """The embedder.

        Raises:
            ConfigError: it has none.
        """
        if self.embedder is None:
            raise ConfigError(f"{self.name} embeds no faces; name an embedder, one of {', '.join(EMBEDDERS)}")
        return self.embedder

    def must_recognise(self) -> Recogniser:
        """Both in one.

        Raises:
            ConfigError: it is one model and not two.
        """
        if self.recogniser is None:
            raise ConfigError(
                f"{self.name} is one model; recognition needs a detector and an embedder: "
                "a pipeline file, a model repository or a live server"
            )
        return self.recogniser


@dataclass(frozen=True)
class SubjectSettings:
    """How to run what is evaluated.

    Attributes:
        backend: `onnxruntime` or `openvino` for exported models; None for the one that they were exported for.
        canvas: height and width in pixels of BlazeFace detectors that Paddle runs; None for the pipeline file's, or
            else `Serving`'s default.
        pyramid_levels: of the same; None likewise.
        model: PaddleX's name of the network that a file of parameters is for.
        tls: encryption of the connection to a live server; None for none.
        token_file: with a token to send to it; None for the one that the environment holds, if any.
    """

    backend: Runtime | None = None
    canvas: tuple[int, int] | None = None
    pyramid_levels: int | None = None
    model: str | None = None
    tls: Tls | None = None
    token_file: Path | None = None

    def over(self, serving: Serving) -> Serving:
        """What is set here, and else what the given one says."""
        chosen = {"canvas": self.canvas, "pyramid_levels": self.pyramid_levels}
        return serving.model_copy(update={name: value for name, value in chosen.items() if value is not None})

    def must_suit(self, kind: str, *used: str) -> None:
        """Refuses settings that would change nothing.

        Args:
            kind: what is evaluated, in words.
            used: names of the settings that matter to it.

        Raises:
            ConfigError: another one is set.
        """
        for setting in fields(self):
            if setting.name not in used and getattr(self, setting.name) is not None:
                raise ConfigError(f"--{setting.name.replace('_', '-')} changes nothing for {kind}; leave it out")


def open_subject(text: str, settings: SubjectSettings) -> Subject:
    """Make what is evaluated ready.

    Args:
        text: a Paddle inference folder, or a folder of training's that holds one; parameters (`.pdparams`), with
            `settings.model`; a pipeline file (`.yaml`) that names a detector and an embedder; a model repository that
            `toonface export` wrote, or an embedder's `.onnx` file; `host:port` of a live server; or one of `FLOORS`.
        settings: how to run it.

    Raises:
        ConfigError: it is none of these, or cannot be loaded; or a setting is of no use to it.
        ExportError: a Paddle folder is not what it should be.
        Unavailable: no server answers at the address.
    """
    path = Path(text)
    if text in FLOORS:
        settings.must_suit(f"the floor {text}")
        return Subject(text, embedder=floor(text))
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _pipeline(path, settings)
    if (path / MANIFEST).is_file():
        return _repository(path, settings)
    if path.suffix == ".onnx" and path.is_file():
        return _onnx_file(path, settings)
    if path.suffix == ".pdparams" and path.is_file():
        return _parameters(path, settings)
    if path.is_dir():
        return _paddle(path, settings)
    if is_address(text):
        return _live(text, settings)
    raise ConfigError(
        f"{text!r} is nothing that can be evaluated: neither a Paddle inference folder, .pdparams, a pipeline file "
        f"(.yaml), a model repository, an .onnx file, the host:port of a server, nor one of {', '.join(FLOORS)}"
    )


def is_address(text: str) -> bool:
    """Whether what a user calls a model is the address of a live server."""
    return _ADDRESS.fullmatch(text) is not None and not Path(text).exists()


def _pipeline(path: Path, settings: SubjectSettings) -> Subject:
    pipeline = read_pipeline(path)
    name = pipeline.modules.detection.model_name
    settings.must_suit(f"a pipeline file with {name}, which Paddle runs", *_sizes(name))
    detector = PaddleDetector(model_folder(pipeline.modules.detection), settings.over(pipeline.serving))
    embedder = PaddleEmbedder(model_folder(pipeline.modules.recognition))
    return Subject(
        f"{detector.name} and {embedder.name}, Paddle",
        detector,
        embedder,
        Chained(detector, embedder),
        pipeline.det_threshold,
        pipeline.rec_threshold,
    )


def model_folder(module: Module) -> Path:
    """The inference folder of a pipeline's module: the one it names, or PaddleX's official model."""
    return module.model_dir or official_model(module.model_name)


def _paddle(path: Path, settings: SubjectSettings) -> Subject:
    # What training leaves: OUTPUT/best_model/inference.
    for inner in (path / "inference", path / "best_model" / "inference"):
        if inner.is_dir():
            path = inner
    name = read_paddle_model(path, known=(*DETECTORS, *EMBEDDERS)).name
    settings.must_suit(f"{name}, which Paddle runs", *_sizes(name))
    if name in DETECTORS:
        return Subject(f"{name}, Paddle", detector=PaddleDetector(path, settings.over(Serving())))
    return Subject(f"{name}, Paddle", embedder=PaddleEmbedder(path))


def _sizes(name: str) -> tuple[str, ...]:
    """The settings that say at which sizes a model of that name looks at a picture, if it can be told."""
    return ("canvas", "pyramid_levels") if name in DETECTORS and family_of(name).any_size else ()


def _parameters(path: Path, settings: SubjectSettings) -> Subject:
    if settings.model is None:
        raise ConfigError(f"{path} does not say which network it is for; name the model, one of {', '.join(MODELS)}")
    settings.must_suit(f"parameters of {settings.model}", "model", *_sizes(settings.model))
    import_paddle()
    network = build(settings.model)
    parameters = read_parameters(path)
    set_parameters(network, without_head(parameters) if settings.model in EMBEDDERS else parameters, path)
    with tempfile.TemporaryDirectory(prefix="toonface-") as scratch:
        write_inference(network, settings.model, Path(scratch))
        return _paddle(Path(scratch), replace(settings, model=None))


def _repository(path: Path, settings: SubjectSettings) -> Subject:
    settings.must_suit("a model repository, which was exported with its own", "backend")
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        described, serving, options = manifest["detector"], manifest["serving"], manifest["options"]
        networks = {FACE_DETECTION: described, FACE_EMBEDDING: manifest["recogniser"]}
        names = described["model_name"], manifest["recogniser"]["model_name"]
        placed, nms = DetectorInput.model_validate(described["input"]), NmsParameters.model_validate(described["nms"])
        runtime: Runtime = settings.backend or serving["backend"]
        precisions: dict[str, str] = {name: network["precision"] for name, network in networks.items()}
        thresholds = float(options["det_threshold"]), float(options["rec_threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path / MANIFEST} is not what `toonface export` writes: {error}") from error
    if runtime not in RUNTIMES:
        raise ConfigError(f"{path} is for {runtime}, which computes where it is served: name the server's host:port")
    graphs = [_served(path / name / "1", runtime, precision) for name, precision in precisions.items()]
    detector, embedder = GraphDetector(graphs[0], names[0], placed, nms), GraphEmbedder(graphs[1], names[1])
    computed = [computed_in(runtime, precision) for precision in precisions.values()]
    both = " and ".join(f"{name} ({precision})" for name, precision in zip(names, computed, strict=True))
    return Subject(f"{both}, {runtime}", detector, embedder, Chained(detector, embedder), *thresholds)


def _served(folder: Path, runtime: Runtime, precision: str) -> Graph:
    """A network of a repository; a quantised one is in a file of its own, and computed in f32 where it is not int8."""
    if precision == "int8":
        return load_graph(folder / QUANTISED_FILENAME, runtime, "f32")
    return load_graph(folder / MODEL_FILENAME, runtime, cast(Precision, precision))


def _onnx_file(path: Path, settings: SubjectSettings) -> Subject:
    settings.must_suit("an embedder's ONNX file", "backend")
    graph = load_graph(path, settings.backend or "onnxruntime", "f32")
    if graph.outputs != ["embedding"]:
        raise ConfigError(
            f"{path} answers with {', '.join(graph.outputs)}, not with an embedding; of a detector name the "
            f"repository, whose {MANIFEST} says how its boxes are chosen"
        )
    return Subject(f"{path.name}, {settings.backend or 'onnxruntime'}", embedder=GraphEmbedder(graph, path.name))


def _live(address: str, settings: SubjectSettings) -> Subject:
    settings.must_suit("a live server, which has settings of its own", "tls", "token_file")
    token = find_token(settings.token_file, TOKEN_ENV, ADMIN_TOKEN_ENV)
    server = LiveServer(Connection(address, settings.tls, token=token))
    options = server.options()
    return Subject(f"server at {address}", server, server, server, options.det_threshold, options.rec_threshold)
