"""What toonface and PaddleX must share before they are compared: models, settings, and pictures."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from toonface_benchmarks.random_models import write_random_model
from toonface_ensemble.decode import decode_image
from toonface_ensemble.placement import DetectorInput
from toonface_export.bounds import BOUNDS
from toonface_export.pipeline import Pipeline, read_pipeline
from toonface_export.repository import export_repository
from toonface_training.evaluation.subjects.graphs import computed_in

# PaddleX's default pair, for which no trained parameters are here.
DEFAULT_PAIR = ("PP-YOLOE_plus-S_face", "ResNet50_face")
# Whether a random network in a coarse precision answers alike says nothing; how fast it answers does.
_NO_BOUNDS = {precision: dict.fromkeys(limits, math.inf) for precision, limits in BOUNDS.items()}
_JPEG_QUALITY = 95
# Faces that the random detector finds in a picture: about as many as there are in the demo's on average.
_FACES = 4
# No more than its NMS demands of a candidate, of which there are dozens, so that it finds as many in any picture.
_RANDOM_THRESHOLD = 0.01


@dataclass(frozen=True)
class Ground:
    """A pipeline, exported.

    Attributes:
        pipeline: the pipeline file's content.
        repository: folder of the exported repository.
        manifest: of it.
        equal: whether it looks at pictures as PaddleX does: at one scale.
        trained: whether its decisions mean something.
    """

    pipeline: Pipeline
    repository: Path
    manifest: dict[str, Any]
    equal: bool
    trained: bool

    def computed(self) -> str:
        """By whom and in what the networks are computed on this machine, whatever was asked for."""
        parts = [self.manifest[part] for part in ("detector", "recogniser")]
        return ", ".join(
            f"{part['model_name']} by {part['backend']} in {computed_in(part['backend'], part['precision'])}"
            for part in parts
        )

    def pictures(self, encoded: Sequence[bytes]) -> list[bytes]:
        """The pictures for both sides: as they are, or, where looks shall be equal, laid on the detector's canvas.

        A picture of exactly the canvas's size is neither scaled nor padded by toonface, as none is by PaddleX.
        """
        placed = DetectorInput.model_validate(self.manifest["detector"]["input"])
        if not (self.equal and placed.keep_ratio):
            return list(encoded)
        return [_encoded(placed.fit(decode_image(picture))) for picture in encoded]


def prepare(
    pipeline_file: Path, folder: Path, *, equal: bool, trained: bool, tell: Callable[[str], None], **serving: Any
) -> Ground:
    """Export a pipeline for a comparison.

    Args:
        pipeline_file: names both models' folders.
        folder: for the repository; new.
        equal: let the BlazeFaces look at one scale only, as they do in PaddleX.
        trained: if not, the exported networks need not keep to the bounds of parity.
        tell: told of each step.
        serving: settings that win over the file's.
    """
    pipeline = read_pipeline(pipeline_file).with_serving(**serving)
    if equal:
        pipeline = pipeline.with_serving(pyramid_levels=1)
    tell(f"exporting {pipeline_file}")
    export_repository(pipeline, folder, lambda step: None, bounds=BOUNDS if trained else _NO_BOUNDS)
    manifest = json.loads((folder / "toonface.json").read_text(encoding="utf-8"))
    return Ground(pipeline, folder, manifest, equal, trained)


def random_default_pair(cache: Path, tell: Callable[[str], None]) -> Path:
    """The pipeline file of PaddleX's default pair with random parameters, which is written when it is not there yet.

    Args:
        cache: folder for it.
        tell: told when it is made.
    """
    folder = cache / f"default-pair-best-{_FACES}"
    file = folder / "face_recognition.yaml"
    if file.exists():
        return file
    for model in DEFAULT_PAIR:
        tell(f"{model}: random parameters")
        write_random_model(model, folder / model)
    keep_faces(folder / DEFAULT_PAIR[0] / "inference.json", _FACES)
    detector, embedder = ({"model_name": model, "model_dir": model} for model in DEFAULT_PAIR)
    modules = {"Detection": detector, "Recognition": embedder}
    thresholds = {"det_threshold": _RANDOM_THRESHOLD, "rec_threshold": 0.5}
    content = {"pipeline_name": "face_recognition", **thresholds, "SubModules": modules}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def keep_faces(program: Path, most: int) -> None:
    """Let the NMS of a detector's program keep so many boxes of a picture, the best ones."""
    setting = r'"D":\d+\},"N":"keep_top_k"'
    text, changed = re.subn(setting, f'"D":{most}}},"N":"keep_top_k"', program.read_text(encoding="utf-8"))
    if changed != 1:
        raise ValueError(f"{program} has {changed} settings keep_top_k; it should have one")
    program.write_text(text, encoding="utf-8")


def _encoded(pixels: np.typing.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
