"""A PaddleX inference folder: what must be in it, and the digests that name it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toonface_contract.errors import ExportError
from toonface_export.paddle_parameters import check_parameters
from toonface_export.paddle_program import KNOWN, parameter_shapes, read_program, with_single_precision_lists
from toonface_export.paddle_run import run_paddle
from toonface_export.scratch import lasting_scratch_folder, no_room

# The file names that PaddleX's export writes; the program of Paddle 2, which Paddle 3 can still write, has another.
PROGRAM: str = "inference.json"
LEGACY_PROGRAM: str = "inference.pdmodel"
PARAMETERS: str = "inference.pdiparams"
SETTINGS: str = "inference.yml"


@dataclass(frozen=True)
class PaddleModel:
    """One checked inference folder.

    Attributes:
        folder: where it is.
        name: `Global.model_name` of its inference.yml, such as `MobileFaceNet`.
        settings: the whole of inference.yml.
        sha256: hexadecimal SHA-256 of each of its three files, by file name.
        program: the network's description, in the form of inference.json.
        parameters: the network's weights, for that program.
        translation: holds what of these two Paddle 3.2 cannot read as it is; they are gone when it is.
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    sha256: Mapping[str, str]
    program: Path
    parameters: Path
    translation: tempfile.TemporaryDirectory[str] | None = None

    @property
    def own_program(self) -> Path:
        """The program in the folder, to be named in messages: `program` may be a translation that is soon gone."""
        return self.folder / (PROGRAM if PROGRAM in self.sha256 else LEGACY_PROGRAM)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over weights and program, however they are served."""
        both = f"{self.sha256[PARAMETERS]}\n{self.sha256[self.own_program.name]}\n"
        return "sha256:" + hashlib.sha256(both.encode()).hexdigest()


def read_paddle_model(folder: Path, *, known: tuple[str, ...], expected: str | None = None) -> PaddleModel:
    """Read and check one inference folder.

    Args:
        folder: holds inference.json or inference.pdmodel, inference.pdiparams and inference.yml. Of two programs, the
            first is taken, as PaddleX does.
        known: the model names that can be exported in this place (detectors, or embedders).
        expected: the name that the pipeline file gives, if it does; inference.yml must agree.

    Raises:
        ExportError: a file is missing, empty, unreadable, damaged or not what it should be, Paddle cannot read the
            program, or the model is not the one asked for.
        ConfigError: a program of Paddle 2 needs Paddle, which is not installed.
    """
    try:
        files = _files_of(folder)
        sha256 = {file: sha256_of(folder / file) for file in files}
    except OSError as error:
        raise ExportError(
            f"{error.filename or folder} cannot be read: {error.strerror}; make the folder and its files readable"
        ) from error
    legacy = LEGACY_PROGRAM in files
    settings = _read_settings(folder / SETTINGS)
    name = _model_name(settings, folder / SETTINGS, known)
    if expected is not None and name != expected:
        raise ExportError(
            f"{folder / SETTINGS} says Global.model_name is {name!r}, but the pipeline file asks for {expected!r}; "
            "point model_dir at the right folder or correct model_name"
        )
    program, parameters, translation = folder / files[1], folder / PARAMETERS, None
    if legacy:
        translation = lasting_scratch_folder()
        _translate(folder, program, parameters, Path(translation.name) / "inference")
        program, parameters = Path(translation.name) / PROGRAM, Path(translation.name) / PARAMETERS
    content = read_program(program)
    check_parameters(folder / PARAMETERS, parameter_shapes(content))
    readable = with_single_precision_lists(content)
    if readable != content:
        translation = lasting_scratch_folder()
        program, parameters = Path(translation.name) / PROGRAM, Path(translation.name) / PARAMETERS
        try:
            program.write_text(json.dumps(readable), encoding="utf-8")
            parameters.symlink_to((folder / PARAMETERS).resolve())  # Paddle looks for them beside their program
        except OSError as error:
            raise no_room(error) from error
    return PaddleModel(
        folder=folder,
        name=name,
        settings=settings,
        sha256=sha256,
        program=program,
        parameters=parameters,
        translation=translation,
    )


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_of(folder: Path) -> Sequence[str]:
    """Names of the settings, the program and the parameters, all of which are there."""
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; model_dir must name what PaddleX's export wrote")
    legacy = (folder / LEGACY_PROGRAM).exists() and not (folder / PROGRAM).exists()
    files = (SETTINGS, LEGACY_PROGRAM if legacy else PROGRAM, PARAMETERS)
    for file in files:
        path = folder / file
        if not path.is_file():
            raise ExportError(f"{path} is missing; an inference folder holds {PROGRAM}, {PARAMETERS} and {SETTINGS}")
        if path.stat().st_size == 0:
            raise ExportError(f"{path} is empty; export or copy the model again")
    return files


def _translate(folder: Path, program: Path, parameters: Path, prefix: Path) -> None:
    """Have Paddle write a program of Paddle 2 in Paddle 3's form, with its parameters."""
    try:
        run_paddle(folder, "translate", program, parameters, prefix)
    except ExportError as error:
        raise ExportError(
            f"{program}, with {parameters.name} beside it, cannot be read; {KNOWN}. {error.message}"
        ) from error


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExportError(f"{path} is not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ExportError(f"{path} holds {type(settings).__name__}, not the mapping that PaddleX's export writes")
    return settings


def _model_name(settings: Mapping[str, Any], path: Path, known: tuple[str, ...]) -> str:
    section = settings.get("Global")
    name = section.get("model_name") if isinstance(section, dict) else None
    if not isinstance(name, str):
        raise ExportError(f"{path} has no Global.model_name; known here are {', '.join(known)}")
    if name not in known:
        raise ExportError(f"{path} says Global.model_name is {name!r}; known here are {', '.join(known)}")
    return name
