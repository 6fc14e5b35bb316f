"""Owns timm's optimizers on the list of public programs: five steps of each on one small network in float64.

May import the list; the builder imports the package when it runs.
"""

from __future__ import annotations

from typing import Any

from . import noise, program

# Those that update lists of tensors do so where asked: they are run in both ways.
LISTS = (
    "adabelief", "adamw", "adan", "adopt", "lamb", "laprop", "lars", "lion", "nadamw", "radam", "rmsproptf", "sgdw",
)  # fmt: skip
NAMES = (
    *LISTS, "adadelta", "adafactor", "adafactorbv", "adagrad", "adahessian", "adam", "adamax", "adamp", "adamuon",
    "cadamw", "clion", "kron", "lookahead_adamw", "madgrad", "mars", "muon", "nadam", "nadamuon", "novograd",
    "rmsprop", "sgd", "sgdp",
)  # fmt: skip


def _optimizer(name: str, foreach: bool) -> None:
    def build() -> tuple:
        from torch import nn

        layers = (
            nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(256, 8),
            nn.LayerNorm(8), nn.Linear(8, 3),
        )  # fmt: skip
        return nn.Sequential(*layers), noise(6, 3, 8, 8)

    def optimizer(model: Any) -> Any:
        from timm.optim import create_optimizer_v2

        options: dict[str, Any] = {"foreach": True} if foreach else {}
        if name == "adafactorbv":
            options["momentum_dtype"] = "float32"
        return create_optimizer_v2(model, opt=name, lr=0.01, weight_decay=0.05, **options)

    label = f"optim.{name}, lists" if foreach else f"optim.{name}"
    # Muon multiplies matrices in bfloat16, whatever the dtype of the weights.
    half = "muon" in name
    program(
        "timm", label, "optimizer", optimizer=optimizer, double=True, steps=5, second_order=name == "adahessian",
        losses=1e-4 if half else None, note="multiplies in bfloat16: losses to 0.0001" if half else "",
    )(build)  # fmt: skip


for _name in NAMES:
    _optimizer(_name, False)
for _name in LISTS:
    _optimizer(_name, True)
