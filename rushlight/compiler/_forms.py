"""Owns giving parts of a traced program the form that XLA:CPU runs fastest; what they compute stays the same.

May import jax and memory orders. Gradients of slices, written into zeros and added up, become one
concatenation: XLA adds padded arrays number by number, each with a test whether it lies in the padding.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend import core as jex

from ..ops._layout import bind

_PLACES = ("dynamic_update_slice", "pad")
# What stands between a constant and the place where a slice begins, by the numpy function that computes it.
_SCALARS = {
    "add": np.add,
    "convert_element_type": np.asarray,
    "lt": np.less,
    "select_n": lambda which, *cases: cases[int(which)],
}


class Parts:
    """Zeros with arrays written side by side along one dimension.

    Args:
        shape: of the whole.
        axis: along which they lie.
        parts: ``(start, array)``, no two of which overlap.
    """

    def __init__(self, shape: tuple, axis: int, parts: list):
        self.shape, self.axis, self.parts = shape, axis, sorted(parts, key=lambda part: part[0])
        self._whole: Any = None

    def beside(self, other: Parts) -> Parts | None:
        """Both together; None where they overlap or lie along different dimensions."""
        if (self.shape, self.axis) != (other.shape, other.axis):
            return None
        both = Parts(self.shape, self.axis, self.parts + other.parts)
        ends = [start + part.shape[self.axis] for start, part in both.parts]
        return both if all(end <= start for end, (start, _) in zip(ends, both.parts[1:])) else None

    def transposed(self, order) -> Parts:
        """The parts in another order of dimensions: XLA moves each of them faster than what they make together."""
        parts = [(start, lax.transpose(part, order)) for start, part in self.parts]
        return Parts(tuple(self.shape[d] for d in order), order.index(self.axis), parts)

    def whole(self):
        """One array."""
        if self._whole is None and len(self.parts) == 1:
            (start, part), axis = self.parts[0], self.axis
            padding = [(0, 0, 0)] * len(self.shape)
            padding[axis] = (start, self.shape[axis] - start - part.shape[axis], 0)
            self._whole = lax.pad(part, np.zeros((), part.dtype), padding)
        if self._whole is None:
            pieces, at = [], 0
            for start, part in self.parts:
                pieces += [self._zeros(start - at, part.dtype), part]
                at = start + part.shape[self.axis]
            pieces.append(self._zeros(self.shape[self.axis] - at, pieces[-1].dtype))
            self._whole = lax.concatenate([p for p in pieces if p is not None], self.axis)
        return self._whole

    def _zeros(self, size: int, dtype):
        if not size:
            return None
        return lax.full((*self.shape[: self.axis], size, *self.shape[self.axis + 1 :]), 0, dtype)


def in_fast_forms(closed):
    """The same program with gradients of slices side by side.

    Args:
        closed: a closed jaxpr.

    Returns:
        ClosedJaxpr: with the same inputs and outputs; the one given where there is nothing to change.
    """
    eqns = closed.jaxpr.eqns
    names = [e.primitive.name for e in eqns]
    if sum(n in _PLACES for n in names) < 2 and "scan" not in names:
        return closed
    given = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype, weak_type=v.aval.weak_type) for v in closed.jaxpr.invars]
    return jax.make_jaxpr(lambda *arrays: _run(closed, arrays))(*given)


def _run(closed, arrays) -> list:
    jaxpr = closed.jaxpr
    env: dict = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *arrays)))
    zeros: set = set()

    def read(atom):
        return atom.val if isinstance(atom, jex.Literal) else env[atom]

    for eqn in jaxpr.eqns:
        values = [read(atom) for atom in eqn.invars]
        name = eqn.primitive.name
        out: Any = None
        if name == "broadcast_in_dim" and _is_zero(values[0]):
            zeros.update(eqn.outvars)
        elif name in _SCALARS and all(isinstance(v, (np.ndarray, np.generic, int, bool)) for v in values):
            out = _scalar(eqn, values)
        elif name == "dynamic_update_slice" and eqn.invars[0] in zeros:
            out = _written(values)
        elif name == "pad" and _is_zero(values[1]):
            out = _padded(eqn, values[0])
        elif name in ("add", "add_any") and all(isinstance(v, Parts) for v in values):
            out = values[0].beside(values[1])
        elif name == "transpose" and isinstance(values[0], Parts):
            out = values[0].transposed(eqn.params["permutation"])
        if out is None:
            values = [v.whole() if isinstance(v, Parts) else v for v in values]
            changed = {"jaxpr": in_fast_forms(eqn.params["jaxpr"])} if name == "scan" else {}
            results = bind(eqn, values, **changed)
        else:
            results = [out]
        env.update(zip(eqn.outvars, results))
    return [v.whole() if isinstance(v, Parts) else v for v in map(read, jaxpr.outvars)]


def _is_zero(value) -> bool:
    return isinstance(value, (np.ndarray, np.generic, float, int)) and np.ndim(value) == 0 and value == 0


def _scalar(eqn, values):
    aval = eqn.outvars[0].aval
    if aval.shape or aval.dtype.kind not in "bi" or any(np.ndim(v) for v in values):
        return None
    return np.asarray(_SCALARS[eqn.primitive.name](*values)).astype(aval.dtype)[()]


def _place(shape, part, starts) -> Parts | None:
    """A part that is smaller than the whole along one dimension."""
    if isinstance(part, Parts):
        part = part.whole()
    short = [d for d, (n, size) in enumerate(zip(shape, part.shape)) if n != size]
    if len(short) != 1 or not part.size:
        return None
    axis = short[0]
    start = min(max(int(starts[axis]), 0), shape[axis] - part.shape[axis])  # as the operator clamps it
    return Parts(tuple(shape), axis, [(start, part)])


def _written(values) -> Parts | None:
    target, part, *starts = values
    if not all(isinstance(s, (np.ndarray, np.generic, int)) for s in starts):
        return None
    return _place(target.shape, part, starts)


def _padded(eqn, part) -> Parts | None:
    config = eqn.params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        return None
    return _place(eqn.outvars[0].aval.shape, part, [low for low, _, _ in config])
