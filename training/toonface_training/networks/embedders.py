"""The two embedders, from PaddleClas."""

from __future__ import annotations

from typing import Any

from toonface_training.networks.catalogue import EMBEDDERS
from toonface_training.networks.mends import mend_classification
from toonface_training.networks.zoo import classification


def build_embedder(name: str) -> Any:
    """A new embedder without its training head, a `paddle.nn.Layer`; see `toonface_training.networks.build`."""
    mend_classification()
    if name == "MobileFaceNet":
        return classification("backbone.model_zoo.mobilefacenet").MobileFaceNet()
    # A face of 112 pixels is small: nothing is halved before the first block.
    return classification("backbone.legendary_models.resnet").ResNet50(
        max_pool=False, stride_list=[1, 2, 2, 2, 2], class_num=EMBEDDERS[name].dimension
    )
