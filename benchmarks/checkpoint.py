"""What opening a large checkpoint and loading it into a model costs in time and memory, against PyTorch.

Run ``python benchmarks/checkpoint.py [--gigabytes 2] [--rounds 3] [--output FILE]``. Every measurement is a fresh
process, rushlight and PyTorch in turns, the median of the rounds; the file lies in a temporary folder, and is in the
page cache for both. Memory is the peak of the process above what it held before the file was opened. Three rounds of
2 GiB take about five minutes on two cores and 6 GB of disk, ``--gigabytes 0.5 --rounds 1`` less than one.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

WIDTH = 1024
LIBRARIES = ("rushlight", "torch")


def status(key: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key + ":"))


def model_of(t, layers: int, where: str):
    with t.device("meta"):
        model = t.nn.Sequential(*(t.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers)))
    if where != "meta":
        model.to_empty(device=where)
        with t.no_grad():
            for p in model.parameters():
                # Memory is there for good only once it was written, and the value asked for.
                assert p.fill_(1.0)[0, 0].item() == 1.0
    return model


def listing(t, path: str, layers: int):
    """Open the file and list its tensors."""
    yield
    state = t.load(path, mmap=True)
    assert sum(v.shape.numel() for v in state.values()) == layers * WIDTH * WIDTH
    yield


def into_model(t, path: str, layers: int):
    """Load the file into a model that has its memory already."""
    model = model_of(t, layers, "cpu")
    yield
    model.load_state_dict(t.load(path, mmap=True))
    yield
    read(model)


def assigned(t, path: str, layers: int):
    """Load the file into a model on the meta device, which takes the tensors themselves."""
    model = model_of(t, layers, "meta")
    yield
    model.load_state_dict(t.load(path, mmap=True), assign=True)
    yield
    read(model)


def all_at_once(t, path: str, layers: int):
    """Read the whole file without mapping it."""
    yield
    state = t.load(path)
    yield
    assert len(state) == layers


def read(model) -> None:
    for i, p in enumerate(model.parameters()):
        assert abs(p.detach().sum().item() / WIDTH**2 - i % 7) < 0.01


def saving(t, path: str, layers: int):
    """Save the state dict of a model; rushlight returns once it is on disk, PyTorch while the system still writes."""
    state = {str(i): t.ones(WIDTH, WIDTH) for i in range(layers)}
    yield
    t.save(state, path + ".copy")
    yield
    os.unlink(path + ".copy")


def saving_to_disk(t, path: str, layers: int):
    """Save, and wait until the disk has it: what rushlight does by itself is asked of PyTorch too."""
    state = {str(i): t.ones(WIDTH, WIDTH) for i in range(layers)}
    yield
    t.save(state, path + ".copy")
    with open(path + ".copy", "rb") as file:
        os.fsync(file.fileno())
    yield
    os.unlink(path + ".copy")


CASES = {
    "list its tensors (mmap)": listing,
    "into a model (mmap)": into_model,
    "into a meta model (mmap, assign)": assigned,
    "load without mmap": all_at_once,
    "save": saving,
    "save, and wait for the disk": saving_to_disk,
}


def child(library: str, case: str, path: str, layers: int) -> None:
    t = importlib.import_module(library)
    assert t.load and t.save  # rushlight imports its reader on first use, PyTorch at once
    work = CASES[case](t, path, layers)
    before = status("VmRSS")
    next(work)
    began, worked = time.perf_counter(), time.process_time()
    next(work)
    done, worked = time.perf_counter() - began, time.process_time() - worked
    list(work)
    total = time.perf_counter() - began
    print(json.dumps({"seconds": done, "with_reading": total, "cpu": worked, "peak": status("VmHWM") - before}))


def run(library: str, case: str, path: str, layers: int) -> dict:
    command = [sys.executable, __file__, "--child", library, case, path, str(layers)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def write_file(path: str, layers: int) -> None:
    import rushlight

    state = {f"{i}.weight": rushlight.full((WIDTH, WIDTH), float(i % 7)) for i in range(layers)}
    rushlight.save(state, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="run the cases whose names contain this")
    parser.add_argument("--output", help="write the table to a file too")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        library, case, path, layers = options.child
        child(library, case, path, int(layers))
        return
    layers = round(options.gigabytes * 2**30 / (4 * WIDTH * WIDTH))
    libraries = [name for name in LIBRARIES if importlib.util.find_spec(name)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt")
        write_file(path, layers)
        size = os.path.getsize(path)
        lines = [
            f"checkpoint of {size / 2**30:.2f} GiB, {layers} tensors; {os.cpu_count()} CPU cores, "
            f"Python {platform.python_version()}; medians of {options.rounds} fresh processes each",
            "time: until the call returns / until every value was read once too; peak: memory over file size",
            "cpu: seconds of the process until the call returns, over torch's; it does not depend on other processes",
            "load: rushlight looks at checksums; save: rushlight waits for the disk; PyTorch does neither",
            "",
            f"{'case':34}{'rushlight':>20}{'torch':>20}{'ratio':>14}{'cpu':>7}{'peak':>8}{'torch':>7}",
        ]
        print("\n".join(lines), flush=True)
        for case in [name for name in CASES if options.only in name]:
            found: dict = {name: [] for name in libraries}
            for turn in range(options.rounds):
                for name in libraries[:: -1 if turn % 2 else 1]:
                    os.sync()  # what one process wrote is no burden for the next
                    found[name].append(run(name, case, path, layers))
            lines.append(row(case, found, size))
            print(lines[-1], flush=True)
    if options.output:
        with open(options.output, "w") as file:
            file.write("\n".join(lines) + "\n")


def row(case: str, found: dict, size: int) -> str:
    middle = {
        name: {key: statistics.median(r[key] for r in results) for key in results[0]} for name, results in found.items()
    }
    ours, theirs = middle["rushlight"], middle.get("torch")
    text = f"{case:34}{ours['seconds']:9.3f} / {ours['with_reading']:6.3f} s"
    if theirs is None:
        return text + f"{'':34}{'':7}{ours['peak'] / size:8.2f}"
    ratios = f"{ours['seconds'] / theirs['seconds']:6.2f} / {ours['with_reading'] / theirs['with_reading']:4.2f}"
    text += f"{theirs['seconds']:9.3f} / {theirs['with_reading']:6.3f} s{ratios:>14}"
    text += f"{ours['cpu'] / theirs['cpu']:7.2f}"
    return text + f"{ours['peak'] / size:8.2f}{theirs['peak'] / size:7.2f}"


if __name__ == "__main__":
    main()
