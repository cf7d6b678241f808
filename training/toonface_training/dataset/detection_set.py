"""The detection set: scenes, and COCO files that say where the faces are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toonface_training.cartoon.camera import encoded
from toonface_training.cartoon.crowd import CrowdFace, Member, any_size, crowd, draw_troupe
from toonface_training.cartoon.face_box import Box
from toonface_training.cartoon.landmarks import NAMES
from toonface_training.dataset.roster import Name, character, label

FOLDER = "detection"
SCENES_A_JOB = 100
# Characters drawn for each job; its scenes are cast from them.
_TROUPE = 64
# Number of characters in a scene, 0 to 12.
_CROWD_SIZES = (0.1, 0.2, 0.17, 0.13, 0.11, 0.09, 0.06, 0.04, 0.03, 0.02, 0.02, 0.015, 0.015)
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class SceneJob:
    """Draws up to a hundred scenes of one split.

    Attributes:
        split: name of the annotation file's split, as in `instance_train.json`.
        number: of the job within the split.
        count: how many scenes.
        seed: of the data set, and of the split.
        cast: who may be in them.
        severity: of what the camera does to them.
    """

    split: str
    number: int
    count: int
    seed: tuple[int, int]
    cast: tuple[Name, ...]
    severity: float

    @property
    def name(self) -> str:
        """As the record is called."""
        return f"scenes-{self.split}-{self.number:05d}"

    def run(self, folder: Path) -> list[dict[str, Any]]:
        """Write the scenes under the data set's folder; returns `file_name`, `width`, `height` and `faces` of each."""
        lots = np.random.default_rng([*self.seed, self.number])
        chosen = lots.choice(len(self.cast), min(_TROUPE, len(self.cast)), replace=False)
        troupe = draw_troupe([character(self.cast[number]) for number in chosen], lots)
        images = folder / FOLDER / "images"
        images.mkdir(parents=True, exist_ok=True)
        return [self._draw(images, number, troupe) for number in range(self.count)]

    def _draw(self, images: Path, number: int, troupe: list[Member]) -> dict[str, Any]:
        lots = np.random.default_rng([*self.seed, self.number, number])
        width, height = any_size(lots)
        size = min(int(lots.choice(len(_CROWD_SIZES), p=_CROWD_SIZES)), len(troupe))
        cast = [troupe[member] for member in lots.choice(len(troupe), size, replace=False)]
        scene = crowd(width, height, cast, troupe, lots, self.severity)
        file_name = f"{self.split}_{self.number * SCENES_A_JOB + number:06d}.jpg"
        (images / file_name).write_bytes(encoded(scene.pixels, _JPEG_QUALITY))
        faces = [_face(face) for face in scene.faces]
        return {"file_name": file_name, "width": width, "height": height, "faces": faces}


def scene_jobs(split: str, scenes: int, seed: tuple[int, int], cast: Sequence[Name], severity: float) -> list[SceneJob]:
    """The jobs that draw `scenes` scenes of a split."""
    return [
        SceneJob(split, number, min(SCENES_A_JOB, scenes - first), seed, tuple(cast), severity)
        for number, first in enumerate(range(0, scenes, SCENES_A_JOB))
    ]


def coco(scenes: Iterable[dict[str, Any]], first_image: int) -> dict[str, Any]:
    """The COCO file of some scenes, as they were recorded.

    Args:
        scenes: what `SceneJob.run` returns.
        first_image: id of the first image. Annotations count on from sixteen times as much: there are no more than
            twelve in a picture, so that no two files of a data set have ids in common.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes, start=first_image):
        images.append({"id": image_id} | {key: scene[key] for key in ("file_name", "width", "height")})
        for face in scene["faces"]:
            number = 16 * first_image + len(annotations)
            annotations.append({"id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0} | face)
    category = {"id": 1, "name": "face", "supercategory": "face", "keypoints": list(NAMES), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def box_entries(box: Box) -> dict[str, Any]:
    """What an annotation says of a box in pixels: `bbox`, `area`."""
    x, y, width, height = (round(value, 2) for value in (box.x1, box.y1, box.width, box.height))
    return {"bbox": [x, y, width, height], "area": round(width * height, 2)}


def _face(face: CrowdFace) -> dict[str, Any]:
    keypoints: list[float] = []
    for (point_x, point_y), seen in zip(face.points, face.seen, strict=True):
        keypoints += [round(float(point_x), 1), round(float(point_y), 1), 2 if seen else 1]
    name = (face.identity.style.name, face.identity.seed)
    return {
        **box_entries(face.box),
        "keypoints": keypoints,
        "num_keypoints": len(NAMES),
        "character": label(name),
        "visible": round(face.visible, 3),
        "angle": round(face.angle, 1),
    }
