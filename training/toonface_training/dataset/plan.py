"""What a cartoon data set is made of: the jobs that draw its pictures, and the lists that are written afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toonface_training.dataset.coco_file import coco_text
from toonface_training.dataset.detection_set import FOLDER, coco, scene_jobs
from toonface_training.dataset.feature_set import PICTURES, CharacterJob, Shot, box_list, label_list, pair_list
from toonface_training.dataset.jobs import Job
from toonface_training.dataset.roster import Name, Roster, label
from toonface_training.dataset.settings import CartoonSettings
from toonface_training.whole_files import write_atomically

STRANGER = "Unknown"
"""The label of probes that show nobody of the gallery, as PaddleX labels them."""

_GALLERY_PICTURES = 3
_ENROLLED = "gallery"
# Lots of their own, and not those of a character's drawings or of pairs: to enrol more leaves the probes as they are.
_PLACES_OF_PROBES, _PLACES_OF_ENROLLED = 7, 8
_VALIDATION_PICTURES = 8
# Pictures to measure with are taken with more care than those to train on; their boxes are as a good detector's.
_CAREFUL = 0.6
_SHIFTED = 0.04
# Degrees to either side.
_UPRIGHT, _TURNED = 5.0, 30.0
# Lists of probes, and annotations of their pictures, by kind of shot.
_PROBES = {"probe": "probe", "turned": "probe_turned"}


@dataclass(frozen=True)
class Section:
    """A part of a data set.

    Attributes:
        jobs: that draw its pictures.
        finish: writes its lists, from the data set's folder and the jobs' records in order.
    """

    jobs: Sequence[Job]
    finish: Callable[[Path, Sequence[Any]], None]


def detection(roster: Roster, settings: CartoonSettings) -> list[Section]:
    """Scenes to train on, to watch, and to test with, of characters that are new to each."""
    splits = (
        ("train", settings.scenes, roster.train, 1.0),
        ("val", settings.validation_scenes, roster.validation, _CAREFUL),
        ("test", settings.test_scenes, (*roster.test, *roster.test_strangers), _CAREFUL),
        ("unseen", settings.test_scenes, (*roster.unseen, *roster.unseen_strangers), _CAREFUL),
    )
    sections, first_image = [], 1
    for number, (split, scenes, cast, severity) in enumerate(splits):
        jobs = scene_jobs(split, scenes, (settings.seed, number), cast, severity)
        sections.append(Section(jobs, partial(_write_coco, split, first_image)))
        first_image += scenes
    return sections


def feature(roster: Roster, settings: CartoonSettings) -> list[Section]:
    """Crops by character to train on, and pairs of other characters, of seen styles and of unseen ones."""
    train = Shot("picture", settings.pictures, None, 1.0, with_context=True)
    watch = Shot("picture", _VALIDATION_PICTURES, None, _CAREFUL, _SHIFTED)
    watched = (("pair_label.txt", roster.validation), ("pair_label_unseen.txt", roster.unseen_validation))
    return [
        Section(_faces("feature/train", (*roster.train, *roster.extra), settings, train), _write_labels),
        *(
            Section(_faces("feature/val", names, settings, watch), partial(_write_pairs, file, names, settings))
            for file, names in watched
        ),
    ]


def gallery(roster: Roster, settings: CartoonSettings) -> list[Section]:
    """Galleries of new characters, and pictures of them and of strangers to recognise."""
    probes = (
        Shot("probe", settings.probes, _UPRIGHT, _CAREFUL, _SHIFTED, picture_lot=_PLACES_OF_PROBES),
        Shot("turned", settings.probes, _TURNED, _CAREFUL, _SHIFTED, picture_lot=_PLACES_OF_PROBES),
    )
    enrolled = Shot(_ENROLLED, _GALLERY_PICTURES, _UPRIGHT, _CAREFUL, picture_lot=_PLACES_OF_ENROLLED)
    sections = []
    for folder, members, strangers in (
        ("gallery/seen", roster.test, roster.test_strangers),
        ("gallery/unseen", roster.unseen, roster.unseen_strangers),
    ):
        jobs = _faces(folder, members, settings, enrolled, *probes) + _faces(folder, strangers, settings, *probes)
        labels = [*map(label, members), *[STRANGER] * len(strangers)]
        sections.append(Section(jobs, partial(_write_gallery, folder, labels)))
    return sections


PARTS: dict[str, Callable[[Roster, CartoonSettings], list[Section]]] = {
    "detection": detection,
    "feature": feature,
    "gallery": gallery,
}


def _faces(folder: str, names: Sequence[Name], settings: CartoonSettings, *shots: Shot) -> list[CharacterJob]:
    return [CharacterJob(folder, name, settings.seed, settings.drawings, shots) for name in names]


def _write_coco(split: str, first_image: int, output: Path, records: Sequence[Any]) -> None:
    content = coco((scene for record in records for scene in record), first_image)
    write_atomically(output / FOLDER / "annotations" / f"instance_{split}.json", coco_text(content))


def _write_labels(output: Path, records: Sequence[Any]) -> None:
    write_atomically(output / "feature/train/label.txt", label_list(records))
    write_atomically(output / "feature/train/boxes.txt", box_list(records))


def _write_pairs(
    file: str, names: Sequence[Name], settings: CartoonSettings, output: Path, records: Sequence[Any]
) -> None:
    write_atomically(output / "feature/val" / file, pair_list(names, records, settings.pairs, settings.seed))


def _write_gallery(folder: str, labels: Sequence[str], output: Path, records: Sequence[Any]) -> None:
    def lines(kind: str, most: int | None = None) -> str:
        return "".join(
            f"{entry['path']} {name}\n"
            for name, record in zip(labels, records, strict=True)
            for entry in record.get(kind, [])[:most]
        )

    write_atomically(output / folder / "gallery.txt", lines(_ENROLLED, 1))
    write_atomically(output / folder / f"gallery_{_GALLERY_PICTURES}.txt", lines(_ENROLLED))
    first_image = 1
    for kind, name in _PROBES.items():
        write_atomically(output / folder / f"{name}.txt", lines(kind))
    for kind, name in {**_PROBES, _ENROLLED: _ENROLLED}.items():
        pictures = [entry["picture"] for record in records for entry in record.get(kind, [])]
        path = output / folder / PICTURES / "annotations" / f"instance_{name}.json"
        write_atomically(path, coco_text(coco(pictures, first_image)))
        first_image += len(pictures)
