"""How long the first call of a compiled train step takes, against the depth of a model; plain and with rolled layers.

Run ``python benchmarks/compile_time.py [--depths 4 12 24 48]``. Each measurement is a process of its own with an empty
cache of programs; the model is a GPT (d 256, 8 heads, T 64, B 2, vocabulary 1000) trained with AdamW.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time


def measure(depth: int, rolled: bool) -> None:
    """Print the seconds of the first and of a later call."""
    import rushlight as torch
    from rushlight import nn

    class Block(nn.Module):
        def __init__(self, width=256, heads=8):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            b, t, d = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self, depth, words=1000, length=64, width=256):
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, ids):
            x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    model = GPT(depth)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ids = torch.randint(0, 1000, (2, 65))

    def step(ids):
        optimizer.zero_grad()
        logits = model(ids[:, :-1])
        loss = nn.functional.cross_entropy(logits.reshape(-1, 1000), ids[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.detach()

    for p in model.parameters():
        p.sum()  # initial values are made on first use
    compiled = torch.compile(step, scan_layers=rolled)
    began = time.perf_counter()
    compiled(ids).item()
    first = time.perf_counter() - began
    again = []
    for _ in range(3):
        began = time.perf_counter()
        compiled(ids).item()
        again.append(time.perf_counter() - began)
    print(first, min(again))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 12, 24, 48])
    parser.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one[0], bool(options.one[1]))
        return
    print(f"{'depth':>6}{'plain: first':>14}{'step':>10}{'rolled: first':>16}{'step':>10}")
    for depth in options.depths:
        row = []
        for rolled in (0, 1):
            with tempfile.TemporaryDirectory() as cache:
                done = subprocess.run(
                    [sys.executable, __file__, "--one", str(depth), str(rolled)], check=True, capture_output=True,
                    text=True, env={**os.environ, "XDG_CACHE_HOME": cache},
                )  # fmt: skip
            row += map(float, done.stdout.split())
        print(f"{depth:6}{row[0]:12.1f} s{row[1]:8.3f} s{row[2]:14.1f} s{row[3]:8.3f} s", flush=True)


if __name__ == "__main__":
    main()
