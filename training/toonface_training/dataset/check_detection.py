"""Checks a detection set: COCO, as PaddleX's `COCODetDataset`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

from toonface_training.dataset.coco_file import CocoFile, read_coco
from toonface_training.dataset.pictures import SAMPLES, SamplePictures, histogram, upright_size
from toonface_training.dataset.problems import Problem

DATASET_TYPE = "COCODetDataset"
SPLITS = ("train", "val")
# Annotation tools round; a box may reach so far over the edge, in pixels.
_TOLERANCE = 1.0


def annotation_file(dataset_dir: Path, split: str) -> Path:
    """The annotation file of a split."""
    return dataset_dir / "annotations" / f"instance_{split}.json"


def check_detection(dataset_dir: Path, output: Path, problems: list[Problem]) -> tuple[dict[str, Any], dict[str, Any]]:
    """PaddleX's `attributes` and `analysis` of a detection set; what is wrong is added to `problems`.

    Args:
        dataset_dir: of `annotations/` and `images/`.
        output: where sample pictures and the histogram go; nothing is written where there are problems.
        problems: grows.
    """
    files = {split: read_coco(annotation_file(dataset_dir, split), problems) for split in SPLITS}
    found = {split: file for split, file in files.items() if file}
    categories = {split: _categories(file, problems) for split, file in found.items()}
    for split, file in found.items():
        _check_file(file, dataset_dir / "images", categories[split], problems)
    if len(found) == len(SPLITS) and categories["train"] != categories["val"]:
        text = f"its categories are {categories['val']}, those of training {categories['train']}"
        problems.append(Problem(found["val"].path, None, text))
    if problems:
        return {}, {}
    samples = SamplePictures(output)
    attributes: dict[str, Any] = {"num_classes": len(categories["train"])}
    for split, file in found.items():
        attributes[f"{split}_samples"] = len(file.content["images"])
        attributes[f"{split}_sample_paths"] = _draw_samples(file, dataset_dir / "images", samples)
    counts = {split: _counts(file, categories[split]) for split, file in found.items()}
    return attributes, {"histogram": histogram(counts, output)}


def _categories(file: CocoFile, problems: list[Problem]) -> dict[int, str]:
    """Names of the categories by id."""
    names: dict[int, str] = {}
    for category, line in file.entries("categories"):
        number, name = category.get("id"), category.get("name")
        if not _is_whole(number) or not isinstance(name, str) or not name:
            problems.append(Problem(file.path, line, "a category needs a whole number `id` and a `name`"))
        elif number in names:
            problems.append(Problem(file.path, line, f"category id {number} is there twice"))
        else:
            names[number] = name
    if not file.content["categories"]:
        problems.append(Problem(file.path, None, "has no category; name what is in the boxes, such as `face`"))
    return names


def _check_file(file: CocoFile, images: Path, categories: dict[int, str], problems: list[Problem]) -> None:
    sizes = _check_images(file, images, problems)
    ids: set[int] = set()
    known = ", ".join(f"{number} ({name})" for number, name in categories.items())
    for annotation, line in file.entries("annotations"):
        number = annotation.get("id")
        if not _is_whole(number):
            problems.append(Problem(file.path, line, "an annotation needs a whole number `id`"))
        elif number in ids:
            problems.append(Problem(file.path, line, f"annotation id {number} is there twice"))
        else:
            ids.add(number)
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not _is_whole(category_id) or category_id not in categories:
            problems.append(Problem(file.path, line, f"category_id {category_id} is unknown; there are {known}"))
        if not _is_whole(image_id) or image_id not in sizes:
            problems.append(Problem(file.path, line, f"image_id {image_id} is not among the images"))
        else:
            problems += [Problem(file.path, line, text) for text in _wrong_with_box(annotation, *sizes[image_id])]


def _check_images(file: CocoFile, images: Path, problems: list[Problem]) -> dict[int, tuple[int, int]]:
    """Width and height of the images by id."""
    sizes: dict[int, tuple[int, int]] = {}
    names: set[str] = set()
    for image, line in file.entries("images"):
        number, name = image.get("id"), image.get("file_name")
        width, height = image.get("width"), image.get("height")
        if not (_is_whole(number) and isinstance(name, str) and _is_whole(width) and _is_whole(height)):
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


def _wrong_with_box(annotation: dict[str, Any], width: int, height: int) -> list[str]:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(edge) for edge in box):
        return [f"bbox {box} is not four numbers: x, y, width, height"]
    x, y, across, down = box
    if across <= 0 or down <= 0:
        return [f"bbox {box} has no area"]
    if min(x, y) < -_TOLERANCE or x + across > width + _TOLERANCE or y + down > height + _TOLERANCE:
        return [f"bbox {box} reaches outside its image of {width} x {height} pixels"]
    return []


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_samples(file: CocoFile, images: Path, samples: SamplePictures) -> list[str]:
    chosen = file.content["images"][:SAMPLES]
    boxes: dict[int, list[list[float]]] = {image["id"]: [] for image in chosen}
    for annotation in file.content["annotations"]:
        if annotation["image_id"] in boxes:
            boxes[annotation["image_id"]].append(annotation["bbox"])
    return [samples.add(images / image["file_name"], boxes[image["id"]]) for image in chosen]


def _counts(file: CocoFile, categories: dict[int, str]) -> dict[str, int]:
    numbers = Counter(annotation["category_id"] for annotation in file.content["annotations"])
    return {name: numbers[number] for number, name in categories.items()}
