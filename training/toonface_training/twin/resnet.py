"""ResNet50 for faces, as PaddleClas builds it (He et al., "Deep Residual Learning for Image Recognition", 2015)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

DIMENSION = 512

# Of each group of bottlenecks: channels in its middle, how many bottlenecks. Each group halves the sides.
_GROUPS = ((64, 3), (128, 4), (256, 6), (512, 3))
# Channels that leave a bottleneck, for each in its middle.
_EXPANSION = 4
_STEM = 64


class ConvBlock(nn.Module):
    """Convolution and batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,inputs,h,w] to FP32 [B,outputs,h/stride,w/stride]."""
        y: torch.Tensor = self.bn(self.conv(x))
        return y


class Bottleneck(nn.Module):
    """Narrow, filter, widen; the shortcut is a convolution where the shape changes."""

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = middle * _EXPANSION
        self.conv0 = ConvBlock(inputs, middle, 1)
        self.conv1 = ConvBlock(middle, middle, 3, stride)
        self.conv2 = ConvBlock(middle, outputs, 1)
        self.short = nn.Identity() if inputs == outputs else ConvBlock(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,inputs,h,w] to FP32 [B,4*middle,h/stride,w/stride]."""
        y = functional.relu(self.conv0(x))
        y = functional.relu(self.conv1(y))
        return functional.relu(self.conv2(y) + self.short(x))


class ResNet50(nn.Module):
    """The embedder: FP32 [B,3,112,112], RGB, -1 to 1, to features FP32 [B,512], not of unit length.

    It takes pictures of other sizes as well: the last feature map is averaged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, _STEM, 7))
        blocks, channels = [], _STEM
        for middle, count in _GROUPS:
            for number in range(count):
                blocks.append(Bottleneck(channels, middle, 2 if number == 0 else 1))
                channels = middle * _EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.fc = _Linear(channels, DIMENSION)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features FP32 [B,512] of FP32 [B,3,h,w]."""
        x = self.blocks(functional.relu(self.stem(x)))
        features: torch.Tensor = self.fc(x.mean(dim=(2, 3)))
        return features


class _Linear(nn.Module):
    """A fully connected layer whose weights FP32 [inputs,outputs] lie as in Paddle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias
