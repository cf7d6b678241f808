"""From lists of annotation files to COCO."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toonface_contract.errors import ConfigError
from toonface_training.dataset.backup import replace_keeping
from toonface_training.dataset.check_detection import SPLITS, annotation_file
from toonface_training.dataset.coco_file import coco_text
from toonface_training.dataset.convert import labelme, voc
from toonface_training.dataset.convert.annotated import Annotated
from toonface_training.dataset.problems import INVALID_DATASET, Problem, refuse_if_any, system_errors_refused

SourceType = Literal["LabelMe", "VOC"]
_Reader = Callable[[Path, Path, list[Problem]], Annotated | None]
SOURCES: dict[SourceType, tuple[_Reader, str]] = {
    "LabelMe": (labelme.read_labelme, labelme.SUFFIX),
    "VOC": (voc.read_voc, voc.SUFFIX),
}

# Where there is no list for validation, as in PaddleX.
_TRAIN_PART = 0.8


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a list, and where it stands, whichever list it will be in."""

    file: Path
    number: int
    text: str


def convert_dataset(dataset_dir: Path, source_type: SourceType, *, seed: int = 0) -> dict[str, int]:
    """Write `annotations/instance_train.json` and `instance_val.json` from the files that two lists name.

    The layout is PaddleX's: `images/`; `train_anno_list.txt` and `val_anno_list.txt`, each of whose lines ends with the
    path of an annotation file. Where there is no `val_anno_list.txt`, a fifth of the other list, by lot, becomes it,
    and the other is kept as `.bak`. Annotation files that were there are kept as `.bak` too.

    Args:
        dataset_dir: root of the data set.
        source_type: the tool that annotated it.
        seed: of the lot.

    Returns:
        How many images each of the two has.

    Raises:
        ConfigError: an annotation file, a picture or a list is missing or wrong, or something cannot be written;
            nothing is changed then.
    """
    if source_type not in SOURCES:
        raise ConfigError(f"src_dataset_type {source_type} is unknown; there are {', '.join(SOURCES)}")
    with system_errors_refused(f"cannot convert {dataset_dir}"):
        return _convert(dataset_dir, source_type, random.Random(seed))  # noqa: S311


def _convert(dataset_dir: Path, source_type: SourceType, lots: random.Random) -> dict[str, int]:
    read, suffix = SOURCES[source_type]
    problems: list[Problem] = []
    lists = {split: dataset_dir / f"{split}_anno_list.txt" for split in SPLITS}
    lines = {split: _lines(path, problems) for split, path in lists.items() if split == "train" or path.exists()}
    refuse_if_any(problems)
    divided = "val" not in lines
    if divided:
        lines = _divided(lines["train"], lists["train"], lots)
    pictures: dict[str, list[Annotated]] = {split: [] for split in lines}
    annotated: dict[str, _Line] = {}
    for split, line in ((split, line) for split, entries in lines.items() for line in entries):
        path = dataset_dir / line.text.split(" ")[-1]
        if path.suffix != suffix or not path.is_file():
            text = f"`{line.text}` does not end with the path of a {suffix} file of {source_type}"
            problems.append(Problem(line.file, line.number, text))
            continue
        picture = read(path, dataset_dir / "images", problems)
        if picture is None:
            continue
        first = annotated.setdefault(picture.file_name, line)
        if first is not line:
            text = f"picture {picture.file_name} is annotated already, in {first.file.name} on line {first.number}"
            problems.append(Problem(line.file, line.number, text))
        pictures[split].append(picture)
    refuse_if_any(problems)
    texts = {annotation_file(dataset_dir, split): coco_text(content) for split, content in _coco(pictures).items()}
    if divided:
        texts |= {lists[split]: "".join(f"{line.text}\n" for line in entries) for split, entries in lines.items()}
    replace_keeping(texts)
    return {split: len(found) for split, found in pictures.items()}


def _lines(path: Path, problems: list[Problem]) -> list[_Line]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        problems.append(Problem(path, None, reason))
        return []
    return [_Line(path, number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def _divided(lines: Sequence[_Line], path: Path, lots: random.Random) -> dict[str, list[_Line]]:
    shuffled = lots.sample(lines, len(lines))
    count = int(len(lines) * _TRAIN_PART)
    if not 0 < count < len(lines):
        raise ConfigError(
            f"{path} names {len(lines)} annotation files, too few to keep a fifth for validation; "
            f"write {path.with_name('val_anno_list.txt')}, which may be empty",
            code=INVALID_DATASET,
        )
    return {"train": shuffled[:count], "val": shuffled[count:]}


def _coco(pictures: dict[str, list[Annotated]]) -> dict[str, dict[str, Any]]:
    """The COCO files of both; categories are numbered from 1 in the order in which they first appear."""
    labels = [box.label for found in pictures.values() for picture in found for box in picture.boxes]
    categories = {label: number for number, label in enumerate(dict.fromkeys(labels), start=1)}
    listed = [{"id": number, "name": label} for label, number in categories.items()]
    contents: dict[str, dict[str, Any]] = {}
    image_id = annotation_id = 0
    for split, found in pictures.items():
        content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": listed}
        for picture in found:
            image_id += 1
            size = {"width": picture.width, "height": picture.height}
            content["images"].append({"id": image_id, "file_name": picture.file_name} | size)
            for box in picture.boxes:
                annotation_id += 1
                width, height = box.x2 - box.x1, box.y2 - box.y1
                ids = {"id": annotation_id, "image_id": image_id, "category_id": categories[box.label]}
                where = {"bbox": [box.x1, box.y1, width, height], "area": width * height}
                content["annotations"].append(ids | where | {"iscrowd": 0, "ignore": 0})
        contents[split] = content
    return contents
