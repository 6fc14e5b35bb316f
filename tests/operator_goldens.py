"""Reads what torch gave for calls of operators and layers (tests/golden/operators), and repeats them with rushlight.

Imports rushlight and numpy, never torch; ``scripts/make_operator_goldens.py`` writes the files and imports this one.
"""

import functools
import json
import math
import warnings
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

import rushlight

FOLDER = Path(__file__).resolve().parent / "golden" / "operators"
# Raised whenever the script writes something else for the same calls.
VERSION = 1

_ABSENT = "rushlight does not offer it; tests/parity/test_op_db.py has the reason"
_RANDOM = "draws random numbers; tests/golden/random_stream.npz holds the stream"
_UNWRITTEN = "stands in memory that was never written"
_LAZY = "its weights are drawn in its first call"
_DOUBLE = "torch's own samples are in double precision alone"

# What is not recorded: names of torch's table of operators.
LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        (
            "sparse.sampled_addmm", "sparse.mm/reduce", "to_sparse", "torch._scaled_mm", "torch._scaled_mm_v2",
            "torch.ops.aten._safe_softmax.default", "torch.ops.aten._flash_attention_forward",
            "torch.ops.aten._efficient_attention_forward", "_softmax_backward_data", "native_dropout_backward",
            "max_pool2d_with_indices_backward", "_upsample_bilinear2d_aa", "_unsafe_masked_index",
            "_unsafe_masked_index_put_accumulate", "_chunk_cat", "slice", "_native_batch_norm_legit",
            "_batch_norm_with_update", "chalf", "nn.functional.batch_norm/without_cudnn", "jiterator_unary",
            "jiterator_binary", "jiterator_4inputs_with_extra_args", "jiterator_binary_return_by_ref",
            "jiterator_2inputs_2outputs",
        ),
        _ABSENT,
    ),
    **dict.fromkeys(
        (
            "cauchy", "exponential", "geometric", "log_normal", "normal/in_place", "uniform", "svd_lowrank",
            "pca_lowrank", "randn", "randn_like", "rand_like", "randint", "randint_like", "multinomial", "normal",
            "normal/number_mean", "bernoulli", "nn.functional.multi_head_attention_forward",
            "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"), _UNWRITTEN
    ),
}  # fmt: skip
# The same for its table of layers.
LAYERS_LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(("nn.FractionalMaxPool2d", "nn.FractionalMaxPool3d"), _DOUBLE),
    **{f"nn.LazyConv{kind}{d}d": _LAZY for kind in ("", "Transpose") for d in (1, 2, 3)},
}

# Entries whose gradients are not compared: torch gives the elements that are replaced one all the same; its own test
# of the gradient expects to fail.
NO_GRADIENTS = {"as_strided_scatter"}
# Tolerances of their own: torch's gradient goes through differences of logarithms, good to three digits.
LOOSE = {"logcumsumexp": (1e-2, 2e-3)}

# The programs run once: compiling them fast matters more.
_QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# Relative tolerance, and absolute tolerance in parts of the largest element.
_NEAR = {"float32": (1e-4, 1e-5), "complex64": (1e-4, 1e-5), "bfloat16": (2e-2, 1e-2), "float16": (2e-3, 1e-3)}
_EXACT = (1e-7, 1e-9)


# -- files ----------------------------------------------------------------------------------------------------------


@functools.cache
def manifest():
    """What the files hold: version, names, checksums."""
    return json.loads((FOLDER / "manifest.json").read_text())


@functools.cache
def _file(name):
    with np.load(FOLDER / f"{name}.npz") as held:
        return json.loads(held["records"].tobytes()), held["data"].tobytes()


@functools.cache
def names(file):
    """The entries of one file, in order."""
    return [record["name"] for record in _file(file)[0]]


def record(file, name):
    """One entry: its samples as they were written."""
    return next(r for r in _file(file)[0] if r["name"] == name)


def checksum(path):
    """What the manifest keeps of a file: bytes and CRC-32."""
    held = path.read_bytes()
    return [len(held), zlib.crc32(held)]


def numbers(file, stored):
    """A stored tensor as numpy: bfloat16 as its bits."""
    dtype, shape, start = stored
    kind = np.dtype("uint16" if dtype == "bfloat16" else dtype)
    count = math.prod(shape)
    return np.frombuffer(_file(file)[1], kind, count, start).reshape(shape)


def tensor(file, stored):
    """A stored tensor as rushlight's."""
    array = numbers(file, stored).copy()
    if stored[0] == "bfloat16":
        return rushlight.from_numpy(array.view(np.int16)).view(rushlight.bfloat16)
    return rushlight.from_numpy(array)


# -- arguments ------------------------------------------------------------------------------------------------------


def _reach(root: Any, path) -> Any:
    for part in path.split("."):
        root = getattr(root, part)
    return root


def decode(value, reference) -> Any:
    """Arguments from their JSON form.

    Args:
        reference: called with what a ``{"ref": ...}`` holds.
    """
    if isinstance(value, list):
        return [decode(v, reference) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "ref":
        return reference(held)
    if kind == "float":
        return float(held)
    if kind == "complex":
        return complex(*held)
    if kind == "rushlight":
        return _reach(rushlight, held)
    if kind == "device":
        return rushlight.device(held)
    if kind == "ellipsis":
        return Ellipsis
    if kind == "made":
        name, args, kwargs = held
        return _reach(rushlight, name)(*decode(args, reference), **keywords(kwargs, reference))
    if kind == "dict":
        return keywords(held, reference)
    parts = decode(held, reference)
    return tuple(parts) if kind == "tuple" else slice(*parts)


def keywords(held, reference):
    """Keyword arguments from their JSON form."""
    return {key: decode(value, reference) for key, value in held.items()}


def leaves_of(result):
    """What a result holds, in order, without its containers."""
    if isinstance(result, (tuple, list)):
        return [leaf for item in result for leaf in leaves_of(item)]
    return [result]


def cotangent(shape, dtype):
    """What gradients start from: numbers that float16 holds exactly."""
    ramp = np.arange(math.prod(shape))
    real = ((ramp * 7 + 3) % 17 - 8) / 8
    whole = real + 1j * ((ramp * 5 + 1) % 13 - 6) / 8 if dtype.startswith("complex") else real
    return whole.reshape(shape)


def _dtype(t):
    return str(t.dtype).removeprefix("torch.")


def _starts(roots):
    made = []
    for x in roots:
        held = cotangent(tuple(x.shape), _dtype(x))
        made.append(rushlight.from_numpy(np.asarray(held)).to(x.dtype))
    return made


def _gradients(leaves, wanted):
    tracked = [isinstance(x, rushlight.Tensor) and x.requires_grad for x in leaves]
    roots = [x for x, t in zip(leaves, tracked) if t]
    grads = [None] * len(wanted)
    if roots and wanted:
        grads = list(rushlight.autograd.grad(roots, wanted, _starts(roots), allow_unused=True))
    return tracked, grads


# -- operators ------------------------------------------------------------------------------------------------------


def call(sample, tensors):
    """Run the recorded calls of a sample.

    Returns:
        (results, which of them carry gradients, gradients of the inputs that want one)
    """
    results = []

    def reference(held):
        if isinstance(held, int):
            return tensors[held]
        step, leaf = held
        return leaves_of(results[step])[leaf]

    for name, args, kwargs in sample["steps"]:
        given = decode(args, reference)
        if name.startswith("get "):
            results.append(getattr(given[0], name.removeprefix("get ")))
            continue
        results.append(_reach(rushlight, name)(*given, **keywords(kwargs, reference)))
    leaves = leaves_of(results[-1]) if sample["returns"] is None else [reference(r) for r in sample["returns"]]
    tracked, grads = _gradients(leaves, [t for t, w in zip(tensors, sample["wants"]) if w])
    return leaves, tracked, grads


def _inputs(file, sample):
    made = [tensor(file, stored) for stored in sample["inputs"]]
    return [t.requires_grad_() if w else t for t, w in zip(made, sample["wants"])]


def _arrays(values):
    return [x._array() if isinstance(x, rushlight.Tensor) else None for x in values]


def _made(values, arrays):
    return [x if a is None else rushlight.Tensor._of(a) for x, a in zip(values, arrays)]


def _as_program(function, arrays):
    """``function`` of tensors as one program; None where it looks at values, and only runs operator by operator.

    Args:
        function: from arrays to lists of results, flags and gradients, and more lists of tensors.
    """
    kept = []

    def program(arrays):
        kept[:] = function(arrays)
        return [_arrays(part) for part in kept]

    try:
        found = jax.jit(program, compiler_options=_QUICK)(arrays)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return None
    made = [_made(values, held) for values, held in zip(kept, found)]
    return None if any(isinstance(x, Tracer) for part in made for x in part) else made


def check_operator(file, name):
    """Hold one entry to what torch gave."""
    near = LOOSE.get(name)
    for number, sample in enumerate(record(file, name)["samples"]):
        given = _inputs(file, sample)

        def run(arrays, sample=sample):
            tensors = [rushlight.Tensor._of(a) for a in arrays]
            return call(sample, [t.requires_grad_() if w else t for t, w in zip(tensors, sample["wants"])])

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = _as_program(run, _arrays(given)) or call(sample, given)
        _agree(f"{name} sample {number}", file, sample, got, near, name not in NO_GRADIENTS)


def _agree(label, file, sample, got, near=None, gradients=True):
    leaves, tracked, grads = got[:3]
    assert len(leaves) == len(sample["results"]), f"{label}: {len(leaves)} results, not {len(sample['results'])}"
    assert tracked == sample["tracked"], f"{label}: requires_grad {tracked}, expected {sample['tracked']}"
    assert len(grads) == len(sample["grads"]), f"{label}: {len(grads)} gradients, not {len(sample['grads'])}"
    for i, (g, e) in enumerate(zip(leaves, sample["results"])):
        compare(f"{label}: result {i}", g, e, file, near)
    if not gradients:
        return
    for i, (g, e) in enumerate(zip(grads, sample["grads"])):
        if g is None or e is None:
            rest = numbers(file, e["ref"]) if e is not None else g if g is None else g.numpy()
            assert rest is None or not np.any(rest), f"{label}: gradient {i} is {g}, expected {e}"
        else:
            compare(f"{label}: gradient {i}", g, e, file, near)


def compare(label, got, expected, file, near=None):
    """Assert that a value equals a recorded one: kind, dtype, shape, numbers.

    Args:
        near: a tolerance instead of the dtype's own.
    """
    if not (isinstance(expected, dict) and "ref" in expected):
        wanted = decode(expected, None)
        if isinstance(wanted, float):
            assert type(got) is float and np.isclose(got, wanted, 1e-4, 1e-6, equal_nan=True), f"{label}: {got}"
        else:
            assert type(got) is type(wanted) and got == wanted, f"{label}: {got!r}, expected {wanted!r}"
        return
    dtype, shape, _ = expected["ref"]
    assert isinstance(got, rushlight.Tensor), f"{label}: {type(got)} is not a tensor"
    assert _dtype(got) == dtype, f"{label}: dtype {got.dtype}, expected {dtype}"
    assert list(got.shape) == shape, f"{label}: shape {list(got.shape)}, expected {shape}"
    wide = tensor(file, expected["ref"])
    got = got.detach()
    if dtype in ("bfloat16", "float16"):
        wide, got = wide.to(rushlight.float32), got.to(rushlight.float32)
    a, b = np.asarray(got.numpy()), np.asarray(wide.numpy())
    if b.dtype.kind not in "fc":
        np.testing.assert_array_equal(a, b, err_msg=label)
        return
    rtol, part = near or _NEAR.get(dtype, _EXACT)
    size = np.abs(b[np.isfinite(b)])
    np.testing.assert_allclose(a, b, rtol, part * float(size.max(initial=0.1)), equal_nan=True, err_msg=label)


# -- layers ---------------------------------------------------------------------------------------------------------


def check_layer(name):
    """Hold one layer to what torch gave: its state, results, gradients, and its state after the call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in record("layers", name)["samples"]:
            _check_layer(name, sample)


def _check_layer(name, sample):
    file = "layers"
    given = _inputs(file, sample)

    def now(held, tensors=given):
        return tensors[held]

    def arguments(pair, reference):
        return decode(pair[0], reference), keywords(pair[1], reference)

    args, kwargs = arguments(sample["made"], now)
    module = _reach(rushlight.nn, sample["class"])(*args, **kwargs).train(sample["training"])
    state = {key: tensor(file, stored) for key, stored in sample["state"].items()}
    assert list(module.state_dict()) == list(state), f"{name}: state {list(module.state_dict())}"
    module.load_state_dict(state)
    keys = [key for key, _ in module.named_parameters()]
    assert keys == sample["parameters"], f"{name}: parameters {keys}"

    def run(arrays):
        count = len(given)
        tensors = [rushlight.Tensor._of(a) for a in arrays[:count]]
        tensors = [t.requires_grad_() if w else t for t, w in zip(tensors, sample["wants"])]
        held = {key: rushlight.Tensor._of(a) for key, a in zip(state, arrays[count:])}
        wanted = [t for t, w in zip(tensors, sample["wants"]) if w] + [held[key].requires_grad_() for key in keys]
        args, kwargs = arguments(sample["call"], lambda i: tensors[i])
        leaves = leaves_of(rushlight.func.functional_call(module, held, tuple(args), kwargs))
        return (leaves, *_gradients(leaves, wanted), list(held.values()))

    got = _as_program(run, [*_arrays(given), *_arrays(state.values())])
    if got is None:
        args, kwargs = arguments(sample["call"], now)
        leaves = leaves_of(module(*args, **kwargs))
        wanted = [t for t, w in zip(given, sample["wants"]) if w] + list(module.parameters())
        got = (leaves, *_gradients(leaves, wanted), list(module.state_dict().values()))
    _agree(name, file, sample, got)
    for key, value, expected in zip(state, got[3], sample["after"]):
        compare(f"{name}: {key} afterwards", value, {"ref": expected}, file)
