"""Small datasets in PaddleX's layouts, made of the demo's pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = CHECKOUT / "models"
DEMO = CHECKOUT / "demo"


def detection_set(folder: Path) -> Path:
    """The demo's pictures as a COCO set whose annotations say who is where."""
    shutil.copytree(DEMO / "pictures", folder / "images")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(json.loads((DEMO / "expected.json").read_text())["pictures"]):
        name = Path(picture["file"]).name
        images.append({"id": number, "file_name": name, "width": picture["width"], "height": picture["height"]})
        for face in picture["faces"]:
            x1, y1, x2, y2 = face["box"]
            annotation = {
                "id": len(annotations),
                "image_id": number,
                "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            annotations.append({**annotation, "iscrowd": 0, "area": (x2 - x1) * (y2 - y1), "character": face["label"]})
    (folder / "annotations").mkdir()
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    (folder / "annotations" / "instance_val.json").write_text(json.dumps(coco))
    return folder


def feature_set(folder: Path) -> Path:
    """Pairs of the demo's gallery: 24 of one character, 24 of two; a gallery of two pictures each, and probes.

    The probes are the third pictures; the last three characters are not enrolled. Characters with an even number are
    of one style, those with an odd one of another.
    """
    shutil.copytree(DEMO / "gallery", folder / "val")
    files = [line.split(" ", 1)[0] for line in (DEMO / "gallery" / "gallery.txt").read_text().splitlines()]
    takes = [files[start : start + 3] for start in range(0, len(files), 3)]
    pairs = []
    for (one, two, _), (other, *_) in zip(takes, [*takes[1:], takes[0]], strict=True):
        pairs += [f"{one} {two} 1", f"{one} {other} 0"]
    (folder / "val" / "pair_label.txt").write_text("\n".join(pairs) + "\n")
    named = [(f"{'odd' if number % 2 else 'even'}-{number}", take) for number, take in enumerate(takes)]
    gallery = [f"val/{file} {label}" for label, take in named[:-3] for file in take[:2]]
    (folder / "gallery.txt").write_text("\n".join(gallery) + "\n")
    (folder / "probe.txt").write_text("".join(f"val/{take[2]} {label}\n" for label, take in named))
    return folder


def generated_set(folder: Path) -> Path:
    """The demo in the layout of a generated set. Its unseen half has fewer scenes, characters and pairs.

    Three characters are not enrolled in the seen half, and five in the other. In the place of whole pictures of the
    probes there are the scenes of the half, and fewer of turned ones; in that of whole pictures of the gallery, its
    crops on a larger canvas, but for the first one's, which is empty.
    """
    scenes = detection_set(folder / "detection") / "annotations"
    coco = json.loads((scenes / "instance_val.json").read_text())
    files = [line.split(" ", 1) for line in (DEMO / "gallery" / "gallery.txt").read_text().splitlines()]
    labels = {name: f"{'odd' if number % 2 else 'even'}-{number}" for number, (_, name) in enumerate(files[::3])}
    for annotation in coco["annotations"]:
        annotation["character"] = labels.get(annotation["character"], "odd-99")
    shown = sorted({annotation["image_id"] for annotation in coco["annotations"]})[:3]
    fewer = {
        **coco,
        "images": [image for image in coco["images"] if image["id"] in shown],
        "annotations": [each for each in coco["annotations"] if each["image_id"] in shown],
    }
    pairs = (feature_set(folder / "feature") / "val" / "pair_label.txt").read_text().splitlines(keepends=True)
    (folder / "feature" / "val" / "pair_label_unseen.txt").write_text("".join(pairs[:30]))
    for kind, split, content, strangers in (("seen", "test", coco, 3), ("unseen", "unseen", fewer, 5)):
        (scenes / f"instance_{split}.json").write_text(json.dumps(content))
        shutil.copytree(DEMO / "gallery", folder / "gallery" / kind)
        pictures = folder / "gallery" / kind / "pictures"
        shutil.copytree(DEMO / "pictures", pictures / "images")
        (pictures / "annotations").mkdir()
        for poses, shown_there in (("probe", content), ("probe_turned", fewer)):
            (pictures / "annotations" / f"instance_{poses}.json").write_text(json.dumps(shown_there))
        enrolled = [(file, labels[name]) for file, name in files[: -3 * strangers : 3]]
        whole = _on_canvases(DEMO / "gallery", enrolled, pictures / "images", coco["categories"])
        (pictures / "annotations" / "instance_gallery.json").write_text(json.dumps(whole))
        lines = [f"{file} {labels[name]}\n" for file, name in files]
        probes = lines[2 : -3 * strangers : 3] + [f"{file} Unknown\n" for file, _ in files[-3 * strangers :]]
        for name, some in (
            ("gallery.txt", lines[: -3 * strangers : 3]),
            ("gallery_3.txt", lines[: -3 * strangers]),
            ("probe.txt", probes),
            ("probe_turned.txt", probes),
        ):
            (folder / "gallery" / kind / name).write_text("".join(some))
    return folder


def _on_canvases(
    gallery: Path, enrolled: list[tuple[str, str]], folder: Path, categories: list[dict[str, Any]]
) -> dict[str, Any]:
    """A detection set of gallery pictures, each amid a grey canvas of twice its sides; the first is empty."""
    images, annotations = [], []
    for number, (file, label) in enumerate(enrolled, 1):
        crop = cv2.imread(str(gallery / file))
        height, width = crop.shape[:2]
        sides = (height // 2, height // 2, width // 2, width // 2)
        canvas = cv2.copyMakeBorder(crop, *sides, cv2.BORDER_CONSTANT, value=(128, 128, 128))
        if number == 1:
            canvas[:] = 128
        cv2.imwrite(str(folder / file), canvas)
        images.append({"id": number, "file_name": file, "width": canvas.shape[1], "height": canvas.shape[0]})
        box = [width // 2, height // 2, width, height]
        annotations.append(
            {"id": number, "image_id": number, "category_id": categories[0]["id"], "bbox": box, "iscrowd": 0}
            | {"area": width * height, "character": label}
        )
    return {"categories": categories, "images": images, "annotations": annotations}
