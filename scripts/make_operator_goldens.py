"""Writes tests/golden/operators: what torch gives for calls of its operators and layers, for machines without torch.

Needs torch 2.13 and expecttest. An entry of torch's own tables (``op_db``, ``module_db``) gives one or two small
samples; kept are the calls by name, their arguments, results, and the gradients under a fixed cotangent. Entries that
are left out stand in ``tests/operator_goldens.py`` with their reasons.
"""

import argparse
import dataclasses
import functools
import inspect
import itertools
import json
import math
import pathlib
import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.testing._internal import common_methods_invocations

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import operator_goldens as goldens  # noqa: E402  # pyright: ignore[reportMissingImports]
from parity import _module_db, _op_db  # noqa: E402  # pyright: ignore[reportMissingImports]

import rushlight  # noqa: E402

# The first of these that an entry takes is what its samples are made of.
DTYPES = (torch.float32, torch.int64, torch.bool, torch.complex64)
# Elements of all inputs: what is looked for, and what a second sample may have.
ENOUGH, SECOND, MOST = 4, 60, 20000
# How many of an entry's samples are looked at, the smallest first.
TRIED = 24
PACKED = torch.nn.utils.rnn.PackedSequence


class Refused(Exception):
    """This sample cannot be written down."""


class Writer:
    """One file: records, and the bytes of all tensors in them."""

    def __init__(self):
        self.records, self.data, self.size, self.seen = [], [], 0, {}

    def store(self, tensor):
        """Put a tensor's bytes into the file: (dtype, shape, place)."""
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
        if plain._is_zerotensor():
            plain = torch.zeros(plain.shape, dtype=plain.dtype)
        name = _op_db.name_of(plain.dtype)
        if plain.dtype is torch.bfloat16:
            plain = plain.view(torch.int16)
        raw = plain.numpy().tobytes()
        if (name, raw) not in self.seen:
            pad = -self.size % 16
            self.seen[name, raw] = self.size + pad
            self.data.append(b"\0" * pad + raw)
            self.size += pad + len(raw)
        return [name, list(tensor.shape), self.seen[name, raw]]

    def write(self, name):
        records = json.dumps(self.records, separators=(",", ":")).encode()
        path = goldens.FOLDER / f"{name}.npz"
        np.savez_compressed(
            path, records=np.frombuffer(records, np.uint8), data=np.frombuffer(b"".join(self.data), np.uint8)
        )
        return path


def encode(value, reference):
    """Arguments in their JSON form; ``reference`` turns a tensor into what a ``{"ref": ...}`` holds."""
    if isinstance(value, torch.Tensor):
        return {"ref": reference(value)}
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else {"float": str(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, PACKED):
        return {"made": ["nn.utils.rnn.PackedSequence", [encode(v, reference) for v in value], {}]}
    if isinstance(value, list):
        return [encode(v, reference) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(v, reference) for v in value]}
    if isinstance(value, dict):
        return {"dict": {k: encode(v, reference) for k, v in value.items()}}
    if isinstance(value, slice):
        return {"slice": [encode(v, reference) for v in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        return {"rushlight": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, torch.nn.Module) and hasattr(value, "_made_with"):
        args, kwargs = vars(value)["_made_with"]
        kwargs = {k: encode(v, reference) for k, v in kwargs.items()}
        return {"made": [f"nn.{type(value).__name__}", [encode(v, reference) for v in args], kwargs]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name), reference) for f in dataclasses.fields(value) if f.init}
        return {"made": [f"nn.{type(value).__name__}", [], fields]}
    if callable(value):
        return {"rushlight": name_of(value)}
    raise Refused(f"no form for {type(value)}")


def name_of(function):
    """What a function of torch is called in both libraries."""
    for name in _op_db._names().get(function, ()):
        try:
            goldens._reach(rushlight, name)
        except AttributeError:
            continue
        return name
    raise Refused(f"no name for {function!r}")


def is_named(function):
    try:
        return bool(_op_db._names().get(function))
    except TypeError:
        return False


class Recorder(TorchFunctionMode):
    """Keeps the calls that reach torch, with what in them came from inputs and from earlier calls."""

    def __init__(self, writer, inputs):
        super().__init__()
        self.writer, self.steps, self.last, self.alive = writer, [], None, list(inputs)
        self.place: dict[int, Any] = {id(t): i for i, t in enumerate(inputs)}
        self.inputs = [writer.store(t) for t in inputs]

    def reference(self, tensor):
        if id(tensor) not in self.place:
            self.alive.append(tensor)
            self.place[id(tensor)] = len(self.inputs)
            self.inputs.append(self.writer.store(tensor))
        return self.place[id(tensor)]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        form = [encode(v, self.reference) for v in args], {k: encode(v, self.reference) for k, v in kwargs.items()}
        result = func(*args, **kwargs)
        leaves = goldens.leaves_of(result)
        self.last = [name_of(func), *form] if is_named(func) else None
        if any(isinstance(x, torch.Tensor) for x in leaves):
            if func.__name__ == "__get__":
                name = f"get {func.__self__.__name__}"
            else:
                name = name_of(func)
            for i, x in enumerate(leaves):
                if isinstance(x, torch.Tensor):
                    self.alive.append(x)
                    self.place[id(x)] = [len(self.steps), i]
            self.steps.append([name, *form])
        return result


def copied(value) -> Any:
    """A sample's arguments with contiguous tensors of their own."""

    def leaf(v):
        if not isinstance(v, torch.Tensor):
            return v
        if v.layout is not torch.strided:
            raise Refused("layout")
        plain = v.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
        return plain.requires_grad_(v.requires_grad)

    return _op_db.walk(value, leaf) if not isinstance(value, torch.Tensor) else leaf(value)


def gradients(leaves, wanted):
    tracked = [isinstance(x, torch.Tensor) and x.requires_grad for x in leaves]
    roots = [x for x, t in zip(leaves, tracked) if t]
    grads = [None] * len(wanted)
    if roots and wanted:
        held = [np.asarray(goldens.cotangent(tuple(x.shape), _op_db.name_of(x.dtype))) for x in roots]
        starts = [torch.from_numpy(h).to(x.dtype) for h, x in zip(held, roots)]
        grads = list(torch.autograd.grad(roots, wanted, starts, allow_unused=True))
    return tracked, grads


def outcome(writer, leaves, tracked, grads):
    stored = [encode(x, writer.store) for x in leaves]
    return {
        "results": stored,
        "tracked": tracked,
        "grads": [None if g is None else {"ref": writer.store(g)} for g in grads],
    }


# -- operators ------------------------------------------------------------------------------------------------------


def sample_of(writer, entry, sample, grad):
    """One sample as it is written, or an exception that says why not."""
    function, process, wrapper = entry.op, sample.output_process_fn_grad, entry.gradcheck_wrapper
    input, args, kwargs = copied((sample.input, list(sample.args), dict(sample.kwargs)))
    inputs = _op_db.tensors_in((input, args, kwargs))
    wraps = grad and wrapper is not _op_db._PLAIN and "masked" not in wrapper.__name__
    process = None if process is None or _op_db._identity(process) else process
    traced = wraps or process is not None or not is_named(function)
    torch.manual_seed(0)
    with Recorder(writer, inputs) as recorder:
        if traced:
            result = wrapper(function, input, *args, **kwargs) if wraps else function(input, *args, **kwargs)
            result = process(result) if process is not None else result
        else:
            form = {k: encode(v, recorder.reference) for k, v in kwargs.items()}
            step = [name_of(function), [encode(v, recorder.reference) for v in (input, *args)], form]
            with torch._C.DisableTorchFunction():
                result = function(input, *args, **kwargs)
            recorder.steps, recorder.place = [step], {}
            for i, x in enumerate(goldens.leaves_of(result)):
                recorder.place[id(x)] = [0, i]
    leaves = goldens.leaves_of(result)
    returns = None
    if not any(isinstance(x, torch.Tensor) for x in leaves) and not is_named(function) and recorder.last:
        recorder.steps.append(recorder.last)
    elif traced:
        if not all(isinstance(x, torch.Tensor) and id(x) in recorder.place for x in leaves):
            raise Refused("a result that no call gave")
        returns = [recorder.place[id(x)] for x in leaves]
    sizes = [x.numel() for x in leaves if isinstance(x, torch.Tensor)]
    if sizes and not any(sizes):
        raise Refused("empty")
    wanted = [t for t in inputs if t.requires_grad]
    found = outcome(writer, leaves, *gradients(leaves, wanted))
    wants = [t.requires_grad for t in inputs] + [False] * (len(recorder.inputs) - len(inputs))
    return {"inputs": recorder.inputs, "wants": wants, "steps": recorder.steps, "returns": returns, **found}


def form_of(sample):
    """What tells one kind of call from another."""
    kinds = tuple(type(v).__name__ for v in sample.args)
    return len(_op_db.tensors_in((sample.input, sample.args, sample.kwargs))), kinds, tuple(sorted(sample.kwargs))


def cost_of(sample):
    return sum(t.numel() for t in _op_db.tensors_in((sample.input, sample.args, sample.kwargs)))


def draws(entry, sample):
    """Whether the generator moves on."""
    input, args, kwargs = copied((sample.input, list(sample.args), dict(sample.kwargs)))
    before = torch.get_rng_state()
    entry.op(input, *args, **kwargs)
    return not torch.equal(before, torch.get_rng_state())


def operator(writer, entry):
    """The samples of one entry, or why there are none."""
    supported = entry.supported_dtypes("cpu")
    dtype = next((d for d in DTYPES if d in supported), None)
    if dtype is None:
        return None, "no dtype"
    grad = entry.supports_autograd and dtype.is_floating_point and dtype in entry.supported_backward_dtypes("cpu")
    grad |= entry.supports_autograd and dtype.is_complex
    torch.manual_seed(0)
    samples = list(itertools.islice(entry.sample_inputs("cpu", dtype, requires_grad=grad), 400))
    # Some of the table's functions walk sets of words, in an order that differs from run to run.
    words = [sorted(v for v in s.kwargs.values() if isinstance(v, str)) for s in samples]
    order = sorted(range(len(samples)), key=lambda i: (cost_of(samples[i]) < ENOUGH, cost_of(samples[i]), words[i]))
    samples = [samples[i] for i in order]
    found, why = [], "no sample"
    samples = [s for s in samples if cost_of(s) <= MOST]
    for sample in samples[:TRIED] + _op_db.spread(samples[TRIED:], TRIED // 2):
        try:
            torch.manual_seed(0)
            if draws(entry, sample):
                raise Refused("draws")
            trial = Writer()
            found.append((-worth(trial, sample_of(trial, entry, sample, grad)), sample))
        except (Refused, RuntimeError, NotImplementedError, IndexError, TypeError, ValueError) as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if len({form_of(s) for value, s in found if value == -2}) >= 2:
            break
    if not found:
        return None, why
    found.sort(key=lambda pair: pair[0])
    best = found[0][1]
    other = [s for value, s in found if value and form_of(s) != form_of(best) and cost_of(s) <= SECOND]
    return [sample_of(writer, entry, s, grad) for s in [best, *other[:1]]], ""


def worth(writer, found):
    """How much a sample tells: 0 nothing (what went in comes out, or zeros), 2 several numbers that differ."""
    stored = [x["ref"] for x in found["results"] if isinstance(x, dict) and "ref" in x]
    if not stored:
        return 1
    held = b"".join(writer.data)
    arrays = [
        np.frombuffer(held, "uint16" if kind == "bfloat16" else kind, math.prod(shape), start)
        for kind, shape, start in stored
    ]
    if all(ref in found["inputs"] for ref in stored) or not any(a.any() for a in arrays):
        return 0
    return 2 if any(len(np.unique(a)) > 1 for a in arrays) else 1


def file_of(name):
    """Which file an entry goes to."""
    first = name.split("/")[0]
    for space in ("nn.functional", "linalg", "special", "fft"):
        if first.startswith(space + "."):
            return space.replace(".", "_")
    return "torch_a_l" if first.lstrip("_")[0].lower() < "m" else "torch_m_z"


# -- layers ---------------------------------------------------------------------------------------------------------


def remember_arguments():
    """Modules that are arguments of others know what they were made with."""

    def remembering(init):
        @functools.wraps(init)
        def __init__(self, *args, **kwargs):
            outer = "_made_with" not in self.__dict__
            if outer:
                self.__dict__["_made_with"] = (args, kwargs)
            init(self, *args, **kwargs)
            self.__dict__["_made_with"] = self.__dict__.get("_made_with", (args, kwargs))

        return __init__

    for kind in (torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer, torch.nn.PairwiseDistance):
        kind.__init__ = remembering(kind.__init__)


def layer_sample(writer, kind, sample, training, seed=0):
    made, given = sample.constructor_input, sample.forward_input
    torch.manual_seed(seed)
    module = kind(*made.args, **made.kwargs).train(training)
    args, kwargs = _module_db.copied((list(given.args), dict(given.kwargs)))
    inputs = _module_db.tensors_in((args, kwargs))
    wants = [t.requires_grad for t in inputs]
    recorder = Recorder(writer, inputs)

    def form(args, kwargs):
        return [encode(v, recorder.reference) for v in args], {
            k: encode(v, recorder.reference) for k, v in kwargs.items()
        }

    forms = form(made.args, made.kwargs), form(args, kwargs)
    state = {key: writer.store(value) for key, value in module.state_dict().items()}
    before = torch.get_rng_state()
    leaves = goldens.leaves_of(module(*args, **kwargs))
    drew = not torch.equal(before, torch.get_rng_state())
    parameters = dict(module.named_parameters())
    wanted = [t for t in inputs if t.requires_grad] + list(parameters.values())
    return drew, {
        "class": kind.__name__,
        "training": training,
        "made": forms[0],
        "call": forms[1],
        "inputs": recorder.inputs,
        "wants": wants + [False] * (len(recorder.inputs) - len(wants)),
        "state": state,
        "parameters": list(parameters),
        **outcome(writer, leaves, *gradients(leaves, wanted)),
        "after": [writer.store(value) for value in module.state_dict().values()],
    }


def layer(writer, entry):
    """The sample of one entry, or why there is none."""
    why = "no sample"
    for training in (True, False):
        torch.manual_seed(0)
        samples = list(entry.module_inputs_func(entry, "cpu", torch.float32, True, training))

        def cost(s):
            given = s.forward_input
            return sum(t.numel() for t in _module_db.tensors_in((list(given.args), dict(given.kwargs))))

        samples = [s for s in samples if s.forward_input is not None]
        for sample in sorted(samples, key=lambda s: (cost(s) < ENOUGH, cost(s))):
            try:
                drew, found = layer_sample(writer, entry.module_cls, sample, training)
            except (Refused, RuntimeError, TypeError, ValueError, AttributeError) as error:
                why = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            if not drew:
                return [found], ""
            why = "draws"
    return None, why


def main():
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--only", help="print what becomes of the entries whose names hold this, and write nothing")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    remember_arguments()
    # What would start the generator anew hides that an operator draws.
    common_methods_invocations.__dict__["wrapper_set_seed"] = lambda function, *args, **kwargs: function(
        *args, **kwargs
    )
    writers, left_out = {}, {"operators": {}, "layers": {}}
    todo = [("operators", _op_db.name(e), e) for e in _op_db.ENTRIES]
    todo += [("layers", e.name, e) for e in _module_db.module_db]
    for kind, name, entry in todo:
        if only and only not in name:
            continue
        table = goldens.LEFT_OUT if kind == "operators" else goldens.LAYERS_LEFT_OUT
        writer = writers.setdefault("layers" if kind == "layers" else file_of(name), Writer())
        if name in table:
            continue
        try:
            kept, why = operator(writer, entry) if kind == "operators" else layer(writer, entry)
        except Exception as error:
            kept, why = None, f"{type(error).__name__}: {error}".splitlines()[0]
        if kept is None:
            left_out[kind][name] = why
            continue
        writer.records.append({"name": name, "samples": kept})
    for kind, found in left_out.items():
        for name, why in found.items():
            print(f"{kind}: {name}: {why}")
    if only:
        print(json.dumps({k: w.records for k, w in writers.items()}, indent=1))
        return
    files = {}
    for name, writer in sorted(writers.items()):
        path = writer.write(name)
        files[f"{name}.npz"] = [*goldens.checksum(path), len(writer.records)]
        print(f"{path.name}: {len(writer.records)} entries, {path.stat().st_size} bytes")
    held = {
        "version": goldens.VERSION, "torch": torch.__version__.split("+")[0], "files": files,
        "operators": sorted(_op_db.name(e) for e in _op_db.ENTRIES),
        "layers": sorted(e.name for e in _module_db.module_db),
    }  # fmt: skip
    (goldens.FOLDER / "manifest.json").write_text(json.dumps(held, indent=1) + "\n")
    if any(left_out.values()):
        raise SystemExit("entries without a sample belong into the tables of tests/operator_goldens.py")


if __name__ == "__main__":
    main()
