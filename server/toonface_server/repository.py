"""An exported model repository: is it whole, and what does the configuration of its models say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from pydantic import BaseModel, ConfigDict, ValidationError
from tritonclient.grpc import model_config_pb2

from toonface_contract import names
from toonface_contract.errors import ServerError
from toonface_server.engines import EngineRecord

MANIFEST = "toonface.json"


class Manifest(BaseModel):
    """What the server needs of the exporter's manifest; it holds more.

    Attributes:
        files: SHA-256, in hex, of every file but the manifest, by its path relative to the repository.
        engines: by model what a TensorRT engine was built with; None for one that has not been built.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    files: dict[str, str]
    engines: dict[str, EngineRecord | None] = {}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository whose files are the ones that were exported.

    Attributes:
        path: its folder.
        configs: Triton's `ModelConfig` message of each model, by name.
        engines: what the TensorRT engines among the models were built with.
    """

    path: Path
    configs: dict[str, Any]
    engines: Mapping[str, EngineRecord | None] = field(default_factory=dict)

    def pipeline(self, model: str) -> tuple[str, ...]:
        """The stages that a request to this model passes, in order: an ensemble's steps, else the model itself."""
        steps = self.configs[model].ensemble_scheduling.step
        return tuple(step.model_name for step in steps) or (model,)


def open_repository(path: Path) -> Repository:
    """Check an exported repository, file by file, and read the configuration of its models.

    Raises:
        ServerError: something is missing, damaged or not an exported repository; the message names the file.
    """
    if not path.is_dir():
        raise ServerError(
            f"repository {path} is not a folder; make one with: toonface export PIPELINE.yaml --output {path}"
        )
    manifest = _read_manifest(path / MANIFEST)
    for name, digest in sorted(manifest.files.items()):
        _check_file(path, name, digest)
    models = {Path(name).parts[0] for name in manifest.files if Path(name).name == "config.pbtxt"}
    if names.FACE_RECOGNITION not in models:
        raise ServerError(f"repository {path} has no model {names.FACE_RECOGNITION}; export it again")
    configs = {model: _read_config(path / model / "config.pbtxt") for model in sorted(models)}
    for model, config in configs.items():
        if not any(folder.name.isdecimal() for folder in (path / model).iterdir() if folder.is_dir()):
            # Ensembles have an empty one, which Git and some ways of copying lose.
            raise ServerError(f"{path / model} has no version folder; make it: mkdir {path / model / '1'}")
        for step in config.ensemble_scheduling.step:
            if step.model_name not in configs:
                raise ServerError(
                    f"repository {path} has no model {step.model_name}, which {model} needs; export it again"
                )
    return Repository(path, configs, manifest.engines)


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ServerError(
            f"{path.parent} has no {path.name}: it is not a repository that `toonface export` wrote, or the export was "
            "interrupted; export it again"
        ) from None
    except (OSError, ValidationError) as error:
        raise ServerError(f"{path} cannot be read ({error}); export the repository again") from error


def _check_file(repository: Path, name: str, expected: str) -> None:
    path = repository / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ServerError(
            f"{path} is missing; the repository is incomplete. Copy it whole, or export it again"
        ) from None
    except OSError as error:
        raise ServerError(f"{path} cannot be read: {error.strerror}") from error
    if found != expected:
        raise ServerError(
            f"{path} is damaged or was changed: its SHA-256 is {found}, and {MANIFEST} says {expected}. "
            "Copy the file anew, or export the repository again"
        )


def _read_config(path: Path) -> Any:
    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ServerError(f"{path} is not a Triton model configuration: {error}") from error
