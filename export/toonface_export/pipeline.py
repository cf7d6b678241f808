"""The pipeline file: PaddleX's face_recognition.yaml as it is, and one key of our own, `Serving`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from toonface_contract.errors import ConfigError
from toonface_contract.options import MAX_TOPK, RecognitionOptions
from toonface_export.serving import Serving, Strict

_DEFAULTS = RecognitionOptions()


class Module(Strict):
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


class SubModules(Strict):
    """PaddleX's two sub-modules, `Detection` and `Recognition`."""

    detection: Module = Field(alias="Detection")
    recognition: Module = Field(alias="Recognition")


class Pipeline(Strict):
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

    def with_serving(self, **changes: Any) -> Pipeline:
        """The same pipeline with some of its serving settings changed: see `Serving.changed`.

        Raises:
            ConfigError: the settings do not go together.
        """
        return self.model_copy(update={"serving": self.serving.changed(**changes)})


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file; `model_dir` and the folders of pictures come out relative to the working directory.

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
    serving = pipeline.serving
    folders = {name: path.parent / folder for name in ("calibration", "pictures") if (folder := getattr(serving, name))}
    return pipeline.model_copy(
        update={
            "modules": _relative_to(path.parent, pipeline.modules),
            "serving": serving.model_copy(update=folders),
        }
    )


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
