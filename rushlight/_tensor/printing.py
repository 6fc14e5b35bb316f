"""Owns the printed form of tensors and its options; works on arrays, so it needs no Tensor.

May import only numpy, dtypes and the standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import dtypes

_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


@dataclasses.dataclass
class _Options:
    """The options of :func:`set_printoptions`, with torch's defaults."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PRINT_OPTS = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print; an option left at None keeps its value, except ``sci_mode``.

    Args:
        precision: digits after the decimal point.
        threshold: tensors with more elements than this are summarised.
        edgeitems: how many items a summary keeps at each end of a dimension.
        linewidth: characters per line.
        profile: ``"default"``, ``"short"`` or ``"full"``; the other arguments then override it.
        sci_mode: force (True) or forbid (False) scientific notation; None lets the values decide, and is also what
            every call that leaves it out goes back to, as in torch.

    Raises:
        ValueError: the profile has another name.

    Example:
        >>> with printoptions(precision=2):
        ...     print(tensor_repr(np.float32([1.12345]), dtypes.float32))
        tensor([1.12])
    """
    changes: dict[str, Any] = {}
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions(): profile must be one of {', '.join(_PROFILES)}, received {profile!r}")
        changes.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes.update({name: value for name, value in given.items() if value is not None})
    for name, value in changes.items():
        setattr(PRINT_OPTS, name, value)
    PRINT_OPTS.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The current options, as keyword arguments for :func:`set_printoptions`.

    Example:
        >>> get_printoptions()["linewidth"]
        80
    """
    return dataclasses.asdict(PRINT_OPTS)


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Use other printing options inside a ``with`` block.

    Args:
        **options: as for :func:`set_printoptions`.

    Example:
        >>> with printoptions(threshold=5):
        ...     print(tensor_repr(np.arange(10), dtypes.int64))
        tensor([0, 1, 2,  ..., 7, 8, 9])
    """
    before = get_printoptions()
    try:
        set_printoptions(**options)
        yield
    finally:
        set_printoptions(**before)


def tensor_repr(
    array,
    dtype: dtypes.dtype,
    *,
    prefix: str = "tensor(",
    device: str | None = None,
    requires_grad: bool = False,
    grad_fn: str | None = None,
    default_dtype: dtypes.dtype | None = None,
    is_meta: bool = False,
    shape: Sequence[int] | None = None,
    tangent: str | None = None,
) -> str:
    """The text torch prints for a tensor.

    Args:
        array: the values; a numpy array, or anything that numpy can index and convert (of a large JAX array only the
            elements that are printed leave its device). None for a meta tensor.
        dtype: the tensor's dtype.
        prefix: how the text opens: ``"tensor("``, or the name of a subclass and a parenthesis.
        device: the device's name; ``"cpu"`` and None are not printed.
        requires_grad: print ``requires_grad=True``, unless there is a ``grad_fn``.
        grad_fn: the name of the node that made the tensor, for example ``"AddBackward0"``.
        default_dtype: the dtype that goes without saying; None for the present default.
        is_meta: the tensor has a shape and no values.
        shape: the shape, where ``array`` is None.
        tangent: the printed form of the tangent, where there is one.

    Example:
        >>> print(tensor_repr(np.float32([1, 2.5]), dtypes.float32, grad_fn="AddBackward0"))
        tensor([1.0000, 2.5000], grad_fn=<AddBackward0>)
        >>> print(tensor_repr(np.zeros((0, 3), np.int32), dtypes.int32, device="cuda:0"))
        tensor([], device='cuda:0', size=(0, 3), dtype=torch.int32)
    """
    default = dtypes.default_dtype() if default_dtype is None else default_dtype
    default_complex = dtypes.complex128 if default is dtypes.float64 else dtypes.complex64
    sizes = tuple(array.shape if shape is None else shape)
    size_note, dtype_note = f"size={sizes}", f"dtype={dtype!r}"
    notes = [] if device in (None, "cpu") else [f"device='{device}'"]
    if is_meta:
        body = "..."
        notes += [size_note] if dtype is default else [size_note, dtype_note]
    elif 0 in sizes:
        body = "[]"
        notes += [size_note] if len(sizes) != 1 else []
        notes += [dtype_note] if dtype is not default else []
    else:
        body = _body(array, sizes, dtype, len(prefix))
        notes += [size_note] if not PRINT_OPTS.edgeitems else []
        notes += [dtype_note] if dtype not in (default, default_complex, dtypes.int64, dtypes.bool_) else []
    if grad_fn is not None:
        notes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    if tangent is not None:
        notes.append(f"tangent={tangent}")
    return _with_notes(prefix + body, notes, len(prefix))


def _with_notes(text: str, notes: list[str], indent: int) -> str:
    """Append the notes, each on the last line if it still fits there, and close the parenthesis."""
    # torch counts two characters more than the last line has; its line breaks depend on it.
    used = len(text) - text.rfind("\n") + 1
    parts = [text]
    for note in notes:
        if used + len(note) + 2 > PRINT_OPTS.linewidth:
            parts.append(",\n" + " " * indent + note)
            used = indent + len(note)
        else:
            parts.append(", " + note)
            used += len(note) + 2
    return "".join(parts) + ")"


def _body(array, sizes: tuple[int, ...], dtype: dtypes.dtype, indent: int) -> str:
    """The bracketed numbers."""
    edge = PRINT_OPTS.edgeitems
    cut: tuple[bool, ...] = tuple(False for _ in sizes)
    if math.prod(sizes) > PRINT_OPTS.threshold and sizes:
        if not edge:
            # Every dimension collapses to "...", so no element is looked at.
            return "[...]"
        cut = tuple(n > 2 * edge for n in sizes)
        kept = (np.r_[:edge, n - edge : n] if c else np.arange(n) for n, c in zip(sizes, cut))
        if any(cut):
            array = array[np.ix_(*kept)]
    with np.errstate(invalid="ignore"):
        # Widening a signalling nan makes it quiet, which numpy would report.
        return _numbers(np.asarray(array), dtype, cut, indent)


def _numbers(values: np.ndarray, dtype: dtypes.dtype, cut: tuple[bool, ...], indent: int) -> str:
    if dtype.is_complex:
        real, real_width = _number_format(np.real(values), dtype)
        imag, imag_width = _number_format(np.imag(values), dtype)
        return _nest(values.tolist(), cut, indent, _complex_format(real, imag), real_width + imag_width + 1)
    if dtype.is_floating_point:
        # Every floating dtype widens to float64 without rounding.
        values = values.astype(np.float64)
    form, width = _number_format(values, dtype)
    return _nest(values.tolist(), cut, indent, form, width)


def _number_format(values: np.ndarray, dtype: dtypes.dtype) -> tuple[Callable[[Any], str], int]:
    """Choose one format for all values: the function that prints one of them, and the width it pads to."""
    if dtype.category < 2:
        width = max(map(len, map(str, values.ravel().tolist())))
        return lambda value: str(value).rjust(width), width
    wide = values.astype(np.float64).ravel()
    if dtype is dtypes.float8_e8m0fnu:
        # The dtype has no zero, so torch's test against 0 drops its smallest value; its test for nan keeps nan.
        shown = wide[wide != 2.0**-127]
    else:
        shown = wide[np.isfinite(wide) & (wide != 0)]
    precision, scientific, whole, width = PRINT_OPTS.precision, False, True, 1
    if shown.size:
        size = np.abs(shown)
        low, high = float(size.min()), float(size.max())
        whole = bool((shown == np.ceil(shown)).all())
        scientific = PRINT_OPTS.sci_mode
        if scientific is None:
            scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        spec = f".{precision}e" if scientific else ".0f" if whole else f".{precision}f"
        point = 1 if whole and not scientific else 0
        width = max(len(format(value, spec)) for value in shown.tolist()) + point
    if scientific:
        return lambda value: format(value, f"{width}.{precision}e"), width
    if whole:
        return lambda value: f"{value:.0f}{'.' if math.isfinite(value) else ''}".rjust(width), width
    return lambda value: format(value, f".{precision}f").rjust(width), width


def _complex_format(real: Callable[[Any], str], imag: Callable[[Any], str]) -> Callable[[complex], str]:
    def form(value: complex) -> str:
        second = imag(value.imag).lstrip() + "j"
        return real(value.real) + ("" if second[0] in "+-" else "+") + second

    return form


def _nest(values, cut: tuple[bool, ...], indent: int, form: Callable[[Any], str], width: int) -> str:
    """Print nested lists; a dimension that was cut gets ``...`` after its first ``edgeitems`` entries."""
    if not cut:
        return form(values)
    edge, clipped = PRINT_OPTS.edgeitems, cut[0]
    if len(cut) > 1:
        rows = [_nest(row, cut[1:], indent + 1, form, width) for row in values]
        if clipped:
            rows.insert(edge, "...")
        return "[" + ("," + "\n" * (len(cut) - 1) + " " * (indent + 1)).join(rows) + "]"
    items = [form(value) for value in values]
    if clipped:
        items.insert(edge, " ...")
    per_line = max(1, math.floor((PRINT_OPTS.linewidth - indent) / (width + 2)))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
