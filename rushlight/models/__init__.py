"""Owns the ``rushlight.models`` namespace (``torchvision.models`` under the alias); re-exports only.

May import the files of this folder.
"""

from . import darknet, resnet
from .darknet import DarkNet, darknet53
from .resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152

__all__ = [
    "DarkNet", "ResNet", "darknet", "darknet53", "resnet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
]  # fmt: skip
