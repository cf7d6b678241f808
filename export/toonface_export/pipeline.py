"""The pipeline file: PaddleX's face_recognition.yaml as it is, and one key of our own, `Serving`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from toonface_contract.errors import ConfigError
from toonface_contract.options import MAX_TOPK, RecognitionOptions
from toonface_export.triton_config import Precision

Backend = Literal["openvino", "onnxruntime"]
_Positive = Annotated[int, Field(ge=1)]
_DEFAULTS = RecognitionOptions()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Serving(_Strict):
    """What Triton needs beyond PaddleX's keys.

    Attributes:
        backend: who computes the two networks.
        precision: of OpenVINO: `auto` is BF16 on processors made for it, else F32. ONNX Runtime takes F32.
        threads: threads of each instance of a network; 0 for its share of the cores, all of them for a single instance.
        canvas: height and width in pixels into which pictures are scaled down for detectors that take any size.
        pyramid_levels: for the same detectors: scales at which they look at the canvas, each half the one before.
        detection_instances: detectors that work side by side. On a CPU two of them, with half the threads each, do more
            than one whose threads wait for each other; each takes the memory of a whole one.
        detection_batch: most pictures that one of them detects together. A CPU gains nothing by large batches, and the
            first picture waits for the last.
        embedding_batch: most faces that are embedded together; faces of one picture beyond it are cut.
        search_batch: most faces that are searched together; at least `embedding_batch`, since Triton splits no request.
        batch_delay_us: microseconds that a face may wait for others to fill its batch.
        preprocess_instances: pictures that are decoded side by side.
        crop_align_instances: pictures whose faces are cut out side by side.
        queue_size: requests that may wait, first for decoding and then for detection; the next one is refused.
        queue_timeout_ms: milliseconds after which one that still waits there is refused.
    """

    backend: Backend = "openvino"
    precision: Precision = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    canvas: tuple[_Positive, _Positive] = (640, 640)
    pyramid_levels: Annotated[int, Field(ge=1, le=5)] = 3
    detection_instances: _Positive = 2
    detection_batch: _Positive = 2
    embedding_batch: _Positive = 64
    search_batch: _Positive = 64
    batch_delay_us: Annotated[int, Field(ge=0)] = 0
    preprocess_instances: _Positive = 2
    crop_align_instances: _Positive = 2
    queue_size: _Positive = 64
    queue_timeout_ms: _Positive = 10_000

    @model_validator(mode="after")
    def _precision_is_served(self) -> Serving:
        if self.backend == "onnxruntime" and self.precision == "bf16":
            raise ValueError("precision bf16 needs backend openvino; onnxruntime computes in f32")
        return self

    @model_validator(mode="after")
    def _search_takes_what_the_embedder_makes(self) -> Serving:
        if self.search_batch < self.embedding_batch:
            raise ValueError(
                f"search_batch is {self.search_batch}; it must be at least embedding_batch, {self.embedding_batch}"
            )
        return self


class Module(_Strict):
    """One of PaddleX's sub-modules.

    Attributes:
        module_name: PaddleX's name of the task.
        model_name: what inference.yml in `model_dir` must say.
        model_dir: the inference folder, relative to the pipeline file; null for PaddleX's official model of this name.
        batch_size: PaddleX's own; Triton's batches are set under `Serving`.
    """

    module_name: str | None = None
    model_name: str
    model_dir: Path | None
    batch_size: int | None = None


class SubModules(_Strict):
    """PaddleX's two sub-modules, `Detection` and `Recognition`."""

    detection: Module = Field(alias="Detection")
    recognition: Module = Field(alias="Recognition")


class Pipeline(_Strict):
    """PaddleX's face_recognition.yaml with the key `Serving`; see `read_pipeline`.

    Attributes:
        pipeline_name: `face_recognition`.
        index: PaddleX's saved gallery. It is not exported: `toonface gallery import` takes it to the running server.
        det_threshold: default of the request option of this name.
        rec_threshold: default of the request option of this name.
        rec_topk: default of the request option `topk`.
        modules: `SubModules`, the detector and the embedder.
        serving: `Serving`, what Triton needs beyond these.
    """

    pipeline_name: Literal["face_recognition"]
    index: str | None = None
    det_threshold: Annotated[float, Field(ge=0, le=1)] = _DEFAULTS.det_threshold
    rec_threshold: Annotated[float, Field(ge=0, le=1)] = _DEFAULTS.rec_threshold
    rec_topk: Annotated[int, Field(ge=1, le=MAX_TOPK)] = _DEFAULTS.topk
    modules: SubModules = Field(alias="SubModules")
    serving: Serving = Field(alias="Serving", default=Serving())

    @field_validator("index")
    @classmethod
    def _none_by_name(cls, value: str | None) -> str | None:
        # PaddleX's own file says `index: None`, which YAML reads as a string.
        return None if value == "None" else value

    @property
    def options(self) -> RecognitionOptions:
        """Defaults of the request options."""
        return RecognitionOptions(
            det_threshold=self.det_threshold, rec_threshold=self.rec_threshold, topk=self.rec_topk
        )

    def with_backend(self, backend: Backend) -> Pipeline:
        """The same pipeline, served by another backend.

        Raises:
            ConfigError: the backend cannot do what `Serving` asks for.
        """
        try:
            serving = Serving.model_validate({**self.serving.model_dump(), "backend": backend})
        except ValidationError as error:
            raise ConfigError(f"backend {backend}: {_problems(error)}") from error
        return self.model_copy(update={"serving": serving})


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file; `model_dir` comes out relative to the working directory.

    Raises:
        ConfigError: it cannot be read, or a key is unknown, missing or wrong; the message names each of them.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"pipeline file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"pipeline file {path} is not YAML: {error}") from error
    try:
        pipeline = Pipeline.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"pipeline file {path}: {_problems(error)}") from error
    return pipeline.model_copy(update={"modules": _relative_to(path.parent, pipeline.modules)})


def _relative_to(folder: Path, modules: SubModules) -> SubModules:
    def moved(module: Module) -> Module:
        return module.model_copy(update={"model_dir": module.model_dir and folder / module.model_dir})

    return modules.model_copy(update={"detection": moved(modules.detection), "recognition": moved(modules.recognition)})


def _problems(error: ValidationError) -> str:
    texts = []
    for problem in error.errors():
        place = problem["loc"]
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = f"is not known (known here are {', '.join(_keys_at(place[:-1]))})"
        texts.append(f"{'.'.join(map(str, place))} {text}".strip())
    return "; ".join(texts)


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the file may have at `place`."""
    model: Any = Pipeline
    for key in place:
        model = next(field.annotation for name, field in model.model_fields.items() if (field.alias or name) == key)
    return [field.alias or name for name, field in model.model_fields.items()]
