"""MobileFaceNet, as PaddleClas builds it (after Chen et al., "MobileFaceNets", 2018)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

DIMENSION = 128

# Of each group of bottlenecks: expansion, channels, how many, stride of the first.
_GROUPS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
# Height and width of the last feature map at 112 x 112 pixels, which one depthwise convolution takes in whole.
_LAST_MAP = 7


class ConvBlock(nn.Module):
    """Convolution, batch norm, and PReLU unless `linear`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else nn.PReLU(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,inputs,h,w] to FP32 [B,outputs,h',w']."""
        return self.prelu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Inverted residual: widen, filter depthwise, narrow; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,inputs,h,w] to FP32 [B,outputs,h/stride,w/stride]."""
        y = self.conv(x)
        return x + y if self.shortcut else y


class MobileFaceNet(nn.Module):
    """The embedder: FP32 [B,3,112,112], RGB, -1 to 1, to features FP32 [B,128], not of unit length.

    It also takes pictures of other sizes, for training on small ones first: their last feature map is stretched to the
    7 x 7 that the last layers expect.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = ConvBlock(64, 64, 3, padding=1, depthwise=True)
        blocks, channels = [], 64
        for expansion, outputs, count, stride in _GROUPS:
            for number in range(count):
                blocks.append(Bottleneck(channels, outputs, stride if number == 0 else 1, expansion))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(channels, 512, 1)
        self.linear7 = ConvBlock(512, 512, _LAST_MAP, depthwise=True, linear=True)
        self.linear1 = ConvBlock(512, DIMENSION, 1, linear=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features FP32 [B,128] of FP32 [B,3,h,w]."""
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        if x.shape[-1] != _LAST_MAP:
            x = functional.interpolate(x, size=(_LAST_MAP, _LAST_MAP), mode="nearest")
        return self.linear1(self.linear7(x)).flatten(1)
