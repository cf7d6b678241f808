"""Datasets in PaddleX's layouts that a network can learn from in a few steps: bright squares, and four patterns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def write_detection_set(folder: Path, *, train: int = 12, val: int = 4) -> Path:
    """Pictures of 128 x 96 with 0, 1 and 2 bright squares in turn."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for split, count in (("train", train), ("val", val)):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in range(1, count + 1):
            pixels = rng.integers(0, 80, (96, 128, 3), dtype=np.uint8)
            for _ in range(number % 3):
                x, y, side = int(rng.integers(0, 80)), int(rng.integers(0, 50)), int(rng.integers(16, 44))
                pixels[y : y + side, x : x + side] = (220, 180, 60)
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": [x, y, side, side]}
                    | {"area": side * side, "iscrowd": 0}
                )
            name = f"{split}{number}.png"
            Image.fromarray(pixels).save(folder / "images" / name)
            images.append({"id": number, "file_name": name, "width": 128, "height": 96})
        content = {"categories": [{"id": 1, "name": "face"}], "images": images, "annotations": annotations}
        (folder / "annotations" / f"instance_{split}.json").write_text(json.dumps(content))
    return folder


def write_feature_set(folder: Path, *, characters: int = 4, pictures: int = 3) -> Path:
    """Noisy pictures of coarse patterns, one pattern for each character."""
    rng = np.random.default_rng(0)
    lines = {"train": [], "val": []}  # type: dict[str, list[str]]
    for split in lines:
        (folder / split / "images").mkdir(parents=True)
    for character in range(characters):
        pattern = np.kron(rng.integers(0, 256, (7, 7, 3)), np.ones((16, 16, 1)))
        for number in range(pictures):
            for split in lines:
                pixels = np.clip(pattern + rng.normal(0, 20, pattern.shape), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / "images" / f"{character}_{number}.png")
            lines["train"].append(f"images/{character}_{number}.png {character}")
    for number in range(20):
        left, right = number % characters, (number // 2) % characters
        lines["val"].append(f"images/{left}_0.png images/{right}_1.png {int(left == right)}")
    (folder / "train" / "label.txt").write_text("\n".join(lines["train"]) + "\n")
    (folder / "val" / "pair_label.txt").write_text("\n".join(lines["val"]) + "\n")
    return folder
