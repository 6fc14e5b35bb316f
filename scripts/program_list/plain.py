"""Owns the programs on the list that need no package: models written with torch.nn alone.

May import the list.
"""

from __future__ import annotations

from . import ids, noise, program


@program("torch", "Sequential", "vision, convolutional", optimizer="AdamW")
def _() -> tuple:
    from torch import nn

    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(144, 5))
    return nn.Sequential(*layers), noise(2, 3, 8, 8)


@program("torch", "Transformer", "sequences, encoder and decoder")
def _() -> tuple:
    from torch import nn

    return nn.Transformer(16, 2, 1, 1, 24, batch_first=True), (noise(2, 5, 16), noise(2, 4, 16, seed=1))


@program("torch", "LSTM", "language, recurrent", loss=lambda out: out[0].square().mean())
def _() -> tuple:
    from torch import nn

    return nn.Sequential(nn.Embedding(50, 8), nn.LSTM(8, 6, 2, batch_first=True, dropout=0.1)), ids(2, 7)
