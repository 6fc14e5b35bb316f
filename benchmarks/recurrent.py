"""What the tangent rule of the recurrent layers is worth: an LSTM's train step with it, without it, and in PyTorch.

Run ``python benchmarks/recurrent.py [--rounds N]``. All are measured in turn in this one process (A B C A B C), in
processor time and the least of the rounds, so that the ratios hold on a busy machine; PyTorch only where it is
installed.
"""

from __future__ import annotations

import argparse
import time

import jax

import rushlight
from rushlight.ops import nn_rnn

try:
    import torch
except ImportError:
    torch = None

HIDDEN, STEPS, BATCH = 256, 64, 32


def train_step(t, kind: str):
    """A train step of one recurrent layer and a linear one."""
    t.manual_seed(0)
    net, head = getattr(t.nn, kind)(HIDDEN, HIDDEN, batch_first=True), t.nn.Linear(HIDDEN, 10)
    optimizer = t.optim.SGD([*net.parameters(), *head.parameters()], lr=0.01)
    x, y = t.randn(BATCH, STEPS, HIDDEN), t.randint(0, 10, (BATCH,))

    def step():
        optimizer.zero_grad()
        loss = t.nn.functional.cross_entropy(head(net(x)[0][:, -1]), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def without_rule(step):
    """The same step compiled while the layers are differentiated by JAX alone."""
    rule, nn_rnn._run = nn_rnn._run, lambda mode, reverse, *rest: nn_rnn._run_plain(mode, reverse, *rest)
    programs = dict(nn_rnn.stack.programs)
    nn_rnn.stack.programs.clear()
    try:
        step()
    finally:
        nn_rnn._run = rule
        nn_rnn.stack.programs.clear()
        nn_rnn.stack.programs.update(programs)
    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"{HIDDEN} features, {STEPS} steps, batch {BATCH}; jax {jax.__version__}")
    for kind in ("LSTM", "GRU", "RNN"):
        works = {
            "rule, compiled": rushlight.compile(train_step(rushlight, kind)),
            "plain, compiled": without_rule(rushlight.compile(train_step(rushlight, kind))),
            "rule, eager": train_step(rushlight, kind),
        }
        if torch is not None:
            works["torch, eager"] = train_step(torch, kind)
        times: dict[str, list[float]] = {name: [] for name in works}
        for work in works.values():
            work()
            work()
        for _ in range(rounds):
            for name, work in works.items():
                began = time.process_time()
                for _ in range(3):
                    work().item()
                times[name].append((time.process_time() - began) / 3)
        shown = "  ".join(f"{name} {min(t) * 1e3:.1f} ms" for name, t in times.items())
        print(f"{kind}: {shown}")


if __name__ == "__main__":
    main()
