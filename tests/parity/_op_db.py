"""Runs entries of PyTorch's own operator database with torch and with rushlight, and compares what comes out.

The database (``torch.testing._internal.common_methods_invocations.op_db``) names each operator, the dtypes it takes and
sample inputs. Functions in it that call torch by name are rebound, so that they call rushlight.
"""

import dataclasses
import functools
import io
import itertools
import types
import warnings
import zlib

import jax
import numpy as np
import pytest
from jax.core import Tracer
from parity._table import _QUICK, _cotangent, compare, flat, make, name_of

import rushlight

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's operator database needs it")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

# Where the database's functions live, by the names both libraries share.
_SPACES = (
    "", "linalg", "special", "fft", "masked", "signal.windows", "nn.functional", "Tensor", "functional", "_C._VariableFunctions",
)  # fmt: skip


def _reach(root, path):
    for part in path.split(".") if path else ():
        root = getattr(root, part)
    return root


@functools.cache
def _names():
    """What each of torch's functions is called, from the object."""
    found = {}
    for space in _SPACES:
        holder = _reach(torch, space)
        for name in dir(holder):
            try:
                value = getattr(holder, name)
            except (AttributeError, RuntimeError):
                continue
            if callable(value) and not isinstance(value, type):
                label = f"{space}.{name}".removeprefix("_C._VariableFunctions.").removeprefix("functional.").lstrip(".")
                try:
                    found.setdefault(value, []).append(label)
                except TypeError:
                    continue
    return found


class NotOffered(Exception):
    """rushlight has no function of this name."""


def port(function):
    """The rushlight function that stands for one of torch's.

    Raises:
        NotOffered: there is none.
    """
    if isinstance(function, functools.partial):
        return functools.partial(port(function.func), *move(function.args), **move(function.keywords))
    if getattr(function, "__name__", "") == "wrapper_set_seed":
        return _with_seed
    names = _names().get(function, ()) if getattr(function, "__hash__", None) else ()
    for name in names:
        try:
            return _reach(rushlight, name)
        except AttributeError:
            continue
    if names:
        raise NotOffered(names[0])
    if isinstance(function, types.FunctionType):
        space = {**function.__globals__, "torch": rushlight}
        for key, value in function.__globals__.items():
            if isinstance(value, types.FunctionType) and value.__module__.startswith("torch.testing."):
                space[key] = _Late(value)
        moved = types.FunctionType(
            function.__code__, space, function.__name__, function.__defaults__, _closure(function)
        )
        moved.__kwdefaults__ = function.__kwdefaults__
        return moved
    if isinstance(function, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        found = getattr(rushlight.Tensor, function.__name__, None)
        if found is None:
            raise NotOffered(function.__name__)
        return found
    raise NotOffered(repr(function))


def _closure(function):
    return tuple(types.CellType(_moved_cell(c.cell_contents)) for c in function.__closure__ or ()) or None


def _moved_cell(value):
    if callable(value) and not isinstance(value, type):
        try:
            return port(value)
        except NotOffered:
            return value
    return move(value) if not isinstance(value, types.ModuleType) else rushlight if value is torch else value


# What entries that draw random numbers start from.
START = [42]


def _with_seed(function, *args, **kwargs):
    rushlight.manual_seed(START[0])
    return function(*args, **kwargs)


class _Late:
    """A function of the database that is rebound when it is called."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args, **kwargs):
        return port(self.function)(*args, **kwargs)


# -- moving values --------------------------------------------------------------------------------------------------


def tensor_of(t):
    """torch's tensor as rushlight's."""
    plain = t.detach()
    if plain.layout is not torch.strided:
        raise NotOffered(f"layout {plain.layout}")
    repeated = [d for d, (n, s) in enumerate(zip(plain.shape, plain.stride())) if s == 0 and n > 1]
    if repeated:
        for d in repeated:
            plain = plain.narrow(d, 0, 1)
        made = tensor_of(plain).expand(tuple(t.shape))
        return made.requires_grad_() if t.requires_grad else made
    host = plain.resolve_conj().resolve_neg().contiguous()
    if host.dtype == torch.bfloat16:
        host = host.float()
    made = rushlight.from_numpy(host.numpy().copy()).to(getattr(rushlight, name_of(t.dtype)))
    return made.requires_grad_() if t.requires_grad else made


def walk(value, leaf):
    """``value`` with ``leaf`` applied to what is not a container."""
    if isinstance(value, torch.Size):
        return rushlight.Size(value)
    if isinstance(value, (list, tuple)):
        items = [walk(v, leaf) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {k: walk(v, leaf) for k, v in value.items()}
    return leaf(value)


def _leaf(value):
    if isinstance(value, torch.Tensor):
        return tensor_of(value)
    if isinstance(value, torch.dtype):
        return getattr(rushlight, name_of(value))
    if isinstance(value, torch.device):
        return rushlight.device(str(value))
    if isinstance(value, torch.memory_format):
        return getattr(rushlight, name_of(value))
    if isinstance(value, torch.layout):
        return getattr(rushlight, name_of(value))
    if isinstance(value, torch.Generator):
        return rushlight.Generator().manual_seed(value.initial_seed())
    if value is torch.default_generator:
        return rushlight.default_generator
    if isinstance(value, torch.nn.Module):
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        return rushlight.load(file, weights_only=False)
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and hasattr(rushlight.nn, type(value).__name__):
        fields = {f.name: _leaf(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return getattr(rushlight.nn, type(value).__name__)(**fields)
    return value


def _as_leaf(value):
    """A copy: gradients are asked for at it, and what an operator writes to it does not reach other samples."""
    return value.detach().clone().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


def move(value):
    """Tensors, dtypes and the like as rushlight's."""
    return walk(value, _leaf)


def tensors_in(value):
    """The tensors of a nested value, in order."""
    found = []

    def leaf(v):
        if isinstance(v, (torch.Tensor, rushlight.Tensor)):
            found.append(v)
        return v

    walk(value, leaf)
    return found


# -- running --------------------------------------------------------------------------------------------------------


class Run:
    """One sample of an entry at one dtype, ready to run in both libraries."""

    def __init__(self, entry, sample, dtype, grad):
        self.entry, self.dtype, self.sample, self.grad = entry, dtype, sample, grad
        self.label = f"{name(entry)} {name_of(dtype)} {sample.summary() if hasattr(sample, 'summary') else sample}"
        self.theirs = walk((sample.input, list(sample.args), dict(sample.kwargs)), _as_leaf)
        self.ours = move(self.theirs)

    def outcome(self, lib, values, seed):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._evaluate(lib, values, seed), None
        except Exception as error:
            return None, error

    def _evaluate(self, lib, values, seed):
        theirs = lib is torch
        lib.manual_seed(seed)
        function = self.entry.op if theirs else port(self.entry.op)
        process = self.sample.output_process_fn_grad
        inputs = [t for t in tensors_in(values) if t.requires_grad]
        input, args, kwargs = values
        wrapper = self.entry.gradcheck_wrapper
        if self.grad and wrapper is not _PLAIN and "masked" not in wrapper.__name__:
            # Inputs that have to be Hermitian or triangular: the gradient along other directions means nothing.
            result = (wrapper if theirs else port(wrapper))(function, input, *args, **kwargs)
        else:
            result = function(input, *args, **kwargs)
        if process is not None and not _identity(process):
            result = (process if theirs else port(process))(result)
        leaves, _ = flat(result)
        if not self.grad:
            leaves = [x.detach() if isinstance(x, lib.Tensor) else x for x in leaves]
        tracked = [isinstance(x, lib.Tensor) and x.requires_grad for x in leaves]
        roots = [x for x, t in zip(leaves, tracked) if t]
        grads = []
        if self.grad and roots and inputs:
            rng = np.random.default_rng(seed)
            cotangents = [make(lib, _cotangent(rng, x), name_of(x.dtype)) for x in roots]
            grads = lib.autograd.grad(roots, inputs, cotangents, allow_unused=True)
        return leaves, tracked, list(grads)


# What an entry has that says nothing about its inputs.
_PLAIN = type(op_db[0]).__dataclass_fields__["gradcheck_wrapper"].default


def _identity(process):
    return getattr(process, "__qualname__", "").startswith("SampleInput.__init__")


def name(entry) -> str:
    """An entry's name with its variant."""
    return entry.name + (f"/{entry.variant_test_name}" if entry.variant_test_name else "")


def spread(items, count):
    """At most ``count`` items, evenly spread over all, the first and the last among them."""
    if len(items) <= count:
        return items
    places = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))
    return [items[i] for i in places]


def runs(entry, counts):
    """Samples of an entry at the dtypes it supports on the CPU.

    Args:
        counts: how many for each dtype.
    """
    supported = entry.supported_dtypes("cpu")
    out = []
    for dtype, count in counts.items():
        if dtype not in supported:
            continue
        backward = dtype in (torch.float64, torch.complex128) and dtype in entry.supported_backward_dtypes("cpu")
        grad = entry.supports_autograd and backward
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Some entries have thousands of samples: the first few hundred show all forms of a call.
            samples = list(itertools.islice(entry.sample_inputs("cpu", dtype, requires_grad=grad), 400))
        held = [(s, tensors_in((s.input, s.args, s.kwargs))) for s in samples]
        strided = [(s, ts) for s, ts in held if all(t.layout is torch.strided for t in ts)]
        small = [s for s, ts in strided if sum(t.numel() for t in ts) < 20000]
        out += [Run(entry, s, dtype, grad) for s in spread(small or [s for s, _ in strided], count)]
    return out


def compiled(todo, seed):
    """The outcomes of several runs in rushlight, as one program where possible."""
    kept = []

    def program(lists):
        kept.clear()
        out = []
        for arrays, run in zip(lists, todo):
            supply = iter(arrays)

            def leaf(value, supply=supply):
                if isinstance(value, rushlight.Tensor):
                    made = rushlight.Tensor._of(next(supply))
                    return made.requires_grad_() if value.requires_grad else made
                return value

            kept.append(run.outcome(rushlight, walk(run.ours, leaf), seed))
            leaves, _, grads = kept[-1][0] or ((), None, ())
            out.append([x._array() if isinstance(x, rushlight.Tensor) else None for x in (*leaves, *grads)])
        return out

    lists = [[t._array() for t in tensors_in(run.ours)] for run in todo]
    arrays = jax.jit(program, compiler_options=_QUICK)(lists)
    results = []
    for (result, error), made, run in zip(kept, arrays, todo):
        if isinstance(error, (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)):
            # The operator looks at values: it only runs eagerly.
            results.append(run.outcome(rushlight, run.ours, seed))
        elif error is not None:
            results.append((None, error))
        else:
            leaves, tracked, grads = result
            whole = [x if a is None else rushlight.Tensor._of(a) for x, a in zip((*leaves, *grads), made)]
            if any(isinstance(x, Tracer) for x in whole):
                results.append(run.outcome(rushlight, run.ours, seed))
            else:
                results.append(((whole[: len(leaves)], tracked, whole[len(leaves) :]), None))
    return results


def check_entry(entry, counts, values=True, tol=None, ties=None, skip=None, grads=True, eager=False):
    """Hold one entry to torch.

    Args:
        counts: how many samples at each dtype.
        values: False compares dtypes and shapes alone (random numbers, uninitialised memory).
        tol: (relative, absolute) tolerance instead of the dtype's own.
        ties: how many leading results are compared with integers and bools; which of equal elements the others name
            is open.
        grads: compare gradients too.
        eager: run operator by operator, where what is drawn depends on values.
        skip: leaves out a sample for which it is true.
    """
    seed = zlib.crc32(name(entry).encode())
    todo = [run for run in runs(entry, counts) if skip is None or not skip(run.sample)]
    assert todo, "the entry has no sample that could run"
    outcomes = [run.outcome(rushlight, run.ours, seed) for run in todo] if eager else compiled(todo, seed)
    for run, (got, error) in zip(todo, outcomes):
        expected, failed = run.outcome(torch, run.theirs, seed)
        if failed is not None:
            assert error is not None, f"{run.label}: torch raised {failed!r}, rushlight gave {got!r}"
            continue
        if error is not None:
            raise AssertionError(f"{run.label}: rushlight raised {error!r}") from error
        run.grad &= grads
        if ties is not None and not run.dtype.is_floating_point:
            got, expected = (got[0][:ties], *got[1:]), (expected[0][:ties], *expected[1:])
        _agree(run, got, expected, values, tol)


def _agree(run, got, expected, values, tol):
    assert len(got[0]) == len(expected[0]), f"{run.label}: {len(got[0])} results, expected {len(expected[0])}"
    for i, (g, e) in enumerate(zip(got[0], expected[0])):
        label = f"{run.label}: result {i}"
        if values or not isinstance(e, torch.Tensor):
            compare(label, g, e, name_of(run.dtype), tol)
        else:
            assert (name_of(g.dtype), tuple(g.shape)) == (name_of(e.dtype), tuple(e.shape)), label
    if not run.grad:
        return
    assert got[1] == expected[1], f"{run.label}: requires_grad {got[1]}, expected {expected[1]}"
    for i, (g, e) in enumerate(itertools.zip_longest(got[2], expected[2])):
        if e is None or g is None:
            some = g if e is None else e
            assert some is None or not some.any(), f"{run.label}: gradient {i} is {g}, expected {e}"
        elif values:
            compare(f"{run.label}: gradient {i}", g, e, name_of(run.dtype), tol)


def refusals(entry):
    """For each call that torch refuses: (what it is, torch's exception, rushlight's or None)."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for item in entry.error_inputs("cpu"):
            sample = item.sample_input
            try:
                input, args, kwargs = move((sample.input, list(sample.args), dict(sample.kwargs)))
            except (NotOffered, AttributeError, TypeError, ValueError):
                # Other layouts and devices, and more than 64 dimensions, which numpy does not hold.
                continue
            torch.manual_seed(0)
            try:
                entry.op(sample.input, *sample.args, **sample.kwargs)
            except Exception as error:
                refused = error
            else:
                continue
            try:
                port(entry.op)(input, *args, **kwargs)
            except NotOffered:
                continue
            except Exception as error:
                found.append((sample.summary(), refused, error))
            else:
                found.append((sample.summary(), refused, None))
    return found


ENTRIES = list(op_db)
__all__ = ["ENTRIES", "NotOffered", "check_entry", "name", "op_db", "port", "refusals", "torch"]
