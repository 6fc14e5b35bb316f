"""What the forms of convolutions are worth: a compiled one forward and backward, beside XLA's own and PyTorch's.

Run ``python benchmarks/convolutions.py [--rounds N]``. All three are measured in turn in this one process (A B C A B
C); the least of the rounds, in milliseconds. PyTorch only where it is installed; ``XLA`` is the same program without
the forms (``rushlight/ops/_convolutions.py``), channels last.
"""

from __future__ import annotations

import argparse
import math
import time

import jax

import rushlight
from rushlight.ops import _convolutions as forms

try:
    import torch
except ImportError:
    torch = None

# name, batch, channels in, channels out, size, kernel, stride, groups
CASES = [
    ("3x3 of 64 channels", 8, 64, 64, (56, 56), 3, 1, 1),
    ("3x3 of 128 channels", 8, 128, 128, (28, 28), 3, 1, 1),
    ("3x3 of 256 channels", 8, 256, 256, (14, 14), 3, 1, 1),
    ("3x3 of 512 channels", 8, 512, 512, (7, 7), 3, 1, 1),
    ("1x1", 4, 256, 64, (56, 56), 1, 1, 1),
    ("1x1, stride 2", 4, 256, 512, (56, 56), 1, 2, 1),
    ("5x5 of one channel", 64, 1, 16, (28, 28), 5, 1, 1),
    ("3x3 of three channels, stride 2", 8, 3, 32, (224, 224), 3, 2, 1),
    ("depthwise 3x3", 8, 128, 128, (56, 56), 3, 1, 128),
    ("depthwise 3x3, stride 2", 8, 128, 128, (56, 56), 3, 2, 128),
    ("depthwise 5x5", 8, 256, 256, (28, 28), 5, 1, 256),
    ("depthwise 7x7", 8, 96, 96, (56, 56), 7, 1, 96),
    ("depthwise 4, one dimension", 4, 512, 512, (1024,), 4, 1, 512),
    ("depthwise 31, one dimension", 4, 256, 256, (512,), 31, 1, 256),
    ("32 groups of 4", 8, 128, 128, (56, 56), 3, 1, 32),
    ("32 groups of 16", 8, 512, 512, (14, 14), 3, 1, 32),
    ("2 groups of 64", 8, 128, 128, (28, 28), 3, 1, 2),
]


def functions(t, case):
    """Forward, and forward with backward, of one layer."""
    _, batch, channels, out, size, kernel, stride, groups = case
    t.manual_seed(0)
    layer = (t.nn.Conv1d, t.nn.Conv2d)[len(size) - 1](
        channels, out, kernel, stride=stride, padding=kernel // 2, groups=groups
    )
    x = t.randn(batch, channels, *size, requires_grad=channels > 3)

    def forward(x):
        with t.no_grad():
            return layer(x)

    def both(x, gradient):
        layer.zero_grad()
        layer(x).backward(gradient)
        return layer.weight.grad, x.grad

    pair = {"forward": forward, "train": both}
    if t is rushlight:
        pair = {what: rushlight.compile(function) for what, function in pair.items()}
    gradient = t.randn(*layer(x).shape)
    return {"forward": lambda: pair["forward"](x), "train": lambda: pair["train"](x, gradient)}


def plain(functions):
    """The same compiled without the forms."""
    chosen, forms._convolve = forms._convolve, forms._general
    try:
        for function in functions.values():
            for _ in range(3):
                function()
    finally:
        forms._convolve = chosen
    return functions


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this")
    options = parser.parse_args()
    print(f"{'':32}{'forward':>23}{'train':>23}\n{'':32}{'XLA   here  torch':>23}{'XLA   here  torch':>23}")
    for case in CASES:
        if options.only not in case[0]:
            continue
        found = {"XLA": plain(functions(rushlight, case)), "here": functions(rushlight, case)}
        if torch is not None:
            found["torch"] = functions(torch, case)
        times: dict = {}
        for turn in range(options.rounds + 1):
            for name, pair in found.items():
                for what, function in pair.items():
                    start = time.perf_counter()
                    result = function()
                    if name != "torch":
                        jax.block_until_ready(
                            [x._array() for x in (result if what == "train" else (result,)) if x is not None]
                        )
                    if turn:
                        times.setdefault((what, name), []).append(time.perf_counter() - start)
        shown = [
            min(times.get((what, name), [math.nan])) * 1e3
            for what in ("forward", "train")
            for name in ("XLA", "here", "torch")
        ]
        print(
            f"{case[0]:32}" + "".join(f"{ms:{9 if i == 3 else 9 if i == 0 else 7}.2f}" for i, ms in enumerate(shown)),
            flush=True,
        )


if __name__ == "__main__":
    main()
