"""Manifests as files, and the digests of what stands beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toonface_contract.errors import ExportError
from toonface_export.paddle_model import sha256_of

MANIFEST = "toonface.json"
"""Of a whole repository."""

MODEL_MANIFEST = "model.json"
"""Of one exported network, beside its config.pbtxt."""

# What the manifest of a network is read for: by `toonface export inspect`, and to build its engine.
_OF_A_NETWORK = (
    *("model_name", "digest", "source", "tools", "notes", "nodes", "normalisation", "parity", "bounds", "judge"),
    *("target", "backend", "precision", "asked_precision", "inputs", "outputs", "max_batch_size", "pictures"),
)
_NETWORKS = ("detector", "recogniser")

COMPILED = "__pycache__"
"""Folder in which Python keeps the modules that it has compiled: no part of an export, and rewritten as it likes."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        ExportError: it is missing, damaged or something else; the message names the file.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ExportError(f"{path.parent} holds no {path.name}; name a folder that `toonface export` wrote") from None
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ExportError(f"{path} is not a manifest; export the model again")
    networks: dict[str, Any] = {key: content.get(key) for key in _NETWORKS}
    if path.name == MODEL_MANIFEST:
        networks = {"it": content}
    for name, network in networks.items():
        missing = [key for key in _OF_A_NETWORK if not isinstance(network, dict) or key not in network]
        if missing:
            raise ExportError(
                f"{path} is not a manifest of this version: {name} has no {', '.join(missing)}; export the model again"
            )
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest; the same content gives the same bytes.

    Raises:
        ValueError: a number in it is infinite or none at all, which JSON cannot say.
    """
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def with_files(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with `files`: the SHA-256 of every other file in its folder but compiled modules, by its path."""
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST and COMPILED not in path.relative_to(folder).parts
    }
    return {**content, "files": files}
