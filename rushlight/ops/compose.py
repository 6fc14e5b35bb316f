"""Owns tensors composed of others: complex numbers from their parts, grids from coordinates.

May import the door and jax.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .. import dtypes
from ._execute import scalar_name, write_out
from ._op import Array, op


def complex_(real, imag, *, out=None):
    """A complex tensor from its parts."""
    made = _complex(real, imag)
    return made if out is None else write_out("complex", made, out)


@op(name="complex", method=False, numbers=())
def _complex(real: Array, imag: Array):
    _check_parts(real, imag)
    return jax.lax.complex(*jnp.broadcast_arrays(real, imag))


def _check_parts(first, second):
    a, b = (scalar_name(dtypes.from_numpy(x.dtype)) for x in (first, second))
    for x in (first, second):
        if x.dtype not in (jnp.float16, jnp.float32, jnp.float64):
            raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {a} and {b}")
    if a != b:
        raise RuntimeError(f"Expected object of scalar type {a} but got scalar type {b} for second argument")


@op(method=False, numbers=())
def polar(abs: Array, angle: Array):
    """A complex tensor from absolute values and angles."""
    _check_parts(abs, angle)
    abs, angle = jnp.broadcast_arrays(abs, angle)
    return jax.lax.complex(abs * jnp.cos(angle), abs * jnp.sin(angle))


def meshgrid(*tensors: Any, indexing=None):
    """Coordinate grids of several 1-d tensors, as views where torch makes views."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    swap = indexing == "xy" and len(tensors) > 1
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if swap:
        tensors = tensors[1:2] + tensors[:1] + tensors[2:]
    sizes = [t.numel() for t in tensors]
    grids = []
    for i, t in enumerate(tensors):
        shape = [1] * len(tensors)
        shape[i] = sizes[i]
        grids.append(t.reshape(shape).expand(sizes))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


__all__ = ["meshgrid", "polar"]
