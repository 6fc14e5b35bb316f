"""Trains public programs by whole compiled steps, and compares with PyTorch's eager steps and with rushlight's.

Imports the program list, NumPy and the standard library; ``torch`` is whatever the process calls so.

    python scripts/compiled_steps.py --only bert gpt2          # programs whose name contains a word
    python scripts/compiled_steps.py --double --only unet      # the same in float64

A step is ``zero_grad``, forward, ``backward``, ``clip_grad_norm_``, ``optimizer.step``, ``StepLR.step`` and an average
of the parameters, four times, from the weights that PyTorch drew and without dropout, whose numbers compiled programs
draw from another stream. Each program has a process of its own; times are seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from program_list import Program, load  # noqa: E402
from programs import call, declare_missing_operators, default_loss, in_double, version_of  # noqa: E402

STEPS = 4
NEAR = {False: 1e-3, True: 1e-6}  # of losses, by whether they are float64


def seed(number: int) -> None:
    """Start every stream anew."""
    import torch

    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def without_dropout(model: Any) -> None:
    """Set what is called a rate of dropout to zero, in modules and in their configurations."""
    for module in model.modules():
        for owner in (module, getattr(module, "config", None)):
            for name, value in list(getattr(owner, "__dict__", {}).items()):
                drops = "drop" in name.lower() or (name == "p" and "Drop" in type(owner).__name__)
                if drops and isinstance(value, float):
                    setattr(owner, name, 0.0)


def make(program: Program, double: bool, weights: dict[str, np.ndarray]) -> tuple:
    """The model with PyTorch's weights, its inputs, a training step, and the averages that it keeps."""
    import torch

    seed(0)
    model, inputs = program.build()
    if program.double or double:
        model, inputs = model.double(), in_double(inputs)
    without_dropout(model)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name in weights:
                value.copy_(torch.tensor(weights[name]))
    model.train()
    wanted = [p for p in model.parameters() if p.requires_grad]
    if callable(program.optimizer):
        optimizer = program.optimizer(model)
    elif program.optimizer == "SGD":
        optimizer = torch.optim.SGD(wanted, lr=program.rate, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(wanted, lr=program.rate / 10)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    averages = [p.detach().clone() for p in wanted]

    def step(inputs):
        optimizer.zero_grad()
        loss = (program.loss or default_loss)(call(model, inputs))
        loss.backward(create_graph=program.second_order)
        torch.nn.utils.clip_grad_norm_(wanted, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for average, p in zip(averages, wanted, strict=True):
                average.lerp_(p, 0.1)
        return loss.detach()

    return model, inputs, step, averages


def train(program: Program, double: bool, weights: dict[str, np.ndarray], compiled: bool) -> dict[str, Any]:
    """What came of the steps: losses, times, and all that is kept."""
    import torch

    model, inputs, step, averages = make(program, double, weights)
    first = arrays_of(model)
    function = torch.compile(step) if compiled else step
    seed(1)
    losses, times = [], []
    for _ in range(STEPS):
        started = time.process_time()
        losses.append(float(function(inputs)))
        times.append(round(time.process_time() - started, 3))
    kept = {**arrays_of(model), **{f"average {i}": a.numpy().copy() for i, a in enumerate(averages)}}
    found = {"losses": losses, "times": times, "first": first, "kept": kept}
    if compiled:
        found["compiles"] = torch.compile.explain(function).compiles  # pyright: ignore[reportFunctionMemberAccess]
    return found


def arrays_of(model: Any) -> dict[str, np.ndarray]:
    """The parameters and buffers of a model."""
    return {
        name: value.detach().numpy().copy() for name, value in model.state_dict().items() if hasattr(value, "numpy")
    }


def distance(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """How far apart two trainings ended, as a part of the way that one of them went."""
    apart = way = 0.0
    for name, start in theirs["first"].items():
        if start.dtype.kind == "f":
            apart += float(np.square(ours["kept"][name].astype(float) - theirs["kept"][name]).sum())
            way += float(np.square(theirs["kept"][name].astype(float) - start).sum())
    return (apart / way) ** 0.5 if way else apart**0.5


def work(name: str, folder: Path, double: bool) -> None:
    """Train one program in this process: eagerly under PyTorch, both ways under rushlight."""
    import torch

    libraries = declare_missing_operators()
    program = next(program for program in load() if program.name == name)
    if torch.__name__ == "torch":
        result = train(program, double, {}, False)
        np.savez(folder / "first.npz", **result["first"])
        (folder / "torch.json").write_text(json.dumps({"losses": result["losses"]}))
        return
    with np.load(folder / "first.npz") as file:
        weights = {name: file[name] for name in file.files}
    facts: dict[str, Any] = {"torch": json.loads((folder / "torch.json").read_text())["losses"]}
    eager = train(program, double, weights, False)
    facts["eager"], facts["eager times"] = eager["losses"], eager["times"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = train(program, double, weights, True)
    facts["warnings"] = [str(w.message) for w in told if "eagerly" in str(w.message) or "compiled" in str(w.message)]
    facts |= {"compiled": found["losses"], "times": found["times"], "compiles": found["compiles"]}
    facts["distance"] = distance(found, eager)
    (folder / "rushlight.json").write_text(json.dumps(facts))
    del libraries


def row(program: Program, double: bool) -> tuple[str, bool]:
    """A line about one program, and whether all is well."""
    with tempfile.TemporaryDirectory() as folder:
        for prefix in ([], ["-m", "rushlight", "run"]):
            command = [sys.executable, *prefix, __file__, "--work", program.name, folder, *["--double"] * double]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                return f"{program.name}: {(str(done.stdout).strip().splitlines() or ['ended'])[-1]}", False
        facts = json.loads((Path(folder) / "rushlight.json").read_text())
    near = NEAR[program.double or double]
    theirs, eager, ours = (np.array(facts[side]) for side in ("torch", "eager", "compiled"))
    problems = []
    if not np.allclose(eager, theirs, rtol=near, atol=near):
        problems.append(f"eager losses {eager.tolist()} instead of {theirs.tolist()}")
    if not np.allclose(ours, eager, rtol=near, atol=near):
        problems.append(f"compiled losses {ours.tolist()} instead of {eager.tolist()}")
    text = (
        f"{program.name:<44}{facts['compiles']} compiled, first {max(facts['times'][:2]):.1f} s, later "
        f"{facts['times'][-1]:.3f} s (eager {facts['eager times'][-1]:.3f} s), apart {facts['distance']:.0e}"
    )
    return "\n  ".join([text, *facts["warnings"], *problems]), not problems


def main(arguments: list[str] | None = None) -> int:
    """Run and print; the exit status says whether everything agreed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="words of which a program's name contains one")
    parser.add_argument("--double", action="store_true", help="train in float64")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.work[0], Path(options.work[1]), options.double)
        return 0
    words = [word.lower() for word in options.only]
    chosen = [program for program in load() if any(word in program.name.lower() for word in words)]
    well = True
    for program in chosen:
        if version_of(program.package) is not None:
            text, good = row(program, options.double)
            print(text, flush=True)
            well = well and good
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
