"""Owns one worker process of ``suite.py``: it builds a workload for one engine, then answers requests over a pipe.

Run by the suite as ``python _worker.py ENGINE WORKLOAD DEVICE DTYPE FILE``. A request is one line of JSON; an answer
is one line that begins with ``@@``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


def _torch(name, compiled, device, dtype):
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    task_of = _workload(name)
    Memory.start(lambda: torch.ones(1, device=device) + 1)
    task = task_of(name, compiled, False, device, dtype)
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None

    def run(case):
        out = task.cases[case]()
        wait()
        return out

    return task, run, torch


def _rushlight(name, compiled, device, dtype):
    sys.path.insert(0, str(HERE.parent))
    import rushlight.alias

    rushlight.alias.install()
    task_of = _workload(name)
    Memory.start(lambda: rushlight.ones(1, device=device) + 1)
    task = task_of(name, compiled, compiled, device, dtype)

    def run(case):
        out = task.cases[case]()
        out._array().block_until_ready()
        return out

    return task, run, rushlight


def _workload(name):
    """The class of tasks; a name with a colon gives sizes (``_sizes.py``)."""
    import _models

    if ":" in name:
        importlib.import_module("_sizes").register(name)
    return _models.Task


def _plain(t):
    t = t.detach().cpu()
    return (t.float() if t.is_floating_point() else t).numpy()


def _weights(task) -> dict:
    """The first weights and the data, by name, for engines that have other random streams."""
    return {f"w:{k}": _plain(v) for k, v in task.model.state_dict().items()} | {
        "x": _plain(task.x),
        "y": _plain(task.y),
    }


def _jax_engine(library, name, device, dtype, file):
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    module = importlib.import_module(f"_{library}")
    Memory.start(lambda: module.jnp.ones(1) + 1)
    with np.load(file) as weights:
        task = module.Task(name, weights, dtype)

    def run(case):
        return task.cases[case]().block_until_ready()

    return task, run, importlib.import_module({"nnx": "flax"}.get(library, library))


class Memory:
    """What a process holds, in bytes, as the kernel counts it: now, and at most since ``forget``.

    On an accelerator the allocator's own count is given too; it can not be reset in every library, so that it is the
    most since the process began.
    """

    imported: int | None = None

    @classmethod
    def start(cls, first) -> None:
        """Note what the library takes by itself: after its imports and a ``first`` small operation."""
        first()
        cls.imported = cls.resident()

    @staticmethod
    def _status(key: str) -> int | None:
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), None)

    @classmethod
    def resident(cls) -> int | None:
        """Bytes in use, after giving back what is free."""
        gc.collect()
        if hasattr(ctypes.CDLL(None), "malloc_trim"):
            ctypes.CDLL(None).malloc_trim(0)
        return cls._status("VmRSS")

    @classmethod
    def peak_of(cls, work) -> dict:
        """``imported``, ``resident`` (before ``work``) and ``peak`` (the most during it); None where unknown."""
        resident = cls.resident()
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            known = True
        except OSError:
            known = False  # the peak of compiling would be taken for that of running
        work()
        peak = cls._status("VmHWM") if known else None
        return {"imported": cls.imported, "resident": resident, "peak": peak, "accelerator": cls._accelerator()}

    @staticmethod
    def _accelerator() -> int | None:
        # Under the alias sys.modules has a "torch" that is no PyTorch: whoever has jax asks jax.
        if "jax" in sys.modules:
            return (sys.modules["jax"].devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        torch = sys.modules["torch"]
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def _number(out, task):
    if hasattr(task, "comparable"):
        out = task.comparable(out)
    return np.asarray(out.detach().float().cpu().numpy() if hasattr(out, "detach") else out, np.float64)


def serve(run, task, library) -> None:
    """Answer requests until the pipe closes."""
    answer({"ready": True, "version": getattr(library, "__version__", "")})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(handle(request, run, task))
        except Exception as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


def handle(request: dict, run, task) -> dict:
    what = request["do"]
    if what == "check":
        task.prepare("infer")
        arrays = {case: _number(run(case), task) for case in ("infer", "infer1")}
        task.prepare("train")
        arrays["losses"] = np.stack([_number(run("train"), task) for _ in range(3)])
        np.savez(request["file"], **arrays)
        return {}
    if what == "time":
        case, times = request["case"], []
        task.prepare(case)
        for _ in range(request.get("warm", 1)):
            run(case)
        for _ in range(request["repeats"]):
            began = time.perf_counter()
            run(case)
            times.append(time.perf_counter() - began)
        return {"times": times}
    if what == "memory":
        task.prepare(request["case"])
        return Memory.peak_of(lambda: [run(request["case"]) for _ in range(3)])
    raise ValueError(what)


def answer(value: dict) -> None:
    print("@@" + json.dumps(value), flush=True)


def main() -> None:
    engine, name, device, dtype, file = sys.argv[1:6]
    sys.path.insert(0, str(HERE))
    library, _, mode = engine.partition(".")
    if library in ("torch", "rushlight"):
        task, run, module = (_torch if library == "torch" else _rushlight)(name, mode == "compile", device, dtype)
        if not Path(file).exists():
            np.savez(file, **_weights(task))
    else:
        task, run, module = _jax_engine(library, name, device, dtype, file)
    serve(run, task, module)


if __name__ == "__main__":
    main()
