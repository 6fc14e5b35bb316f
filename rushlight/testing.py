"""Owns ``torch.testing``: comparing tensors in tests, and making them. May import the operators and numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from . import dtypes
from ._tensor.tensor import Tensor
from .ops import creation, random

_TOLERANCE = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5), "complex64": (1.3e-6, 1e-5), "complex128": (1e-7, 1e-7),
}  # fmt: skip


class _Mismatch(Exception):
    """What differs, and where in nested data."""

    def __init__(self, text, error: type[Exception] = AssertionError):
        super().__init__(text)
        self.error, self.place = error, ""


def assert_close(
    actual, expected, *, allow_subclasses=True, rtol=None, atol=None, equal_nan=False, check_device=True,
    check_dtype=True, check_layout=True, check_stride=False, msg=None,
):  # fmt: skip
    """Assert that ``|actual - expected| <= atol + rtol * |expected|``, and that shapes and dtypes are equal.

    Args:
        actual, expected: tensors, numpy arrays, numbers, or sequences and mappings of them.
        rtol, atol: both or neither; default: by dtype, 0 for integers.
        equal_nan: nan equals nan.
        msg: a text instead of the own one, or a function of it.

    Raises:
        AssertionError: they differ; the text says where and how much.

    Example:
        >>> import rushlight as torch
        >>> torch.testing.assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be specified or both be unspecified, but got {rtol=} and {atol=}")
    options = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan, "check_device": check_device,
               "check_dtype": check_dtype, "check_stride": check_stride}  # fmt: skip
    try:
        _compare(actual, expected, options)
    except _Mismatch as found:
        text = str(found) + (f"\n\nThe failure occurred for item {found.place}" if found.place else "")
        if msg is not None:
            text = msg(text) if callable(msg) else msg
        raise found.error(text) from None


def _within(place, actual, expected, options):
    try:
        _compare(actual, expected, options)
    except _Mismatch as found:
        found.place = f"[{place}]" + found.place
        raise


def _compare(actual: Any, expected: Any, options):
    if isinstance(actual, (Tensor, np.ndarray)) and isinstance(expected, (Tensor, np.ndarray)):
        a, b = (x if isinstance(x, Tensor) else creation.from_numpy(np.asarray(x)) for x in (actual, expected))
        _compare_tensors(a, b, options)
    elif actual is None and expected is None:
        return
    elif isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
        if actual != expected:
            raise _Mismatch(f"Booleans mismatch: {actual} is not {expected}")
    elif _is_number(actual) and _is_number(expected):
        _compare_numbers(actual, expected, options)
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        missing, extra = [k for k in expected if k not in actual], [k for k in actual if k not in expected]
        if missing or extra:
            raise _Mismatch(
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {sorted(missing)}\n"
                f"Additional keys in the actual mapping: {sorted(extra)}"
            )
        for key in actual:
            _within(repr(key), actual[key], expected[key], options)
    elif _is_sequence(actual) and _is_sequence(expected):
        _compare_items(actual, expected, options)
    else:
        raise _Mismatch(
            f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.", TypeError
        )


def _compare_items(actual: Sequence, expected: Sequence, options):
    if len(actual) != len(expected):
        raise _Mismatch(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}")
    for i, (a, b) in enumerate(zip(actual, expected)):
        _within(i, a, b, options)


def _is_number(x):
    return isinstance(x, (int, float, complex, np.number)) and not isinstance(x, bool)


def _is_sequence(x) -> TypeGuard[Sequence]:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _tolerance(options, *kinds):
    if options["rtol"] is not None:
        return options["rtol"], options["atol"]
    pairs = [_TOLERANCE.get(d.name, (0.0, 0.0)) for d in kinds]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def _compare_numbers(actual, expected, options):
    if options["check_dtype"] and type(actual) is not type(expected):
        raise _Mismatch(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    kinds = [
        dtypes.complex128 if isinstance(x, complex) else dtypes.int64 if isinstance(x, int) else dtypes.float64
        for x in (actual, expected)
    ]
    _close(np.asarray(actual), np.asarray(expected), _tolerance(options, *kinds), options["equal_nan"])


def _compare_tensors(actual, expected, options):
    def differ(name, a, b):
        if a != b:
            raise _Mismatch(f"The values for attribute '{name}' do not match: {a} != {b}.")

    differ("shape", actual.shape, expected.shape)
    if options["check_device"]:
        differ("device", actual.device, expected.device)
    if options["check_dtype"]:
        differ("dtype", actual.dtype, expected.dtype)
    if options["check_stride"]:
        differ("stride()", actual.stride(), expected.stride())
    kinds = actual.dtype, expected.dtype
    a, b = (_host(x) for x in (actual, expected))
    _close(a, b, _tolerance(options, *kinds), options["equal_nan"])


def _host(tensor):
    host = tensor.detach()._host()
    return host.astype(np.float32) if host.dtype.kind == "V" or host.dtype.name == "bfloat16" else host


def _close(a, b, tolerance, equal_nan):
    rtol, atol = tolerance
    a, b = (x.astype(np.int64) if x.dtype == bool else x for x in (a, b))
    kind = np.result_type(a, b)
    a, b = a.astype(kind), b.astype(kind)
    if not a.ndim and kind.kind in "fc":
        a, b = (x.astype(np.complex128 if kind.kind == "c" else np.float64) for x in (a, b))
    with np.errstate(all="ignore"):
        bad = ~(np.isclose(a, b, rtol, atol, equal_nan) if kind.kind in "fc" or rtol or atol else a == b)
        if not bad.any():
            return
        apart = np.abs(a - b)
        relative = apart / np.abs(b)
    if equal_nan:
        both = np.isnan(a) & np.isnan(b)
        apart, relative = np.where(both, 0, apart), np.where(both, 0, relative)
    scalar = a.ndim == 0
    exact = rtol == atol == 0
    lines = [f"{'Scalars' if scalar else 'Tensor-likes'} are not {'equal' if exact else 'close'}!", ""]
    if scalar:
        lines.append(f"Expected {b.item()} but got {a.item()}.")
    else:
        lines.append(f"Mismatched elements: {bad.sum()} / {bad.size} ({bad.sum() / bad.size:.1%})")
    for name, values, allowed in (("absolute", apart, atol), ("relative", relative, rtol)):
        where = np.unravel_index(np.argmax(np.where(bad, values, -1)), bad.shape)
        place = "" if scalar else f" at index ({', '.join(map(str, where))}{',' * (len(where) == 1)})"
        limit = "" if exact else f" (up to {allowed} allowed)"
        title = f"{name.title()} difference" if scalar else f"Greatest {name} difference"
        lines.append(f"{title}: {values[where].item()}{place}{limit}")
    raise _Mismatch("\n".join(lines))


def make_tensor(
    *shape, dtype, device, low=None, high=None, requires_grad=False, noncontiguous=False, exclude_zero=False,
    memory_format=None,
):  # fmt: skip
    """A tensor of random numbers in ``[low, high)``, by default between -9 and 9 (0 and 10 where there is no sign).

    Args:
        noncontiguous: let its elements lie apart in memory.
        exclude_zero: replace zeros by the smallest positive number (one for integers).
    """
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = tuple(shape[0])
    size = (*shape[:-1], shape[-1] * 2) if noncontiguous and shape else shape
    if dtype.category == 0:
        made = random.randint(0 if low is None else math.ceil(low), 2 if high is None else math.ceil(high), size)
        made = made.to(device=device, dtype=dtype)
    elif dtype.category == 1:
        least, most = (-9, 10) if dtype.is_signed else (0, 10)
        low, high = least if low is None else math.ceil(low), most if high is None else math.ceil(high)
        made = random.randint(low, high, size, dtype=dtype, device=device)
    else:
        real = dtype.to_real()
        shape_of_parts = (*size, 2) if dtype.is_complex else size
        wide = real if real.itemsize >= 4 else dtypes.float32
        made = creation.empty(shape_of_parts, dtype=wide, device=device)
        made.uniform_(-9 if low is None else low, 9 if high is None else high)
        made = made.to(real)
        made = made.view_as_complex() if dtype.is_complex else made
    if noncontiguous and shape:
        made = made[..., ::2]
    if exclude_zero:
        smallest = 1 if dtype.category < 2 else dtypes.finfo(dtype).tiny
        made = made.masked_fill(made == 0, smallest)
    made = made.detach()
    return made.requires_grad_() if requires_grad else made


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """torch's old name of ``assert_close``, which does not compare dtypes or devices."""
    both = (rtol, atol) if rtol is not None or atol is not None else (None, None)
    rtol, atol = (0.0 if x is None and any(y is not None for y in both) else x for x in both)
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=False, check_dtype=False,
                 msg=msg or None)  # fmt: skip


__all__ = ["assert_allclose", "assert_close", "make_tensor"]
