"""What rushlight costs besides arithmetic: operators, an eager step, module operations, imports, against PyTorch.

Run ``python benchmarks/overhead.py [--json FILE]``. Where PyTorch is installed both are measured in turn in this one
process (A B A B, the median of the rounds), so the ratios hold on a noisy machine; without it only times are printed.
Nothing here is tuned: each line is what a user would write.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path

import rushlight

try:
    import torch
except ImportError:
    torch = None


def once_prepared(work, repeats: int) -> float:
    """Seconds per call, each after something that is not measured."""
    total = 0.0
    for _ in range(repeats):
        work.prepare()
        began = time.perf_counter()
        work()
        total += time.perf_counter() - began
    return total / repeats


def once(work, repeats: int) -> float:
    """Seconds per call over ``repeats`` calls."""
    if hasattr(work, "prepare"):
        return once_prepared(work, repeats)
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def in_turn(works: dict, rounds: int, seconds: float) -> dict:
    """The median time of each work, all measured round by round."""
    repeats, times = {}, {name: [] for name in works}
    for name, work in works.items():
        work()
        work()
        repeats[name] = max(1, int(seconds / max(once(work, 3), 1e-7)))
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(once(work, repeats[name]))
    return {name: statistics.median(t) for name, t in times.items()}


# -- the cases: each takes the library and gives something to call --------------------------------------------------


def add(t):
    a, b = t.ones(16, 16), t.ones(16, 16)
    return lambda: a + b


def add_number(t):
    a = t.ones(16, 16)
    return lambda: a + 2.0


def matmul(t):
    a, b = t.ones(16, 16), t.ones(16, 16)
    return lambda: a @ b


def add_backward(t):
    a, b, g = t.ones(16, 16, requires_grad=True), t.ones(16, 16), t.ones(16, 16)
    return lambda: (a + b).backward(g)


def view(t):
    a = t.ones(16, 16)
    return lambda: a.view(256)


def index(t):
    a = t.ones(16, 16)
    return lambda: a[3]


def mlp_step(t):
    t.manual_seed(0)
    nn = t.nn
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = t.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = t.randn(32, 64), t.randint(0, 10, (32,))
    loss_fn = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    return step


def mlp_forward(t):
    t.manual_seed(0)
    nn = t.nn
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    x = t.randn(32, 64)

    def forward():
        with t.no_grad():
            return model(x)

    return forward


def _resnet(t):
    """torchvision's ResNet-152, from the one definition in rushlight.models, built with either library."""
    if t is rushlight:
        from rushlight.models import resnet152

        return resnet152
    return _foreign("rushlight.models.resnet").resnet152


def _foreign(name: str):
    """rushlight's model file with PyTorch underneath: it is ordinary user code, so only its import line changes."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text().replace("from rushlight import", "from torch import")
    module = types.ModuleType("torch_" + name.rpartition(".")[2])
    exec(compile(source, spec.origin, "exec"), module.__dict__)
    return module


def _gpt(t):
    """The benchmark suite's GPT with 48 layers, built with either library."""
    source = (Path(__file__).parent / "_models.py").read_text(encoding="utf-8")
    imports = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
    assert imports in source
    module = types.ModuleType("gpt_of_" + t.__name__)
    module.__dict__.update(torch=t, nn=t.nn, F=t.nn.functional, __file__=str(Path(__file__).parent / "_models.py"))
    exec(compile(source.replace(imports, ""), "_models.py", "exec"), module.__dict__)
    return lambda: module.GPT(layers=48)


def _model_case(work, builder=_resnet):
    def case(t):
        model = builder(t)()
        return work(t, model)

    return case


def load(t, model):
    state = model.state_dict()
    return lambda: model.load_state_dict(state)


def zero(t, model):
    grads = [t.zeros_like(p) for p in model.parameters()]
    params = list(model.parameters())

    def prepare():
        for p, g in zip(params, grads):
            p.grad = g

    def work():
        model.zero_grad()

    work.prepare = prepare
    return work


def _valued(build):
    """Construction, and every initial value looked at: rushlight draws them then."""

    def work():
        for parameter in build().parameters():
            parameter.detach().numpy()

    return work


CASES = [
    ("add 16x16", add, 0.05),
    ("add a number", add_number, 0.05),
    ("matmul 16x16", matmul, 0.05),
    ("add, forward + backward", add_backward, 0.05),
    ("view", view, 0.05),
    ("index a row", index, 0.05),
    ("MLP forward, B 32", mlp_forward, 0.1),
    ("MLP train step, B 32", mlp_step, 0.2),
]
MODELS = [("ResNet-152", _resnet), ("GPT, 48 layers:", _gpt)]
OPERATIONS = [
    ("named_parameters", lambda t, m: lambda: list(m.named_parameters()), 0.1),
    ("state_dict", lambda t, m: m.state_dict, 0.1),
    ("load_state_dict", load, 0.3),
    ("zero_grad", zero, 0.1),
    ("train()", lambda t, m: m.train, 0.1),
    ("apply", lambda t, m: lambda: m.apply(lambda _: None), 0.1),
    ("deepcopy", lambda t, m: lambda: copy.deepcopy(m), 0.3),
]
for name, builder in MODELS:
    CASES += [(f"{name} {what}", _model_case(work, builder), seconds) for what, work, seconds in OPERATIONS]
    CASES.append((f"{name} construction", builder, 0.3))
    CASES.append((f"{name} with values", lambda t, b=builder: _valued(b(t)), 0.3))


def import_seconds(name: str) -> float:
    """How long a fresh interpreter takes to import a module."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
    return time.perf_counter() - began


def imports(rounds: int) -> dict:
    names = ["rushlight", "jax"] + (["torch"] if torch is not None else [])
    times: dict = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[name].append(import_seconds(name))
    return {name: statistics.median(t) for name, t in times.items()}


def shown(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="write the figures to a file too")
    options = parser.parse_args()
    libraries = {"rushlight": rushlight} | ({"torch": torch} if torch is not None else {})
    rows = []
    print(f"{'case':32}{'rushlight':>12}{'torch':>12}{'ratio':>8}")
    for label, case, seconds in CASES:
        times = in_turn({name: case(t) for name, t in libraries.items()}, options.rounds, seconds)
        rows.append((label, times))
        report(label, times)
    found = imports(min(options.rounds, 5))
    rows.append(("import", found))
    report("import (fresh process)", found)
    print(f"{'import jax, for comparison':32}{shown(found['jax']):>12}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(dict(rows), file, indent=1)


def report(label: str, times: dict) -> None:
    ours, theirs = times["rushlight"], times.get("torch")
    other = "" if theirs is None else f"{shown(theirs):>12}{ours / theirs:8.2f}"
    print(f"{label:32}{shown(ours):>12}{other}", flush=True)


if __name__ == "__main__":
    main()
