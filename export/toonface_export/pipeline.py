"""The pipeline file: PaddleX's face_recognition.yaml as it is, and one key of our own, `Serving`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from toonface_contract.errors import ConfigError
from toonface_contract.options import MAX_TOPK, RecognitionOptions
from toonface_export.serving import Serving, Strict
from toonface_export.written_settings import problems

_DEFAULTS = RecognitionOptions()

# Keys that PaddleX reads by their places, and that say nothing about a repository: how PaddleX itself computes
# (inference/pipelines/base.py), searches in binary indices (pipelines/pp_shitu_v2/pipeline.py), and serves
# (serving/infra/config.py).
_COMPUTING = ("engine", "engine_config", "use_hpip", "hpi_config")
_UNHEEDED: Mapping[tuple[str, ...], tuple[str, ...]] = {
    (): (*_COMPUTING, "hamming_radius"),
    ("SubModules", "Detection"): _COMPUTING,
    ("SubModules", "Recognition"): _COMPUTING,
    ("Serving",): ("visualize", "return_urls", "extra"),
}


def _none_by_name(value: Any) -> Any:
    # PaddleX's own file says `index: None`, which YAML reads as a string.
    return None if value == "None" else value


_OrNone = BeforeValidator(_none_by_name)


class Module(Strict):
    """One of PaddleX's sub-modules.

    Attributes:
        module_name: PaddleX's name of the task.
        model_name: what inference.yml in `model_dir` must say.
        model_dir: the inference folder; null, or no such key, for PaddleX's official model of this name.
        batch_size: PaddleX's own; Triton's batches are set under `Serving`.
    """

    module_name: str | None = None
    model_name: str
    model_dir: Annotated[Path | None, _OrNone] = None
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
    index: Annotated[str | None, _OrNone] = None
    det_threshold: Annotated[float, Field(ge=0, le=1)] = _DEFAULTS.det_threshold
    rec_threshold: Annotated[float, Field(ge=0, le=1)] = _DEFAULTS.rec_threshold
    rec_topk: Annotated[int, Field(ge=1, le=MAX_TOPK)] = _DEFAULTS.topk
    modules: SubModules = Field(alias="SubModules")
    serving: Serving = Field(alias="Serving", default=Serving())

    @property
    def options(self) -> RecognitionOptions:
        """Defaults of the request options."""
        return RecognitionOptions(
            det_threshold=self.det_threshold, rec_threshold=self.rec_threshold, topk=self.rec_topk
        )

    def with_serving(self, written: Sequence[str] = (), /, **changes: Any) -> Pipeline:
        """The same pipeline with some of its serving settings changed: see `Serving.changed`.

        Raises:
            ConfigError: a setting is unknown or wrong, or the settings do not go together.
        """
        return self.model_copy(update={"serving": self.serving.changed(written, **changes)})


def read_pipeline(path: Path, note: Callable[[str], None] = lambda text: None) -> Pipeline:
    """Read a pipeline file; `model_dir` and the folders of pictures come out relative to the working directory.

    In the file `model_dir` is relative to the file's own folder or else to the working directory, as it is to PaddleX;
    the folders of pictures are relative to the file's own.

    Args:
        path: of the file.
        note: is told which keys are for PaddleX alone.

    Raises:
        ConfigError: it cannot be read, a key is unknown, missing or wrong, or a `model_dir` is in neither place; the
            message names each of them.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"pipeline file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"pipeline file {path} is not YAML: {error}") from error
    if unheeded := _taken_out(content):
        note(f"keys of {path} that are for PaddleX alone, and not heeded: {', '.join(unheeded)}")
    try:
        pipeline = Pipeline.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"pipeline file {path}: {problems(error, Pipeline)}") from error
    serving = pipeline.serving
    folders = {name: path.parent / folder for name in ("calibration", "pictures") if (folder := getattr(serving, name))}
    return pipeline.model_copy(
        update={
            "modules": _located(path, pipeline.modules),
            "serving": serving.model_copy(update=folders),
        }
    )


def _taken_out(content: Any) -> list[str]:
    """Take the keys that are not heeded out of a file's content, and tell which these were."""
    taken = []
    for place, keys in _UNHEEDED.items():
        section = content
        for key in place:
            section = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict):
            for key in keys:
                if key in section:
                    del section[key]
                    taken.append(".".join((*place, key)))
    return taken


def _located(path: Path, modules: SubModules) -> SubModules:
    """The modules of the pipeline file `path`, with folders that are relative to the working directory."""

    def located(name: str, module: Module) -> Module:
        folder = module.model_dir
        if folder is None or folder.is_absolute():
            return module
        try:
            for place in (path.parent / folder, folder):
                if place.is_dir():
                    return module.model_copy(update={"model_dir": place})
        except OSError as error:
            raise ConfigError(f"pipeline file {path}: SubModules.{name}.model_dir cannot be read: {error}") from error
        raise ConfigError(
            f"pipeline file {path}: SubModules.{name}.model_dir is {folder}, which is no folder in "
            f"{path.parent.resolve()}, where the file is, nor in the working directory, {Path.cwd()}"
        )

    return modules.model_copy(
        update={
            "detection": located("Detection", modules.detection),
            "recognition": located("Recognition", modules.recognition),
        }
    )
