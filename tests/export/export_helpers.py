"""What the exporter's tests share besides fixtures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonface_export.networks import ExportedDetector, ExportedEmbedder
from toonface_export.pipeline import Pipeline

MODELS = Path(__file__).resolve().parents[2] / "models"


@dataclass(frozen=True)
class Exported:
    """A repository, and what it was made from."""

    path: Path
    pipeline: Pipeline
    detector: ExportedDetector
    embedder: ExportedEmbedder
    manifest: dict[str, Any]
    steps: list[str]
