"""Owns the models and train steps of ``suite.py``: ordinary PyTorch code, which either library runs as it stands.

Imports ``torch`` alone: under ``rushlight.alias`` that is rushlight. Nothing here knows which of the two it is.
"""

from __future__ import annotations

import itertools
import types
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F


def _resnets():
    """torchvision's residual networks from the one definition in rushlight/models, with this library underneath."""
    path = Path(__file__).resolve().parent.parent / "rushlight" / "models" / "resnet.py"
    module = types.ModuleType("resnet")
    source = path.read_text(encoding="utf-8").replace("from rushlight import", "from torch import")
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


class LSTM(nn.Module):
    def __init__(self, hidden=256, classes=10):
        super().__init__()
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1])


class Attention(nn.Module):
    def __init__(self, width, heads, causal, dropout=0.0):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal, self.dropout = heads, causal, dropout

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = [a.view(b, t, self.heads, d // self.heads).transpose(1, 2) for a in self.qkv(x).split(d, 2)]
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, dropout_p=p)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    def __init__(self, width, heads, causal, dropout=0.0):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal, dropout)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    def __init__(self, vocabulary=1000, dropout=0.0, width=256, layers=4, heads=8, length=256):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*[Block(width, heads, True, dropout) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        x = self.token(ids) + self.position(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.norm(self.blocks(self.drop(x))))


class ViT(nn.Module):
    """ViT-Ti/16."""

    def __init__(self, width=192, layers=12, heads=3, size=224, patch=16, classes=1000):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, heads, False) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


def _twice(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(8, o), nn.ReLU(),
        nn.Conv2d(o, o, 3, padding=1), nn.GroupNorm(8, o), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, widths=(32, 64, 128, 256), channels=3):
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.first = _twice(channels, widths[0])
        self.downs = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), _twice(a, b)) for a, b in pairs)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        self.joins = nn.ModuleList(_twice(2 * a, a) for a, _ in reversed(pairs))
        self.last = nn.Conv2d(widths[0], channels, 1)

    def forward(self, x):
        kept = [self.first(x)]
        for down in self.downs:
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up, join in zip(self.ups, self.joins):
            x = join(torch.cat([up(x), kept.pop()], 1))
        return self.last(x)


def _mlp():
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def _cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def _momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def _adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3)


def _classes(*shape, classes):
    return lambda: (torch.randn(*shape), torch.randint(0, classes, shape[:1]))


def _tokens(vocabulary, batch=8, length=256):
    return lambda: (torch.randint(0, vocabulary, (batch, length)), torch.randint(0, vocabulary, (batch, length)))


def _images(*shape):
    return lambda: (torch.randn(*shape), torch.randn(*shape))


def _token_loss(out, y):
    return F.cross_entropy(out.view(-1, out.shape[-1]), y.view(-1))


# name: (model, data, loss, optimizer)
WORKLOADS = {
    "mlp": (_mlp, _classes(32, 64, classes=10), F.cross_entropy, _momentum),
    "cnn": (_cnn, _classes(64, 1, 28, 28, classes=10), F.cross_entropy, _momentum),
    "lstm": (LSTM, _classes(32, 64, 256, classes=10), F.cross_entropy, _momentum),
    "gpt": (GPT, _tokens(1000), _token_loss, _adamw),
    "gpt-32k": (lambda: GPT(32000, 0.1), _tokens(32000), _token_loss, _adamw),
    "resnet18": (lambda: _resnets().resnet18(), _classes(8, 3, 224, 224, classes=1000), F.cross_entropy, _momentum),
    "resnet50": (lambda: _resnets().resnet50(), _classes(4, 3, 224, 224, classes=1000), F.cross_entropy, _momentum),
    "vit": (ViT, _classes(8, 3, 224, 224, classes=1000), F.cross_entropy, _adamw),
    "unet": (UNet, _images(8, 3, 64, 64), F.mse_loss, _adamw),
}


class Task:
    """A workload as a user would write it: a model, its data, a train step and two inferences.

    Args:
        name: of the workload.
        compiled: whether to compile; rushlight compiles the whole step, PyTorch the model (its way).
        device, dtype: where and in what to run.
    """

    def __init__(self, name: str, compiled: bool, whole_step: bool, device: str = "cpu", dtype: str = "float32"):
        build, data, loss_fn, optimizer_of = WORKLOADS[name]
        torch.manual_seed(0)
        self.model = model = build().to(device=device, dtype=getattr(torch, dtype))
        x, y = data()
        self.x, self.y = x, y = [t.to(device, self.model_dtype(t, dtype)) for t in (x, y)]
        self.optimizer = optimizer = optimizer_of(model.parameters())
        called = torch.compile(model) if compiled else model

        def step(x, y):
            optimizer.zero_grad()
            loss = loss_fn((model if whole_step else called)(x), y)
            loss.backward()
            optimizer.step()
            return loss

        run = torch.compile(step) if whole_step else step
        one = x[:1].clone()

        def infer(batch):
            with torch.no_grad():
                return called(batch)

        self.cases = {"train": lambda: run(x, y), "infer": lambda: infer(x), "infer1": lambda: infer(one)}

    def prepare(self, case: str) -> None:
        """What a training script does once before its loop."""
        self.model.train(case == "train")

    @staticmethod
    def model_dtype(t, dtype: str):
        """Class indices and tokens keep their dtype."""
        return getattr(torch, dtype) if t.is_floating_point() else t.dtype
