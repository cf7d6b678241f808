"""What PaddleX publishes for its face recognition tutorials, by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import PurePosixPath

from toonface_contract.errors import FetchError
from toonface_export.families import DETECTORS, EMBEDDERS

# PaddleX's public store; everything below stands under it.
PADDLEX_ADDRESS = "https://paddle-model-ecology.bj.bcebos.com/paddlex"

_INFERENCE = "official_inference_model/paddle3.0rc0"
_PRETRAINED = "official_pretrained_model"


@dataclass(frozen=True)
class Item:
    """One thing to fetch.

    Attributes:
        name: of the file or folder that it becomes.
        path: of the file under the store's address.
        kind: `inference model`, `pretrained parameters` or `data set`.
        about: what it is, in a few words.
    """

    name: str
    path: str
    kind: str
    about: str

    @property
    def archived(self) -> bool:
        """Whether it comes as an archive and becomes a folder."""
        return PurePosixPath(self.path).suffix == ".tar"


def _models(names: tuple[str, ...], task: str) -> list[Item]:
    return [
        item
        for name in names
        for item in (
            Item(f"{name}_infer", f"{_INFERENCE}/{name}_infer.tar", "inference model", f"{task}, to export"),
            Item(
                f"{name}_pretrained.pdparams",
                f"{_PRETRAINED}/{name}_pretrained.pdparams",
                "pretrained parameters",
                f"{task}, to fine-tune",
            ),
        )
    ]


def _data(name: str, about: str) -> Item:
    return Item(name, f"data/{name}.tar", "data set", about)


ITEMS: tuple[Item, ...] = (
    *_models(DETECTORS, "face detector"),
    *_models(EMBEDDERS, "face embedder"),
    _data("face_demo_gallery", "real faces: gallery and pictures"),
    _data("cartoonface_demo_gallery", "cartoon faces: gallery and pictures"),
    _data("cartoonface_coco_examples", "cartoon faces, to train a detector"),
    _data("cartoonface_rec_examples", "cartoon faces, to train an embedder"),
)


def find_item(name: str) -> Item:
    """The item of this name; a model's name alone is its inference model, and endings may be left out.

    Raises:
        FetchError: there is none; the message names the nearest.
    """
    names = {
        alias: item
        for item in ITEMS
        for alias in (item.name, item.name.removesuffix(".pdparams"), item.name.removesuffix("_infer"))
    }
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise FetchError(f"nothing to fetch is called {name!r}{hint}; `toonface fetch --list` names all", code="not_found")
