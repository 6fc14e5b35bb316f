"""Builds one layer with torch and with rushlight from the same seed, and compares all that comes of it.

Compared: initial values bit for bit, the printed form, the state dict, outputs and gradients, the state afterwards,
copies and pickles, and state dicts carried from each library to the other.
"""

import copy
import pickle
import re
import warnings
import zlib

import jax
import numpy as np
import pytest
from parity._table import compare, flat, inputs, make, name_of, plain

import rushlight

torch = pytest.importorskip("torch")

# The programs run once: compiling them fast matters more.
_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def seeded(lib, build, dtype, typed=True, seed=0):
    """A layer built after seeding, its warnings silenced."""
    lib.manual_seed(zlib.crc32(dtype.encode()) + seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build(lib, dtype=getattr(lib, dtype)) if typed else build(lib)


def same_state(label, ours, theirs, exact=True, dtype="float64", tol=None):
    """Both modules hold the same tensors under the same names."""
    a, b = ours.state_dict(), theirs.state_dict()
    assert list(a) == list(b), label
    assert a._metadata == b._metadata, label
    for key, value in b.items():
        if exact:
            assert name_of(a[key].dtype) == name_of(value.dtype), f"{label}: {key}"
            assert tuple(a[key].shape) == tuple(value.shape), f"{label}: {key}"
            np.testing.assert_array_equal(plain(a[key]), plain(value), err_msg=f"{label}: {key}")
        else:
            compare(f"{label}: {key}", a[key], value, dtype, tol)


def _exercise(lib, module, args, seed, modes):
    """Outputs and gradients, for each value of ``training`` in ``modes``."""
    results = []
    for mode in modes:
        module.train(mode)
        wanted = [x for x in (*args, *module.parameters()) if x.is_floating_point()]
        for x in wanted:
            x.requires_grad_()
            x.grad = None
        leaves, _ = flat(module(*args))
        roots = [x for x in leaves if x.requires_grad]
        rng = np.random.default_rng(seed)
        if roots:
            cotangents = [np.asarray(rng.uniform(-1, 1, tuple(x.shape))) for x in roots]
            lib.autograd.backward(roots, [make(lib, c, name_of(x.dtype)) for c, x in zip(cotangents, roots)])
        results.append([x.detach() for x in leaves] + [x.grad for x in wanted])
    return results


def _compiled(modules, args, seed, modes):
    """``_exercise`` of several modules in one compiled program; their state is written back."""
    held = [[*m.parameters(), *m.buffers()] for m in modules]

    def program(states, lists):
        out = []
        for module, tensors, state, arrays in zip(modules, held, states, lists):
            for tensor, array in zip(tensors, state):
                tensor._write(array)
            given = [rushlight.Tensor._of(a) for a in arrays]
            results = _exercise(rushlight, module, given, seed, modes)
            arrays = [[None if x is None else x._array() for x in mode] for mode in results]
            out.append((arrays, [t._array() for t in tensors]))
        return out

    states = [[t._array() for t in tensors] for tensors in held]
    lists = [[t._array() for t in a] for a in args]
    results = []
    for tensors, (arrays, state) in zip(held, jax.jit(program, compiler_options=_QUICK)(states, lists)):
        for tensor, array in zip(tensors, state):
            tensor._write(array)
            tensor.grad = None
        results.append([[None if x is None else rushlight.Tensor._of(x) for x in mode] for mode in arrays])
    return results


def check_layer(name, build, specs, dtypes=("float64",), typed=True, tol=None, eager=False, modes=(True,)):
    """Run a row.

    Args:
        name: what to call it; also seeds the inputs.
        build: called with the library, and ``dtype=`` where ``typed``.
        specs: the inputs of a call.
        dtypes: those to run in; initial values are compared in all three floating dtypes.
        tol: (relative, absolute) tolerance.
        eager: run rushlight operator by operator; default: the whole row as one program, which compiles faster.
        modes: the values of ``training`` to run with, in turn.
    """
    seed = zlib.crc32(name.encode()) + 1
    for d in {"float32", "bfloat16"}.difference(dtypes) if typed else ():
        same_state(f"{name} [{d}] as built", seeded(rushlight, build, d), seeded(torch, build, d))
    theirs = [seeded(torch, build, d, typed) for d in dtypes]
    ours = [seeded(rushlight, build, d, typed) for d in dtypes]
    for d, a, b in zip(dtypes, ours, theirs):
        assert repr(a) == repr(b), name
        same_state(f"{name} [{d}] as built", a, b)
    _copies(name, ours[0], theirs[0], build, dtypes[0], typed)
    both = [inputs(name, specs, d) for d in dtypes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if eager:
            got = [_exercise(rushlight, m, x, seed, modes) for m, (_, x) in zip(ours, both)]
        else:
            got = _compiled(ours, [x for _, x in both], seed, modes)
        expected = [_exercise(torch, m, x, seed, modes) for m, (x, _) in zip(theirs, both)]
    for d, a, b, g, e in zip(dtypes, ours, theirs, got, expected):
        for mode, gs, es in zip(modes, g, e):
            assert len(gs) == len(es)
            for i, (x, y) in enumerate(zip(gs, es)):
                label = f"{name} [{d}] training={mode} {i}"
                assert (x is None) == (y is None), label
                if y is not None and (d == "float64" or i == 0):
                    compare(label, x, y, d, tol)
        same_state(f"{name} [{d}] afterwards", a, b, False, d, tol)


def _copies(name, ours, theirs, build, dtype, typed):
    """Copies and pickles are equal; a state dict of either library loads into the other's layer."""
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(twin) is type(ours) and repr(twin) == repr(ours), name
        same_state(f"{name} copied", twin, theirs)
        assert all(a is not b for a, b in zip(twin.parameters(), ours.parameters()))
    other = seeded(rushlight, build, dtype, typed, 1)
    state = {k: make(rushlight, plain(v), name_of(v.dtype)) for k, v in theirs.state_dict().items()}
    assert not any(other.load_state_dict(state))
    same_state(f"{name} loaded", other, theirs)
    back = seeded(torch, build, dtype, typed, 1)
    back.load_state_dict({k: make(torch, plain(v), name_of(v.dtype)) for k, v in ours.state_dict().items()})
    same_state(f"{name} loaded by torch", ours, back)


def said(error):
    """The text of an exception, spaces and the library's name evened out."""
    return re.sub(r"\s+", " ", str(error)).replace("rushlight", "torch").strip()


def refused(lib, function):
    """The exception that ``function(lib)`` raises and None, or None and the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return None, function(lib)
        except Exception as error:
            return error, None


def check_refusal(name, function):
    """Both libraries refuse with the same type of exception and the same text; rushlight's may go on with a remedy."""
    failed, result = refused(torch, function)
    assert failed is not None, f"{name}: torch gives {result!r}"
    error, result = refused(rushlight, function)
    assert error is not None, f"{name}: torch raised {failed!r}, rushlight gave {result!r}"
    assert type(error) is type(failed), f"{name}: {error!r} is not {failed!r}"
    assert said(error).startswith(said(failed)), f"{name}:\n  rushlight: {said(error)}\n  torch:     {said(failed)}"
