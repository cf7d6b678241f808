"""The pipeline file's key `Serving`: what Triton needs beyond PaddleX's keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toonface_contract.errors import ConfigError
from toonface_export.triton_config import Precision
from toonface_export.written_settings import problems, set_key

Target = Literal["cpu", "gpu"]
Backend = Literal["openvino", "onnxruntime", "tensorrt"]
_Positive = Annotated[int, Field(ge=1)]

# Who computes on which target, and in what.
SERVED: Mapping[Target, Mapping[Backend, tuple[Precision, ...]]] = {
    "cpu": {"openvino": ("auto", "f32", "bf16", "int8"), "onnxruntime": ("auto", "f32")},
    "gpu": {"tensorrt": ("auto", "f16", "f32"), "onnxruntime": ("auto", "f16", "f32")},
}

_GPU_DEFAULTS = {"backend": "tensorrt", "detection_instances": 1, "detection_batch": 8, "embedding_instances": 1}


class Strict(BaseModel):
    """Settings of which unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Engine(Strict):
    """How TensorRT engines are built.

    Attributes:
        detection_batches: batches that the detector's engine is optimised for, besides one and the largest.
        embedding_batches: the same of the embedder's.
        workspace_mb: most GPU memory in MiB that a kernel may use while it is tried and run; 0 for all there is.
        version_compatible: build for later TensorRT versions of the same major version too; somewhat slower.
        timing_cache: file that keeps what was measured on this GPU, so that the next build is quick; relative to the
            working directory.
    """

    detection_batches: tuple[_Positive, ...] = ()
    embedding_batches: tuple[_Positive, ...] = (8,)
    workspace_mb: Annotated[int, Field(ge=0)] = 2048
    version_compatible: bool = False
    timing_cache: Path | None = None


class Serving(Strict):
    """What Triton needs beyond PaddleX's keys.

    Attributes:
        target: what the networks run on.
        backend: who computes them: `openvino` or `onnxruntime` on a CPU, `tensorrt` or `onnxruntime` on a GPU.
        precision: `auto` is BF16 with OpenVINO on processors made for it, else F32, and F16 on GPUs. `int8` needs
            `calibration`.
        detection_precision: of the detector, where it is not the same.
        embedding_precision: of the embedder, where it is not the same.
        fall_back: whether a network that misses its parity bound in the precision asked for is served in the next finer
            one; otherwise nothing is written.
        calibration: folder of pictures like those that will be served, for INT8.
        pictures: folder of pictures to compare with Paddle on, instead of drawn ones.
        candidates: so many of the best boxes leave the detector's graph; 0 for all.
        threads: threads of each instance of a network on a CPU; 0 for its share of the cores. With OpenVINO an instance
            then takes all cores while the others of its network have nothing to do.
        canvas: height and width in pixels into which pictures are scaled down for detectors that take any size.
        pyramid_levels: for the same detectors: scales at which they look at the canvas, each half the one before.
        detection_instances: detectors that work side by side. On a CPU two of them, with half the threads each, do more
            than one whose threads wait for each other; each takes the memory of a whole one. A GPU has one.
        detection_batch: most pictures that one of them detects together. A CPU gains nothing by large batches, and the
            first picture waits for the last. On a GPU the default is one detector and a batch of 8.
        embedding_instances: embedders that work side by side; as for detectors.
        embedding_batch: most faces that are embedded together; faces of one picture beyond it are cut.
        search_batch: most faces that are searched together; at least `embedding_batch`, since Triton splits no request.
        batch_delay_us: microseconds that a face may wait for others to fill its batch.
        preprocess_instances: pictures that are decoded side by side.
        crop_align_instances: pictures whose faces are cut out side by side.
        queue_size: requests that may wait, first for decoding and then for detection; the next one is refused.
        queue_timeout_ms: milliseconds after which one that still waits there is refused.
        engine: how TensorRT engines are built.
    """

    target: Target = "cpu"
    backend: Backend = "openvino"
    precision: Precision = "auto"
    detection_precision: Precision | None = None
    embedding_precision: Precision | None = None
    fall_back: bool = False
    calibration: Path | None = None
    pictures: Path | None = None
    candidates: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=0)] = 0
    canvas: tuple[_Positive, _Positive] = (640, 640)
    pyramid_levels: Annotated[int, Field(ge=1, le=5)] = 3
    detection_instances: _Positive = 2
    detection_batch: _Positive = 2
    embedding_instances: _Positive = 2
    embedding_batch: _Positive = 64
    search_batch: _Positive = 64
    batch_delay_us: Annotated[int, Field(ge=0)] = 0
    preprocess_instances: _Positive = 2
    crop_align_instances: _Positive = 2
    queue_size: _Positive = 64
    queue_timeout_ms: _Positive = 10_000
    engine: Engine = Engine()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_target(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("target") == "gpu":
            return {**_GPU_DEFAULTS, **values}
        return values

    @model_validator(mode="after")
    def _is_served(self) -> Serving:
        known = SERVED[self.target]
        if self.backend not in known:
            raise ValueError(f"backend {self.backend} does not serve target {self.target}; {', '.join(known)} do")
        for precision in (self.detector_precision, self.embedder_precision):
            if precision not in known[self.backend]:
                raise ValueError(
                    f"precision {precision} is not served by backend {self.backend} on target {self.target}; "
                    f"it knows {', '.join(known[self.backend])}"
                )
            if precision == "int8" and self.calibration is None:
                raise ValueError(
                    "precision int8 needs pictures like those that will be served: a folder under `calibration`, or "
                    "--calibration FOLDER"
                )
        return self

    @model_validator(mode="after")
    def _search_takes_what_the_embedder_makes(self) -> Serving:
        if self.search_batch < self.embedding_batch:
            raise ValueError(
                f"search_batch is {self.search_batch}; it must be at least embedding_batch, {self.embedding_batch}"
            )
        return self

    @property
    def detector_precision(self) -> Precision:
        """What is asked of the detector."""
        return self.detection_precision or self.precision

    @property
    def embedder_precision(self) -> Precision:
        """What is asked of the embedder."""
        return self.embedding_precision or self.precision

    def changed(self, written: Sequence[str] = (), /, **changes: Any) -> Serving:
        """The same settings but for some.

        Another target takes its own defaults in the place of this one's, whether or not these were written out: a file
        of `--print-config` writes out all of them.

        Args:
            written: `key=value` each, the value as YAML, with keys such as `threads` and `engine.workspace_mb`. They
                win over the others.
            changes: values by key; what is None stays as it is.

        Raises:
            ConfigError: a setting is unknown or wrong, or the settings do not go together.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        for text in written:
            set_key(given, text, "KEY=VALUE, such as threads=2 or engine.workspace_mb=512")
        settings = self.model_dump(exclude_unset=True)
        if given.get("target", self.target) != self.target:
            defaults = Serving(target=self.target).model_dump()
            settings = {name: value for name, value in settings.items() if value != defaults[name]}
        if isinstance(given.get("engine"), dict):
            given["engine"] = {**settings.get("engine", {}), **given["engine"]}
        try:
            return Serving.model_validate({**settings, **given})
        except ValidationError as error:
            raise ConfigError(problems(error, Serving)) from error
