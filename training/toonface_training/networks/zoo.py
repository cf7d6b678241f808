"""Imports single modules of PaddleDetection and PaddleClas, the libraries that PaddleX itself trains with.

The packages `paddledet` and `paddleclas` of PyPI hold the architectures. Importing either package runs `__init__`
files that import everything it has: trackers, segmenters, metrics, and a dozen libraries for them, some of which no
longer install. So the packages in `_BARE` are entered into `sys.modules` without running their `__init__`, and only the
modules that the six networks are made of are imported, which need Paddle and little else.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from toonface_contract.errors import ConfigError

# PyPI's name of the distribution that holds each package. Their metadata pins versions that are long gone, so they are
# installed without their dependencies.
DISTRIBUTIONS = {"ppdet": "paddledet==2.6.0", "paddleclas": "paddleclas==2.6.0"}

_BARE = {
    "ppdet": (
        "ppdet",
        "ppdet.data",
        "ppdet.data.transform",
        "ppdet.modeling",
        "ppdet.modeling.architectures",
        "ppdet.modeling.assigners",
        "ppdet.modeling.backbones",
        "ppdet.modeling.heads",
        "ppdet.modeling.losses",
        "ppdet.modeling.necks",
        "ppdet.modeling.transformers",
        "ppdet.utils",
    ),
    "paddleclas": (
        "paddleclas",
        "paddleclas.ppcls",
        "paddleclas.ppcls.arch",
        "paddleclas.ppcls.arch.backbone",
        "paddleclas.ppcls.arch.backbone.base",
        "paddleclas.ppcls.arch.backbone.legendary_models",
        "paddleclas.ppcls.arch.backbone.model_zoo",
        "paddleclas.ppcls.utils",
    ),
}
# What modules import from a bare package, though it stands in one of the package's modules.
_OFFERED = {
    "ppdet.modeling.losses": ("iou_loss", "GIoULoss"),
    "ppdet.modeling.transformers": ("utils", "bbox_cxcywh_to_xyxy"),
}


def detection(module: str) -> Any:
    """The module `ppdet.modeling.<module>` of PaddleDetection.

    Raises:
        ConfigError: paddledet is not installed; the message says how to install it.
    """
    _enter("ppdet")
    return import_module(f"ppdet.modeling.{module}")


def classification(module: str) -> Any:
    """The module `paddleclas.ppcls.arch.<module>` of PaddleClas.

    Raises:
        ConfigError: paddleclas is not installed; the message says how to install it.
    """
    _enter("paddleclas")
    return import_module(f"paddleclas.ppcls.arch.{module}")


@cache
def _enter(top: str) -> None:
    """Enter the bare packages under `top`, unless the program has imported the real ones already."""
    if top in sys.modules:
        return
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"training needs {DISTRIBUTIONS[top]}, which is not installed: pip install 'toonface[training]', then "
            f"pip install --no-deps {' '.join(DISTRIBUTIONS.values())}"
        )
    root = Path(spec.submodule_search_locations[0]).parent
    for name in _BARE[top]:
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
    for name, (module, attribute) in _OFFERED.items():
        if name in _BARE[top]:
            setattr(sys.modules[name], attribute, getattr(import_module(f"{name}.{module}"), attribute))
