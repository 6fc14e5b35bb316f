"""Owns the models of ``scaling.py``: three of the suite's kinds, with batch, width and depth to choose.

Imports ``torch`` and ``_models`` alone, so that either library runs it (see ``_models.py``).
"""

from __future__ import annotations

import _models
import torch.nn as nn
import torch.nn.functional as F


def _mlp(batch, width, depth):
    def model():
        layers = [nn.Linear(64, width), nn.ReLU()]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(width, 10))

    return model, _models._classes(batch, 64, classes=10), F.cross_entropy, _models._momentum


def _gpt(batch, width, depth):
    def model():
        return _models.GPT(1000, 0.0, width, depth, width // 32, 128)

    return model, _models._tokens(1000, batch, 128), _models._token_loss, _models._adamw


def _resnet(batch, width, depth):
    def model():
        resnets = _models._resnets()
        return resnets.ResNet(resnets.Bottleneck, [depth] * 4, num_classes=100, width_per_group=width)

    return model, _models._classes(batch, 3, 64, 64, classes=100), F.cross_entropy, _models._momentum


KINDS = {"mlp": _mlp, "gpt": _gpt, "resnet": _resnet}


def register(name: str) -> None:
    """Add a workload such as ``gpt:batch=4,width=128,depth=2`` to those of ``_models.py``."""
    kind, _, sizes = name.partition(":")
    pairs = (pair.split("=") for pair in sizes.split(","))
    _models.WORKLOADS[name] = KINDS[kind](**{axis: int(value) for axis, value in pairs})
