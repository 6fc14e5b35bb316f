"""Owns the list of public programs that ``scripts/programs.py`` runs under PyTorch and under rushlight.

Each file of this folder describes programs of one field; they import the packages they show only when they run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Program:
    """One model of a package: ``build`` makes it and its inputs, ``loss`` is what a few steps make smaller.

    Attributes:
        optimizer: "SGD", "AdamW" or a function that makes one for the model.
        double: train in float64; outputs and losses then agree much more closely.
        losses: how closely losses agree, where not as the others do.
        second_order: the optimizer differentiates the gradient.
        values: how closely initial values agree.
    """

    package: str
    model: str
    kind: str
    build: Callable[[], tuple]
    loss: Callable[[Any], Any] | None = None
    optimizer: str | Callable[[Any], Any] = "SGD"
    rate: float = 1e-2
    slow: bool = False
    note: str = ""
    values: float = 1e-6
    double: bool = False
    steps: int = 3
    losses: float | None = None
    second_order: bool = False

    @property
    def name(self) -> str:
        """What ``--only`` and the result files call it."""
        return f"{self.package}.{self.model}".replace("/", "-").replace(", ", "-")


PROGRAMS: list[Program] = []
LAYOUT = (
    "runs without dropout: PyTorch draws the mask in the order of memory, which here is that of a transposed tensor, "
    "kept by the operators before; rushlight draws in the order of the dimensions"
)


def program(package: str, model: str, kind: str, **options: Any) -> Callable:
    """Put a builder, a function without arguments that returns a model and its inputs, on the list.

    Args:
        package: the package's name on PyPI.
        model: the model's name there.
        kind: field and family, such as "language, encoder".
        options: further fields of ``Program``.
    """

    def register(build: Callable[[], tuple]) -> Callable[[], tuple]:
        PROGRAMS.append(Program(package, model, kind, build, **options))
        return build

    return register


def ids(*shape: int, high: int = 50, seed: int = 0) -> Any:
    """Whole numbers, the same in every process."""
    import torch

    return torch.tensor(np.random.RandomState(seed).randint(1, high, shape))


def noise(*shape: int, seed: int = 0) -> Any:
    """Normal values, the same in every process."""
    import torch

    return torch.tensor(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def load() -> list[Program]:
    """The whole list."""
    if not PROGRAMS:
        from . import (  # noqa: F401
            audio,
            families,
            further,
            generative,
            graphs,
            language,
            later_families,
            newer_families,
            optimizers,
            plain,
            vision,
            vision_families,
            vision_modules,
        )
    return PROGRAMS
