"""Holds layers to torch's: how they are built, shown, copied and called, and what they compute.

A row is a layer's name, several ways to build it, and its inputs.
"""

import copy
import inspect
import pickle
import warnings
import zlib

import pytest
from parity._table import check, compare, inputs, plain

import rushlight

torch = pytest.importorskip("torch")

DTYPES = {"d": "float64", "s": "float32", "h": "bfloat16"}


class New:
    """One way to build a layer; callables among the arguments get the library."""

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

    def __call__(self, lib, name):
        args = [a(lib) if callable(a) else a for a in self.args]
        kwargs = {k: v(lib) if callable(v) else v for k, v in self.kwargs.items()}
        return getattr(lib.nn, name)(*args, **kwargs)

    def __repr__(self):
        shown = {k: "..." if callable(v) else repr(v) for k, v in self.kwargs.items()}  # a function's has an address
        return ", ".join([*map(repr, self.args), *(f"{k}={v}" for k, v in shown.items())])


def weights(*values):
    """A tensor of these numbers, in whichever library."""
    return lambda lib: lib.tensor(values)


def built(lib, new, name, seed=7):
    """A layer, drawn with this seed."""
    lib.manual_seed(seed)
    with warnings.catch_warnings():
        # Deprecated names and layers without elements warn in both.
        warnings.simplefilter("ignore")
        return new(lib, name)


def parameters(function):
    """Names, kinds and defaults of a function's parameters."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def same_state(ours, theirs, label):
    """Assert equal names and bit-identical values of parameters and buffers."""
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other), label
    for key, value in other.items():
        assert str(mine[key].dtype) == str(value.dtype), f"{label}: {key}"
        assert (plain(mine[key]) == plain(value)).all(), f"{label}: {key} differs"


def check_form(name, news):
    """Signature, constants, printout, state, copies and pickles of a layer."""
    ours, theirs = getattr(rushlight.nn, name), getattr(torch.nn, name)
    assert ours.__module__ == theirs.__module__.replace("torch", "rushlight"), name
    assert parameters(ours.__init__) == parameters(theirs.__init__), name
    assert parameters(ours.forward) == parameters(theirs.forward), name
    assert getattr(ours, "__constants__", None) == getattr(theirs, "__constants__", None), name
    for new in news:
        label = f"{name}({new!r})"
        a, b = built(rushlight, new, name), built(torch, new, name)
        assert repr(a) == repr(b), label
        same_state(a, b, label)
        assert rushlight.rand(1).item() == torch.rand(1).item(), f"{label}: the draws differ"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for twin in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
                assert type(twin) is ours and repr(twin) == repr(a), label
                same_state(twin, b, label)
                assert all(x is not y for x, y in zip(twin.parameters(), a.parameters())), label


def check_values(name, news, specs, kinds="d", tol=None):
    """What a layer without parameters computes, with gradients, all ways to build it in one program."""

    def run(lib, *xs):
        layers = [built(lib, new, name) for new in news]
        floats = [x for x in xs if x.is_floating_point()]
        return tuple(layer.to(floats[0].dtype)(*xs) if floats else layer(*xs) for layer in layers)

    check(name, run, specs, tuple(DTYPES[k] for k in kinds), tol)


def check_trained(name, new, specs, dtype="float64", call=None, tol=None, training=True):
    """What a layer with parameters or random numbers computes, step by step, and all gradients.

    Args:
        call: ``(lib, layer, *inputs)``; default calls the layer.
        training: the layer's mode.
    """
    label = f"{name}({new!r})"
    results = []
    for lib, tensors in zip((torch, rushlight), inputs(name, specs, dtype)):
        layer = built(lib, new, name).train(training).to(getattr(lib, dtype))
        roots = [x.requires_grad_() for x in tensors if x.is_floating_point()]
        lib.manual_seed(11)
        out = layer(*tensors) if call is None else call(lib, layer, *tensors)
        leaves = list(out) if isinstance(out, tuple) else [out]
        total = sum((x * x.detach().cos()).sum() for x in leaves if x.requires_grad)
        if isinstance(total, lib.Tensor):
            total.backward()
        grads = [x.grad for x in (*roots, *layer.parameters())]
        results.append((leaves, grads, dict(layer.named_parameters()), lib.rand(1).item()))
    (leaves, grads, state, drawn), (got, mine, own, used) = results
    assert used == drawn, f"{label}: the draws differ"
    assert len(got) == len(leaves), label
    for g, e in zip(got, leaves):
        compare(label, g, e, dtype, tol)
    for i, (g, e) in enumerate(zip(mine, grads)):
        assert (g is None) == (e is None), f"{label}: gradient {i} is {g}, expected {e}"
        if e is not None:
            compare(f"{label}: gradient {i}", g, e, dtype, tol)
    for key, value in state.items():
        compare(f"{label}: {key} afterwards", own[key], value, dtype, tol)


def seed_of(name):
    """A number that belongs to a name."""
    return zlib.crc32(name.encode())
