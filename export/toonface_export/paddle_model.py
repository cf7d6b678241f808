"""A PaddleX inference folder: what must be in it, and the digests that name it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from toonface_contract.errors import ExportError

# The file names that PaddleX's export writes.
PROGRAM: str = "inference.json"
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
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    sha256: Mapping[str, str]

    @property
    def program(self) -> Path:
        """The network's description, inference.json."""
        return self.folder / PROGRAM

    @property
    def parameters(self) -> Path:
        """The network's weights, inference.pdiparams."""
        return self.folder / PARAMETERS

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over weights and program: it names what the model computes, however it is served."""
        both = f"{self.sha256[PARAMETERS]}\n{self.sha256[PROGRAM]}\n"
        return "sha256:" + hashlib.sha256(both.encode()).hexdigest()


def read_paddle_model(folder: Path, *, known: tuple[str, ...], expected: str | None = None) -> PaddleModel:
    """Read and check one inference folder.

    Args:
        folder: holds inference.json, inference.pdiparams and inference.yml.
        known: the model names that can be exported in this place (detectors, or embedders).
        expected: the name that the pipeline file gives, if it does; inference.yml must agree.

    Raises:
        ExportError: a file is missing, empty or not what it should be, or the model is not the one asked for.
    """
    if not folder.is_dir():
        raise ExportError(f"{folder} is not a folder; model_dir must name what PaddleX's export wrote")
    _check_files(folder)
    settings = _read_settings(folder / SETTINGS)
    name = _model_name(settings, folder / SETTINGS, known)
    if expected is not None and name != expected:
        raise ExportError(
            f"{folder / SETTINGS} says Global.model_name is {name!r}, but the pipeline file asks for {expected!r}; "
            "point model_dir at the right folder or correct model_name"
        )
    return PaddleModel(
        folder=folder,
        name=name,
        settings=settings,
        sha256={file: sha256_of(folder / file) for file in (PROGRAM, PARAMETERS, SETTINGS)},
    )


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(folder: Path) -> None:
    if (folder / "inference.pdmodel").exists() and not (folder / PROGRAM).exists():
        raise ExportError(
            f"{folder} holds inference.pdmodel, the format of Paddle 2, and no {PROGRAM}; "
            "export the model again with PaddleX 3 on Paddle 3"
        )
    for file in (SETTINGS, PROGRAM, PARAMETERS):
        path = folder / file
        if not path.is_file():
            raise ExportError(f"{path} is missing; an inference folder holds {PROGRAM}, {PARAMETERS} and {SETTINGS}")
        if path.stat().st_size == 0:
            raise ExportError(f"{path} is empty; export or copy the model again")


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
