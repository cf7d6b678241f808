"""Checks a detection set: COCO, as PaddleX's `COCODetDataset`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from toonface_training.dataset.boxes import in_view, wrong_with_box
from toonface_training.dataset.coco_file import CocoFile, category_names, is_whole, read_coco
from toonface_training.dataset.pictures import SAMPLES, SamplePictures, histogram, undecodable, upright_size
from toonface_training.dataset.problems import Problem

DATASET_TYPE = "COCODetDataset"
SPLITS = ("train", "val")


def annotation_file(dataset_dir: Path, split: str) -> Path:
    """The annotation file of a split."""
    return dataset_dir / "annotations" / f"instance_{split}.json"


def check_detection(
    dataset_dir: Path, output: Path, problems: list[Problem], warnings: list[Problem]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """PaddleX's `attributes` and `analysis` of a detection set; what is wrong is added to `problems`.

    Args:
        dataset_dir: of `annotations/` and `images/`.
        output: where sample pictures and the histogram go; nothing is written where there are problems.
        problems: grows.
        warnings: grows by what can be trained on all the same.
    """
    images = dataset_dir / "images"
    files = {split: read_coco(annotation_file(dataset_dir, split), problems) for split in SPLITS}
    found = {split: file for split, file in files.items() if file}
    categories = {split: category_names(file, problems) for split, file in found.items()}
    for split, file in found.items():
        _check_file(file, images, categories[split], problems)
    if len(found) == len(SPLITS) and categories["train"] != categories["val"]:
        text = f"its categories are {categories['val']}, those of training {categories['train']}"
        problems.append(Problem(found["val"].path, None, text))
    if problems:
        return {}, {}
    _check_faces(found["train"], problems)
    for file in found.values():
        shown = [(images / image["file_name"], line) for image, line in file.entries("images")[:SAMPLES]]
        problems += undecodable(shown, file.path, "image")
    if problems:
        return {}, {}
    _warn_of_leaks(found["train"], found["val"], warnings)
    samples = SamplePictures(output)
    attributes: dict[str, Any] = {"num_classes": len(categories["train"])}
    for split, file in found.items():
        attributes[f"{split}_samples"] = len(file.content["images"])
        attributes[f"{split}_sample_paths"] = _draw_samples(file, images, samples)
    counts = {split: _counts(file, categories[split]) for split, file in found.items()}
    return attributes, {"histogram": histogram(counts, output)}


def _check_file(file: CocoFile, images: Path, categories: dict[int, str], problems: list[Problem]) -> None:
    sizes = _check_images(file, images, problems)
    ids: set[int] = set()
    known = ", ".join(f"{number} ({name})" for number, name in categories.items())
    for annotation, line in file.entries("annotations"):
        number = annotation.get("id")
        if not is_whole(number):
            problems.append(Problem(file.path, line, "an annotation needs a whole number `id`"))
        elif number in ids:
            problems.append(Problem(file.path, line, f"annotation id {number} is there twice"))
        else:
            ids.add(number)
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not is_whole(category_id) or category_id not in categories:
            problems.append(Problem(file.path, line, f"category_id {category_id} is unknown; there are {known}"))
        if not is_whole(image_id) or image_id not in sizes:
            problems.append(Problem(file.path, line, f"image_id {image_id} is not among the images"))
        else:
            text = wrong_with_box(annotation.get("bbox"), *sizes[image_id])
            problems += [Problem(file.path, line, text)] if text else []


def _check_images(file: CocoFile, images: Path, problems: list[Problem]) -> dict[int, tuple[int, int]]:
    """Width and height of the images by id."""
    sizes: dict[int, tuple[int, int]] = {}
    names: set[str] = set()
    for image, line in file.entries("images"):
        number, name = image.get("id"), image.get("file_name")
        width, height = _pixels(image.get("width")), _pixels(image.get("height"))
        if not is_whole(number) or not isinstance(name, str) or width is None or height is None:
            text = "an image needs whole numbers `id`, `width`, `height`, and a `file_name`"
            problems.append(Problem(file.path, line, text))
            continue
        if number in sizes:
            problems.append(Problem(file.path, line, f"image id {number} is there twice"))
        if name in names:
            problems.append(Problem(file.path, line, f"image {name} is there twice"))
        sizes[number] = (width, height)
        names.add(name)
        size = upright_size(images / name)
        if isinstance(size, str):
            problems.append(Problem(file.path, line, f"image {images / name} {size}"))
        elif size != (width, height):
            text = f"image {name} is {size[0]} x {size[1]}, not {width} x {height} pixels"
            problems.append(Problem(file.path, line, text))
    if not file.content["images"]:
        problems.append(Problem(file.path, None, "has no image"))
    return sizes


def _pixels(value: Any) -> int | None:
    """A number of pixels; PaddleX's conversion from VOC writes 40.0 for 40."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if is_whole(value) else None


def _check_faces(train: CocoFile, problems: list[Problem]) -> None:
    """A training set without any face, which no detector can learn from, is refused."""
    sizes = {image["id"]: (image["width"], image["height"]) for image in train.content["images"]}
    faces = (face for face in train.content["annotations"] if not face.get("iscrowd"))
    if not any(in_view(face["bbox"], *sizes[face["image_id"]]) for face in faces):
        problems.append(Problem(train.path, None, "has no face to learn from"))


def _warn_of_leaks(train: CocoFile, val: CocoFile, warnings: list[Problem]) -> None:
    names = {image["file_name"] for image in train.content["images"]}
    for image, line in val.entries("images"):
        if image["file_name"] in names:
            text = f"image {image['file_name']} is in {train.path.name} too: what is trained on measures nothing"
            warnings.append(Problem(val.path, line, text))


def _draw_samples(file: CocoFile, images: Path, samples: SamplePictures) -> list[str]:
    chosen = file.content["images"][:SAMPLES]
    boxes: dict[int, list[list[float]]] = {image["id"]: [] for image in chosen}
    for annotation in file.content["annotations"]:
        if annotation["image_id"] in boxes:
            boxes[annotation["image_id"]].append(annotation["bbox"])
    return [samples.add(images / image["file_name"], boxes[image["id"]]) for image in chosen]


def _counts(file: CocoFile, categories: dict[int, str]) -> dict[str, int]:
    numbers = Counter(annotation["category_id"] for annotation in file.content["annotations"])
    counts = dict.fromkeys(categories.values(), 0)
    for number, name in categories.items():
        counts[name] += numbers[number]
    return counts
