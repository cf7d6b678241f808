"""BlazeFace-FPN-SSH, as PaddleDetection builds it (after Bazarevsky et al., "BlazeFace", 2019)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# Of each backbone block: channels in between and out, and the stride. The double ones widen again at their end.
_SINGLE = ((24, 24, 1), (24, 24, 1), (24, 48, 2), (48, 48, 1), (48, 48, 1))
_DOUBLE = ((24, 96, 2), (24, 96, 1), (24, 96, 1), (24, 96, 2), (24, 96, 1), (24, 96, 1))
_ACTIVATIONS = {
    "relu": functional.relu,
    "hard_swish": functional.hardswish,
    "leaky": functional.leaky_relu,
    "": nn.Identity(),
}

Maps = tuple[torch.Tensor, torch.Tensor]
"""Feature maps of strides 8 and 16, FP32 [B,C,ceil(h/8),ceil(w/8)] and [B,C,ceil(h/16),ceil(w/16)]."""


class ConvNorm(nn.Module):
    """Convolution without bias that keeps the size (divided by `stride`), batch norm, activation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, activation: str = "", *, stride: int = 1, depthwise: bool = False
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self._conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self._batch_norm = nn.BatchNorm2d(outputs)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,inputs,h,w] to FP32 [B,outputs,h/stride,w/stride]."""
        return _ACTIVATIONS[self.activation](self._batch_norm(self._conv(x)))


class BlazeBlock(nn.Module):
    """One depthwise-separable convolution of 5 x 5, or two with a narrow waist between them, and a shortcut."""

    def __init__(self, name: str, inputs: int, middle: int, outputs: int, stride: int, *, double: bool) -> None:
        super().__init__()
        self.name = name
        self.add_module(f"{name}1_dw", ConvNorm(inputs, inputs, 5, "relu", stride=stride, depthwise=True))
        if double:
            self.conv_pw = ConvNorm(inputs, middle, 1, "hard_swish")
            self.add_module(f"{name}2_dw", ConvNorm(middle, middle, 5, "relu", depthwise=True))
            self.conv_pw2 = ConvNorm(middle, outputs, 1, "relu")
        else:
            self.conv_pw = ConvNorm(inputs, outputs, 1)
        if stride > 1:
            self.pool = nn.MaxPool2d(stride, stride, ceil_mode=True)
            self.add_module(f"{name}_shortcut_conv", ConvNorm(inputs, outputs, 1, "relu"))
        self.double, self.stride = double, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,inputs,h,w] to FP32 [B,outputs,h/stride,w/stride]."""
        y = self.conv_pw(self.get_submodule(f"{self.name}1_dw")(x))
        if self.double:
            y = self.conv_pw2(self.get_submodule(f"{self.name}2_dw")(y))
        if self.stride > 1:
            x = self.get_submodule(f"{self.name}_shortcut_conv")(self.pool(x))
        return functional.relu(x + y)


class BlazeNet(nn.Module):
    """The backbone: FP32 [B,3,h,w] to two maps of 96 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 24, 3, "relu", stride=2)
        self.names: list[str] = []
        channels = 24
        for kind, blocks, double in (("blaze", _SINGLE, False), ("double_blaze", _DOUBLE, True)):
            for number, (middle, outputs, stride) in enumerate(blocks):
                name = f"{kind}_{number}"
                self.add_module(name, BlazeBlock(name, channels, middle, outputs, stride, double=double))
                self.names.append(name)
                channels = outputs

    def forward(self, x: torch.Tensor) -> Maps:
        """The last map of stride 8 and the last of stride 16."""
        x = self.conv1(x)
        maps = []
        for name in self.names:
            x = self.get_submodule(name)(x)
            maps.append(x)
        return maps[-4], maps[-1]


class FeaturePyramid(nn.Module):
    """Narrows both maps and adds the coarse one to the fine one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1_fpn = ConvNorm(inputs, outputs, 1, "leaky")
        self.conv2_fpn = ConvNorm(inputs, outputs, 1, "leaky")
        self.conv3_fpn = ConvNorm(outputs, outputs, 3, "leaky")

    def forward(self, maps: Maps) -> Maps:
        """Two maps of `inputs` channels to two of `outputs`."""
        fine, coarse = self.conv1_fpn(maps[0]), self.conv2_fpn(maps[1])
        larger = functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
        return self.conv3_fpn(fine + larger), coarse


class ContextModule(nn.Module):
    """SSH's context module: one, two and three convolutions of 3 x 3 side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv0_ssh = ConvNorm(channels, half, 3)
        self.conv1_ssh = ConvNorm(half, quarter, 3, "leaky")
        self.conv2_ssh = ConvNorm(quarter, quarter, 3)
        self.conv3_ssh = ConvNorm(quarter, quarter, 3, "leaky")
        self.conv4_ssh = ConvNorm(quarter, quarter, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """FP32 [B,channels,h,w] to the same shape."""
        near = self.conv0_ssh(x)
        wider = self.conv2_ssh(self.conv1_ssh(near))
        widest = self.conv4_ssh(self.conv3_ssh(wider))
        return functional.relu(torch.cat([near, wider, widest], dim=1))


class Neck(nn.Module):
    """Feature pyramid and context modules: two maps of 96 channels to two of 48."""

    def __init__(self) -> None:
        super().__init__()
        self.fpn = FeaturePyramid(96, 48)
        self.ssh1, self.ssh2 = ContextModule(48), ContextModule(48)

    def forward(self, maps: Maps) -> Maps:
        """The maps that the head looks at."""
        fine, coarse = self.fpn(maps)
        return self.ssh1(fine), self.ssh2(coarse)


class Head(nn.Module):
    """For each anchor, four offsets and two logits, of face and background."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes0, self.scores0 = nn.Conv2d(48, 2 * 4, 3, padding=1), nn.Conv2d(48, 2 * 2, 3, padding=1)
        self.boxes1, self.scores1 = nn.Conv2d(48, 6 * 4, 3, padding=1), nn.Conv2d(48, 6 * 2, 3, padding=1)

    def forward(self, maps: Maps) -> tuple[torch.Tensor, torch.Tensor]:
        """Offsets FP32 [B,A,4] and logits FP32 [B,A,2], in the order of `anchors`."""
        convolutions = ((self.boxes0, self.scores0), (self.boxes1, self.scores1))
        offsets = [_rows(boxes(x), 4) for x, (boxes, _) in zip(maps, convolutions, strict=True)]
        logits = [_rows(scores(x), 2) for x, (_, scores) in zip(maps, convolutions, strict=True)]
        return torch.cat(offsets, dim=1), torch.cat(logits, dim=1)


class BlazeFace(nn.Module):
    """The detector: FP32 [B,3,h,w], RGB, normalised, to offsets FP32 [B,A,4] and logits FP32 [B,A,2] (see `Head`)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = BlazeNet()
        self.neck = Neck()
        self.blaze_head = Head()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Offsets and logits of every anchor."""
        offsets, logits = self.blaze_head(self.neck(self.backbone(x)))
        return offsets, logits


def _rows(x: torch.Tensor, columns: int) -> torch.Tensor:
    """FP32 [B,n*columns,h,w] as [B,h*w*n,columns]."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, columns)
