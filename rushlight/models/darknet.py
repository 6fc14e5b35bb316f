"""Owns Darknet-53, the backbone of YOLOv3, in the naming that its PyTorch ports share; ordinary user code.

May import rushlight's public namespace only.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from rushlight import Tensor, nn


class BasicBlock(nn.Module):
    """A 1x1 and a 3x3 convolution and a shortcut around them.

    Args:
        inplanes: channels in.
        planes: channels in the middle, and out (as many as in).

    Shape: (N, inplanes, H, W), in and out.
    """

    def __init__(self, inplanes: int, planes: tuple[int, int] | list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes[0], kernel_size=1, stride=1, padding=0, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        self.relu1 = nn.LeakyReLU(0.1)
        self.conv2 = nn.Conv2d(planes[0], planes[1], kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes[1])
        self.relu2 = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        return out + x


class DarkNet(nn.Module):
    """Darknet (Redmon & Farhadi 2018, https://arxiv.org/abs/1804.02767): five stages that each halve the image.

    Args:
        layers: residual blocks in each stage; [1, 2, 8, 8, 4] for Darknet-53.

    Shape: (N, 3, H, W) to three maps, (N, 256, H/8, W/8), (N, 512, H/16, W/16) and (N, 1024, H/32, W/32).

    Example:
        >>> from rushlight.models import DarkNet
        >>> next(DarkNet([1, 1, 1, 1, 1]).named_parameters())[0]
        'conv1.weight'
    """

    def __init__(self, layers: list[int]) -> None:
        super().__init__()
        self.inplanes = 32
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.inplanes)
        self.relu1 = nn.LeakyReLU(0.1)
        self.layer1 = self._make_layer([32, 64], layers[0])
        self.layer2 = self._make_layer([64, 128], layers[1])
        self.layer3 = self._make_layer([128, 256], layers[2])
        self.layer4 = self._make_layer([256, 512], layers[3])
        self.layer5 = self._make_layer([512, 1024], layers[4])
        self.layers_out_filters = [64, 128, 256, 512, 1024]
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                n = m.kernel_size[0] * m.kernel_size[1] * m.out_channels
                m.weight.data.normal_(0, math.sqrt(2.0 / n))
            elif isinstance(m, nn.BatchNorm2d):
                m.weight.data.fill_(1)
                m.bias.data.zero_()

    def _make_layer(self, planes: list[int], blocks: int) -> nn.Sequential:
        layers: list[tuple[str, nn.Module]] = [
            ("ds_conv", nn.Conv2d(self.inplanes, planes[1], kernel_size=3, stride=2, padding=1, bias=False)),
            ("ds_bn", nn.BatchNorm2d(planes[1])),
            ("ds_relu", nn.LeakyReLU(0.1)),
        ]
        self.inplanes = planes[1]
        for i in range(blocks):
            layers.append((f"residual_{i}", BasicBlock(self.inplanes, planes)))
        return nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of the last three stages."""
        x = self.relu1(self.bn1(self.conv1(x)))
        out3 = self.layer3(self.layer2(self.layer1(x)))
        out4 = self.layer4(out3)
        return out3, out4, self.layer5(out4)


def darknet53() -> DarkNet:
    """Darknet-53.

    Shape: as for ``DarkNet``.

    Example:
        >>> from rushlight.models import darknet53
        >>> darknet53().layer5.residual_3.conv2.weight.shape
        torch.Size([1024, 512, 3, 3])
    """
    return DarkNet([1, 2, 8, 8, 4])


__all__ = ["DarkNet", "darknet53"]
