"""Walks PyTorch's own operator database: values, dtypes, shapes and gradients of every entry.

What rushlight does not offer stands in ``NOT_OFFERED`` with its reason, what has to be compared more loosely in
``OPTIONS``. ``OP_DB_SAMPLES=4`` runs four times as many samples of each entry.
"""

import os

import pytest
from parity._op_db import ENTRIES, NotOffered, check_entry, name, refusals, torch

_COMPILER = "an operator that torch's compiler uses internally; no public name"
_SPARSE = "rushlight has no sparse layout"
_QUANTIZED = "rushlight has no scaled low-precision matrix products"
_CUDA = "no sample runs on the CPU"
_BACKWARD = "torch's hand-written derivative; rushlight takes derivatives from jax.vjp"
_KERNEL = "compiles CUDA source at run time"

NOT_OFFERED = {
    "sparse.sampled_addmm": _SPARSE,
    "sparse.mm/reduce": _SPARSE,
    "to_sparse": _SPARSE,
    "torch._scaled_mm": _QUANTIZED,
    "torch._scaled_mm_v2": _QUANTIZED,
    "torch.ops.aten._safe_softmax.default": _COMPILER,
    "torch.ops.aten._flash_attention_forward": _CUDA,
    "torch.ops.aten._efficient_attention_forward": _CUDA,
    "_softmax_backward_data": _BACKWARD,
    "native_dropout_backward": _BACKWARD,
    "max_pool2d_with_indices_backward": _BACKWARD,
    "_upsample_bilinear2d_aa": _COMPILER,
    "_unsafe_masked_index": _COMPILER,
    "_unsafe_masked_index_put_accumulate": _COMPILER,
    "_chunk_cat": _COMPILER,
    "slice": _COMPILER,
    "_native_batch_norm_legit": _COMPILER,
    "_batch_norm_with_update": _COMPILER,
    "chalf": "complex32 is stored, not computed with; test_complex32.py compares it",
    "nn.functional.batch_norm/without_cudnn": _CUDA,
    "jiterator_unary": _KERNEL,
    "jiterator_binary": _KERNEL,
    "jiterator_4inputs_with_extra_args": _KERNEL,
    "jiterator_binary_return_by_ref": _KERNEL,
    "jiterator_2inputs_2outputs": _KERNEL,
}

# What stands in memory that was never written, or depends on which of equal elements comes first.
_UNWRITTEN = {"values": False}
_TIES = {"ties": 1}
# torch's own Bessel functions are good to about 1e-7 at double precision (they differ from scipy's by that much).
# torch sums few terms of an asymptotic series.
_ROUGH = {"tol": (1e-4, 1e-5)}
_BESSEL = {"tol": (1e-5, 1e-6)}
OPTIONS = {
    **dict.fromkeys(
        ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"), _UNWRITTEN
    ),
    **dict.fromkeys(("topk", "mode", "kthvalue", "sort", "median", "nanmedian"), _TIES),
    "argsort": {"ties": 0},
    **dict.fromkeys(
        ("special.airy_ai", "special.bessel_j0", "special.bessel_j1", "special.bessel_y0", "special.bessel_y1"), _BESSEL
    ),
    **dict.fromkeys(
        (*(f"polygamma/polygamma_n_{n}" for n in range(5)), "special.polygamma/special_polygamma_n_0"), _ROUGH
    ),
    # torch gives the elements that are replaced a gradient all the same; its own test expects to fail.
    "as_strided_scatter": {"grads": False},
    # torch gives a window that is the real part of another tensor no gradient; its own test expects to fail.
    "istft": {"skip": lambda sample: "window" in sample.kwargs and not sample.kwargs["window"].is_complex()},
    # Series in single precision, whose terms are large and cancel.
    "matrix_exp": {"tol": (1e-4, 1e-3)},
    # torch draws for negative elements alone, which a program does not know.
    "nn.functional.rrelu": {"eager": True},
    # Sums of hundreds of products in single precision.
    "nn.functional.conv_transpose3d": {"tol": (1e-5, 1e-4)},
    # torch multiplies the gradient by a sixth in single precision.
    "nn.functional.hardsigmoid": {"tol": (1e-6, 1e-8)},
}

_TIMES = int(os.environ.get("OP_DB_SAMPLES", "1"))
COUNTS = {
    torch.float64: 5 * _TIMES, torch.float32: 2 * _TIMES, torch.int64: 2 * _TIMES, torch.bool: 2 * _TIMES,
    torch.complex128: 3 * _TIMES,
}  # fmt: skip
OFFERED = [entry for entry in ENTRIES if name(entry) not in NOT_OFFERED]


@pytest.mark.parametrize("entry", OFFERED, ids=[name(e) for e in OFFERED])
def test_entry(entry):
    check_entry(entry, COUNTS, **OPTIONS.get(name(entry), {}))


# What torch refuses for reasons of its memory or of its signatures, by the words of its message.
ALLOWED = (
    # Arrays are immutable: an output never overlaps an input while it is being written.
    "some elements of the input tensor and the written-to tensor refer to a single memory location",
    # An output of another shape is replaced, whatever memory it had.
    "Trying to resize storage that is not resizable",
    # out= of another dtype is converted where torch's promotion rules allow it.
    "Expected out tensor to have dtype",
    "Expected object of scalar type ComplexDouble but got scalar type ComplexFloat for argument 'out'",
    # Reflected operators of Python called as functions, on a number.
    "objects doesn't apply to a 'int' object",
    "'int' object has no attribute 'reciprocal'",
    # An assertion inside torch.
    "static_cast<int64_t>",
)
REFUSING = [entry for entry in OFFERED if entry.error_inputs_func is not None]


@pytest.mark.parametrize("entry", REFUSING, ids=[name(e) for e in REFUSING])
def test_what_torch_refuses(entry):
    """The same calls raise exceptions of the same type."""
    for call, refused, error in refusals(entry):
        if any(text in str(refused) for text in ALLOWED):
            continue
        assert error is not None, f"{call}: torch raised {refused!r}, rushlight raised nothing"
        kinds = [type(e).__name__.lstrip("_") for e in (error, refused)]
        assert kinds[0] == kinds[1], f"{call}: {error!r} is not {refused!r}"


def test_the_table_names_entries_that_exist():
    names = {name(entry) for entry in ENTRIES}
    assert set(NOT_OFFERED) <= names
    assert set(OPTIONS) <= names


def test_most_entries_are_offered():
    assert len(OFFERED) >= 550


# torch itself runs the compiled kernels on GPUs alone.
ABSENT = [e for e in ENTRIES if NOT_OFFERED.get(name(e), _KERNEL) is not _KERNEL]


@pytest.mark.parametrize("entry", ABSENT, ids=[name(e) for e in ABSENT])
def test_what_is_not_offered_fails(entry):
    """An entry that works leaves the table."""
    with pytest.raises((NotOffered, AssertionError, NotImplementedError)):
        check_entry(entry, COUNTS)
