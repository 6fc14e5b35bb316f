"""Runs whole public model definitions, unmodified, under PyTorch and under rushlight, and compares what they do.

Imports the program list, NumPy and the standard library; ``torch`` is whatever the process calls so.

    python scripts/programs.py                    # all programs whose package is installed
    python scripts/programs.py --only timm        # those whose name contains a word
    python scripts/programs.py --write            # and write docs/programs.md

Each package's programs run in one process under PyTorch and in one under ``rushlight run``. Compared are the names of
parameters and buffers, their initial values from one seed, the printed form, the outputs in evaluation mode and the
losses of three training steps.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from program_list import Program, load  # noqa: E402

OUTPUTS, LOSSES = 1e-4, 1e-3  # tolerances; each program has its own for initial values
DOUBLE = 1e-6  # both of a program that trains in float64
MOVEMENTS = "0.2% to 0.8%"  # four draws, float32
GUIDE = ROOT / "docs" / "programs.md"


def version_of(package: str) -> str | None:
    """The installed version of a package; None where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def code_now() -> str:
    """The date and the number of the newest commit; "unknown" outside a checkout."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%cs %h"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# What runs in each process ------------------------------------------------------------------------------------------


def tensors_in(value: Any) -> Iterator[Any]:
    """The tensors of floating type in a model's output, however it is nested."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def default_loss(output: Any) -> Any:
    """The loss that the output carries, or its distance from fixed noise."""
    loss = getattr(output, "loss", None)
    if loss is not None:
        return loss
    import torch

    first = next(iter(tensors_in(output)))
    target = np.random.RandomState(1).standard_normal(tuple(first.shape)).astype(np.float32)
    return ((first - torch.tensor(target)) ** 2).mean()


def in_double(inputs: Any) -> Any:
    """Inputs with their floating tensors in float64."""
    if isinstance(inputs, dict):
        return {name: in_double(value) for name, value in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(in_double(value) for value in inputs)
    return inputs.double() if getattr(inputs, "is_floating_point", bool)() else inputs


def call(model: Any, inputs: Any) -> Any:
    """The model's output for inputs given by name, in order or alone."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def observe(program: Program) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Everything that is compared about one program: arrays by name, and facts."""
    import torch

    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model, inputs = program.build()
    arrays: dict[str, np.ndarray] = {}
    state = model.state_dict()
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            arrays["initial " + name] = value.detach().numpy().copy()
    facts: dict[str, Any] = {
        "names": list(state),
        "parameters": [[name, list(value.shape), str(value.dtype)] for name, value in model.named_parameters()],
        "printed": str(model),
    }
    if program.double:
        model, inputs = model.double(), in_double(inputs)
    torch.manual_seed(1)
    model.eval()
    with torch.no_grad():
        for i, value in enumerate(tensors_in(call(model, inputs))):
            arrays[f"output {i}"] = value.detach().numpy().copy()
    model.train()
    wanted = [p for p in model.parameters() if p.requires_grad]
    if callable(program.optimizer):
        optimizer = program.optimizer(model)
    elif program.optimizer == "SGD":
        optimizer = torch.optim.SGD(wanted, lr=program.rate, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(wanted, lr=program.rate / 10)
    losses = []
    for _ in range(program.steps):
        optimizer.zero_grad()
        loss = (program.loss or default_loss)(call(model, inputs))
        loss.backward(create_graph=program.second_order)
        optimizer.step()
        losses.append(loss.item())
    facts["losses"] = losses
    return arrays, facts


def declare_missing_operators() -> list[Any]:
    """Let PyTorch import a torchvision whose compiled part does not fit it, as the CPU build of PyTorch meets it."""
    # Such a torchvision describes its two operators to PyTorch although it could not load them, which PyTorch refuses.
    import torch

    if torch.__name__ != "torch" or version_of("torchvision") is None:
        return []
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return [library]


def work(names: list[str], folder: Path) -> None:
    """Run programs in this process and leave what they showed in ``folder``."""
    import torch

    libraries = declare_missing_operators()
    for program in load():
        if program.name not in names:
            continue
        started = time.perf_counter()
        try:
            arrays, facts = observe(program)
        except Exception as problem:
            arrays, facts = {}, {"error": f"{type(problem).__name__}: {problem}", "trace": traceback.format_exc()}
        facts["seconds"] = time.perf_counter() - started
        facts["torch"] = [torch.__name__, str(torch.__version__)]
        np.savez(folder / f"{program.name}.npz", **arrays)
        (folder / f"{program.name}.json").write_text(json.dumps(facts))
    del libraries


# Comparing ----------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What came of one program; ``problems`` is empty where everything agreed.

    ``code`` says of which commit it is, where that is not the newest.
    """

    program: Program
    version: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parameters: int = 0
    seconds: tuple[float, float] = (0.0, 0.0)
    trace: str = ""
    code: str = ""


def run(programs: Iterable[Program], folder: Path) -> list[Result]:
    """Run programs of installed packages under both, one process for each package and side, and compare them.

    Results that ``folder`` holds already are not made again.
    """
    by_package: dict[str, list[Program]] = {}
    for program in programs:
        by_package.setdefault(program.package, []).append(program)
    results = []
    for package, chosen in by_package.items():
        version = version_of(package)
        if version is None:
            continue
        names = [program.name for program in chosen]
        for side, prefix in (("torch", []), ("rushlight", ["-m", "rushlight", "run"])):
            (folder / side).mkdir(parents=True, exist_ok=True)
            missing = [name for name in names if not (folder / side / f"{name}.json").exists()]
            if not missing:
                continue
            command = [sys.executable, *prefix, __file__, "--work", str(folder / side), *missing]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            (folder / side / f"{package}.log").write_text(done.stdout)
        results += [compare(program, version, folder) for program in chosen]
    return results


def compare(program: Program, version: str, folder: Path) -> Result:
    """Compare what one program left in the folders of both sides."""
    result = Result(program, version)
    sides = []
    for side in ("torch", "rushlight"):
        try:
            facts = json.loads((folder / side / f"{program.name}.json").read_text())
        except OSError:
            log = (folder / side / f"{program.package}.log").read_text()
            last = (log.strip().splitlines() or ["no output"])[-1]
            facts = {"error": f"the process ended: {last}", "trace": log, "seconds": 0}
        if "error" in facts:
            result.problems.append(f"{side}: {facts['error']}")
            result.trace += f"--- {side}\n{facts['trace']}"
            sides.append(({}, facts))
            continue
        with np.load(folder / side / f"{program.name}.npz") as file:
            sides.append(({name: file[name] for name in file.files}, facts))
    (theirs, expected), (ours, received) = sides
    result.seconds = (expected["seconds"], received["seconds"])
    if "parameters" in expected:
        result.parameters = sum(int(np.prod(shape)) for _, shape, _ in expected["parameters"])
    if result.problems:
        return result
    if received["torch"][0] != "rushlight" or expected["torch"][0] != "torch":
        result.problems.append(f"ran under {expected['torch']} and {received['torch']}")
    for fact in ("names", "parameters"):
        if expected[fact] != received[fact]:
            pair = next((pair for pair in zip(expected[fact], received[fact], strict=False) if pair[0] != pair[1]), "")
            result.problems.append(f"{fact} differ: {pair or [len(expected[fact]), len(received[fact])]}")
    if expected["printed"] != received["printed"]:
        lines = zip(expected["printed"].splitlines(), received["printed"].splitlines(), strict=False)
        result.problems.append(f"printed form differs: {next((pair for pair in lines if pair[0] != pair[1]), '')}")
    compare_arrays(result, theirs, ours)
    losses, ours_too = np.array(expected["losses"]), np.array(received["losses"])
    allowed = program.losses or (DOUBLE if program.double else LOSSES)
    if not np.all(np.abs(losses - ours_too) <= allowed * np.maximum(np.abs(losses), 1e-6)):
        result.problems.append(f"losses differ: {expected['losses']} and {received['losses']}")
    return result


def compare_arrays(result: Result, theirs: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> None:
    """Compare initial values and outputs."""
    if list(theirs) != list(ours):
        result.problems.append(f"arrays differ: {len(theirs)} and {len(ours)}")
        return
    inexact = 0
    for name, expected in theirs.items():
        received = ours[name]
        if expected.shape != received.shape or expected.dtype != received.dtype:
            result.problems.append(f"{name}: {expected.dtype}{expected.shape} and {received.dtype}{received.shape}")
        elif name.startswith("initial "):
            if expected.tobytes() != received.tobytes():
                inexact += 1
                if not np.allclose(
                    received, expected, rtol=result.program.values, atol=result.program.values, equal_nan=True
                ):
                    result.problems.append(f"{name}: differs by {np.abs(expected - received).max():.2g}")
        else:
            scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-6)
            allowed = DOUBLE if result.program.double else OUTPUTS
            if not np.allclose(received, expected, rtol=allowed, atol=allowed * scale, equal_nan=True):
                result.problems.append(f"{name}: differs by {np.abs(expected - received).max():.2g} of {scale:.2g}")
    if inexact:
        result.notes.append(
            f"{inexact} of {sum(n.startswith('initial ') for n in theirs)} initial values in last place"
        )


# Output -------------------------------------------------------------------------------------------------------------


def table(results: list[Result]) -> str:
    """Results in 80 columns."""
    lines = [f"{'program':<44}{'parameters':>11}{'torch':>7}{'ours':>7}  result"]
    for result in results:
        times = "".join(f"{seconds:6.1f}s" for seconds in result.seconds)
        state = "differs" if result.problems else "same"
        lines.append(f"{result.program.name[:43]:<44}{result.parameters:>11,}{times}  {state}")
        lines += [f"  ! {problem[:300]}" for problem in result.problems[:6]]
    return "\n".join(lines)


PAGE = """# Public programs

Whole models that others wrote for PyTorch, run unmodified through `rushlight run`, and what came of it. Each is made
small (few layers, few channels) and run twice, once by PyTorch {torch} on the CPU and once by rushlight, in processes
of their own. Compared are, from the same seed:

- the names, order, shapes and types of parameters and buffers, and the model's printed form: equal;
- their initial values: to {values:g} (most are equal to the bit; normal draws may differ in the last place);
- the outputs in evaluation mode: to {outputs:g};
- the losses of three training steps by SGD with momentum or AdamW, with dropout and running statistics: to {losses:g}.

segmentation_models_pytorch runs in float64, and so do HardNet, MobileNetV2, UperNet, most models of timm that came to
the list last (from ConvMixer) and timm's optimizers, which take five steps with a small network: all are then compared
to {double:g}. In float32 such training shows how it is conditioned, not whether two libraries agree.
Where PyTorch itself starts FPN from weights moved by one part in 10 million, its third loss moves by
{movements}, and at a tenth of the learning rate still by as much as 0.2%.
In float64 the losses of the two libraries agree to eleven digits there, the gradients of every layer to twelve.

Rows are written as programs run: `--write` keeps those of programs that were not chosen. The last column says when:
the date and the number of the newest commit then.

To repeat it, install the packages beside PyTorch and say `python scripts/programs.py`; `--only WORD` chooses.
Dropout's random numbers are PyTorch's as well, so losses agree with dropout on; where they cannot, a remark says so.

What does not run:

- `torchaudio`: importing it raises `OSError` where its compiled part is installed, which is made for PyTorch alone.
  `encodec` and `speechbrain`, which need it, ran under both with that part (`torchaudio/lib/*.so`) taken away.
- `torchvision` imports, and its models, transforms and detection operators (`nms`, `roi_align`, `deform_conv2d` and
  their kin) work; those for quantized tensors and rotated boxes are missing, and its readers of image files.
- `torch_geometric` as far as it multiplies sparse matrices (`GraphUNet`: no `torch.sparse_csr_tensor`) or wraps indices
  in tensors of its own (`Index`, `EdgeIndex`: no `Tensor._make_wrapper_subclass`; operators do not call
  `__torch_dispatch__`). `radius_graph` and its kin need `pyg-lib`, and raise `ImportError` under PyTorch as well.
- Exporters, FSDP, tensor parallelism and TorchScript of these packages: [differences](differences-from-torch.md).

| package | version | programs | the same |
|---|---|---|---|
{packages}

{compiled}## Programs

| package | model | kind | parameters | result | code of |
|---|---|---|---|---|---|
{programs}
{notes}"""


COMPILED = "## Compiled training steps\n"  # a section written by hand, from what scripts/compiled_steps.py prints
ROW = "| {package} | {model} | {kind} | {parameters} | {state} | {code} |"


def former(text: str) -> dict[tuple[str, str], tuple[str, str, list[str]]]:
    """What a guide says: version, row and remarks by package and model."""
    versions, rows, notes = {}, {}, {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 4 and cells[2].isdigit():
            versions[cells[0]] = cells[1]
        elif len(cells) == 6 and cells[4] in ("same", "differs"):
            rows[cells[0], cells[1]] = line
        elif len(cells) == 2:
            notes.setdefault(cells[0], []).append(line)
    return {key: (versions[key[0]], row, notes.get(key[1], [])) for key, row in rows.items()}


def page(results: list[Result], text: str = "") -> str:
    """The guide's text; programs that were not run keep what ``text``, the guide so far, says of them."""
    known = former(text)
    for result in results:
        program, state = result.program, "differs" if result.problems else "same"
        fields = {"package": program.package, "model": program.model, "kind": program.kind, "state": state,
                  "code": result.code or code_now()}  # fmt: skip
        remarks = [*([program.note] if program.note else []), *result.problems]
        known[program.package, program.model] = (
            result.version,
            ROW.format(**fields, parameters=f"{result.parameters:,}"),
            [f"| {program.model} | {remark.replace('|', ' ')} |" for remark in remarks],
        )
    listed = [(program.package, program.model) for program in load() if (program.package, program.model) in known]
    packages = []
    for package in dict.fromkeys(package for package, _ in listed):
        rows = [known[key] for key in listed if key[0] == package]
        same = sum("| same |" in row for _, row, _ in rows)
        packages.append(f"| {package} | {rows[-1][0]} | {len(rows)} | {same} |")
    notes = [note for key in listed for note in known[key][2]]
    if notes:
        notes = ["", "## Remarks", "", "| model | remark |", "|---|---|", *notes, ""]
    compiled = text[text.index(COMPILED) : text.index("## Programs\n")] if COMPILED in text else ""
    return PAGE.format(
        torch=version_of("torch"), values=Program.values, outputs=OUTPUTS, losses=LOSSES, double=DOUBLE,
        movements=MOVEMENTS, packages="\n".join(packages), compiled=compiled,
        programs="\n".join(known[key][1] for key in listed), notes="\n".join(notes),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run, compare, print; the exit status says whether everything agreed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="words of which a program's name contains one")
    parser.add_argument("--write", action="store_true", help=f"write the rows of {GUIDE.relative_to(ROOT)}")
    parser.add_argument("--trace", action="store_true", help="print tracebacks of programs that failed")
    parser.add_argument("--results", help="a folder that keeps what programs showed; those it has are not run again")
    parser.add_argument("--list", action="store_true", help="print names and end")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.work[1:], Path(options.work[0]))
        return 0
    chosen = [program for program in load() if any(word.lower() in program.name.lower() for word in options.only)]
    if options.list:
        print("\n".join(program.name for program in chosen))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = run(chosen, Path(options.results or folder))
    print(table(results))
    if options.write:
        GUIDE.write_text(page(results, GUIDE.read_text()))
    if options.trace:
        print("\n".join(result.trace for result in results if result.trace))
    return int(any(result.problems for result in results))


if __name__ == "__main__":
    sys.exit(main())
