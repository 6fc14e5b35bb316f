"""Runs one expression with torch and with rushlight on the same inputs, and compares what comes out.

Compared: values, dtypes, shapes, kinds of result, gradients under a random cotangent, and exceptions by type and text.
"""

import re
import warnings
import zlib

import jax
import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

# Relative and absolute tolerances of values by the coarsest dtype that takes part.
_TOLERANCE = {
    "float64": (1e-9, 1e-11),
    "float32": (2e-5, 2e-6),
    "bfloat16": (2.5e-2, 1e-2),
    "float16": (4e-3, 2e-3),
    "complex64": (5e-5, 5e-6),
    "complex128": (1e-9, 1e-11),
}


# The programs run once: compiling them fast matters more.
_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Spec:
    """An input: its shape, the kind of numbers in it, and whether its dtype follows the run's."""

    def __init__(self, kind, shape, low=-2.0, high=2.0, dtype=None):
        self.kind, self.shape, self.low, self.high, self.dtype = kind, shape, low, high, dtype

    def array(self, rng, dtype):
        """Numbers as numpy, and the dtype's name that a tensor of them has."""
        if self.kind == "index":
            return rng.integers(self.low, self.high, self.shape), self.dtype or "int64"
        if self.kind == "bool":
            return rng.random(self.shape) < 0.5, "bool"
        if self.kind == "fixed":
            return np.array(self.shape), self.dtype or dtype
        values = rng.uniform(self.low, self.high, self.shape)
        if dtype.startswith("complex"):
            values = values + 1j * rng.uniform(self.low, self.high, self.shape)
        if dtype.startswith(("int", "uint")):
            values = np.round(values * 3).astype(np.int64)
            if self.low >= 0:
                values = np.maximum(values, 1)
        return values, self.dtype or dtype


def f(*shape, low=-2.0, high=2.0):
    """Numbers of the run's dtype."""
    return Spec("number", shape, low, high)


def pos(*shape, low=0.2, high=2.0):
    """Positive numbers of the run's dtype."""
    return Spec("number", shape, low, high)


def ix(high, *shape, low=0, dtype="int64"):
    """Whole numbers in ``[low, high)``."""
    return Spec("index", shape, low, high, dtype)


def bo(*shape):
    """Truth values."""
    return Spec("bool", shape)


def val(values, dtype=None):
    """The given numbers, in the run's dtype unless another is named."""
    return Spec("fixed", values, dtype=dtype)


def make(lib, array, dtype):
    """A tensor of ``lib`` with these numbers."""
    if array.dtype.kind == "c" and not dtype.startswith("complex"):
        array = array.real
    return lib.tensor(array.tolist(), dtype=getattr(lib, dtype)).reshape(array.shape)


def inputs(name, specs, dtype):
    """The inputs of a row, for torch and for rushlight."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    drawn = [spec.array(rng, dtype) for spec in specs]
    return [make(torch, *d) for d in drawn], [make(rushlight, *d) for d in drawn]


def flat(result):
    """The leaves of a result, with how it was built."""
    if isinstance(result, (tuple, list)):
        leaves, shape = [], []
        for item in result:
            more, inner = flat(item)
            leaves += more
            shape.append(inner)
        named = type(result).__name__ if hasattr(result, "_fields") or hasattr(result, "n_fields") else "tuple"
        return leaves, (named, *shape)
    return [result], None


def plain(tensor):
    """A tensor as numpy, wide enough to hold it."""
    t = tensor.detach()
    if isinstance(t, torch.Tensor):
        # torch's conj and some gradients are lazy.
        t = t.resolve_conj().resolve_neg()
        t = t + 0 if t.is_floating_point() or t.is_complex() else t
    if t.is_complex():
        return np.asarray(t.to(torch.complex128 if isinstance(t, torch.Tensor) else rushlight.complex128).numpy())
    if t.is_floating_point():
        return np.asarray(t.double().numpy())
    return np.asarray(t.numpy())


def name_of(dtype) -> str:
    """A dtype's name without its library."""
    return str(dtype).removeprefix("torch.")


def compare(label, got, expected, run_dtype, tol=None):
    """Assert that a rushlight result equals a torch result."""
    if not isinstance(expected, torch.Tensor):
        if isinstance(expected, float):
            assert got == pytest.approx(expected, rel=1e-5, nan_ok=True), label
        elif isinstance(expected, (torch.dtype, torch.Size)):
            assert str(got) == str(expected), label
        else:
            assert type(got) is type(expected) and got == expected, f"{label}: {got!r} != {expected!r}"
        return
    assert isinstance(got, rushlight.Tensor), f"{label}: {type(got)} is not a tensor"
    assert name_of(got.dtype) == name_of(expected.dtype), f"{label}: dtype {got.dtype} != {expected.dtype}"
    assert tuple(got.shape) == tuple(expected.shape), f"{label}: shape {got.shape} != {expected.shape}"
    a, b = plain(got), plain(expected)
    name = name_of(expected.dtype)
    if name in _TOLERANCE:
        coarse = run_dtype if run_dtype in ("bfloat16", "float16") else name
        rtol, atol = tol or _TOLERANCE[coarse]
        np.testing.assert_allclose(a, b, rtol, atol, equal_nan=True, err_msg=label)
    else:
        np.testing.assert_array_equal(a, b, err_msg=label)


def evaluate(lib, fn, args, wants, seed):
    """Run a row in one library.

    Returns:
        (leaves, structure, which of them carry gradients, the gradients of the inputs in ``wants``)
    """
    for i in wants:
        args[i].requires_grad_()
    leaves, built = flat(fn(lib, *args))
    tracked = [isinstance(x, lib.Tensor) and x.requires_grad for x in leaves]
    roots = [x for x, t in zip(leaves, tracked) if t]
    if roots:
        rng = np.random.default_rng(seed)
        lib.autograd.backward(roots, [make(lib, _cotangent(rng, x), name_of(x.dtype)) for x in roots])
    return leaves, built, tracked, [args[i].grad for i in wants]


def _cotangent(rng, tensor):
    draw = np.asarray(rng.uniform(-1, 1, tuple(tensor.shape)))
    return draw + 1j * rng.uniform(-1, 1, draw.shape) if tensor.is_complex() else draw


def outcome(*args):
    """What ``evaluate`` gives: (result, None) or (None, exception)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return evaluate(*args), None
    except Exception as error:
        return None, error


def compiled(fn, runs, seed):
    """``outcome`` for rushlight, for several runs of a row in one compiled program, gradients and all.

    Args:
        runs: (tensors, indices of those that want gradients), one for each dtype.
    """
    kept = []

    def program(lists):
        kept.clear()
        out = []
        for arrays, (_, wants) in zip(lists, runs):
            kept.append(outcome(rushlight, fn, [rushlight.Tensor._of(a) for a in arrays], wants, seed))
            leaves, _, _, grads = kept[-1][0] or ((), None, None, ())
            out.append([x._array() if isinstance(x, rushlight.Tensor) else None for x in (*leaves, *grads)])
        return out

    lists = jax.jit(program, compiler_options=_QUICK)([[t._array() for t in args] for args, _ in runs])
    results = []
    for (result, error), arrays, (args, wants) in zip(kept, lists, runs):
        if isinstance(error, (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)):
            # The row looks at values (item, nonzero, bool): it only runs eagerly.
            results.append(outcome(rushlight, fn, args, wants, seed))
        elif error is not None:
            results.append((None, error))
        else:
            leaves, built, tracked, grads = result
            made = [x if a is None else rushlight.Tensor._of(a) for x, a in zip((*leaves, *grads), arrays)]
            results.append(((made[: len(leaves)], built, tracked, made[len(leaves) :]), None))
    return results


def check(name, fn, specs, dtypes=("float64",), tol=None, eager=False):
    """Run a row with several dtypes; gradients are compared in the widest (float64, complex128).

    Args:
        name: what to call it; also seeds the inputs.
        fn: called with the library and its tensors.
        specs: the inputs.
        tol: (relative, absolute) tolerance.
        eager: run rushlight operator by operator; default: the whole row as one program, which compiles faster.
    """
    seed = zlib.crc32(name.encode()) + 1
    both = [inputs(name, specs, dtype) for dtype in dtypes]
    wants = [
        [
            i
            for i, t in enumerate(theirs)
            if dtype in ("float64", "complex128") and t.dtype.is_floating_point | t.is_complex()
        ]
        for dtype, (theirs, _) in zip(dtypes, both)
    ]
    ours = [args for _, args in both]
    if eager:
        got = [outcome(rushlight, fn, args, w, seed) for args, w in zip(ours, wants)]
    else:
        got = compiled(fn, list(zip(ours, wants)), seed)
    for dtype, (theirs, _), w, mine in zip(dtypes, both, wants, got):
        _agree(f"{name} [{dtype}]", dtype, w, outcome(torch, fn, theirs, w, seed), mine, tol)


def _agree(label, dtype, wants, theirs, ours, tol):
    (expected, failed), (got, error) = theirs, ours
    if failed is not None:
        assert error is not None, f"{label}: torch raised {failed!r}, rushlight gave {got!r}"
        assert type(error) is type(failed), f"{label}: {error!r} is not {failed!r}"
        return
    if error is not None:
        raise AssertionError(f"{label}: rushlight raised {error!r}") from error
    assert got[1] == expected[1], f"{label}: built as {got[1]}, expected {expected[1]}"
    assert got[2] == expected[2], f"{label}: requires_grad {got[2]}, expected {expected[2]}"
    for g, e in zip(got[0], expected[0]):
        compare(label, g, e, dtype, tol)
    for i, g, e in zip(wants, got[3], expected[3]):
        if e is None:
            assert g is None or not np.any(plain(g)), f"{label}: input {i} has a gradient, torch gives none"
        else:
            assert g is not None, f"{label}: input {i} has no gradient"
            compare(f"{label}: gradient of input {i}", g, e, dtype, tol)


def check_error(name, fn, specs, dtype="float32", exact=True):
    """Both libraries refuse, with the same exception type and (``exact``) the same first line of text."""
    theirs, ours = inputs(name, specs, dtype)
    _, failed = outcome(torch, fn, theirs, (), 0)
    got, error = outcome(rushlight, fn, ours, (), 0)
    assert failed is not None, f"{name}: torch does not refuse this"
    assert error is not None, f"{name}: torch raised {failed!r}, rushlight gave {got!r}"
    assert type(error) is type(failed), f"{name}: {error!r} is not {failed!r}"
    if exact:
        said, meant = (re.sub(r"\s+", " ", str(e)).strip() for e in (error, failed))
        assert said == meant, f"{name}:\n  rushlight: {said}\n  torch:     {meant}"
